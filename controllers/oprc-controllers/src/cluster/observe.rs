//! Keeps one agent's knowledge of its cluster: health by asking, records by listing and watching.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use oprc_controller_runtime::{cache::State, queue::Priority};
use oprc_crm_client::CallError;
use oprc_models::{
    cluster::{ClusterHealth, features},
    names::{DeploymentKey, UnitId},
    record::DeploymentRecord,
};
use oprc_observability::Report;
use oprc_planning::unit::Observation;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::agent::{Agent, Work};

/// Records in one page.
const PAGE: u32 = 500;

/// Records of one CRM that are taken at the most. A CRM that reports more is not believed.
const MAX_RECORDS: usize = 200_000;

/// At the least between two listings.
const LISTING_SPACING: Duration = Duration::from_secs(1);

/// Between two tries of a health check or a listing that failed, while the breaker is closed.
const RETRY: Duration = Duration::from_secs(1);

/// Below this many orphans at once, all are deleted; above, only if they are at most half of what
/// the cluster holds of ours. An emptied or restored store must not empty clusters.
const FEW_ORPHANS: usize = 5;

/// Asks for the CRM's health, as its breaker's probe while that is open; forever.
pub(super) async fn keep_health(agent: &Agent) {
    loop {
        let caller = agent.caller();
        let result = agent.probe(agent.crm.health(&caller)).await;
        let pause = match result {
            Some(Ok(health)) => {
                take_health(agent, health);
                agent.settings.health_interval
            }
            Some(Err(error)) => {
                if !error.counts_against_breaker() {
                    // Something answers that is not the CRM that we know, or not any more.
                    agent.view.lock().is_identified = None;
                    agent.mirror.lock().distrust();
                }
                take_failure(agent, &error);
                RETRY
            }
            None => RETRY,
        };
        let pause = async {
            match agent.next_probe() {
                Some(due) => sleep_until(due).await,
                None => sleep(pause).await,
            }
        };
        tokio::select! {
            biased;
            () = pause => (),
            () = agent.breaker_changed.notified() => {
                if let Some(due) = agent.next_probe() {
                    sleep_until(due).await;
                }
            }
        }
    }
}

fn take_health(agent: &Agent, health: ClusterHealth) {
    let is_identified = health.cluster_name == agent.cluster;
    let mut view = agent.view.lock();
    let was_ready = view.is_identified == Some(true);
    view.failure = (!is_identified).then(|| {
        format!("the CRM says that it serves {}; nothing is sent to it", health.cluster_name)
    });
    view.is_unauthorized = false;
    view.is_identified = Some(is_identified);
    view.health = Some(health);
    drop(view);
    if !is_identified {
        agent.mirror.lock().distrust();
    } else if !was_ready || !agent.mirror.lock().is_listed() {
        agent.want_listing();
    }
    agent.status_changed();
}

fn take_failure(agent: &Agent, error: &CallError) {
    let mut view = agent.view.lock();
    view.is_unauthorized = matches!(error, CallError::Unauthorized { .. });
    view.failure = Some(Report(error).to_string());
    drop(view);
    agent.status_changed();
}

/// Keeps the mirror: lists, then watches or polls, and lists again when asked; forever.
pub(super) async fn keep_mirror(agent: &Agent) {
    let mut next_listing = Instant::now();
    loop {
        sleep_until(next_listing).await;
        if !agent.may_call() {
            agent.listing_wanted.notified().await;
            continue;
        }
        let began = Instant::now();
        next_listing = began + LISTING_SPACING;
        match list(agent).await {
            Ok(revision) => follow(agent, revision, began).await,
            Err(error) => {
                tracing::warn!(cluster = %agent.cluster, error = %Report(&error), "listing failed");
                take_failure(agent, &error);
                let retry_after = error.retry_after().unwrap_or_default();
                next_listing = Instant::now() + RETRY.max(retry_after);
            }
        }
    }
}

/// Takes one complete listing; answers the CRM's revision that it is from.
async fn list(agent: &Agent) -> Result<u64, CallError> {
    let caller = agent.caller();
    let began = agent.mirror.lock().begin_listing();
    let mut found: Vec<DeploymentRecord> = Vec::new();
    let mut after: Option<String> = None;
    let mut revision = None;
    loop {
        let page = agent.crm.list(&caller, after.as_deref(), PAGE);
        let page = match agent.call(page).await {
            Ok(page) => page,
            Err(super::agent::Failure::Call(error)) => return Err(error),
            Err(super::agent::Failure::Parked) => return Err(unanswered("the breaker is open")),
        };
        revision.get_or_insert(page.revision);
        found.extend(page.items);
        if found.len() > MAX_RECORDS {
            return Err(unanswered("the listing has too many records"));
        }
        match page.r#continue {
            None => break,
            // A CRM that goes in circles would be listed without end.
            Some(next) if after.as_ref() == Some(&next) => {
                return Err(unanswered("the listing does not advance"));
            }
            Some(next) => after = Some(next),
        }
    }
    take_listing(agent, began, found);
    Ok(revision.unwrap_or_default())
}

fn unanswered(why: &'static str) -> CallError {
    CallError::Unanswered { source: why.into() }
}

fn take_listing(agent: &Agent, began: u64, found: Vec<DeploymentRecord>) {
    let ours = |record: &DeploymentRecord| *record.owner == *agent.context.owner;
    let mut work: Vec<Work>;
    let mut to_report;
    let (n_held, n_unmanaged);
    {
        let state = agent.context.cache.read();
        let mut mirror = agent.mirror.lock();
        to_report = mirror.replace(began, found);
        mirror.forget_settled(began, |id| has_unit(agent, &state, id));
        let settled = |deployment: &DeploymentKey| {
            let entry = state.unit(&agent.cluster, deployment)?;
            let id = &entry.value.id;
            let is_held = mirror.observe(id) != Observation::Absent;
            (is_held && !to_report.contains(id)).then_some(())
        };
        let units = state.units_of_cluster(&agent.cluster).iter();
        let unsettled = units.filter(|deployment| settled(deployment).is_none());
        work = unsettled.cloned().map(Work::Unit).collect();
        // What is stored and was not listed is to be removed from the store; what was listed and is
        // not stored is to be written, again where a restored store has lost it.
        let stored = state.records.get(&agent.cluster);
        let ids = stored.into_iter().flatten().map(|(id, _)| id);
        to_report.extend(ids.filter(|id| !mirror.holds(id)).cloned());
        let is_stored = |id: &UnitId| stored.is_some_and(|stored| stored.contains_key(id));
        let held = mirror.records().map(|(id, _)| id);
        to_report.extend(held.filter(|id| !is_stored(id)).cloned());

        n_unmanaged = mirror.records().filter(|(_, record)| !ours(record)).count();
        let without_unit: BTreeSet<_> = mirror
            .records()
            .filter(|(id, record)| ours(record) && !has_unit(agent, &state, id))
            .map(|(id, _)| id.clone())
            .collect();
        let n_ours = mirror.records().count() - n_unmanaged;
        let is_too_many = without_unit.len() > FEW_ORPHANS && without_unit.len() * 2 > n_ours;
        n_held = if is_too_many { without_unit.len() } else { 0 };
        let orphans = mirror.suspect(without_unit);
        if !is_too_many {
            work.extend(orphans.into_iter().map(Work::Orphan));
        }
    }
    {
        let mut view = agent.view.lock();
        view.failure = None;
        view.n_unmanaged = u64::try_from(n_unmanaged).unwrap_or(u64::MAX);
        view.n_held_orphans = n_held;
    }
    if n_held > 0 {
        tracing::error!(cluster = %agent.cluster, n_orphans = n_held, "too many orphans; held");
    }
    agent.release();
    for id in to_report {
        agent.records.add(id, Priority::Resync);
    }
    for work in work {
        agent.units.add(work, Priority::Resync);
    }
    agent.status_changed();
}

/// By its id alone: which deployment it is of is the CRM's word, and nothing is deleted on that.
fn has_unit(agent: &Agent, state: &State, id: &UnitId) -> bool {
    state.place_of_unit(id).is_some_and(|(cluster, _)| *cluster == agent.cluster)
}

/// Follows the records from a listing that was made at `listed`, until another is due or wanted.
async fn follow(agent: &Agent, revision: u64, listed: Instant) {
    let can_watch = {
        let view = agent.view.lock();
        let features = view.health.as_ref().map(|health| health.features.as_slice());
        features.unwrap_or_default().iter().any(|feature| feature == features::WATCH)
    };
    // The second look at a suspect, and whatever moves where nothing can be watched.
    let soon = listed + LISTING_SPACING * 2;
    let settings = &agent.settings;
    let due = {
        let mirror = agent.mirror.lock();
        if mirror.has_suspects() && agent.view.lock().n_held_orphans == 0 {
            soon
        } else if can_watch {
            listed + settings.relist_interval
        } else if mirror.is_moving() {
            listed + LISTING_SPACING
        } else {
            listed + settings.poll_interval
        }
    };
    if can_watch {
        tokio::select! {
            biased;
            () = agent.listing_wanted.notified() => (),
            _ = timeout_at(due, watch(agent, revision)) => (),
        }
    } else {
        let _ = timeout_at(due, agent.listing_wanted.notified()).await;
    }
}

/// Takes event after event, until the watch ends.
async fn watch(agent: &Agent, revision: u64) {
    let caller = agent.caller();
    let Ok(mut events) = agent.call(agent.crm.watch(&caller, revision)).await else { return };
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::info!(cluster = %agent.cluster, error = %error, "watch of records ended");
                return;
            }
        };
        let deployment = event.record.as_ref().map(|record| record.deployment_key.clone());
        let Some(id) = agent.mirror.lock().take(event) else { continue };
        if let Some(deployment) = deployment {
            agent.units.add(Work::Unit(deployment), Priority::Change);
        }
        agent.records.add(id, Priority::Change);
    }
}
