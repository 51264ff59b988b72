//! How many statuses say what: kept up to date with each change, for metrics.

use oprc_models::{
    cluster::{ClusterStatus, HealthStatus},
    condition::{Truth, find},
    names::{ClusterName, DeploymentKey},
    record::RunCondition,
    status::DeploymentStatus,
};

use super::{Changed, Entry, State, stored::set};

/// Numbers of statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Deployments that are PENDING.
    pub pending: usize,
    /// Deployments that are DEPLOYING.
    pub deploying: usize,
    /// Deployments that are RUNNING.
    pub running: usize,
    /// Deployments that are DOWN.
    pub down: usize,
    /// Deployments that are DELETED.
    pub deleted: usize,
    /// Deployments that are UNKNOWN.
    pub unknown: usize,
    /// Deployments of any run state with a generation that a cluster refuses.
    pub refused: usize,
    /// Clusters that are heard from and HEALTHY.
    pub healthy_clusters: usize,
    /// Clusters that are heard from and DEGRADED.
    pub degraded_clusters: usize,
    /// Clusters that are heard from and UNHEALTHY.
    pub unhealthy_clusters: usize,
}

impl StatusCounts {
    fn of_run_state(&mut self, condition: RunCondition) -> &mut usize {
        match condition {
            RunCondition::Pending => &mut self.pending,
            RunCondition::Deploying => &mut self.deploying,
            RunCondition::Running => &mut self.running,
            RunCondition::Down => &mut self.down,
            RunCondition::Deleted => &mut self.deleted,
            RunCondition::Unknown => &mut self.unknown,
        }
    }

    /// Unknown health is not counted: it is also that of clusters without a status.
    fn of_health(&mut self, health: HealthStatus) -> Option<&mut usize> {
        match health {
            HealthStatus::Healthy => Some(&mut self.healthy_clusters),
            HealthStatus::Degraded => Some(&mut self.degraded_clusters),
            HealthStatus::Unhealthy => Some(&mut self.unhealthy_clusters),
            HealthStatus::Unknown => None,
        }
    }
}

fn is_refused(status: &DeploymentStatus) -> bool {
    let progressing = find(&status.conditions, "Progressing");
    progressing.is_some_and(|said| said.status == Truth::False && said.reason == "Refused")
}

impl State {
    /// Returns how many statuses say what.
    #[must_use]
    pub fn status_counts(&self) -> &StatusCounts {
        &self.status_counts
    }

    pub(super) fn set_deployment_status(
        &mut self,
        key: &DeploymentKey,
        new: Option<Entry<DeploymentStatus>>,
    ) -> Changed {
        let run_state = self.run_state(key);
        let counts = &mut self.status_counts;
        if let Some(new) = &new {
            *counts.of_run_state(new.value.condition) += 1;
            counts.refused += usize::from(is_refused(&new.value));
        }
        if let Some(old) = set(&mut self.deployment_statuses, key, new) {
            *counts.of_run_state(old.value.condition) -= 1;
            counts.refused -= usize::from(is_refused(&old.value));
        }
        self.index_run_state(key, run_state);
        Changed::DeploymentStatus(key.clone())
    }

    pub(super) fn set_cluster_status(
        &mut self,
        name: &ClusterName,
        new: Option<Entry<ClusterStatus>>,
    ) -> Changed {
        let counts = &mut self.status_counts;
        if let Some(n) = new.as_ref().and_then(|it| counts.of_health(it.value.current_health())) {
            *n += 1;
        }
        let old = set(&mut self.cluster_statuses, name, new);
        if let Some(n) = old.and_then(|it| counts.of_health(it.value.current_health())) {
            *n -= 1;
        }
        Changed::ClusterStatus(name.clone())
    }
}
