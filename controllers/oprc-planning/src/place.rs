//! Placement: which clusters a deployment runs on.
//!
//! Never moves a unit because of a cluster's health: placement is sticky, and what a cluster that
//! is out of reach holds is unknown.

use std::collections::{BTreeMap, BTreeSet};

use oprc_models::{deployment::OClassDeployment, names::ClusterName};

/// Reason of a rejected cluster that has no registration.
pub(crate) const NOT_REGISTERED: &str = "is not registered";
/// Reason of a rejected cluster that the configuration does not name.
pub(crate) const NOT_CONFIGURED: &str = "is not configured";

/// A cluster that automatic placement may consider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The cluster.
    pub cluster: ClusterName,
    /// How many units it is to hold already.
    pub n_units: usize,
}

/// Where a deployment is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The clusters, all of them registered.
    pub clusters: BTreeSet<ClusterName>,
    /// Clusters that the deployment asks for, or that hold it and have no successor, and that cannot
    /// be used; with the reason.
    pub rejected: BTreeMap<ClusterName, &'static str>,
    /// `true` if a cluster was looked for and none was found.
    pub is_unplaceable: bool,
}

/// The clusters, as placement looks them up.
pub trait Clusters {
    /// Returns `true` if `cluster` is registered.
    fn is_registered(&self, cluster: &ClusterName) -> bool;
    /// Returns `false` if the leader's configuration no longer names `cluster`, so that its CRM is
    /// not called.
    fn is_configured(&self, cluster: &ClusterName) -> bool;
    /// Returns the cluster that automatic placement prefers.
    fn default_cluster(&self) -> Option<&ClusterName>;
    /// Returns the clusters that are fit for a new unit. Scans all clusters.
    fn candidates(&self) -> Vec<Candidate>;
}

/// Places `spec`.
///
/// - With `target_envs`: exactly there, `excluded_envs` aside. A target that is not configured takes
///   nothing new and keeps what it holds.
/// - Otherwise on one cluster that `available_envs` allows (all, where it is empty): the one that
///   holds it already (`current`), else the default cluster if it is a candidate, else the candidate
///   with the fewest units, then the first name.
pub fn place(
    spec: &OClassDeployment,
    current: &BTreeSet<ClusterName>,
    clusters: &impl Clusters,
) -> Placement {
    if !spec.target_envs.is_empty() {
        return place_on_targets(spec, current, clusters);
    }
    let is_allowed = |cluster: &ClusterName| {
        !spec.excluded_envs.contains(cluster)
            && (spec.available_envs.is_empty() || spec.available_envs.contains(cluster))
    };
    let kept =
        current.iter().find(|cluster| is_allowed(cluster) && clusters.is_registered(cluster));
    let chosen = kept.cloned().or_else(|| {
        let candidates = clusters.candidates().into_iter();
        let allowed = candidates.filter(|candidate| is_allowed(&candidate.cluster));
        let preference = |candidate: &Candidate| {
            let is_default = clusters.default_cluster() == Some(&candidate.cluster);
            (!is_default, candidate.n_units, candidate.cluster.clone())
        };
        allowed.min_by_key(preference).map(|candidate| candidate.cluster)
    });
    let is_unplaceable = chosen.is_none();
    // Where it could be, were it registered: what is there stays for as long as nothing is better.
    let stranded = current.iter().filter(|cluster| is_unplaceable && is_allowed(cluster));
    Placement {
        is_unplaceable,
        clusters: chosen.into_iter().collect(),
        rejected: stranded.map(|cluster| (cluster.clone(), NOT_REGISTERED)).collect(),
    }
}

/// Why `spec` is not to run on `cluster`, for people; none: nothing of it is against that.
pub fn against(
    spec: &OClassDeployment,
    cluster: &ClusterName,
    is_registered: impl Fn(&ClusterName) -> bool,
) -> Option<&'static str> {
    let OClassDeployment { target_envs, available_envs, excluded_envs, .. } = spec;
    if excluded_envs.contains(cluster) {
        Some("it is among excluded_envs")
    } else if !target_envs.is_empty() && !target_envs.contains(cluster) {
        Some("it is not among target_envs")
    } else if target_envs.is_empty()
        && !available_envs.is_empty()
        && !available_envs.contains(cluster)
    {
        Some("it is not among available_envs")
    } else if !is_registered(cluster) {
        Some("it is not registered")
    } else {
        None
    }
}

fn place_on_targets(
    spec: &OClassDeployment,
    current: &BTreeSet<ClusterName>,
    clusters: &impl Clusters,
) -> Placement {
    let mut placement = Placement::default();
    for cluster in spec.target_envs.iter().filter(|it| !spec.excluded_envs.contains(it)) {
        if !clusters.is_registered(cluster) {
            placement.rejected.insert(cluster.clone(), NOT_REGISTERED);
        } else if !clusters.is_configured(cluster) && !current.contains(cluster) {
            placement.rejected.insert(cluster.clone(), NOT_CONFIGURED);
        } else {
            placement.clusters.insert(cluster.clone());
        }
    }
    placement
}

#[cfg(test)]
mod tests;
