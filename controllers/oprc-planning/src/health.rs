//! How a deployment is on one cluster, and as a whole, in the user's words.
//!
//! Invariant: RUNNING means that the cluster, which we hear from, reports the generation in
//! `observed_generation` as running. That is the unit's newest generation, unless the CRM refused
//! the newest one while an older one runs; of a CRM that reports no generations, which one that is
//! may be unknown then.

use oprc_models::{
    cluster::{ClusterStatus, TERM_TOO_OLD},
    names::ClusterName,
    record::{DeploymentRecord, Refusal, RunCondition, StoredRecord},
    status::ClusterPart,
    unit::{DeploymentUnit, Desired, StoredUnit},
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
        // A CRM that reports no generations reports 0.
        observed_generation: observed.map(|observed| observed.generation).filter(|it| *it > 0),
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
    let observed = record.and_then(|record| record.record.as_ref());
    if let Some(refusal) = current_refusal(stored, record) {
        let (reason, message) = describe(refusal);
        let generation = unit.generation;
        if stored.desired == Desired::Absent {
            return (RunCondition::Deleted, reason, Some(message));
        }
        // A refused update changes nothing: what the cluster holds keeps its own condition.
        return match observed.map(|observed| (observed.generation, &observed.status)) {
            None => (RunCondition::Down, reason, Some(message)),
            Some((held, status)) if status.condition == RunCondition::Down => {
                let cause = status.message.as_deref().unwrap_or("no reason given");
                let message = format!(
                    "generation {held} is down: {cause}; generation {generation} was refused: \
                     {message}"
                );
                (RunCondition::Down, "Down", Some(message))
            }
            Some((held, status)) => {
                let message =
                    format!("{message}; the cluster keeps generation {held} of {generation}");
                (status.condition, reason, Some(message))
            }
        };
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
    if !is_same(unit, observed) && refused_term.is_some() {
        return (observed.status.condition, TERM_TOO_OLD, refused_term);
    }
    if !is_same(unit, observed) {
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

/// Returns the refusal that keeps the cluster from the unit's newest generation.
///
/// A refused call may have been carried out all the same, if another endpoint answered for it. The
/// agent does not ask again then, so the refusal stays in the record; it no longer counts.
pub(crate) fn current_refusal<'a>(
    stored: &StoredUnit,
    record: Option<&'a StoredRecord>,
) -> Option<&'a Refusal> {
    let record = record.filter(|record| record.unreadable.is_none())?;
    let observed = record.record.as_ref().filter(|observed| is_same(&stored.unit, observed));
    let is_taken = stored.desired == Desired::Present && observed.is_some();
    let refusal = record.refusal.as_ref()?;
    (refusal.generation == stored.unit.generation && !is_taken).then_some(refusal)
}

/// Returns the reason and the message of a refusal.
pub(crate) fn describe(refusal: &Refusal) -> (&'static str, String) {
    if refusal.status == Refusal::BY_US {
        return ("ReconcileFailed", refusal.message.clone());
    }
    let code = refusal.code.as_deref().unwrap_or("no code");
    ("Refused", format!("{} ({} {code})", refusal.message, refusal.status))
}

/// Returns `true` if `observed` is the unit as it was sent. A CRM that keeps no hashes reports none.
fn is_same(unit: &DeploymentUnit, observed: &DeploymentRecord) -> bool {
    observed.generation == unit.generation
        && (observed.spec_hash.is_empty() || observed.spec_hash == unit.spec_hash)
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
