//! The cache, as planning looks things up in it.

use std::borrow::Cow;

use oprc_controller_runtime::cache::State;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    cluster::ClusterStatus,
    meta::Generation,
    names::{ClusterName, PackageName},
    package::OPackage,
    version::PackageVersion,
};
use oprc_planning::{
    deployment::Lookup,
    place::{Candidate, Clusters},
    resolve::Packages,
};

/// What the planner may look up, in the cache.
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    /// The cluster that automatic placement prefers.
    pub(crate) default_cluster: Option<&'a ClusterName>,
}

impl<'a> Packages<'a> for View<'a> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.state.packages.get(name).map(|entry| &entry.value.spec)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        self.state.versions(name)
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        self.state.version(name, version)
    }
}

impl<'a> Lookup<'a> for View<'a> {
    fn package_generation(&self, name: &PackageName) -> Option<Generation> {
        self.state.packages.get(name).map(|entry| entry.value.meta.generation)
    }

    fn package_correlation(&self, name: &PackageName) -> Option<String> {
        let package = self.state.packages.get(name);
        package.and_then(|entry| entry.value.meta.correlation_id.clone())
    }

    fn cluster_status(&self, cluster: &ClusterName) -> Option<&'a ClusterStatus> {
        self.state.cluster_statuses.get(cluster).map(|entry| &*entry.value)
    }
}

impl Clusters for View<'_> {
    fn is_registered(&self, cluster: &ClusterName) -> bool {
        // One that cannot be read is there all the same: nothing moves away from it.
        self.state.clusters.contains_key(cluster)
            || self.state.unreadable.contains_key(&Key::Cluster(cluster.clone()))
    }

    fn is_configured(&self, cluster: &ClusterName) -> bool {
        self.cluster_status(cluster).is_none_or(ClusterStatus::is_configured)
    }

    fn default_cluster(&self) -> Option<&ClusterName> {
        self.default_cluster
    }

    fn candidates(&self) -> Vec<Candidate> {
        let statuses = self.state.cluster_statuses.iter();
        statuses
            .filter(|(name, entry)| entry.value.is_placeable() && self.is_registered(name))
            .map(|(name, _)| Candidate {
                cluster: name.clone(),
                n_units: self.state.units_of_cluster(name).len(),
            })
            .collect()
    }
}
