//! Which deployments a change makes worth a look.

use std::collections::{BTreeMap, BTreeSet};

use oprc_controller_runtime::cache::{Changed, State};
use oprc_models::names::{DeploymentKey, PackageName};

/// The deployments to reconcile after `changed`. `awaiting` are those that wait for a cluster;
/// `history_limit` is how many revisions of one are kept.
pub(crate) fn keys(
    changed: &Changed,
    state: &State,
    awaiting: &BTreeSet<DeploymentKey>,
    history_limit: usize,
) -> Vec<DeploymentKey> {
    match changed {
        // Its status too, though it is our own word: one that another hand wrote, or an older
        // snapshot of the store brought back, is put right.
        Changed::Deployment(key, _) | Changed::Unit(_, key) | Changed::DeploymentStatus(key) => {
            vec![key.clone()]
        }
        Changed::Record(_, _, deployments) => deployments.iter().cloned().collect(),
        Changed::Package(name, _) => {
            let of_package = state.deployments_of_package(name).iter();
            of_package.chain(of_dependants(name, state)).cloned().collect()
        }
        // What follows the newest is told of by the package.
        Changed::PackageVersion(name) => {
            let is_pinned = |key: &&DeploymentKey| {
                let entry = state.deployments.get(*key);
                entry.is_some_and(|entry| entry.value.spec.package_version.is_some())
            };
            let pinned = state.deployments_of_package(name).iter().filter(is_pinned);
            pinned.chain(of_dependants(name, state)).cloned().collect()
        }
        Changed::Cluster(name) | Changed::ClusterStatus(name) => {
            state.units_of_cluster(name).union(awaiting).cloned().collect()
        }
        // One too many, or of what is gone.
        Changed::DeploymentRevision(key) => {
            let n_archived = state.deployment_revisions.get(key).map_or(0, BTreeMap::len);
            let limit = if state.deployments.contains_key(key) { history_limit } else { 0 };
            if n_archived > limit { vec![key.clone()] } else { Vec::new() }
        }
        Changed::PackageStatus(_)
        | Changed::PackageRevision(_)
        | Changed::Bundle(_)
        | Changed::Push(_)
        | Changed::RoleBinding(_)
        | Changed::Events(_)
        | Changed::Installation
        | Changed::Relisted
        | Changed::WentBack(..)
        | Changed::Leader(_) => Vec::new(),
    }
}

/// The deployments of packages that need `name`, now or by a published version.
fn of_dependants<'s>(
    name: &PackageName,
    state: &'s State,
) -> impl Iterator<Item = &'s DeploymentKey> {
    let by_versions = state.needed_by_versions(name).map(|(dependant, _)| dependant);
    let dependants = state.dependants_of_package(name).iter().chain(by_versions);
    dependants.flat_map(|name| state.deployments_of_package(name))
}

#[cfg(test)]
mod tests;
