//! How a deployment is on one cluster, and as a whole, in the user's words.
//!
//! RUNNING is said of a unit only for its newest generation, on a cluster that we hear from.

use oprc_models::{
    cluster::{ClusterStatus, TERM_TOO_OLD},
    names::ClusterName,
    record::{DeploymentRecord, Refusal, RunCondition, StoredRecord},
    status::ClusterPart,
    unit::{Desired, StoredUnit},
};

/// A deployment's part on one cluster.
pub(crate) fn part(
    cluster: &ClusterName,
    stored: &StoredUnit,
    record: Option<&StoredRecord>,
    status: Option<&ClusterStatus>,
) -> ClusterPart {
    let unit = &stored.unit;
    let observed = record.and_then(|record| record.record.as_ref());
    let (condition, reason, message) = judge(stored, record, status);
    // What a cluster said before it fell silent is not said of it now.
    let current = observed.filter(|_| condition != RunCondition::Unknown);
    ClusterPart {
        cluster: cluster.clone(),
        unit_id: unit.id.clone(),
        desired: stored.desired,
        generation: unit.generation,
        observed_generation: observed.map(|observed| observed.generation),
        condition,
        reason: reason.to_owned(),
        message,
        functions: current.map(|current| current.status.functions.clone()).unwrap_or_default(),
    }
}

fn judge(
    stored: &StoredUnit,
    record: Option<&StoredRecord>,
    status: Option<&ClusterStatus>,
) -> (RunCondition, &'static str, Option<String>) {
    let unit = &stored.unit;
    if !status.is_some_and(ClusterStatus::is_connected) {
        let known = status.and_then(|status| status.message.clone());
        let message = known.unwrap_or_else(|| "the cluster has not been heard from".to_owned());
        return (RunCondition::Unknown, "ClusterNotConnected", Some(message));
    }
    if let Some(reason) = record.and_then(|record| record.unreadable.as_ref()) {
        let message = format!("the CRM's record cannot be read: {reason}");
        return (RunCondition::Unknown, "RecordUnreadable", Some(message));
    }
    let refusal = record.and_then(|record| record.refusal.as_ref());
    let observed = record.and_then(|record| record.record.as_ref());
    // A CRM that keeps no hashes reports none.
    let is_same = |observed: &DeploymentRecord| {
        observed.generation == unit.generation
            && (observed.spec_hash.is_empty() || observed.spec_hash == unit.spec_hash)
    };
    // What was refused, or failed, may have been taken by a call that was not answered: then nobody
    // asks again, and the refusal stays.
    let is_taken = stored.desired == Desired::Present && observed.is_some_and(|it| is_same(it));
    let is_current = |refusal: &&Refusal| refusal.generation == unit.generation && !is_taken;
    if let Some(refusal) = refusal.filter(is_current) {
        let code = refusal.code.as_deref().unwrap_or("no code");
        let (reason, message) = if refusal.status == Refusal::BY_US {
            ("ReconcileFailed", refusal.message.clone())
        } else {
            ("Refused", format!("{} ({} {code})", refusal.message, refusal.status))
        };
        let condition = if stored.desired == Desired::Absent {
            RunCondition::Deleted
        } else {
            RunCondition::Down
        };
        return (condition, reason, Some(message));
    }
    if stored.desired == Desired::Absent {
        let message = observed.and_then(|observed| observed.status.message.clone());
        return (RunCondition::Deleted, "Deleting", message);
    }
    // What runs, runs on; what is to change waits.
    let refused_term = status.and_then(ClusterStatus::refused_term).map(str::to_owned);
    let Some(observed) = observed else {
        let reason = if refused_term.is_some() { TERM_TOO_OLD } else { "NotCreatedYet" };
        return (RunCondition::Pending, reason, refused_term);
    };
    if !is_same(observed) && refused_term.is_some() {
        return (RunCondition::Deploying, TERM_TOO_OLD, refused_term);
    }
    if !is_same(observed) {
        return (RunCondition::Deploying, "Updating", observed.status.message.clone());
    }
    let reason = match observed.status.condition {
        RunCondition::Pending => "Pending",
        RunCondition::Deploying => "Deploying",
        RunCondition::Running => "Running",
        RunCondition::Down => "Down",
        RunCondition::Deleted => "Deleting",
        RunCondition::Unknown => "Unknown",
    };
    (observed.status.condition, reason, observed.status.message.clone())
}

/// How bad a condition is for the whole: the worst part speaks for it.
pub(crate) fn badness(condition: RunCondition) -> u8 {
    match condition {
        RunCondition::Running => 0,
        RunCondition::Deleted => 1,
        RunCondition::Deploying => 2,
        RunCondition::Pending => 3,
        RunCondition::Unknown => 4,
        RunCondition::Down => 5,
    }
}

/// The worse of two.
pub(crate) fn worse(a: RunCondition, b: RunCondition) -> RunCondition {
    if badness(b) > badness(a) { b } else { a }
}

#[cfg(test)]
mod tests;
