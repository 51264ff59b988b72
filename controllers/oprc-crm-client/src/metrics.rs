//! What the calls of CRMs and their breakers show of themselves.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use oprc_models::{cluster::BreakerState, names::ClusterName};
use tokio::time::Instant;

use crate::CallError;

const CALLS: &str = "oprc_pm_crm_calls_total";
const DURATION: &str = "oprc_pm_crm_call_duration_seconds";
const IN_FLIGHT: &str = "oprc_pm_crm_in_flight_calls";
const SKIPPED: &str = "oprc_pm_crm_records_skipped_total";
const BREAKER_OPEN: &str = "oprc_pm_crm_breaker_open_ratio";
const BREAKER_TRANSITIONS: &str = "oprc_pm_crm_breaker_transitions_total";

/// Describes the metrics of this crate. Once, at start-up.
pub fn describe_metrics() {
    describe_counter!(CALLS, "Calls of CRMs that ended, by cluster, call and outcome.");
    describe_histogram!(
        DURATION,
        metrics::Unit::Seconds,
        "Time from the beginning of a call of a CRM, its wait for room included, to its end."
    );
    describe_gauge!(IN_FLIGHT, "Calls of CRMs under way or waiting for room.");
    describe_counter!(SKIPPED, "Records left out because they are strangers' and unreadable.");
    describe_gauge!(BREAKER_OPEN, "1 while the cluster's breaker is open, 0 otherwise.");
    describe_counter!(BREAKER_TRANSITIONS, "Changes of a cluster's breaker, by the state entered.");
}

/// Records that the breaker of `cluster` is now `state`. Call it with each change that the breaker
/// returns.
pub fn record_breaker(cluster: &ClusterName, state: BreakerState) {
    let to = state.as_str();
    let cluster = cluster.as_str();
    let is_open = f64::from(u8::from(state == BreakerState::Open));
    gauge!(BREAKER_OPEN, "cluster" => cluster.to_owned()).set(is_open);
    counter!(BREAKER_TRANSITIONS, "cluster" => cluster.to_owned(), "to" => to).increment(1);
}

/// Counts `n` records left out.
pub(crate) fn record_skipped(cluster: &ClusterName, n: u64) {
    counter!(SKIPPED, "cluster" => cluster.as_str().to_owned()).increment(n);
}

/// A call under way. One that is dropped before its end counts as `cancelled`.
pub(crate) struct Measured<'a> {
    cluster: &'a ClusterName,
    call: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl<'a> Measured<'a> {
    pub(crate) fn begin(cluster: &'a ClusterName, call: &'static str) -> Self {
        gauge!(IN_FLIGHT, "cluster" => cluster.as_str().to_owned()).increment(1.0);
        Self { cluster, call, began: Instant::now(), outcome: "cancelled" }
    }

    pub(crate) fn end<T>(mut self, result: &Result<T, CallError>) {
        self.outcome = match result {
            Ok(_) => "ok",
            Err(err) => err.outcome(),
        };
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let (cluster, call) = (self.cluster.as_str().to_owned(), self.call);
        let took = self.began.elapsed().as_secs_f64();
        gauge!(IN_FLIGHT, "cluster" => cluster.clone()).decrement(1.0);
        histogram!(DURATION, "cluster" => cluster.clone(), "call" => call).record(took);
        counter!(CALLS, "cluster" => cluster, "call" => call, "outcome" => self.outcome)
            .increment(1);
    }
}

#[cfg(test)]
mod tests;
