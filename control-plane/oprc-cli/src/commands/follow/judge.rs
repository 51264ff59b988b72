//! What a deployment's status means for somebody who waits. Pure.

use std::collections::BTreeMap;

use oprc_models::{
    condition::{self, Condition, Truth},
    record::RunCondition,
    status::ClusterPart,
    unit::Desired,
};
use serde::Deserialize;

/// The part of the status document that counts here. What an answer leaves out is as if nothing
/// had begun.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    /// The spec's.
    pub(super) generation: u64,
    pub(super) observed_generation: u64,
    /// The package's.
    pub(super) package_generation: Option<u64>,
    pub(super) observed_package_generation: Option<u64>,
    pub(super) condition: RunCondition,
    pub(super) conditions: Vec<Condition>,
    pub(super) clusters: Vec<ClusterPart>,
}

/// What is shown, and what is missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// How it is, by what it is about: the deployment, or it on one cluster.
    pub(super) lines: BTreeMap<String, String>,
    /// What is not as wanted, and why. Empty: it has converged.
    pub(super) pending: Vec<String>,
    /// Why what is pending stays so, if it does.
    pub(super) stuck: Option<String>,
}

/// Judges the deployment `key`, of which at least `generation` is wanted.
pub(super) fn judge(key: &str, generation: u64, status: Option<&Status>) -> Judgement {
    let mut judgement = Judgement::default();
    let about = format!("deployment/{key}");
    let Some(status) = status else {
        judgement.add(about, "PENDING: no status yet".to_owned(), false);
        return judgement;
    };
    let wanted = generation.max(status.generation);
    let is_current = status.observed_generation >= wanted;
    if !is_current {
        let seen = status.observed_generation;
        judgement.add(about, format!("PENDING: planned is generation {seen} of {wanted}"), false);
        return judgement;
    }
    // Nothing is sent to any cluster while it is paused, so nothing that is pending ever comes.
    let paused = condition::find(&status.conditions, "Paused");
    if let Some(paused) = paused.filter(|paused| paused.status == Truth::True) {
        judgement.stuck = Some(format!(
            "{about} is paused {}; `oprc rollout resume deployment {key}` lets it go on",
            paused.message
        ));
    }
    // A push of the package alone leaves the deployment's own generation as it is.
    if status.observed_package_generation < status.package_generation {
        let wanted = status.package_generation.unwrap_or_default();
        let line = format!("PENDING: generation {wanted} of its package is not planned yet");
        judgement.add(about, line, false);
        return judgement;
    }
    for part in &status.clusters {
        let about = format!("{about} on {}", part.cluster);
        judgement.add(about, describe(part), is_as_wanted(part));
    }
    let is_running = status.condition == RunCondition::Running;
    // With parts, they say it; the deployment's own line is for what no part tells.
    if status.clusters.is_empty() || (!is_running && judgement.pending.is_empty()) {
        let why = condition::find(&status.conditions, "Ready");
        let why = why.map(|why| because(&why.reason, Some(&why.message))).unwrap_or_default();
        judgement.add(about, format!("{}{why}", word(status.condition)), is_running);
    }
    judgement
}

impl Judgement {
    fn add(&mut self, about: String, line: String, is_as_wanted: bool) {
        if !is_as_wanted {
            self.pending.push(format!("{about} {line}"));
        }
        self.lines.insert(about, line);
    }
}

/// A part is as wanted when its cluster runs the very generation that it is to run; one on its way
/// out never is, it ends by not being there.
fn is_as_wanted(part: &ClusterPart) -> bool {
    part.desired == Desired::Present
        && part.condition == RunCondition::Running
        && part.observed_generation == Some(part.generation)
}

fn describe(part: &ClusterPart) -> String {
    let leaving = if part.desired == Desired::Absent { " (to be removed)" } else { "" };
    let why = if is_as_wanted(part) {
        String::new()
    } else {
        because(&part.reason, part.message.as_deref())
    };
    format!("{}{leaving}{why}", word(part.condition))
}

fn because(reason: &str, message: Option<&str>) -> String {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!(": {reason}: {message}"),
        None => format!(": {reason}"),
    }
}

fn word(condition: RunCondition) -> &'static str {
    match condition {
        RunCondition::Pending => "PENDING",
        RunCondition::Deploying => "DEPLOYING",
        RunCondition::Running => "RUNNING",
        RunCondition::Down => "DOWN",
        RunCondition::Deleted => "DELETED",
        RunCondition::Unknown => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests;
