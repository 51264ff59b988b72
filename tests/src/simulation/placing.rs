//! Checks where deployments that name no cluster are placed: on the default cluster, while that has
//! been fit for it for a while.

use std::collections::BTreeMap;

use oprc_models::{
    cluster::ClusterStatus,
    deployment::OClassDeployment,
    meta::Stored,
    names::{ClusterName, DeploymentKey},
    unit::{Desired, StoredUnit},
};

use super::world::World;

/// How long the default cluster must have been fit, and the store undisturbed, for every planner to
/// know: longer than any watch lags.
const KNOWN_AFTER: u64 = 120_000;

/// When each cluster's status last became fit for placement.
#[derive(Debug, Default)]
pub(crate) struct Placing(BTreeMap<ClusterName, u64>);

impl Placing {
    /// Notes what the status of `cluster` is at `now`.
    pub(crate) fn note(&mut self, cluster: &ClusterName, status: Option<&ClusterStatus>, now: u64) {
        if status.is_some_and(ClusterStatus::is_placeable) {
            self.0.entry(cluster.clone()).or_insert(now);
        } else {
            self.0.remove(cluster);
        }
    }
}

impl World {
    /// Checks a unit that is new in the store.
    pub(crate) fn check_placed(
        &mut self,
        cluster: &ClusterName,
        deployment: &DeploymentKey,
        unit: &StoredUnit,
    ) {
        let Some(default) = self.default_cluster.clone() else { return };
        if *cluster == default || unit.desired == Desired::Absent || self.is_overwriting {
            return;
        }
        let before = self.now.saturating_sub(KNOWN_AFTER);
        let is_known = self.checker.placing.0.get(&default).is_some_and(|since| *since < before)
            && self.checker.disturbed_at < before
            && !self.checker.is_blind;
        let spec = self.store.mvcc.get(&format!("deployments/{deployment}"));
        let spec: Option<Stored<OClassDeployment>> =
            spec.and_then(|item| serde_json::from_slice(&item.key_value.value).ok());
        let is_free = spec.is_some_and(|Stored { spec, .. }| {
            let is_allowed =
                spec.available_envs.is_empty() || spec.available_envs.contains(&default);
            spec.target_envs.is_empty() && is_allowed && !spec.excluded_envs.contains(&default)
        });
        let units = self.store.mvcc.list("units/", None, 10_000, None);
        let units = units.map(|page| page.items).unwrap_or_default();
        let of = format!("/{deployment}");
        let is_alone = units.iter().filter(|item| item.key.ends_with(&of)).count() == 1;
        if is_known && is_free && is_alone {
            self.violated(format!(
                "{deployment} is placed on {cluster}, and {default} is fit for it"
            ));
        } else if is_free {
            self.strike("placed beside the default cluster");
        }
    }
}
