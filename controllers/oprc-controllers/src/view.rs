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
use oprc_planning::{deployment::Lookup, place::Candidate, resolve::Packages};

/// What the planner may look up, in the cache.
pub(crate) struct View<'a>(pub(crate) &'a State);

impl<'a> Packages<'a> for View<'a> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.0.packages.get(name).map(|entry| &entry.value.spec)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        self.0.versions(name)
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        self.0.version(name, version)
    }
}

impl<'a> Lookup<'a> for View<'a> {
    fn package_generation(&self, name: &PackageName) -> Option<Generation> {
        self.0.packages.get(name).map(|entry| entry.value.meta.generation)
    }

    fn package_correlation(&self, name: &PackageName) -> Option<String> {
        self.0.packages.get(name).and_then(|entry| entry.value.meta.correlation_id.clone())
    }

    fn is_registered(&self, cluster: &ClusterName) -> bool {
        // One that cannot be read is there all the same: nothing moves away from it.
        self.0.clusters.contains_key(cluster)
            || self.0.unreadable.contains_key(&Key::Cluster(cluster.clone()))
    }

    fn cluster_status(&self, cluster: &ClusterName) -> Option<&'a ClusterStatus> {
        self.0.cluster_statuses.get(cluster).map(|entry| &*entry.value)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let statuses = self.0.cluster_statuses.iter();
        statuses
            .filter(|(name, entry)| entry.value.is_placeable() && self.is_registered(name))
            .map(|(name, _)| Candidate {
                cluster: name.clone(),
                n_units: self.0.units_of_cluster(name).len(),
            })
            .collect()
    }
}
