//! Which units of a cluster a change makes worth a look.

use oprc_controller_runtime::cache::Changed;
use oprc_models::names::ClusterName;

use super::agent::Work;

/// The agent to tell of `changed`, and what to look at.
pub(crate) fn work(changed: &Changed) -> Option<(&ClusterName, Work)> {
    match changed {
        Changed::Unit(cluster, deployment) => Some((cluster, Work::Unit(deployment.clone()))),
        // Records and statuses of clusters are the agent's own words: they make no work at the CRM.
        Changed::Package(..)
        | Changed::Deployment(..)
        | Changed::Cluster(_)
        | Changed::Record(..)
        | Changed::PackageStatus(_)
        | Changed::DeploymentStatus(_)
        | Changed::ClusterStatus(_)
        | Changed::PackageRevision(_)
        | Changed::PackageVersion(_)
        | Changed::DeploymentRevision(_)
        | Changed::Bundle(_)
        | Changed::Push(_)
        | Changed::RoleBinding(_)
        | Changed::Events(_)
        | Changed::Installation
        | Changed::Relisted
        | Changed::WentBack(..)
        | Changed::Leader(_) => None,
    }
}

#[cfg(test)]
mod tests;
