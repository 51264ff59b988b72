//! What the CRM counts. Label values come from closed sets.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use oprc_models::record::RunCondition;

use crate::feed::Feed;

const REQUESTS: &str = "oprc_crm_requests_total";
const REQUEST_SECONDS: &str = "oprc_crm_request_duration_seconds";
const PROBLEMS: &str = "oprc_crm_problems_total";
const TRANSITIONS: &str = "oprc_crm_transitions_total";
const UNITS: &str = "oprc_crm_units";
const WATCHES: &str = "oprc_crm_watches";
const WATCHES_CUT: &str = "oprc_crm_watches_cut_total";
const FOLLOW_FAILURES: &str = "oprc_crm_follow_failures_total";

/// Describes every metric to the recorder in place.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
    describe_histogram!(REQUEST_SECONDS, "Time to answer a request, by route.");
    describe_counter!(PROBLEMS, "Requests refused or failed, by code.");
    describe_counter!(TRANSITIONS, "Steps of units stored, by the condition reached.");
    describe_gauge!(UNITS, "Units held, by condition.");
    describe_gauge!(WATCHES, "Watches of the records open now.");
    describe_counter!(WATCHES_CUT, "Watches ended because the client fell behind.");
    describe_counter!(FOLLOW_FAILURES, "Times that the store's own watch broke.");
    oprc_http::describe_metrics();
}

/// The conditions of units, each with its label.
const CONDITIONS: [(RunCondition, &str); 6] = [
    (RunCondition::Pending, "PENDING"),
    (RunCondition::Deploying, "DEPLOYING"),
    (RunCondition::Running, "RUNNING"),
    (RunCondition::Down, "DOWN"),
    (RunCondition::Deleted, "DELETED"),
    (RunCondition::Unknown, "UNKNOWN"),
];

pub(crate) fn label(condition: RunCondition) -> &'static str {
    CONDITIONS.iter().find(|(of, _)| *of == condition).map_or("UNKNOWN", |(_, label)| label)
}

pub(crate) fn answered(route: String, method: &'static str, status: u16, took: Duration) {
    histogram!(REQUEST_SECONDS, "route" => route.clone()).record(took.as_secs_f64());
    counter!(REQUESTS, "route" => route, "method" => method, "status" => status.to_string())
        .increment(1);
}

pub(crate) fn problem(code: &'static str) {
    counter!(PROBLEMS, "code" => code).increment(1);
}

pub(crate) fn transitioned(condition: RunCondition) {
    counter!(TRANSITIONS, "condition" => label(condition)).increment(1);
}

/// Sets the gauges that are counted elsewhere, before they are shown.
#[expect(clippy::cast_precision_loss, reason = "a gauge is an f64, and there are fewer units")]
pub(crate) fn count_units(feed: &Feed) {
    let counts = feed.counts();
    for (condition, label) in CONDITIONS {
        let n_units = counts.get(&condition).copied().unwrap_or_default();
        gauge!(UNITS, "condition" => label).set(n_units as f64);
    }
}

/// Counts a watch for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenWatch(());

impl OpenWatch {
    pub(crate) fn new() -> Self {
        gauge!(WATCHES).increment(1.0);
        Self(())
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        gauge!(WATCHES).decrement(1.0);
    }
}

pub(crate) fn watch_cut() {
    counter!(WATCHES_CUT).increment(1);
}

pub(crate) fn follow_failed() {
    counter!(FOLLOW_FAILURES).increment(1);
}
