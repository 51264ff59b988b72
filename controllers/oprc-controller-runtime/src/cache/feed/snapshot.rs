//! What is watched: objects as users know them, each a spec and its status.

use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{
    cluster::{ClusterSpec, ClusterStatus},
    deployment::OClassDeployment,
    meta::Stored,
    names::{ClusterName, DeploymentKey, PackageName, UnitId},
    package::OPackage,
    record::StoredRecord,
    status::{DeploymentStatus, PackageStatus},
};

use super::super::{Entry, State};

/// An object that is watched. A status is a part of what it is the status of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A package.
    Package(PackageName),
    /// A deployment.
    Deployment(DeploymentKey),
    /// A cluster.
    Cluster(ClusterName),
    /// A record.
    Record(ClusterName, UnitId),
}

impl Object {
    /// The object that `key` holds a part of, if it is watched.
    pub(super) fn of(key: &Key) -> Option<Self> {
        match key {
            Key::Package(name) | Key::PackageStatus(name) => Some(Self::Package(name.clone())),
            Key::Deployment(key) | Key::DeploymentStatus(key) => {
                Some(Self::Deployment(key.clone()))
            }
            Key::Cluster(name) | Key::ClusterStatus(name) => Some(Self::Cluster(name.clone())),
            Key::Record(cluster, id) => Some(Self::Record(cluster.clone(), id.clone())),
            Key::Unit(..)
            | Key::PackageRevision(..)
            | Key::PackageVersion(..)
            | Key::DeploymentRevision(..)
            | Key::Bundle(_)
            | Key::Push(_)
            | Key::RoleBinding(_)
            | Key::Events(_)
            | Key::Installation
            | Key::Leader(_) => None,
        }
    }

    /// The key of its spec.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Package(name) => Key::Package(name.clone()),
            Self::Deployment(key) => Key::Deployment(key.clone()),
            Self::Cluster(name) => Key::Cluster(name.clone()),
            Self::Record(cluster, id) => Key::Record(cluster.clone(), id.clone()),
        }
    }
}

/// A spec with its status.
#[derive(Debug)]
pub struct Documented<S, T> {
    /// The spec.
    pub entry: Entry<Stored<S>>,
    /// What is stored as its status; perhaps of an object of the same name that was there before.
    pub status: Option<Entry<T>>,
}

/// An object as it was at some revision, shared with the state and with other events.
#[derive(Debug)]
pub enum Contents {
    /// A package.
    Package(Documented<OPackage, PackageStatus>),
    /// A deployment.
    Deployment(Documented<OClassDeployment, DeploymentStatus>),
    /// A cluster.
    Cluster(Documented<ClusterSpec, ClusterStatus>),
    /// A record.
    Record {
        /// The record.
        entry: Entry<StoredRecord>,
        /// Package of the deployment at that revision; `None` if the deployment was gone.
        package: Option<PackageName>,
    },
}

/// An object as it was at some revision, and whether that may have been out of date.
#[derive(Debug)]
pub struct Snapshot {
    /// The object.
    pub contents: Contents,
    /// `true` if statuses were stale, see [`State::are_statuses_stale`]; of a record, also if its
    /// cluster was not connected.
    pub is_stale: bool,
}

impl<S, T> Documented<S, T> {
    fn revisions(&self) -> (Revision, Option<Revision>) {
        (self.entry.revision, self.status.as_ref().map(|status| status.revision))
    }
}

impl Snapshot {
    /// Whether `other` is the same object, unchanged.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let are_same = match (&self.contents, &other.contents) {
            (Contents::Package(one), Contents::Package(other)) => {
                one.revisions() == other.revisions()
            }
            (Contents::Deployment(one), Contents::Deployment(other)) => {
                one.revisions() == other.revisions()
            }
            // A record also changes hands when its deployment moves to another package.
            (
                Contents::Record { entry: one, package: of_one },
                Contents::Record { entry: other, package: of_other },
            ) => one.revision == other.revision && of_one == of_other,
            // They have no intents.
            _ => false,
        };
        are_same && self.is_stale == other.is_stale
    }
}

impl State {
    /// The object as it is; `None` where there is none, or none that can be read.
    #[must_use]
    pub fn snapshot(&self, object: &Object) -> Option<Snapshot> {
        let contents = match object {
            Object::Package(name) => Contents::Package(Documented {
                entry: self.packages.get(name)?.clone(),
                status: self.package_statuses.get(name).cloned(),
            }),
            Object::Deployment(key) => Contents::Deployment(Documented {
                entry: self.deployments.get(key)?.clone(),
                status: self.deployment_statuses.get(key).cloned(),
            }),
            Object::Cluster(name) => Contents::Cluster(Documented {
                entry: self.clusters.get(name)?.clone(),
                status: self.cluster_statuses.get(name).cloned(),
            }),
            Object::Record(cluster, id) => {
                let entry = self.record(cluster, id)?.clone();
                let deployment = self.deployments.get(&entry.value.deployment_key);
                let package = deployment.map(|it| it.value.spec.package_name.clone());
                Contents::Record { entry, package }
            }
        };
        let is_silent = |cluster: &ClusterName| {
            let status = self.cluster_statuses.get(cluster);
            !status.is_some_and(|status| status.value.is_connected())
        };
        let is_stale = self.are_statuses_stale()
            || matches!(object, Object::Record(cluster, _) if is_silent(cluster));
        Some(Snapshot { contents, is_stale })
    }
}
