//! Placement: which clusters a deployment runs on.
//!
//! Never moves a unit because of a cluster's health: placement is sticky, and what a cluster that
//! is out of reach holds is unknown.

use std::collections::{BTreeMap, BTreeSet};

use oprc_models::{deployment::OClassDeployment, names::ClusterName};

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
    /// Clusters that were asked for, or hold it and have no successor, and cannot be used; and why.
    pub rejected: BTreeMap<ClusterName, &'static str>,
    /// Whether a cluster was looked for and none was found.
    pub is_unplaceable: bool,
}

/// Where `spec` is to run.
///
/// - With `target_envs`: exactly there, `excluded_envs` aside.
/// - Otherwise on one cluster that `available_envs` allows (all, where it is empty): the one that
///   holds it already (`current`), else the candidate with the fewest units, then the first name.
///
/// `is_registered` says whether a cluster is known. `candidates` yields the clusters that are fit
/// for a new unit; it is asked only when one has to be chosen, since that takes a look at all.
pub fn place<I: IntoIterator<Item = Candidate>>(
    spec: &OClassDeployment,
    current: &BTreeSet<ClusterName>,
    is_registered: impl Fn(&ClusterName) -> bool,
    candidates: impl FnOnce() -> I,
) -> Placement {
    if !spec.target_envs.is_empty() {
        return place_on_targets(spec, is_registered);
    }
    let is_allowed = |cluster: &ClusterName| {
        !spec.excluded_envs.contains(cluster)
            && (spec.available_envs.is_empty() || spec.available_envs.contains(cluster))
    };
    let kept = current.iter().find(|cluster| is_allowed(cluster) && is_registered(cluster));
    let chosen = kept.cloned().or_else(|| {
        let allowed = candidates().into_iter().filter(|candidate| is_allowed(&candidate.cluster));
        let best = allowed.min_by(|a, b| (a.n_units, &a.cluster).cmp(&(b.n_units, &b.cluster)));
        best.map(|candidate| candidate.cluster)
    });
    let is_unplaceable = chosen.is_none();
    // Where it could be, were it registered: what is there stays for as long as nothing is better.
    let stranded = current.iter().filter(|cluster| is_unplaceable && is_allowed(cluster));
    Placement {
        is_unplaceable,
        clusters: chosen.into_iter().collect(),
        rejected: stranded.map(|cluster| (cluster.clone(), "is not registered")).collect(),
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
    is_registered: impl Fn(&ClusterName) -> bool,
) -> Placement {
    let mut placement = Placement::default();
    for cluster in &spec.target_envs {
        if spec.excluded_envs.contains(cluster) {
            continue;
        }
        if is_registered(cluster) {
            placement.clusters.insert(cluster.clone());
        } else {
            placement.rejected.insert(cluster.clone(), "is not registered");
        }
    }
    placement
}

#[cfg(test)]
mod tests;
