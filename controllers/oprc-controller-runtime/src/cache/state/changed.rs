//! What the state says of a change: which object, and no data.

use std::collections::BTreeSet;

use oprc_cp_storage::Revision;
use oprc_models::{
    event::About,
    names::{BindingName, BundleName, ClusterName, DeploymentKey, PackageName, PushId, UnitId},
};

#[cfg(doc)]
use super::State;

/// An object that changed: written, removed, become readable or unreadable. It carries no data:
/// look it up in the [`State`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A package's spec; the packages that it depends on or did before.
    Package(PackageName, BTreeSet<PackageName>),
    /// A deployment's spec; the packages that it is or was of.
    Deployment(DeploymentKey, BTreeSet<PackageName>),
    /// A cluster's registration.
    Cluster(ClusterName),
    /// A unit.
    Unit(ClusterName, DeploymentKey),
    /// A record; the deployments that it is or was of.
    Record(ClusterName, UnitId, BTreeSet<DeploymentKey>),
    /// A package's status.
    PackageStatus(PackageName),
    /// A deployment's status.
    DeploymentStatus(DeploymentKey),
    /// A cluster's status.
    ClusterStatus(ClusterName),
    /// What a package was.
    PackageRevision(PackageName),
    /// What a deployment was.
    DeploymentRevision(DeploymentKey),
    /// What is published of a package beside what it is.
    PackageVersion(PackageName),
    /// A bundle.
    Bundle(BundleName),
    /// A push. The documents that it changes are told beside it.
    Push(PushId),
    /// A role binding.
    RoleBinding(BindingName),
    /// The events of an object.
    Events(About),
    /// The installation.
    Installation,
    /// An election.
    Leader(String),
    /// Everything was listed again: changes may have been missed, removals included.
    Relisted,
    /// The store itself: it went back from the first revision to the second, since an older snapshot
    /// of it was restored.
    WentBack(Revision, Revision),
}
