//! What a write decides on: the cache, and over it what was since read from the store; and what is
//! pushed together with it, for what refers to other documents.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oprc_controller_runtime::cache::{Entry, PackedVersion, State};
use oprc_cp_storage::{Error, KeyValue, Precondition, Revision, Store, Txn, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::{BindingName, DeploymentKey, PackageName, PushId},
    package::OPackage,
    push::{Envelope, Fate, Progress, PushRecord},
    role::RoleBinding,
    version::PackageVersion,
};
use serde::de::DeserializeOwned;

use super::{bundle::Scope, decision::Decision};

/// What is stored under a key.
pub(super) enum Found<T> {
    /// Nothing.
    Absent,
    /// This document.
    Present(Entry<Stored<T>>),
    /// Something, but what cannot be told; and why.
    Unreadable(String),
}

/// What the store said of keys that the cache was behind on.
#[derive(Default)]
pub(super) struct Seen {
    packages: BTreeMap<PackageName, Found<OPackage>>,
    deployments: BTreeMap<DeploymentKey, Found<OClassDeployment>>,
    /// Archived revisions: when they were written.
    revisions: BTreeMap<Key, Option<Revision>>,
    /// Published versions.
    versions: BTreeMap<(PackageName, PackageVersion), Option<Entry<PackedVersion>>>,
    stored_at: StoredAt,
    /// Pushes that are not decided, of which there were intents.
    pub(super) undecided: BTreeSet<PushId>,
}

/// For keys of documents with an intent that is decided: the revision of the key's last write, which
/// is another than that which the document is shown at.
#[derive(Clone, Default)]
pub(super) struct StoredAt(BTreeMap<String, Revision>);

impl StoredAt {
    /// What must hold of `key` for its document to be as it is `shown`.
    pub(super) fn of(&self, key: &str, shown: Precondition) -> Precondition {
        self.0.get(key).map_or(shown, |actual| Precondition::At(*actual))
    }

    /// `txn`, on what is stored in the place of what is shown.
    pub(super) fn of_txn(&self, mut txn: Txn) -> Txn {
        if self.0.is_empty() {
            return txn;
        }
        for check in &mut txn.checks {
            check.precondition = self.of(&check.key, check.precondition);
        }
        for write in &mut txn.writes {
            write.precondition = self.of(&write.key, write.precondition);
        }
        txn
    }

    pub(super) fn of_all(&self, early: Vec<Txn>, txn: Txn) -> (Vec<Txn>, Txn) {
        (early.into_iter().map(|txn| self.of_txn(txn)).collect(), self.of_txn(txn))
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Seen {
    /// Reads `keys` from the store.
    pub(super) async fn read(&mut self, store: &dyn Store, keys: &[String]) -> Result<(), Error> {
        let parsed = keys.iter().filter_map(|key| key.parse::<Key>().ok());
        let reads = parsed.map(|key| async move {
            let stored = store.get(&key.to_string()).await?;
            // Read after the document: an intent that was there then is its push's by what is said
            // of the push now, unless the document changes again.
            let push = match stored.as_ref().and_then(push_of) {
                Some(push) => {
                    let record = store.get(&Key::Push(push.clone()).to_string()).await?;
                    Some((push, record))
                }
                None => None,
            };
            Ok::<_, Error>((key, stored, push))
        });
        for (key, stored, push) in futures::future::try_join_all(reads).await? {
            let settled = push.map(|(push, record)| self.settled(push, record.as_ref()));
            match key {
                Key::Package(name) => {
                    let found = self.decode(stored, settled);
                    self.packages.insert(name, found);
                }
                Key::Deployment(key) => {
                    let found = self.decode(stored, settled);
                    self.deployments.insert(key, found);
                }
                Key::PackageRevision(..) | Key::DeploymentRevision(..) => {
                    self.revisions.insert(key, stored.map(|stored| stored.mod_revision));
                }
                Key::PackageVersion(name, version) => {
                    let entry = stored.and_then(|stored| {
                        let value = PackedVersion::new(stored.value).ok()?;
                        Some(Entry { value: Arc::new(value), revision: stored.mod_revision })
                    });
                    self.versions.insert((name, version), entry);
                }
                // No decision that can conflict on these looks at more than their revision, and it
                // begins with a fresh cache.
                Key::Cluster(_)
                | Key::Unit(..)
                | Key::Record(..)
                | Key::PackageStatus(_)
                | Key::DeploymentStatus(_)
                | Key::ClusterStatus(_)
                | Key::Bundle(_)
                | Key::Push(_)
                | Key::RoleBinding(_)
                | Key::Events(_)
                | Key::Installation
                | Key::Leader(_) => {}
            }
        }
        Ok(())
    }
}

/// Whose intent stands in what is `stored`.
fn push_of(stored: &KeyValue) -> Option<PushId> {
    let envelope: Envelope<serde::de::IgnoredAny> = serde_json::from_slice(&stored.value).ok()?;
    envelope.intent.map(|intent| intent.push)
}

impl Seen {
    fn has(&self, key: &Key) -> bool {
        match key {
            Key::Package(name) => self.packages.contains_key(name),
            Key::Deployment(key) => self.deployments.contains_key(key),
            _ => false,
        }
    }

    /// What became of `push`, whose key is `record`, and the revision that its documents have then.
    fn settled(&mut self, push: PushId, record: Option<&KeyValue>) -> (Fate, Option<Revision>) {
        let Some(record) = record else { return (Fate::Aborted, None) };
        let read = serde_json::from_slice::<PushRecord>(&record.value);
        if read.is_ok_and(|read| read.progress == Progress::Committed) {
            return (Fate::Committed, Some(record.mod_revision));
        }
        self.undecided.insert(push);
        (Fate::Pending, None)
    }

    fn decode<T: DeserializeOwned>(
        &mut self,
        stored: Option<KeyValue>,
        settled: Option<(Fate, Option<Revision>)>,
    ) -> Found<T> {
        let Some(stored) = stored else { return Found::Absent };
        let envelope: Envelope<T> = match serde_json::from_slice(&stored.value) {
            Ok(envelope) => envelope,
            Err(error) => return Found::Unreadable(error.to_string()),
        };
        let (fate, committed_at) = settled.unwrap_or((Fate::Aborted, None));
        let mut shown = stored.mod_revision;
        if let Some(intent) = &envelope.intent {
            shown = committed_at.unwrap_or(Revision(intent.since));
            if fate != Fate::Pending {
                self.stored_at.0.insert(stored.key, stored.mod_revision);
            }
        }
        match envelope.settled(fate) {
            Some(value) => Found::Present(Entry { value: Arc::new(value), revision: shown }),
            None => Found::Absent,
        }
    }
}

/// The keys whose documents `decisions` saw at another revision than they have; and the pushes that
/// are in the way, as far as the cache knows.
pub(super) fn intents(
    state: &State,
    seen: &Seen,
    decisions: &[Decision<'_>],
) -> (StoredAt, BTreeSet<PushId>) {
    let (mut stored_at, mut undecided) = (seen.stored_at.clone(), BTreeSet::new());
    if !state.has_intents() {
        return (stored_at, undecided);
    }
    for key in decisions.iter().flat_map(Decision::keys).filter(|key| !seen.has(key)) {
        let Some(intent) = state.intent(&key) else { continue };
        if state.fate(&intent.push) == Fate::Pending {
            undecided.insert(intent.push.clone());
        } else if let Some(actual) = state.revision_in_store(&key, None) {
            stored_at.0.insert(key.to_string(), actual);
        }
    }
    (stored_at, undecided)
}

/// What a write decides on.
pub(super) struct View<'a> {
    /// The cache.
    pub(super) state: &'a State,
    seen: &'a Seen,
    /// What is pushed together.
    pub(super) scope: &'a Scope,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State, seen: &'a Seen, scope: &'a Scope) -> Self {
        Self { state, seen, scope }
    }

    /// The package as it will be: as it is pushed with what is decided on, else as it is stored.
    pub(super) fn package_after(&self, name: &PackageName) -> Found<OPackage> {
        self.scope.package(name).map_or_else(|| self.package(name), Found::Present)
    }

    pub(super) fn package(&self, name: &PackageName) -> Found<OPackage> {
        match self.seen.packages.get(name) {
            Some(found) => found.clone(),
            None => self.cached(self.state.packages.get(name), || Key::Package(name.clone())),
        }
    }

    pub(super) fn deployment(&self, key: &DeploymentKey) -> Found<OClassDeployment> {
        match self.seen.deployments.get(key) {
            Some(found) => found.clone(),
            None => self.cached(self.state.deployments.get(key), || Key::Deployment(key.clone())),
        }
    }

    /// How the archived revision `key` is found.
    pub(super) fn archived(&self, key: &Key) -> Precondition {
        let cached = || match key {
            Key::PackageRevision(name, generation) => {
                self.state.package_revisions.get(name)?.get(generation).copied()
            }
            Key::DeploymentRevision(key, generation) => {
                self.state.deployment_revisions.get(key)?.get(generation).copied()
            }
            _ => None,
        };
        let found = self.seen.revisions.get(key).copied().unwrap_or_else(cached);
        found.map_or(Precondition::Absent, Precondition::At)
    }

    /// What is published under a version beside what the package is, by whichever incarnation.
    pub(super) fn archived_version(
        &self,
        name: &PackageName,
        version: &PackageVersion,
    ) -> Option<Entry<PackedVersion>> {
        match self.seen.versions.get(&(name.clone(), version.clone())) {
            Some(seen) => seen.clone(),
            None => self.state.package_versions.get(name)?.get(version).cloned(),
        }
    }

    /// From the cache alone: what decides on one begins fresh.
    pub(super) fn role_binding(&self, name: &BindingName) -> Found<RoleBinding> {
        self.cached(self.state.role_bindings.get(name), || Key::RoleBinding(name.clone()))
    }

    fn cached<T>(&self, entry: Option<&Entry<Stored<T>>>, key: impl FnOnce() -> Key) -> Found<T> {
        match entry {
            Some(entry) => Found::Present(entry.clone()),
            None if self.state.unreadable.is_empty() => Found::Absent,
            None => match self.state.unreadable.get(&key()) {
                Some(reason) => Found::Unreadable(reason.clone()),
                None => Found::Absent,
            },
        }
    }
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Absent => Self::Absent,
            Self::Present(entry) => Self::Present(entry.clone()),
            Self::Unreadable(reason) => Self::Unreadable(reason.clone()),
        }
    }
}
