//! What a queue tells the metrics, under names close to client-go's.

use metrics::{
    Counter, Gauge, Histogram, Label, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use super::Name;

pub(super) struct Meters {
    pub(super) due: Gauge,
    pub(super) waiting: Gauge,
    pub(super) adds: Counter,
    pub(super) retries: Counter,
    pub(super) latency: Histogram,
    pub(super) work: Histogram,
    pub(super) unfinished: Gauge,
    pub(super) longest: Gauge,
    pub(super) idle: Gauge,
    pub(super) stalled: Gauge,
}

const DUE: &str = "oprc_pm_queue_due_keys";
const WAITING: &str = "oprc_pm_queue_waiting_keys";
const ADDS: &str = "oprc_pm_queue_adds_total";
const RETRIES: &str = "oprc_pm_queue_retries_total";
const LATENCY: &str = "oprc_pm_queue_latency_seconds";
const WORK: &str = "oprc_pm_queue_work_duration_seconds";
const UNFINISHED: &str = "oprc_pm_queue_unfinished_work_seconds";
const LONGEST: &str = "oprc_pm_queue_longest_running_seconds";
const IDLE: &str = "oprc_pm_queue_since_last_finished_seconds";
const STALLED: &str = "oprc_pm_queue_stalled_state";

impl Meters {
    pub(super) fn new(name: &Name) -> Self {
        let labels = labels(name);
        Self {
            due: gauge!(DUE, labels.clone()),
            waiting: gauge!(WAITING, labels.clone()),
            adds: counter!(ADDS, labels.clone()),
            retries: counter!(RETRIES, labels.clone()),
            latency: histogram!(LATENCY, labels.clone()),
            work: histogram!(WORK, labels.clone()),
            unfinished: gauge!(UNFINISHED, labels.clone()),
            longest: gauge!(LONGEST, labels.clone()),
            idle: gauge!(IDLE, labels.clone()),
            stalled: gauge!(STALLED, labels),
        }
    }
}

/// A queue's labels.
pub(crate) fn labels(name: &Name) -> Vec<Label> {
    let mut labels = vec![Label::from_static_parts("controller", name.controller)];
    if !name.cluster.is_empty() {
        labels.push(Label::new("cluster", name.cluster.clone()));
    }
    labels
}

/// Describes the metrics of queues.
pub(crate) fn describe_metrics() {
    describe_gauge!(DUE, "Keys that are due and wait for a worker");
    describe_gauge!(WAITING, "Keys that wait, due or put off");
    describe_counter!(ADDS, "Times that a key was asked to be worked on");
    describe_counter!(RETRIES, "Times that a key failed and was put off");
    describe_histogram!(LATENCY, "How long a key was due before it was worked on");
    describe_histogram!(WORK, "How long a key was worked on");
    describe_gauge!(UNFINISHED, "How long all keys being worked on have been so, together");
    describe_gauge!(LONGEST, "How long the oldest work has been going on");
    describe_gauge!(IDLE, "How long ago work was last finished");
    describe_gauge!(STALLED, "1 when work is due and nothing was finished for a minute, else 0");
}
