//! A deployment as a whole: its run state and its conditions, from its parts.

use oprc_models::{
    cluster::TERM_TOO_OLD,
    condition::{Condition, Truth},
    meta::Timestamp,
    record::RunCondition,
    status::ClusterPart,
    unit::Desired,
};

use super::Told;
use crate::{health, place::NOT_CONFIGURED};

/// A deployment as a whole.
///
/// Three conditions answer three questions. `Ready`: does every cluster run what the spec asks for?
/// `Progressing`: is a change under way? `Degraded`: is less running than wanted? A refused update
/// of a deployment that runs is not ready, not progressing and not degraded; an outage is degraded.
pub(super) struct Summary {
    pub(super) condition: RunCondition,
    reason: &'static str,
    message: String,
    /// Why a change that is wanted does not go on: reason and message.
    stuck: Option<(&'static str, String)>,
    /// Wanted parts that run, at whatever generation.
    n_running: usize,
    /// Clusters that are to run it, those included that have no unit.
    n_wanted: usize,
}

impl Summary {
    /// Summarizes `parts`. `refused` has the indices of those whose unit its cluster refuses, each
    /// with the reason.
    pub(super) fn new(
        told: &Told<'_>,
        parts: &[ClusterPart],
        refused: &[(usize, &'static str)],
    ) -> Self {
        let wanted: Vec<_> = parts.iter().filter(|part| part.desired == Desired::Present).collect();
        let is_running = |part: &&&ClusterPart| part.condition == RunCondition::Running;
        let n_running = wanted.iter().filter(is_running).count();
        let n_wanted = told.target.map_or(0, |target| target.n_wanted()).max(wanted.len());
        let refused = refused.first().and_then(|(index, reason)| {
            let part = parts.get(*index)?;
            let message = part.message.as_deref().unwrap_or(reason);
            Some((*reason, format!("{}: {message}", part.cluster)))
        });
        let new = |condition, reason, message, stuck| Self {
            condition,
            reason,
            message,
            stuck,
            n_running,
            n_wanted,
        };
        let Some(target) = told.target else {
            return new(RunCondition::Deleted, "Deleting", waiting_for(parts), refused);
        };
        // Of two parts that are equally bad, the one that something is wrong with.
        let badness = |part: &&&ClusterPart| {
            let is_behind = part.reason != "Running";
            (health::badness(part.condition), is_behind)
        };
        let worst = wanted.iter().max_by_key(badness);
        let held = worst.map_or(RunCondition::Pending, |worst| worst.condition);
        // What runs is of an older generation than the one that this speaks of, or elsewhere.
        let stuck = |reason: &'static str, message: String| {
            let condition = health::worse(held, RunCondition::Pending);
            new(condition, reason, message.clone(), Some((reason, message)))
        };
        if let Err(unresolved) = &target.template {
            return stuck(unresolved.reason(), unresolved.to_string());
        }
        if told.is_held_back {
            return stuck("Paused", "paused: changes wait".to_owned());
        }
        if target.placement.is_unplaceable {
            let message = "no connected, healthy cluster is allowed".to_owned();
            return stuck("NoClusterAvailable", message);
        }
        let rejected = &target.placement.rejected;
        if !rejected.is_empty() && !target.spec.spec.target_envs.is_empty() {
            let each = rejected.iter().map(|(cluster, why)| format!("cluster {cluster} {why}"));
            let reason = if rejected.values().all(|why| *why == NOT_CONFIGURED) {
                "ClusterNotConfigured"
            } else {
                "ClusterNotRegistered"
            };
            return stuck(reason, each.collect::<Vec<_>>().join(", "));
        }
        match worst {
            // Asked for nowhere: every target is excluded.
            None if target.placement.clusters.is_empty() => {
                stuck("NoTarget", "every target is excluded".to_owned())
            }
            // An older incarnation is still on its way out.
            None => new(RunCondition::Pending, "AwaitingRemoval", waiting_for(parts), refused),
            Some(_) if wanted.len() < target.placement.clusters.len() => {
                let condition = health::worse(held, RunCondition::Pending);
                new(condition, "AwaitingRemoval", waiting_for(parts), refused)
            }
            Some(worst) if worst.reason == "Running" => {
                new(RunCondition::Running, "Running", String::new(), refused)
            }
            Some(worst) => {
                let what = worst.message.as_deref().unwrap_or(&worst.reason);
                let message = format!("{}: {what}", worst.cluster);
                let reason = reason_of(worst.condition, &worst.reason);
                new(worst.condition, reason, message, refused)
            }
        }
    }

    /// Returns how many clusters run it, at whatever generation, and how many are to.
    pub(super) fn counts(&self) -> (u32, u32) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (count(self.n_running), count(self.n_wanted))
    }

    /// Returns `Ready`, `Progressing` and `Degraded`.
    pub(super) fn conditions(self, generation: u64, now: Timestamp) -> Vec<Condition> {
        let Self { condition, reason, message, stuck, n_running, n_wanted } = self;
        let ready = match condition {
            RunCondition::Running if reason == "Running" => Truth::True,
            RunCondition::Unknown => Truth::Unknown,
            RunCondition::Running
            | RunCondition::Pending
            | RunCondition::Deploying
            | RunCondition::Down
            | RunCondition::Deleted => Truth::False,
        };
        let is_under_way = matches!(
            condition,
            RunCondition::Pending | RunCondition::Deploying | RunCondition::Deleted
        );
        let (progressing, why, detail) = match stuck {
            Some((why, detail)) => (Truth::False, why, detail),
            None if is_under_way => (Truth::True, reason, String::new()),
            None => (Truth::False, reason, String::new()),
        };
        let is_degraded =
            condition == RunCondition::Down || (n_running > 0 && n_running < n_wanted);
        let degraded = if is_degraded { Truth::True } else { Truth::False };
        let counts = format!("{n_running} of {n_wanted} clusters running");
        vec![
            Condition::new("Ready", ready, reason, message, generation, now),
            Condition::new("Progressing", progressing, why, detail, generation, now),
            Condition::new("Degraded", degraded, reason, counts, generation, now),
        ]
    }
}

/// Returns the reason of the whole for that of its worst part: from a closed set.
fn reason_of(condition: RunCondition, part: &str) -> &'static str {
    match (condition, part) {
        (_, "Refused") => "Refused",
        (_, "ReconcileFailed") => "ReconcileFailed",
        (_, "ClusterNotConnected") => "ClusterNotConnected",
        (_, "RecordUnreadable") => "RecordUnreadable",
        (_, TERM_TOO_OLD) => TERM_TOO_OLD,
        (_, "NotCreatedYet") => "NotCreatedYet",
        (_, "Updating") => "Updating",
        (RunCondition::Pending, _) => "Pending",
        (RunCondition::Deploying, _) => "Deploying",
        (RunCondition::Running, _) => "Running",
        (RunCondition::Down, _) => "Down",
        (RunCondition::Deleted, _) => "Deleting",
        (RunCondition::Unknown, _) => "Unknown",
    }
}

/// Returns the clusters that are still to be emptied, for people.
fn waiting_for(parts: &[ClusterPart]) -> String {
    let leaving =
        parts.iter().filter(|part| part.desired == Desired::Absent).map(|part| {
            match part.condition {
                RunCondition::Unknown if part.reason == "RecordUnreadable" => {
                    format!("{} (unreadable record)", part.cluster)
                }
                RunCondition::Unknown => format!("{} (not connected)", part.cluster),
                RunCondition::Pending
                | RunCondition::Deploying
                | RunCondition::Running
                | RunCondition::Down
                | RunCondition::Deleted => part.cluster.to_string(),
            }
        });
    let leaving: Vec<_> = leaving.collect();
    if leaving.is_empty() { String::new() } else { format!("waits for {}", leaving.join(", ")) }
}
