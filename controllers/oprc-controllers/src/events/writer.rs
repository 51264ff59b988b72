//! Writes buffered events down.

use std::{collections::BTreeMap, time::Duration};

use metrics::counter;
use oprc_cp_storage::{Error as StoreError, LeaseId, Op, Txn, Write, keys::Key, typed};
use oprc_models::event::{About, Event, StoredEvents};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{DROPPED, Recorder, Shared, cap::Trimmer};
use crate::context::{Context, as_it_was};

/// Between two writes.
const PACE: Duration = Duration::from_secs(1);

/// How long an event is kept after it last happened.
const KEPT: Duration = Duration::from_secs(3600);

/// How long keys are put under the same lease. Many objects share one, so that leases are few.
const LEASE_SHARED: Duration = Duration::from_secs(600);

/// What a lease lives: what was put under it last is kept for as long as it should be.
const LEASE_TTL_SECS: u32 = 4200;

/// The lease that keys are put under now.
struct Lease {
    id: LeaseId,
    since: Instant,
}

impl Recorder {
    /// Writes what is noted, until `stop`.
    pub(crate) async fn keep(&self, context: &Context, stop: CancellationToken) {
        let Some(shared) = &self.shared else { return stop.cancelled().await };
        tokio::select! {
            biased;
            () = stop.cancelled() => (),
            never = write_all(shared, context) => match never {},
        }
    }
}

async fn write_all(shared: &Shared, context: &Context) -> std::convert::Infallible {
    let mut lease = None;
    let mut trimmer = Trimmer::default();
    loop {
        shared.filled.notified().await;
        // Meanwhile more comes together.
        sleep(PACE).await;
        let taken = std::mem::take(&mut *shared.buffer.lock());
        let mut n_written = 0;
        let mut taken = taken.into_iter().peekable();
        while taken.peek().is_some() {
            let chunk: BTreeMap<_, _> = taken.by_ref().take(context.max_writes()).collect();
            if let Err(error) =
                write(context, &mut lease, &chunk).await.inspect(|()| n_written += chunk.len())
            {
                tracing::debug!(error = %error, "events were not written");
                // Tried again with what comes next, if it may be better then.
                match error {
                    StoreError::Conflict { .. }
                    | StoreError::LeaseGone(_)
                    | StoreError::Unavailable { .. }
                    | StoreError::Unauthorized { .. } => give_back(shared, chunk),
                    StoreError::MaybeDone { .. }
                    | StoreError::Compacted { .. }
                    | StoreError::Full { .. }
                    | StoreError::Refused { .. } => {
                        counter!(DROPPED).increment(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                    }
                }
            }
        }
        if let Err(error) = trimmer.written(context, n_written).await {
            tracing::debug!(error = %error, "events were not trimmed");
        }
    }
}

fn give_back(shared: &Shared, chunk: BTreeMap<About, StoredEvents>) {
    for (about, events) in chunk {
        shared.add(about, events.events);
    }
}

/// Writes one transaction.
async fn write(
    context: &Context,
    lease: &mut Option<Lease>,
    chunk: &BTreeMap<About, StoredEvents>,
) -> Result<(), StoreError> {
    let id = match lease.take_if(|lease| lease.since.elapsed() < LEASE_SHARED) {
        Some(held) => lease.insert(held).id,
        None => {
            let id = context.store.grant_lease(LEASE_TTL_SECS).await?;
            lease.insert(Lease { id, since: Instant::now() }).id
        }
    };
    let writes = merged(context, id, chunk);
    let txn = Txn { checks: vec![context.term.fence()], writes };
    let revision = context.store.txn(txn).await.inspect_err(|error| {
        context.doubt(error);
        if matches!(error, StoreError::LeaseGone(_)) {
            *lease = None;
        }
    })?;
    // So that the next write is decided on this one. Late, it fails and is tried again.
    let _ = context.cache.wait_for(revision, PACE).await;
    Ok(())
}

/// What is stored of each object, with what is new.
fn merged(context: &Context, lease: LeaseId, chunk: &BTreeMap<About, StoredEvents>) -> Vec<Write> {
    let state = context.cache.read();
    let writes = chunk.iter().filter_map(|(about, new)| {
        let key = Key::Events(about.clone());
        if state.unreadable.contains_key(&key) {
            return None;
        }
        let stored = state.events.get(about);
        let mut all = stored.map(|entry| (*entry.value).clone()).unwrap_or_default();
        // Registrations come and go rarely: events of clusters are of the present one.
        let uid = match about {
            About::Cluster(name) => state.clusters.get(name).map(|it| it.value.meta.uid.clone()),
            About::Package(_) | About::Deployment(_) => None,
        };
        for event in &new.events {
            let uid = event.uid.clone().or_else(|| uid.clone());
            all.add(Event { uid, ..event.clone() });
        }
        if let Ok(then) = (context.now)().checked_sub(KEPT) {
            all.forget_before(then);
        }
        let value = typed::encode(&key, &all).ok()?;
        let precondition = as_it_was(stored.map(|entry| entry.revision));
        Some(Write { key: key.to_string(), precondition, op: Op::PutLeased(value, lease) })
    });
    writes.collect()
}
