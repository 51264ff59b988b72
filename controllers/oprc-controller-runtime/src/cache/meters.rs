//! What the cache tells the metrics.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use oprc_cp_storage::Revision;

use super::{State, state::StatusCounts};

const OBJECTS: &str = "oprc_pm_cache_objects";
const DEPLOYMENTS: &str = "oprc_pm_deployments";
const REFUSED: &str = "oprc_pm_refused_deployments";
const CLUSTERS: &str = "oprc_pm_clusters";
const UNREADABLE: &str = "oprc_pm_cache_unreadable_objects";
const REVISION: &str = "oprc_pm_cache_revision";
const LIVE: &str = "oprc_pm_cache_live_state";
const RELISTS: &str = "oprc_pm_cache_relists_total";
const WENT_BACK: &str = "oprc_pm_cache_store_went_back_total";
const MISSED: &str = "oprc_pm_cache_missed_changes_total";

/// The families whose objects are counted, in the order of [`counts`].
const FAMILIES: [&str; 7] =
    ["packages", "deployments", "clusters", "units", "records", "pushes", "intents"];

/// The run states of deployments, in the order of [`run_states`].
const RUN_STATES: [&str; 6] = ["PENDING", "DEPLOYING", "RUNNING", "DOWN", "DELETED", "UNKNOWN"];

/// The health of clusters, in the order of [`health`].
const HEALTH: [&str; 4] = ["HEALTHY", "DEGRADED", "UNHEALTHY", "UNKNOWN"];

pub(super) struct Meters {
    deployments: [Gauge; RUN_STATES.len()],
    refused: Gauge,
    clusters: [Gauge; HEALTH.len()],
    objects: [Gauge; FAMILIES.len()],
    unreadable: Gauge,
    revision: Gauge,
    pub(super) live: Gauge,
    pub(super) relists: Counter,
    pub(super) went_back: Counter,
    pub(super) missed: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            objects: FAMILIES.map(|family| gauge!(OBJECTS, "family" => family)),
            deployments: RUN_STATES.map(|state| gauge!(DEPLOYMENTS, "condition" => state)),
            refused: gauge!(REFUSED),
            clusters: HEALTH.map(|health| gauge!(CLUSTERS, "health" => health)),
            unreadable: gauge!(UNREADABLE),
            revision: gauge!(REVISION),
            live: gauge!(LIVE),
            relists: counter!(RELISTS),
            went_back: counter!(WENT_BACK),
            missed: counter!(MISSED),
        }
    }

    /// Shows `state`, which is that of `revision`.
    pub(super) fn show(&self, state: &State, revision: Revision) {
        for (gauge, n_objects) in self.objects.iter().zip(counts(state)) {
            gauge.set(number(n_objects));
        }
        for (gauge, n) in self.deployments.iter().zip(run_states(state)) {
            gauge.set(number(n));
        }
        self.refused.set(number(state.status_counts().refused));
        for (gauge, n) in self.clusters.iter().zip(health(state)) {
            gauge.set(number(n));
        }
        self.unreadable.set(number(state.unreadable.len()));
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and gauges are f64")]
        self.revision.set(revision.0 as f64);
    }
}

/// How many there are of each family; in time proportional to the number of clusters.
fn counts(state: &State) -> [usize; FAMILIES.len()] {
    [
        state.packages.len(),
        state.deployments.len(),
        state.clusters.len(),
        state.n_units(),
        state.records.values().map(std::collections::BTreeMap::len).sum(),
        state.pushes.len(),
        state.n_intents(),
    ]
}

/// Returns how many deployments are in each run state, as their statuses say.
fn run_states(state: &State) -> [usize; RUN_STATES.len()] {
    let StatusCounts { pending, deploying, running, down, deleted, unknown, .. } =
        *state.status_counts();
    [pending, deploying, running, down, deleted, unknown]
}

/// Returns how many registered clusters are in each state of health.
fn health(state: &State) -> [usize; HEALTH.len()] {
    let StatusCounts { healthy_clusters, degraded_clusters, unhealthy_clusters, .. } =
        *state.status_counts();
    let known = healthy_clusters + degraded_clusters + unhealthy_clusters;
    let unknown = state.clusters.len().saturating_sub(known);
    [healthy_clusters, degraded_clusters, unhealthy_clusters, unknown]
}

/// A gauge's value: more than 4 billion of anything are shown as that many.
fn number(n: usize) -> f64 {
    u32::try_from(n).unwrap_or(u32::MAX).into()
}

pub(super) fn describe_metrics() {
    describe_gauge!(OBJECTS, "Objects in the cache, by family");
    describe_gauge!(DEPLOYMENTS, "Deployments by run state, as their statuses say");
    describe_gauge!(REFUSED, "Deployments of any run state with a spec that a cluster refuses");
    describe_gauge!(CLUSTERS, "Registered clusters by health; unknown where they are not heard");
    describe_gauge!(UNREADABLE, "Stored values that cannot be read, and are left alone");
    describe_gauge!(REVISION, "Revision of the store that the cache shows");
    describe_gauge!(LIVE, "1 while the cache follows the store, 0 while it may be behind");
    describe_counter!(RELISTS, "Listings made anew, since the revision to resume at was compacted");
    describe_counter!(MISSED, "Times that the cache was found to have missed a change");
    describe_counter!(WENT_BACK, "Times that the store was found at an older revision");
}
