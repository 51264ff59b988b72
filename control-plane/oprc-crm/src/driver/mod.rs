//! Brings units about: asks the runtime for each unit's next step and stores what it says.
//!
//! Level-driven: it is woken for an id, reads all there is of it and is told nothing of what
//! changed. Units that are due together are written together, so that ten thousand transitions cost
//! a hundred synced writes.
//!
//! Invariant: a transition lands only on the record that it was decided on; when a request came
//! between, the unit is looked at again.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use oprc_cp_storage::{
    MAX_TXN_BYTES, MAX_TXN_OPS, Precondition, Revision, Txn, Write, limits::txn_bytes,
};
use oprc_models::{
    names::UnitId,
    record::{DeploymentRecord, RunCondition},
    unit::DeploymentUnit,
};
use oprc_observability::Report;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    crm::Crm,
    layout::{self, Stored, Tombstone},
    metric,
    runtime::{Progress, Step},
};

#[cfg(test)]
mod tests;

/// Units looked at together, and steps of the runtime at once.
const BATCH: usize = 120;
/// Between a step that could not be stored or read and the next try.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is to be stored of one unit's step.
struct Transition {
    id: UnitId,
    condition: RunCondition,
    next: Option<Duration>,
    /// The newest revision that the step knows of.
    known: Revision,
    writes: Vec<Write>,
}

/// Takes steps until `stop`. What was begun is finished first.
pub(crate) async fn run(crm: Arc<Crm>, stop: CancellationToken) {
    loop {
        let due = crm.timers.next_due();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep_until_some(due) => {}
            () = crm.timers.changed() => continue,
        }
        let ids = crm.timers.pop_due(Instant::now(), BATCH);
        if !ids.is_empty() {
            advance(&crm, ids).await;
        }
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Takes one step of each of `ids`.
async fn advance(crm: &Crm, ids: Vec<UnitId>) {
    let steps = stream::iter(ids).map(|id| async move {
        let outcome = step(crm, &id).await;
        (id, outcome)
    });
    let outcomes: Vec<_> = steps.buffered(BATCH).collect().await;
    let mut transitions = Vec::with_capacity(outcomes.len());
    for (id, outcome) in outcomes {
        match outcome {
            Ok(Some(transition)) => transitions.push(transition),
            Ok(None) => {}
            Err(err) => {
                tracing::warn!(unit = %id, error = %Report(&err), "a unit cannot be looked at");
                crm.timers.set(&id, Instant::now() + RETRY_DELAY, Revision::default());
            }
        }
    }
    for group in pack(transitions) {
        commit(crm, group).await;
    }
}

/// Asks the runtime for the next step of `id`; `None`: nothing is to be done.
async fn step(crm: &Crm, id: &UnitId) -> Result<Option<Transition>, Error> {
    let record: Option<Stored<DeploymentRecord>> =
        layout::get(&crm.store, &layout::record_key(id)).await?;
    let unit: Option<Stored<DeploymentUnit>> =
        layout::get(&crm.store, &layout::unit_key(id)).await?;
    let (Some(record), Some(unit)) = (record, unit) else { return Ok(None) };
    match crm.runtime.advance(&unit.value, &record.value).await {
        Step::Rest => Ok(None),
        Step::Became { progress, next } => became(crm, id, record, *progress, next).map(Some),
        Step::Gone => gone(crm, id, &record, &unit).await.map(Some),
    }
}

fn became(
    crm: &Crm,
    id: &UnitId,
    stored: Stored<DeploymentRecord>,
    progress: Progress,
    next: Option<Duration>,
) -> Result<Transition, Error> {
    let Stored { value: mut record, revision, .. } = stored;
    let now = crm.clock.now();
    let condition = progress.condition;
    record.status.condition = condition;
    record.status.phase = progress.phase;
    record.status.message = progress.message;
    record.status.functions = progress.functions;
    record.status.last_updated = now;
    record.resource_refs = progress.resource_refs;
    record.updated_at = now;
    let as_found = Precondition::At(revision);
    let writes = vec![layout::put(layout::record_key(id), as_found, &record)?];
    Ok(Transition { id: id.clone(), condition, next, known: revision, writes })
}

/// Removes everything of `id` but its tombstone, which is written first, see [`layout`].
async fn gone(
    crm: &Crm,
    id: &UnitId,
    record: &Stored<DeploymentRecord>,
    unit: &Stored<DeploymentUnit>,
) -> Result<Transition, Error> {
    let tombstone: Option<Stored<Tombstone>> =
        layout::get(&crm.store, &layout::tombstone_key(id)).await?;
    let deleted = tombstone.as_ref().map_or(0, |tombstone| tombstone.value.generation);
    let generation = deleted.max(record.value.generation);
    let as_found = layout::as_found(tombstone.as_ref());
    let tombstone = Tombstone { generation };
    let writes = vec![
        layout::put(layout::tombstone_key(id), as_found, &tombstone)?,
        layout::delete(layout::record_key(id), Precondition::At(record.revision)),
        layout::delete(layout::unit_key(id), Precondition::At(unit.revision)),
    ];
    let (condition, known) = (RunCondition::Deleted, record.revision);
    Ok(Transition { id: id.clone(), condition, next: None, known, writes })
}

/// Groups of transitions that each fit into one transaction, in order.
fn pack(transitions: Vec<Transition>) -> Vec<Vec<Transition>> {
    let mut groups: Vec<Vec<Transition>> = Vec::new();
    let (mut n_writes, mut n_bytes) = (0, 0);
    for mut transition in transitions {
        // Counted as a transaction of its own, by the store's own measure.
        let alone = Txn { checks: Vec::new(), writes: std::mem::take(&mut transition.writes) };
        let (more_writes, more_bytes) = (alone.writes.len(), txn_bytes(&alone));
        transition.writes = alone.writes;
        let fits = n_writes + more_writes <= MAX_TXN_OPS && n_bytes + more_bytes <= MAX_TXN_BYTES;
        match groups.last_mut() {
            Some(group) if fits => group.push(transition),
            Some(_) | None => {
                (n_writes, n_bytes) = (0, 0);
                groups.push(vec![transition]);
            }
        }
        n_writes += more_writes;
        n_bytes += more_bytes;
    }
    groups
}

/// Stores a group together; each of them alone when that fails because one was overtaken.
async fn commit(crm: &Crm, group: Vec<Transition>) {
    let writes = group.iter().flat_map(|transition| transition.writes.iter().cloned()).collect();
    let outcome = crm.commit(Txn { checks: Vec::new(), writes }).await;
    match outcome {
        Ok(revision) => landed(crm, &group, revision.unwrap_or_default()),
        Err(err) if err.is_conflict() && group.len() > 1 => {
            for transition in group {
                Box::pin(commit(crm, vec![transition])).await;
            }
        }
        Err(err) if err.is_conflict() => {
            for Transition { id, known, .. } in group {
                crm.timers.set(&id, Instant::now(), known);
            }
        }
        Err(err) => {
            tracing::warn!(error = %Report(&err), "transitions cannot be stored");
            for Transition { id, known, .. } in group {
                crm.timers.set(&id, Instant::now() + RETRY_DELAY, known);
            }
        }
    }
}

fn landed(crm: &Crm, group: &[Transition], revision: Revision) {
    for Transition { id, condition, next, .. } in group {
        metric::transitioned(*condition);
        tracing::debug!(unit = %id, condition = metric::label(*condition), revision = revision.0, "unit moved on");
        if let Some(next) = next {
            crm.timers.set(id, Instant::now() + *next, revision);
        }
    }
}
