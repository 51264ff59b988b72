//! What a pause means: nothing is sent of a unit that is marked, until it is marked no more. And
//! what events may cost.

use std::collections::BTreeMap;

use oprc_models::{
    deployment::OClassDeployment,
    event::{MAX_REASONS, StoredEvents},
    meta::Stored,
    names::{ClusterName, DeploymentKey, UnitId},
    unit::StoredUnit,
};

use super::world::World;

/// How long after a unit was marked something may still be sent for it, while the store is as usual:
/// what was decided before may wait for its turn behind calls that hang.
const HELD_AFTER: u64 = 60_000;

/// Since when units are marked as paused.
pub(crate) type Paused = BTreeMap<(ClusterName, UnitId), u64>;

impl World {
    /// A unit has changed in the store.
    pub(crate) fn note_pause(
        &mut self,
        cluster: &ClusterName,
        before: Option<&StoredUnit>,
        after: Option<&StoredUnit>,
    ) {
        let now = self.now;
        let paused = &mut self.checker.paused;
        let place = |unit: &StoredUnit| (cluster.clone(), unit.unit.id.clone());
        if let Some(before) = before
            && after.is_none_or(|after| after.unit.id != before.unit.id)
        {
            paused.remove(&place(before));
        }
        let Some(after) = after else { return };
        if !after.paused {
            paused.remove(&place(after));
        } else if paused.insert(place(after), now).is_none() {
            self.strike("unit paused");
        }
    }

    /// The store is another: what is paused is what it says is.
    pub(crate) fn note_pauses_again(&mut self) {
        let units: BTreeMap<String, StoredUnit> = self.stored("units/");
        let marked = units.values().filter(|unit| unit.paused);
        let places = marked.map(|it| (it.unit.target_env.clone(), it.unit.id.clone()));
        let now = self.now;
        self.checker.paused = places.map(|place| (place, now)).collect();
    }

    /// A replica sends a call that changes a unit, at `now` by its own clock.
    pub(crate) fn check_sent(&mut self, cluster: &ClusterName, id: &UnitId, now: u64) {
        let Some(since) = self.checker.paused.get(&(cluster.clone(), id.clone())) else { return };
        let calm_since = self.checker.disturbed_at.max(*since);
        if !self.checker.is_blind && now.saturating_sub(calm_since) > HELD_AFTER {
            let since = *since;
            self.violated(format!(
                "nothing is sent of what is paused: {id} on {cluster}, since {since}"
            ));
        }
    }

    /// The deployments that are paused, and are to stay.
    pub(crate) fn paused_deployments(&self) -> Vec<DeploymentKey> {
        let stored: BTreeMap<String, Stored<OClassDeployment>> = self.stored("deployments/");
        let paused =
            stored.values().filter(|it| it.meta.paused_at.is_some() && !it.meta.is_deleting());
        paused.map(|it| it.spec.key.clone()).collect()
    }

    /// However much happens to an object, there is one small key of its events.
    pub(crate) fn check_events(&mut self, key: &str, events: Option<StoredEvents>) {
        self.strike("events written");
        match events {
            Some(events) if events.events.len() <= MAX_REASONS => (),
            other => self.violated(format!("events are bounded: {key} holds {other:?}")),
        }
    }
}
