//! What a write decides on: the cache, and over it what was since read from the store.

use std::{collections::BTreeMap, sync::Arc};

use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::{Error, KeyValue, Precondition, Revision, Store, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::{DeploymentKey, PackageName},
    package::OPackage,
};

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
}

impl Seen {
    /// Reads `keys` from the store.
    pub(super) async fn read(&mut self, store: &dyn Store, keys: &[String]) -> Result<(), Error> {
        let parsed = keys.iter().filter_map(|key| key.parse::<Key>().ok());
        let reads = parsed.map(|key| async move {
            let stored = store.get(&key.to_string()).await?;
            Ok::<_, Error>((key, stored))
        });
        for (key, stored) in futures::future::try_join_all(reads).await? {
            match key {
                Key::Package(name) => drop(self.packages.insert(name, decode(stored))),
                Key::Deployment(key) => drop(self.deployments.insert(key, decode(stored))),
                Key::PackageRevision(..) | Key::DeploymentRevision(..) => {
                    self.revisions.insert(key, stored.map(|stored| stored.mod_revision));
                }
                // No decision that can conflict on these looks at more than their revision, and it
                // begins with a fresh cache.
                Key::Cluster(_)
                | Key::Unit(..)
                | Key::Record(..)
                | Key::PackageStatus(_)
                | Key::DeploymentStatus(_)
                | Key::ClusterStatus(_)
                | Key::Leader(_) => {}
            }
        }
        Ok(())
    }
}

fn decode<T: serde::de::DeserializeOwned>(stored: Option<KeyValue>) -> Found<T> {
    let Some(stored) = stored else { return Found::Absent };
    match serde_json::from_slice(&stored.value) {
        Ok(value) => {
            Found::Present(Entry { value: Arc::new(value), revision: stored.mod_revision })
        }
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

/// What a write decides on.
pub(super) struct View<'a> {
    /// The cache.
    pub(super) state: &'a State,
    seen: &'a Seen,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State, seen: &'a Seen) -> Self {
        Self { state, seen }
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
