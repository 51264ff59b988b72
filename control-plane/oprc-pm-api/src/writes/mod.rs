//! Accepting what users want: specs, by compare-and-swap, without HTTP.
//!
//! Each operation is a pure decision on a [`view::View`] of the store (`package.rs`,
//! `deployment.rs`, `cluster.rs`) and one loop that carries decisions out ([`Writes::settle`]).
//!
//! Invariants:
//! - a transaction checks the package and the deployments that its decision rests on, so a
//!   decision made on a cache that is behind cannot land: it conflicts, the keys are read from the
//!   store, and it is made again;
//! - an answer that writes nothing (unchanged, refused), or that warns of something missing, is
//!   given only on a state that was shown to be fresh after the request came. So the common write
//!   costs one transaction and no read;
//! - what a document merely refers to is not checked: it may come and go at any time, and the
//!   controllers say in the status what resolves;
//! - an unreadable value is never overwritten, nor one with an intent of a push that is undecided;
//! - time and uids come from the caller, so one seed gives one history.

mod archive;
mod bundle;
mod cluster;
mod decision;
mod deployment;
mod draft;
mod error;
mod forced;
mod package;
mod prospect;
mod references;
mod removal;
mod role_binding;
mod rollout;
mod versions;
mod view;

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::{
    Check, Error as StoreError, Precondition, Revision, SharedStore, Txn, keys::Key,
};
use oprc_models::{
    deployment::OClassDeployment,
    meta::{Meta, Timestamp},
    names::{ClusterName, DeploymentKey, PackageName},
    package::OPackage,
    problem::Violation,
    version::VersionPolicy,
};

pub(crate) use self::bundle::sees;
use self::{
    archive::Archived,
    bundle::Scope,
    decision::{Decision, Principal, Stamp},
    view::{Seen, StoredAt, View},
};
pub use self::{
    bundle::{
        Applied, BundlePush, BundleWritten, ClusterChanges, Document, DocumentSpec, Effects,
        Preview, Site, Touched,
    },
    decision::{Conditions, Outcome, Provenance, Push, Removal, Tags, Verb},
    error::Error,
    package::Dependants,
    rollout::Ask,
};
use crate::{Clock, NewUid};

/// How often a decision is made again because someone else wrote first. Whoever loses takes a turn
/// with those of the same key, so that in one process a second try nearly always lands.
const MAX_CONFLICTS: u32 = 8;

/// Documents that one transaction of a deletion marks, at most: less than a transaction's limit.
const MAX_BATCH: usize = 100;

/// Revisions of a document that are kept, unless something else is said.
pub const DEFAULT_MAX_REVISIONS: usize = 20;

/// Turns for those who lost: keys share one by hash. More than writers at once would be idle.
const N_TURNS: usize = 64;

/// Writes specs. Cheap to clone.
#[derive(Clone)]
pub struct Writes {
    store: SharedStore,
    cache: Arc<Cache>,
    freshness: Freshness,
    now: Clock,
    new_uid: NewUid,
    turns: Arc<[tokio::sync::Mutex<()>]>,
    max_revisions: usize,
    max_txn_ops: usize,
    version_policy: VersionPolicy,
}

/// A write that was accepted, and may have changed nothing.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its key.
    pub key: Key,
    /// What became of it.
    pub outcome: Outcome,
    /// The document's system fields, as stored.
    pub meta: Meta,
    /// The revision of the document's last write: this one, unless nothing changed.
    pub revision: Revision,
    /// The spec as stored: the text of a JSON object.
    pub spec_json: Bytes,
    /// Keys of the other documents that the same transaction wrote.
    pub others: Vec<Key>,
    /// What does not resolve yet, by pointer into the document.
    pub warnings: Vec<Violation>,
}

impl Writes {
    /// Writes to `store`, deciding on `cache`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        cache: Arc<Cache>,
        freshness: Freshness,
        now: Clock,
        new_uid: NewUid,
    ) -> Self {
        let turns = (0..N_TURNS).map(|_| tokio::sync::Mutex::new(())).collect();
        let (max_revisions, max_txn_ops) = (DEFAULT_MAX_REVISIONS, store.max_txn_ops());
        let version_policy = VersionPolicy::default();
        Self {
            store,
            cache,
            freshness,
            now,
            new_uid,
            turns,
            max_revisions,
            max_txn_ops,
            version_policy,
        }
    }

    /// Treats pushes that change what is published under their version by `policy`.
    #[must_use]
    pub fn with_version_policy(self, version_policy: VersionPolicy) -> Self {
        Self { version_policy, ..self }
    }

    /// Archives what is replaced, unless `max_revisions` is 0. How many are kept is up to the
    /// controllers.
    #[must_use]
    pub fn keeping(self, max_revisions: usize) -> Self {
        Self { max_revisions, ..self }
    }

    /// Takes a push of many documents for too much for one transaction where it has more than
    /// `max_txn_ops` writes and checks: less than the store takes, so that a small push goes the way
    /// of a large one. Not below 3.
    #[must_use]
    pub fn in_transactions_of(self, max_txn_ops: usize) -> Self {
        Self { max_txn_ops: max_txn_ops.min(self.max_txn_ops).max(3), ..self }
    }

    /// Creates or replaces a package and the deployments that it declares.
    ///
    /// # Errors
    ///
    /// See [`Error`]; only after [`Error::MaybeDone`] and [`Error::Full`] may something have been written.
    pub async fn put_package(&self, push: &Push<'_, OPackage>) -> Result<Written, Error> {
        let key = Key::Package(push.spec.name.clone());
        // Cycles are looked for in what others depend on.
        let begins_fresh = !push.spec.dependencies.is_empty();
        self.settle(&key, begins_fresh, |view, stamp| package::put(view, push, stamp)).await
    }

    /// Creates or replaces a deployment.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn put_deployment(
        &self,
        push: &Push<'_, OClassDeployment>,
    ) -> Result<Written, Error> {
        let key = Key::Deployment(push.spec.key.clone());
        self.settle(&key, false, |view, stamp| deployment::put(view, push, stamp)).await
    }

    /// Creates or replaces deployments, all of them or none; the answers are in the same order.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`], of the first that was not accepted.
    pub async fn put_deployments(
        &self,
        pushes: &[Push<'_, OClassDeployment>],
    ) -> Result<Vec<Written>, Error> {
        let Some(first) = pushes.first() else { return Ok(Vec::new()) };
        let key = Key::Deployment(first.spec.key.clone());
        let decide = |view: &View<'_>, stamp: &Stamp<'_>| {
            pushes.iter().map(|push| deployment::put(view, push, stamp)).collect()
        };
        self.settle_all(&key, false, decide).await
    }

    /// Asks for the deletion of a package, with `cascade` also of all that depends on it.
    ///
    /// A cascade of more documents than one transaction holds goes in several, the package last:
    /// one that was cut short is finished by asking again.
    ///
    /// # Errors
    ///
    /// [`Error::HasDependants`] without `cascade`; else as [`Writes::put_package`].
    pub async fn delete_package(
        &self,
        name: &PackageName,
        dependants: Dependants,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let key = Key::Package(name.clone());
        let mut others = Vec::new();
        let mut batch = if removal.is_dry_run { usize::MAX } else { MAX_BATCH };
        loop {
            let decide = |view: &View<'_>, stamp: &Stamp<'_>| {
                package::delete(view, name, dependants, batch, removal, stamp)
            };
            match self.remove(&key, true, removal, decide).await {
                Ok(mut written) => {
                    others.append(&mut written.others);
                    if written.outcome != Outcome::Underway {
                        return Ok(Written { others, ..written });
                    }
                }
                // Their sizes are known only when they are encoded.
                Err(Error::TooLarge { .. }) if batch > 1 => batch /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the deletion of a deployment everywhere.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn delete_deployment(
        &self,
        key: &DeploymentKey,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide =
            |view: &View<'_>, stamp: &Stamp<'_>| deployment::delete(view, key, removal, stamp);
        self.remove(&Key::Deployment(key.clone()), false, removal, decide).await
    }

    /// Takes a deployment out of one cluster: the cluster joins `excluded_envs` of its spec.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn exclude_cluster(
        &self,
        key: &DeploymentKey,
        cluster: &ClusterName,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide = |view: &View<'_>, stamp: &Stamp<'_>| {
            deployment::exclude(view, key, cluster, removal, stamp)
        };
        self.remove(&Key::Deployment(key.clone()), false, removal, decide).await
    }

    /// Pauses a deployment, has it go on, or has it start anew.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn ask_deployment(
        &self,
        key: &DeploymentKey,
        ask: Ask,
        request: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide =
            |view: &View<'_>, stamp: &Stamp<'_>| rollout::ask(view, key, ask, request, stamp);
        self.settle(&Key::Deployment(key.clone()), false, decide).await
    }

    /// Removes the registration of a cluster that holds nothing any more.
    ///
    /// # Errors
    ///
    /// [`Error::HasDependants`] while units or records are there; else as [`Writes::put_package`].
    pub async fn delete_cluster(
        &self,
        name: &ClusterName,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide = |view: &View<'_>, _: &Stamp<'_>| cluster::delete(view, name, removal);
        self.remove(&Key::Cluster(name.clone()), true, removal, decide).await
    }

    /// As [`Writes::settle_all`], of one decision.
    async fn settle<'p>(
        &self,
        key: &Key,
        begins_fresh: bool,
        decide: impl Fn(&View<'_>, &Stamp<'_>) -> Result<Decision<'p>, Error>,
    ) -> Result<Written, Error> {
        let decide =
            |view: &View<'_>, stamp: &Stamp<'_>| decide(view, stamp).map(|decision| vec![decision]);
        let written = self.settle_all(key, begins_fresh, decide).await?;
        let written = written.into_iter().next();
        Ok(written.unwrap_or_else(|| unreachable!("one decision has one answer")))
    }

    /// Decides until the decisions hold: they land together, or write nothing on a fresh view.
    /// Those who lose a race for `key` take turns.
    async fn settle_all<'p>(
        &self,
        key: &Key,
        begins_fresh: bool,
        decide: impl Fn(&View<'_>, &Stamp<'_>) -> Result<Vec<Decision<'p>>, Error>,
    ) -> Result<Vec<Written>, Error> {
        if self.cache.position().revision.is_none() {
            return Err(Error::NotReady);
        }
        let mut seen = Seen::default();
        let mut is_fresh = false;
        let mut wants_fresh = begins_fresh;
        let mut turn = None;
        let mut n_conflicts = 0;
        let max_ops = self.store.max_txn_ops();
        loop {
            if wants_fresh && !is_fresh {
                self.freshness.wait().await?;
                seen = Seen::default();
                is_fresh = true;
            }
            let stamp = self.stamp((self.now)());
            let decided = self.decided(&seen, |view| decide(view, &stamp));
            let (decisions, archived, stored_at) = match decided {
                Ok(decided) if decision::may_land(&decided.0, is_fresh) => decided,
                settled if is_fresh => return kept(settled?.0, max_ops),
                Ok(_) | Err(_) => {
                    wants_fresh = true;
                    continue;
                }
            };
            let (mut txn, texts) = transaction(&decisions, max_ops)?;
            let early = archive::join(&mut txn, &archived, self.max_txn_ops)?;
            let (early, txn) = stored_at.of_all(early, txn);
            match self.land(early, txn).await {
                Ok(revision) => return Ok(written(decisions, texts, revision)),
                Err(StoreError::Conflict { keys }) => {
                    metrics::counter!("oprc_pm_write_conflicts_total").increment(1);
                    n_conflicts += 1;
                    if n_conflicts == MAX_CONFLICTS {
                        return Err(Error::Contended { key: key.to_string() });
                    }
                    if turn.is_none() {
                        turn = Some(self.turn(key).lock().await);
                    }
                    seen.read(&*self.store, &keys).await?;
                    is_fresh = false;
                    wants_fresh = begins_fresh;
                    if !seen.undecided.is_empty() {
                        self.until_decided(&seen.undecided, Some(key)).await?;
                        wants_fresh = true;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn stamp(&self, now: Timestamp) -> Stamp<'_> {
        Stamp { now, new_uid: &*self.new_uid, version_policy: self.version_policy }
    }

    /// What `decide` makes of the newest state that is known, what is to be archived for it, and
    /// where what it saw is stored.
    fn decided<'p>(
        &self,
        seen: &Seen,
        decide: impl FnOnce(&View<'_>) -> Result<Vec<Decision<'p>>, Error>,
    ) -> Result<(Vec<Decision<'p>>, Vec<Archived>, StoredAt), Error> {
        let state = self.cache.read();
        let view = View::new(&state, seen, Scope::alone());
        let decisions = decide(&view)?;
        let archived = archive::of(&decisions, &view, self.max_revisions > 0);
        let (stored_at, _) = view::intents(&state, seen, &decisions);
        Ok((decisions, archived, stored_at))
    }

    /// Carries out `txn`, and before it those that are to land first.
    async fn land(&self, early: Vec<Txn>, txn: Txn) -> Result<Revision, StoreError> {
        for txn in early {
            self.txn(txn).await?;
        }
        self.txn(txn).await
    }

    /// Carries out `txn`. What a conflict was about may be shown wrong here.
    async fn txn(&self, txn: Txn) -> Result<Revision, StoreError> {
        self.store.txn(txn).await.inspect_err(|error| {
            if let StoreError::Conflict { keys } = error {
                self.cache.doubt(keys);
            }
        })
    }

    fn turn(&self, key: &Key) -> &tokio::sync::Mutex<()> {
        // Always the same for a key: `DefaultHasher::new` has no random state.
        let mut hasher = DefaultHasher::new();
        key.to_string().hash(&mut hasher);
        let n_turns = u64::try_from(N_TURNS).unwrap_or(1);
        let index = usize::try_from(hasher.finish() % n_turns).unwrap_or_default();
        self.turns.get(index).unwrap_or_else(|| unreachable!("{index} is less than {N_TURNS}"))
    }
}

/// The transaction that carries out `decisions`, and the text of each principal spec.
fn transaction(decisions: &[Decision<'_>], max_ops: usize) -> Result<(Txn, Vec<Bytes>), Error> {
    let mut txn = Txn::default();
    let mut texts = Vec::with_capacity(decisions.len());
    for decision in decisions {
        texts.push(add(&mut txn, decision)?);
    }
    // Several decisions may rest on one package.
    let mut checked = BTreeSet::new();
    txn.checks.retain(|check| checked.insert(check.key.clone()));
    draft::fits(&txn, max_ops)?;
    Ok((txn, texts))
}

/// Adds what carries out `decision`; answers the text of its principal spec.
fn add(txn: &mut Txn, decision: &Decision<'_>) -> Result<Bytes, Error> {
    txn.checks.extend_from_slice(&decision.checks);
    let text = match &decision.principal {
        Principal::Written(draft) => {
            let encoded = draft.encode()?;
            txn.writes.push(draft.write(encoded.value.clone()));
            encoded.spec()
        }
        Principal::Removed(document) => {
            txn.writes.push(draft::removal(&document.key, document.revision));
            document.spec.encode()?
        }
        Principal::Kept(document) => {
            let precondition = Precondition::At(document.revision);
            txn.checks.push(Check { key: document.key.to_string(), precondition });
            document.spec.encode()?
        }
    };
    for draft in &decision.others {
        let encoded = draft.encode()?;
        txn.writes.push(draft.write(encoded.value));
    }
    for (key, revision) in &decision.removals {
        txn.writes.push(draft::removal(key, *revision));
    }
    if let Some(publication) = &decision.publishes {
        txn.writes.push(publication.write()?);
    }
    Ok(text)
}

/// The answers to decisions that landed at `revision`.
fn written(decisions: Vec<Decision<'_>>, texts: Vec<Bytes>, revision: Revision) -> Vec<Written> {
    let answers = decisions.into_iter().zip(texts).map(|(decision, spec_json)| {
        let others = decision.others.into_iter().map(|draft| draft.key).collect();
        let (key, meta, revision) = match decision.principal {
            Principal::Written(draft) => (draft.key, draft.meta, revision),
            Principal::Removed(document) => (document.key, document.meta, revision),
            Principal::Kept(document) => (document.key, document.meta, document.revision),
        };
        let Decision { outcome, warnings, .. } = decision;
        Written { key, outcome, meta, revision, spec_json, others, warnings }
    });
    answers.collect()
}

/// The answers to decisions to leave everything as it is.
fn kept(decisions: Vec<Decision<'_>>, max_ops: usize) -> Result<Vec<Written>, Error> {
    let (_, texts) = transaction(&decisions, max_ops)?;
    Ok(written(decisions, texts, Revision::default()))
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        "oprc_pm_write_conflicts_total",
        "Transactions of the API that failed because someone else wrote first"
    );
    bundle::describe_metrics();
    forced::describe_metrics();
}
