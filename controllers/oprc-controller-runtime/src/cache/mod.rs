//! The watch cache: everything the store holds, as typed objects in ordered maps.
//!
//! Lists the whole prefix once, then watches it. Controllers decide on it and the API answers from
//! it, so that neither costs the store a read per object.
//!
//! Invariants:
//! - the [`State`] is always that of one revision: a transaction is seen whole or not at all;
//! - it never skips a change: after a compaction or a broken stream it resumes at the next revision
//!   or lists again, and says so; and now and then, and where a write met something else, it compares
//!   itself with the store, since a watch may have lost a change;
//! - a stored value that cannot be read is kept apart in [`State::unreadable`], never taken as
//!   absent.
//!
//! It never writes to the store.

mod audit;
pub mod feed;
mod fill;
mod fresh;
mod meters;
mod position;
mod state;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oprc_cp_storage::{Revision, SharedStore, health::WriteHealth};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;

use self::{
    audit::{Doubts, Finding},
    feed::Feed,
    meters::Meters,
    position::Progress,
};
pub use self::{
    fresh::{Freshness, Stale},
    position::Position,
    state::{
        Archive, Candidates, Changed, Criterion, Entry, Intent, PackedVersion, State, StatusCounts,
    },
};

/// Called with each object that changed, after the state shows it. Must be quick and must not
/// block: it runs in the cache's own task. By custom it adds keys to a work queue.
pub type Trigger = Arc<dyn Fn(&Changed, &State) + Send + Sync>;

/// The watch cache. Shared by reference; filled and kept by [`Cache::run`].
pub struct Cache {
    store: SharedStore,
    writes: Arc<WriteHealth>,
    state: RwLock<State>,
    position: Progress,
    feed: Feed,
    /// Revisions of the past that the feed is to begin with, where the store still has them.
    past: u64,
    triggers: Mutex<Vec<(u64, Trigger)>>,
    next_trigger: AtomicU64,
    n_missed: AtomicU64,
    doubts: Doubts,
    meters: Meters,
}

/// The cache did not reach a revision in time.
#[derive(Debug, thiserror::Error)]
#[error("the cache did not reach revision {wanted} within {waited:?}")]
pub struct Behind {
    /// The revision that was waited for.
    pub wanted: Revision,
    /// How long.
    pub waited: Duration,
}

impl Cache {
    /// An empty cache of `store`. [`Cache::run`] fills it.
    #[must_use]
    pub fn new(store: SharedStore) -> Arc<Self> {
        Self::with_past(store, 0)
    }

    /// As [`Cache::new`], with a feed that begins up to `past` revisions ago: as many as the store
    /// still has. So a watch can be resumed at a process that has only just begun.
    #[must_use]
    pub fn with_past(store: SharedStore, past: u64) -> Arc<Self> {
        Self::with_health(store, past, Arc::default())
    }

    /// As [`Cache::with_past`]. While `writes` reports an outage, statuses are stale.
    #[must_use]
    pub fn with_health(store: SharedStore, past: u64, writes: Arc<WriteHealth>) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: RwLock::new(State::measured_by(Arc::clone(&writes))),
            writes,
            position: Progress::default(),
            feed: Feed::new(),
            past,
            triggers: Mutex::new(Vec::new()),
            next_trigger: AtomicU64::new(0),
            n_missed: AtomicU64::new(0),
            doubts: Doubts::default(),
            meters: Meters::new(),
        })
    }

    /// The state. The guard is not [`Send`], so it cannot be held across an `await`; hold it for
    /// as long as a look takes, since the cache cannot take a change in the meantime.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Whether writes to the store succeed.
    #[must_use]
    pub fn writes(&self) -> &Arc<WriteHealth> {
        &self.writes
    }

    /// Where the cache stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position.get()
    }

    /// The last changes, for watches. It is never behind [`Cache::position`].
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Waits until the cache shows `revision` or a later one.
    ///
    /// # Errors
    ///
    /// [`Behind`] after `patience`.
    pub async fn wait_for(&self, revision: Revision, patience: Duration) -> Result<(), Behind> {
        let reached = self.position.until(|at| at.revision >= Some(revision));
        let reached = tokio::time::timeout(patience, reached).await;
        reached.map_err(|_| Behind { wanted: revision, waited: patience })
    }

    /// Waits until the cache was filled.
    pub async fn filled(&self) {
        self.position.until(|at| at.revision.is_some()).await;
    }

    /// Calls `trigger` with each change from now on, until the subscription is dropped (a change
    /// that is being told at that moment aside). After another listing it is called with every
    /// object there is, changed or not.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, trigger: Trigger) -> Subscription {
        let id = self.next_trigger.fetch_add(1, Ordering::Relaxed);
        self.triggers.lock().push((id, trigger));
        Subscription { cache: Arc::clone(self), id }
    }

    /// Fills the cache and keeps it up to date until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => (),
            () = fill::keep(self) => (),
        }
    }

    /// How often it was found not to show what the store holds: each time, a watch lost a change.
    #[must_use]
    pub fn n_missed(&self) -> u64 {
        self.n_missed.load(Ordering::Relaxed)
    }

    /// Looks soon whether it shows these keys as the store has them: a write has found them otherwise.
    /// Mostly somebody else was quicker, and the watch tells; but a change that it lost would be in the
    /// way for ever.
    pub fn doubt(&self, keys: &[String]) {
        self.doubts.add(keys);
    }

    /// Says that something is wrong with it.
    fn tell(&self, finding: &Finding) {
        match finding {
            Finding::Missed(key) => {
                tracing::error!(key, "a change was missed: the watch lost it; listing again");
                self.n_missed.fetch_add(1, Ordering::Relaxed);
                self.meters.missed.increment(1);
            }
            Finding::Unknown(push) => {
                tracing::error!(push = %push, "a push was missed: the watch lost it; listing again");
                self.meters.missed.increment(1);
            }
            Finding::WentBack(revision) => {
                tracing::error!(revision = revision.0, "the store has gone back; listing again");
            }
        }
    }

    fn measure(&self, revision: Revision) {
        self.meters.show(&self.state.read(), revision);
    }

    fn notify(&self, changes: &[Changed]) {
        if changes.is_empty() {
            return;
        }
        let triggers = self.triggers.lock().clone();
        let state = self.state.read();
        for changed in changes {
            for (_, trigger) in &triggers {
                trigger(changed, &state);
            }
        }
    }
}

/// Ends its trigger when dropped.
pub struct Subscription {
    cache: Arc<Cache>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cache.triggers.lock().retain(|(id, _)| *id != self.id);
    }
}

/// Describes the metrics of caches.
pub(crate) fn describe_metrics() {
    meters::describe_metrics();
    feed::describe_metrics();
}
