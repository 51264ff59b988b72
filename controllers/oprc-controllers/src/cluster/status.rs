//! Writes down how one cluster is: from its agent's view to the store, on change only.

use oprc_controller_runtime::{cache::State, controller::Requeue, queue::Priority};
use oprc_cp_storage::keys::Key;
use oprc_crm_client::Caller;
use oprc_models::{
    cluster::{BreakerState, ClusterStatus, Connectivity, HealthStatus, TERM_TOO_OLD, features},
    condition::{Condition, Truth, carry_transitions},
    event::About,
    meta::Timestamp,
    names::ClusterName,
};

use tokio::time::Instant;

use super::{
    agent::{Agent, View},
    reach::Alarm,
};
use crate::{
    context::{Context, put, require_readable},
    error::Error,
};

/// Reconciles the stored status of the agent's cluster with what the agent knows.
///
/// # Errors
///
/// [`Error::Store`], [`Error::Behind`], [`Error::Unreadable`].
pub(crate) async fn reconcile(agent: &Agent) -> Result<Requeue, Error> {
    let write = {
        let state = agent.context.cache.read();
        let key = Key::ClusterStatus(agent.cluster.clone());
        require_readable(&state, |unreadable| *unreadable == key)?;
        let stored = state.cluster_statuses.get(&agent.cluster);
        let is_listed = agent.mirror.lock().is_listed();
        let mut new = status(
            &agent.view.lock(),
            &agent.caller(),
            agent.breaker_state(),
            is_listed,
            stored.map(|entry| &*entry.value),
            (agent.context.now)(),
        );
        let is_alarmed = note(agent, new.connectivity, &state);
        if is_alarmed && new.connectivity == Connectivity::Unreachable {
            let before = stored.map_or(&[][..], |entry| entry.value.conditions.as_slice());
            let most = vec![vanished((agent.context.now)())];
            new.conditions.extend(carry_transitions(before, most));
        }
        match stored {
            Some(entry) if *entry.value == new => None,
            _ => Some(put(&key, stored.map(|entry| entry.revision), &new)?),
        }
    };
    if let Some(write) = write {
        agent.context.commit(vec![write]).await?;
        let n_held = agent.view.lock().n_held_orphans;
        if n_held > 0 {
            let about = About::Cluster(agent.cluster.clone());
            agent.context.recorder.warning(about, "OrphansHeld", || {
                format!("{n_held} records of ours have no unit; left alone, since they are many")
            });
        }
    }
    Ok(Requeue::AwaitChange)
}

/// Writes the status of a registered cluster that has no client.
///
/// # Errors
///
/// [`Error::Store`], [`Error::Behind`], [`Error::Unreadable`].
pub(crate) async fn not_configured(
    context: &Context,
    name: &ClusterName,
    reason: &str,
) -> Result<Requeue, Error> {
    let key = Key::ClusterStatus(name.clone());
    let write = {
        let state = context.cache.read();
        require_readable(&state, |unreadable| *unreadable == key)?;
        let entry = state.cluster_statuses.get(name);
        let before = entry.map(|entry| &*entry.value);
        if !state.clusters.contains_key(name) || before.is_some_and(|it| !it.is_configured()) {
            return Ok(Requeue::AwaitChange);
        }
        let now = (context.now)();
        let message = reason.to_owned();
        let ready = Condition::new("Ready", Truth::False, "NotConfigured", message, 0, now);
        let carried = before.map_or(&[][..], |before| before.conditions.as_slice());
        let new = ClusterStatus {
            connectivity: Connectivity::NotConfigured,
            breaker: BreakerState::default(),
            health: before.and_then(|before| before.health.clone()),
            message: Some(reason.to_owned()),
            since: Some(now),
            unmanaged_records: before.map_or(0, |before| before.unmanaged_records),
            conditions: carry_transitions(carried, vec![ready]),
        };
        put(&key, entry.map(|entry| entry.revision), &new)?
    };
    context.commit(vec![write]).await?;
    context.recorder.warning(About::Cluster(name.clone()), "NotConfigured", || reason.to_owned());
    Ok(Requeue::AwaitChange)
}

/// Notes whether the cluster is out of reach; answers whether most vanished together. When that turns,
/// the others are to say so too.
fn note(agent: &Agent, connectivity: Connectivity, state: &State) -> bool {
    let (n_clusters, now) = (state.clusters.len(), Instant::now());
    let (alarm, is_alarmed) = {
        let mut reach = agent.reach.lock();
        let alarm = if connectivity == Connectivity::Unreachable {
            reach.lose(&agent.cluster, n_clusters, now)
        } else {
            reach.find(&agent.cluster, n_clusters, now)
        };
        (alarm, reach.is_alarmed())
    };
    if alarm == Alarm::Turned {
        for name in state.clusters.keys() {
            agent.statuses.add(name.clone(), Priority::Change);
        }
    }
    is_alarmed
}

/// That it may not be this cluster's own fault. Without numbers: each would be another write for each
/// of the clusters.
fn vanished(now: Timestamp) -> Condition {
    let message = "most clusters fell silent within a minute of each other: it is probably this \
                   Package Manager that is cut off; nothing is moved"
        .to_owned();
    Condition::new("MostClustersVanished", Truth::True, "ProbablyCutOff", message, 0, now)
}

fn status(
    view: &View,
    caller: &Caller,
    breaker: BreakerState,
    is_listed: bool,
    before: Option<&ClusterStatus>,
    now: Timestamp,
) -> ClusterStatus {
    let connectivity = if view.is_identified == Some(false) {
        Connectivity::Misidentified
    } else if view.is_unauthorized {
        Connectivity::Unauthorized
    } else if breaker == BreakerState::Open {
        Connectivity::Unreachable
    } else if is_listed && view.is_identified == Some(true) {
        Connectivity::Connected
    } else if view.failure.is_some() || view.listing_failure.is_some() {
        // Failing since before it was first heard, or back and not listed yet.
        Connectivity::Unreachable
    } else {
        // Not tried yet in this term: what was said before stands, unless it was good.
        before
            .map(|before| before.connectivity)
            .filter(|it| !matches!(it, Connectivity::Connected | Connectivity::NotConfigured))
            .unwrap_or_default()
    };
    let message = match connectivity {
        Connectivity::Connected => None,
        Connectivity::Unknown => Some("not heard from yet".to_owned()),
        Connectivity::Unreachable
        | Connectivity::Unauthorized
        | Connectivity::Misidentified
        | Connectivity::NotConfigured => {
            let listing = view.listing_failure.as_ref().map(|(_, message)| message.clone());
            let known = view.failure.clone().or(listing);
            known.or_else(|| Some("waits for a complete listing".to_owned()))
        }
    };
    let health = view.health.clone().map(|mut health| {
        (health.last_seen, health.caller) = (None, None);
        health
    });
    let health = health.or_else(|| before.and_then(|before| before.health.clone()));
    let since = before.filter(|before| before.connectivity == connectivity);
    let since = since.and_then(|before| before.since).unwrap_or(now);
    let conditions = conditions(connectivity, message.as_deref(), view, caller, now);
    ClusterStatus {
        connectivity,
        breaker,
        health,
        message,
        since: Some(since),
        unmanaged_records: view.n_unmanaged,
        conditions: carry_transitions(
            before.map_or(&[], |before| before.conditions.as_slice()),
            conditions,
        ),
    }
}

/// That the CRM refuses this leader, since it has seen a newer term of the same installation.
fn term_too_old(caller: &Caller, seen: u64, now: Timestamp) -> Condition {
    let ours = caller.term.unwrap_or_default();
    let message = format!(
        "the CRM has seen term {seen} of {} and refuses ours, {ours}. Was the store restored? Then stop \
         all replicas, run `oprc-pm recover` and start them. Otherwise another installation runs on a \
         copy of this store",
        caller.owner
    );
    Condition::new("Fenced", Truth::False, TERM_TOO_OLD, message, 0, now)
}

fn conditions(
    connectivity: Connectivity,
    message: Option<&str>,
    view: &View,
    caller: &Caller,
    now: Timestamp,
) -> Vec<Condition> {
    let health = view.health.as_ref();
    let (ready, reason) = match connectivity {
        Connectivity::Connected => match health.map(|health| health.status) {
            Some(HealthStatus::Unhealthy) => (Truth::False, "Unhealthy"),
            Some(HealthStatus::Degraded) => (Truth::True, "Degraded"),
            Some(HealthStatus::Unknown) => (Truth::Unknown, "HealthUnknown"),
            Some(HealthStatus::Healthy) | None => (Truth::True, "Connected"),
        },
        Connectivity::Unknown => (Truth::Unknown, "NotHeardYet"),
        Connectivity::Unreachable => (Truth::Unknown, "Unreachable"),
        Connectivity::Unauthorized => (Truth::False, "Unauthorized"),
        Connectivity::Misidentified => (Truth::False, "Misidentified"),
        Connectivity::NotConfigured => (Truth::False, "NotConfigured"),
    };
    let message = message.unwrap_or_default().to_owned();
    let mut conditions = vec![Condition::new("Ready", ready, reason, message, 0, now)];
    let missing = health.map(|health| {
        let wanted = [features::GENERATIONS, features::TERMS];
        let has = |feature: &str| health.features.iter().any(|has| has == feature);
        wanted.into_iter().filter(|feature| !has(feature)).collect::<Vec<_>>()
    });
    if let Some(seen) = view.newer_term {
        conditions.push(term_too_old(caller, seen, now));
    } else if let Some(missing) = missing {
        let (truth, reason) = if connectivity != Connectivity::Connected {
            (Truth::Unknown, "NotConnected")
        } else if missing.is_empty() {
            (Truth::True, "ContractKept")
        } else {
            (Truth::False, "RestsOnElection")
        };
        let message = if missing.is_empty() {
            String::new()
        } else {
            format!("the CRM does not keep {}", missing.join(" and "))
        };
        conditions.push(Condition::new("Fenced", truth, reason, message, 0, now));
    }
    if let Some((reason, message)) = &view.listing_failure {
        let message = message.clone();
        conditions.push(Condition::new("ListingFailed", Truth::True, reason, message, 0, now));
    }
    if !view.others.is_empty() {
        let others: Vec<_> = view.others.iter().map(String::as_str).collect();
        let message = format!(
            "the CRM also holds records of {}, which {} leaves alone",
            others.join(", "),
            caller.owner
        );
        conditions.push(Condition::new("Shared", Truth::True, "OtherOwners", message, 0, now));
    }
    if let Some((how, _)) = &view.went_back {
        let (truth, reason) = (Truth::True, "RecordsListedAnew");
        conditions.push(Condition::new("StoreWentBack", truth, reason, how.clone(), 0, now));
    }
    if view.n_orphans > 0 {
        let message = "records of ours have no unit; they are deleted".to_owned();
        conditions.push(Condition::new("Orphans", Truth::True, "BeingDeleted", message, 0, now));
    }
    if view.n_held_orphans > 0 {
        let message = format!(
            "{} records of ours have no unit; too many at once to delete without being told to",
            view.n_held_orphans
        );
        conditions.push(Condition::new("OrphansHeld", Truth::True, "TooMany", message, 0, now));
    }
    conditions
}
