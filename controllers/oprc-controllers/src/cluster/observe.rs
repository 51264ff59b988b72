//! Keeps one agent's knowledge of its cluster: health by asking, records by listing and watching.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use metrics::{counter, describe_counter};
use oprc_controller_runtime::{cache::State, queue::Priority};
use oprc_crm_client::CallError;
use oprc_models::{
    cluster::{ClusterHealth, features},
    crm::RecordEvent,
    event::About,
    names::UnitId,
    record::DeploymentRecord,
};
use oprc_observability::Brief;
use oprc_planning::unit::Observation;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    agent::{Agent, Failure, MAX_OTHERS, View, Work},
    listing::{Listing, ListingError, list},
    mirror::Mirror,
};

const LISTINGS_FAILED: &str = "oprc_pm_crm_listings_failed_total";

/// At the least between two listings.
const LISTING_SPACING: Duration = Duration::from_secs(1);

/// Between two tries of a health check or a listing that failed, while the breaker is closed.
const RETRY: Duration = Duration::from_secs(1);

/// After a listing that exceeded a limit: to read as much every second would be what the limits are
/// there to prevent.
const AFTER_EXCESS: Duration = Duration::from_secs(60);

/// Between two looks at whether the store has taken the records that wait to be written.
const BACKLOG: Duration = Duration::from_millis(100);

/// Below this many orphans at once, all are deleted; above, only if they are at most half of what
/// the cluster holds of ours. An emptied or restored store must not empty clusters.
const FEW_ORPHANS: usize = 5;

/// Characters of another owner that are shown.
const MAX_OWNER_CHARS: usize = 120;

/// Complete listings after which the store's return to an older state is over for a cluster: the
/// first shows what the store lost, the second confirms it.
const LOOKS_AFTER_RETURN: u8 = 2;

/// Asks for the CRM's health, as its breaker's probe while that is open; forever.
pub(super) async fn keep_health(agent: &Agent) {
    let mut not_before = Instant::now();
    loop {
        sleep_until(not_before).await;
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
                not_before = Instant::now() + error.retry_after().unwrap_or_default();
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
    if let Some(caller) = health.caller.as_ref().filter(|_| is_identified) {
        agent.note_term(caller.term.unwrap_or_default());
    }
    let mut view = agent.view.lock();
    let was_ready = view.is_identified == Some(true);
    view.failure = (!is_identified).then(|| {
        format!("the CRM says that it serves {}; nothing is sent to it", health.cluster_name)
    });
    view.is_unauthorized = false;
    view.tells_term = health.caller.is_some();
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
    view.failure = Some(Brief(error).to_string());
    drop(view);
    agent.status_changed();
}

/// Keeps the mirror: lists, then watches or polls, and lists again when asked; forever.
pub(super) async fn keep_mirror(agent: &Agent) {
    let mut next_listing = Instant::now();
    let mut next_watch = next_listing;
    loop {
        sleep_until(next_listing).await;
        if !agent.may_call() {
            agent.listing_wanted.notified().await;
            continue;
        }
        let began = Instant::now();
        next_listing = began + LISTING_SPACING;
        written_down(agent).await;
        let followed = match list(agent).await {
            Ok((listing, revision)) => match take_listing(agent, listing) {
                Ok(()) => follow(agent, revision, began, &mut next_watch).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            next_listing = Instant::now() + take_listing_failure(agent, &error);
        }
    }
}

/// Waits until the records that were observed are written down, all but as many as a CRM may have:
/// a CRM that changes faster than the store takes writes is read no faster.
async fn written_down(agent: &Agent) {
    while agent.records.len() > agent.settings.budget.max_records {
        sleep(BACKLOG).await;
    }
}

/// Notes that there is no listing; returns how long to wait before the next.
fn take_listing_failure(agent: &Agent, error: &ListingError) -> Duration {
    let (reason, message) = (error.reason(), error.message());
    tracing::warn!(cluster = %agent.cluster, reason, error = message, "listing failed");
    counter!(LISTINGS_FAILED, "cluster" => agent.cluster.to_string(), "reason" => reason)
        .increment(1);
    tell_of_listing(agent, &message);
    agent.view.lock().listing_failure = Some((reason, message));
    match error {
        ListingError::Call(error) => {
            take_failure(agent, error);
            RETRY.max(error.retry_after().unwrap_or_default())
        }
        ListingError::OverBudget(_) | ListingError::Endless(_) => {
            agent.mirror.lock().disbelieve();
            agent.status_changed();
            AFTER_EXCESS
        }
    }
}

/// Records an event that not all of the cluster's records were taken.
fn tell_of_listing(agent: &Agent, message: &str) {
    let about = About::Cluster(agent.cluster.clone());
    agent.context.recorder.warning(about, "ListingFailed", || message.to_owned());
}

fn take_listing(agent: &Agent, listing: Listing) -> Result<(), ListingError> {
    let mut news = Vec::new();
    // Has nothing new, and is looked at nevertheless unless it waits for a time of its own.
    let mut rest = Vec::new();
    let changed: BTreeSet<UnitId>;
    let mut not_written = BTreeSet::new();
    let others;
    let (n_held, n_orphans, n_unmanaged, unreadable);
    {
        let state = agent.context.cache.read();
        let mut mirror = agent.mirror.lock();
        let began = listing.began;
        let units = state.units_of_cluster(&agent.cluster).iter().filter_map(|deployment| {
            let id = &state.unit(&agent.cluster, deployment)?.value.id;
            Some((deployment, id))
        });
        let before: Vec<_> = units.map(|(of, id)| (of, id, mirror.shown(id))).collect();
        changed = mirror.replace(began, listing);
        mirror.check(agent.settings.budget)?;
        mirror.forget_settled(began, |id| has_unit(agent, &state, id));
        for (deployment, id, before) in before {
            let is_settled = mirror.observe(id) != Observation::Absent && !changed.contains(id);
            if mirror.shown(id) != before {
                news.push(Work::Unit(deployment.clone()));
            } else if !is_settled {
                rest.push(Work::Unit(deployment.clone()));
            }
        }
        // What is stored and was not listed is to be removed from the store; what was listed and is
        // not stored is to be written, again where a restored store has lost it.
        let stored = state.records.get(&agent.cluster);
        let ids = stored.into_iter().flatten().map(|(id, _)| id);
        not_written.extend(ids.filter(|id| !mirror.holds(id)).cloned());
        let is_stored = |id: &UnitId| stored.is_some_and(|stored| stored.contains_key(id));
        let held = mirror.records().map(|(id, _)| id);
        not_written.extend(held.filter(|id| !is_stored(id)).cloned());

        let found = owners(agent, &state, &mirror);
        let (n_ours, without_unit) = (found.n_ours, found.without_unit);
        (others, n_unmanaged) = (found.others, found.n_others);
        let is_too_many = without_unit.len() > FEW_ORPHANS && without_unit.len() * 2 > n_ours;
        n_held = if is_too_many { without_unit.len() } else { 0 };
        n_orphans = if is_too_many { 0 } else { without_unit.len() };
        let orphans = mirror.suspect(without_unit);
        if !is_too_many {
            rest.extend(orphans.into_iter().map(Work::Orphan));
        }
        unreadable = mirror.unreadable();
    }
    {
        let mut view = agent.view.lock();
        view.failure = None;
        note_unreadable(agent, &mut view, unreadable);
        view.n_unmanaged = u64::try_from(n_unmanaged).unwrap_or(u64::MAX);
        view.others = others;
    }
    note_orphans(agent, n_held, n_orphans);
    agent.release();
    for id in &not_written {
        agent.records.offer(id.clone(), Priority::Resync);
    }
    for id in changed {
        agent.records.add(id, Priority::Resync);
    }
    for work in news {
        agent.units.add(work, Priority::Resync);
    }
    for work in rest {
        agent.units.offer(work, Priority::Resync);
    }
    agent.status_changed();
    Ok(())
}

/// Notes how many units have a record that cannot be read, and one of them. Reports a change of that.
fn note_unreadable(agent: &Agent, view: &mut View, unreadable: Option<(String, usize)>) {
    let unreadable = unreadable.map(|(first, n)| {
        let message = format!("units whose record cannot be read: {n}, for example {first}");
        ("RecordsUnreadable", message)
    });
    let before = std::mem::replace(&mut view.listing_failure, unreadable);
    if let Some((_, message)) = &view.listing_failure
        && before != view.listing_failure
    {
        tracing::warn!(cluster = %agent.cluster, error = message, "records cannot be read");
        tell_of_listing(agent, message);
    }
}

/// Notes the orphans of a complete listing: those that are held, or those that are to be deleted.
fn note_orphans(agent: &Agent, n_held: usize, n_orphans: usize) {
    {
        let mut view = agent.view.lock();
        (view.n_held_orphans, view.n_orphans) = (n_held, n_orphans);
        if let Some((_, n_listings)) = &mut view.went_back {
            *n_listings = n_listings.saturating_add(1);
        }
        // The second listing has found the orphans, and they are on their way out.
        let is_over = |(_, n_listings): &mut (String, u8)| *n_listings >= LOOKS_AFTER_RETURN;
        view.went_back.take_if(|it| n_held == 0 && is_over(it));
    }
    if n_held > 0 {
        tracing::error!(cluster = %agent.cluster, n_orphans = n_held, "too many orphans; held");
    }
    if n_orphans > 0 {
        let about = About::Cluster(agent.cluster.clone());
        agent.context.recorder.warning(about, "OrphansFound", || {
            format!("{n_orphans} records of ours have no unit; deleted if the next listing agrees")
        });
    }
}

/// The records of a CRM by their owner.
struct Owners {
    /// Records of this installation.
    n_ours: usize,
    /// Those of them without a unit.
    without_unit: BTreeSet<UnitId>,
    /// Records of others.
    n_others: usize,
    /// The first of the other owners.
    others: BTreeSet<String>,
}

fn owners(agent: &Agent, state: &State, mirror: &Mirror) -> Owners {
    let (without_unit, others) = (BTreeSet::new(), BTreeSet::new());
    let mut found = Owners { n_ours: 0, without_unit, n_others: 0, others };
    for (id, record) in mirror.records() {
        if !is_ours(agent, state, record) {
            found.n_others += 1;
            note_other(&mut found.others, &record.owner);
            continue;
        }
        found.n_ours += 1;
        if !has_unit(agent, state, id) {
            found.without_unit.insert(id.clone());
        }
    }
    found
}

/// Returns `true` if the record is this installation's: by its owner, or, where it was written before
/// installations had ids, since the store has a unit of its id.
pub(super) fn is_ours(agent: &Agent, state: &State, record: &DeploymentRecord) -> bool {
    let identity = &agent.context.identity;
    let of_unit = || {
        let (cluster, deployment) = state.place_of_unit(&record.id)?;
        let entry = state.unit(cluster, deployment).filter(|_| *cluster == agent.cluster)?;
        Some(entry.value.unpack().unit.owner)
    };
    identity.is(&record.owner) || identity.may_adopt(&record.owner, of_unit)
}

/// Notes another owner of records; answers whether it is a new one.
fn note_other(others: &mut BTreeSet<String>, owner: &str) -> bool {
    let owner: String = owner.chars().take(MAX_OWNER_CHARS).collect();
    others.len() < MAX_OTHERS && others.insert(owner)
}

/// By its id alone: which deployment it is of is the CRM's word, and nothing is deleted on that.
fn has_unit(agent: &Agent, state: &State, id: &UnitId) -> bool {
    state.place_of_unit(id).is_some_and(|(cluster, _)| *cluster == agent.cluster)
}

/// Follows the records from a listing that was made at `listed`, until another is due or wanted.
///
/// `next_watch` is when the CRM may be asked for a watch again.
async fn follow(
    agent: &Agent,
    revision: u64,
    listed: Instant,
    next_watch: &mut Instant,
) -> Result<(), ListingError> {
    let can_watch = Instant::now() >= *next_watch && {
        let view = agent.view.lock();
        let features = view.health.as_ref().map(|health| health.features.as_slice());
        features.unwrap_or_default().iter().any(|feature| feature == features::WATCH)
    };
    // The second look at a suspect, and whatever moves where nothing can be watched.
    let soon = listed + LISTING_SPACING * 2;
    let settings = &agent.settings;
    let due = {
        let mirror = agent.mirror.lock();
        let is_back = agent.view.lock().went_back.is_some();
        if (mirror.has_suspects() || is_back) && agent.view.lock().n_held_orphans == 0 {
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
            () = agent.listing_wanted.notified() => Ok(()),
            watched = timeout_at(due, watch(agent, revision, next_watch)) => watched.unwrap_or(Ok(())),
        }
    } else {
        let _ = timeout_at(due, agent.listing_wanted.notified()).await;
        Ok(())
    }
}

/// Takes event after event, until the watch ends.
async fn watch(agent: &Agent, revision: u64, next_watch: &mut Instant) -> Result<(), ListingError> {
    let caller = agent.caller();
    let mut events = match agent.call(agent.crm.watch(&caller, revision)).await {
        Ok(events) => events,
        Err(Failure::Call(error)) => {
            *next_watch = Instant::now() + error.retry_after().unwrap_or_default();
            return Ok(());
        }
        Err(Failure::Parked) => return Ok(()),
    };
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::info!(cluster = %agent.cluster, error = %error, "watch of records ended");
                return Ok(());
            }
        };
        note_owner(agent, &event);
        take_event(agent, event)?;
        written_down(agent).await;
    }
    Ok(())
}

/// Notes the owner of a record that is another's.
fn note_owner(agent: &Agent, event: &RecordEvent) {
    let is_new = event.record.as_ref().is_some_and(|record| {
        let state = agent.context.cache.read();
        !is_ours(agent, &state, record) && note_other(&mut agent.view.lock().others, &record.owner)
    });
    if is_new {
        agent.status_changed();
    }
}

fn take_event(agent: &Agent, event: RecordEvent) -> Result<(), ListingError> {
    let Some(id) = event.record.as_ref().map(|record| record.id.clone()) else { return Ok(()) };
    let is_news = {
        let mut mirror = agent.mirror.lock();
        let before = mirror.shown(&id);
        if mirror.take(event).is_none() {
            return Ok(());
        }
        mirror.check(agent.settings.budget)?;
        mirror.shown(&id) != before
    };
    // By its id: which deployment it is of is the CRM's word.
    let place = is_news.then(|| agent.context.cache.read().place_of_unit(&id).cloned()).flatten();
    if let Some((_, deployment)) = place.filter(|(cluster, _)| *cluster == agent.cluster) {
        agent.units.add(Work::Unit(deployment), Priority::Change);
    }
    agent.records.add(id, Priority::Change);
    Ok(())
}

/// Describes this module's metrics to the recorder.
pub(super) fn describe_metrics() {
    describe_counter!(
        LISTINGS_FAILED,
        "Listings of CRMs that were not taken, by cluster and reason: the call failed, the CRM \
         exceeds its budget, or the listing does not end."
    );
}
