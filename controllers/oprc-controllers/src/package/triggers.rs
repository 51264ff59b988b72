//! Which packages a change makes worth a look.

use std::collections::{BTreeMap, BTreeSet};

use oprc_controller_runtime::cache::{Changed, State};
use oprc_models::names::PackageName;

/// The packages to reconcile after `changed`. `history_limit` is how many revisions of one are kept.
pub(crate) fn keys(changed: &Changed, state: &State, history_limit: usize) -> Vec<PackageName> {
    let is_deleting = |name: &&PackageName| {
        state.packages.get(*name).is_some_and(|entry| entry.value.meta.is_deleting())
    };
    match changed {
        // A package on its way out waits for the last that depends on it.
        Changed::Package(name, neighbours) => {
            let waiting = neighbours.iter().filter(is_deleting).cloned();
            with_dependants(name, state).into_iter().chain(waiting).collect()
        }
        // And for the last deployment of its classes.
        Changed::Deployment(_, packages) => packages.iter().filter(is_deleting).cloned().collect(),
        // Our own word, unless another hand wrote it or an older snapshot brought it back.
        Changed::PackageStatus(name) => vec![name.clone()],
        // One too many, or of what is gone.
        Changed::PackageRevision(name) => {
            let n_archived = state.package_revisions.get(name).map_or(0, BTreeMap::len);
            let limit = if state.packages.contains_key(name) { history_limit } else { 0 };
            if n_archived > limit { vec![name.clone()] } else { Vec::new() }
        }
        // Its dependants may resolve to another; and it may be of what is gone.
        Changed::PackageVersion(name) => with_dependants(name, state).into_iter().collect(),
        Changed::Cluster(_)
        | Changed::Unit(..)
        | Changed::Record(..)
        | Changed::DeploymentStatus(_)
        | Changed::ClusterStatus(_)
        | Changed::DeploymentRevision(_)
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

/// The package, and all that depend on it however far away: a cycle shows in each of its members.
fn with_dependants(name: &PackageName, state: &State) -> BTreeSet<PackageName> {
    let mut found = BTreeSet::from([name.clone()]);
    let mut next = vec![name.clone()];
    while let Some(name) = next.pop() {
        let by_versions = state.needed_by_versions(&name).map(|(dependant, _)| dependant);
        for dependant in state.dependants_of_package(&name).iter().chain(by_versions) {
            if found.insert(dependant.clone()) {
                next.push(dependant.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
