//! Which deployments a change makes worth a look.

use std::collections::BTreeSet;

use oprc_controller_runtime::cache::{Changed, State};
use oprc_models::names::DeploymentKey;

/// The deployments to reconcile after `changed`. `awaiting` are those that wait for a cluster.
pub(crate) fn keys(
    changed: &Changed,
    state: &State,
    awaiting: &BTreeSet<DeploymentKey>,
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
            let dependants = state.dependants_of_package(name).iter();
            let of_dependants = dependants.flat_map(|name| state.deployments_of_package(name));
            of_package.chain(of_dependants).cloned().collect()
        }
        Changed::Cluster(name) | Changed::ClusterStatus(name) => {
            state.units_of_cluster(name).union(awaiting).cloned().collect()
        }
        Changed::PackageStatus(_) | Changed::Leader(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
