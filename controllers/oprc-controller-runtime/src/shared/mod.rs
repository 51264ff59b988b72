//! A work queue shared between those who add keys and the loop that works on them.
//!
//! Adding is synchronous and short, so that a trigger may do it from anywhere. The order and the
//! times are the [`WorkQueue`]'s; this adds a lock, a bell, the clock and the metrics.
//!
//! A queue serves one term: it is closed when its controller's loop ends, and a closed queue ignores
//! what is added. So the queues of a standby are empty whatever its triggers do.

mod meters;

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::meters::Meters;
pub(crate) use self::meters::{describe_metrics, labels};
use crate::{
    backoff::Backoff,
    queue::{Done, Job, Outcome, Priority, WorkQueue},
};

/// How long due work may wait while nothing is finished, until the queue counts as stalled.
///
/// Twice the default deadline of a reconcile: a queue all of whose workers hang until their deadline
/// still finishes something within that time.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);

/// What a queue may hold: an object's name, usually. Cheap to clone; `Display` for the logs.
pub trait Key: Ord + Hash + Clone + fmt::Debug + fmt::Display + Send + Sync + 'static {}

impl<T: Ord + Hash + Clone + fmt::Debug + fmt::Display + Send + Sync + 'static> Key for T {}

/// Which queue it is, in logs and metrics: a controller, and the cluster if there is one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The controller, for example `deployment`.
    pub controller: &'static str,
    /// The cluster that the queue is for; empty when it is for all.
    pub cluster: String,
}

impl Name {
    /// The name of the only queue of `controller`.
    #[must_use]
    pub const fn new(controller: &'static str) -> Self {
        Self { controller, cluster: String::new() }
    }

    /// The name of the queue that `controller` has for `cluster`.
    #[must_use]
    pub fn of_cluster(controller: &'static str, cluster: impl Into<String>) -> Self {
        Self { controller, cluster: cluster.into() }
    }
}

/// A shared work queue. Clones are the same queue.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    name: Name,
    state: Mutex<State<K>>,
    /// Rung when there may be due work earlier than was thought.
    bell: Notify,
    meters: Meters,
}

struct State<K> {
    work: WorkQueue<K>,
    /// When a key was last given back; the queue's beginning before that.
    last_finished: Instant,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.shared.name).finish()
    }
}

impl<K: Key> Queue<K> {
    /// An empty queue; `seed` is that of the back-off's jitter.
    #[must_use]
    pub fn new(name: Name, backoff: Backoff, seed: u64) -> Self {
        let meters = Meters::new(&name);
        let work = WorkQueue::new(backoff, seed);
        let state = Mutex::new(State { work, last_finished: Instant::now() });
        Self { shared: Arc::new(Shared { name, state, bell: Notify::new(), meters }) }
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// Asks for `key` to be worked on. Never blocks for longer than it takes to insert a key.
    pub fn add(&self, key: K, priority: Priority) {
        self.add_after(key, priority, Duration::ZERO);
    }

    /// Asks for `key` to be worked on, unless it waits or is being worked on, as
    /// [`WorkQueue::offer`] does.
    pub fn offer(&self, key: K, priority: Priority) {
        let now = Instant::now();
        self.shared.state.lock().work.offer(key, priority, now);
        self.shared.meters.adds.increment(1);
        self.shared.bell.notify_one();
    }

    /// Asks for `key` to be worked on in `delay`, as [`WorkQueue::add_after`] does.
    pub fn add_after(&self, key: K, priority: Priority, delay: Duration) {
        let now = Instant::now();
        self.shared.state.lock().work.add_after(key, priority, delay, now);
        self.shared.meters.adds.increment(1);
        self.shared.bell.notify_one();
    }

    /// The next key, once one is due; `None` when the queue is closed.
    ///
    /// Cancel safe: a key is handed out only when this returns it.
    pub async fn next(&self) -> Option<Job<K>> {
        loop {
            let next_due = {
                let mut state = self.shared.state.lock();
                if let Some(job) = state.work.pop(Instant::now()) {
                    self.shared.meters.latency.record(job.waited.as_secs_f64());
                    return Some(job);
                }
                if state.work.is_closed() {
                    // The bell wakes one: it wakes the next.
                    self.shared.bell.notify_one();
                    return None;
                }
                state.work.next_due()
            };
            let due = async {
                match next_due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.shared.bell.notified() => (),
                () = due => (),
            }
        }
    }

    /// Gives back a key that [`next`](Self::next) handed out.
    ///
    /// # Panics
    ///
    /// When it was not handed out.
    pub fn done(&self, key: &K, outcome: Outcome) -> Option<Duration> {
        let now = Instant::now();
        let Done { worked, waits } = {
            let mut state = self.shared.state.lock();
            state.last_finished = now;
            state.work.done(key, outcome, now)
        };
        self.shared.meters.work.record(worked.as_secs_f64());
        if matches!(outcome, Outcome::Retry | Outcome::RetryWithin(_) | Outcome::RetryAfter(_)) {
            self.shared.meters.retries.increment(1);
        }
        self.shared.bell.notify_one();
        waits
    }

    /// Whether work is due while nothing has been finished for [`STALLED_AFTER`].
    ///
    /// What is put off is not due, so neither a quiet queue nor one that waits for a dead cluster is
    /// stalled.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        let state = self.shared.state.lock();
        state.work.next_due().is_some_and(|due| {
            let stuck_since = due.max(state.last_finished);
            now.checked_duration_since(stuck_since).is_some_and(|stuck| stuck >= STALLED_AFTER)
        })
    }

    /// The number of keys that wait, due or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().work.len()
    }

    /// Whether no key waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what waits, and ignores what is added from now on.
    pub fn close(&self) {
        self.shared.state.lock().work.close();
        self.shared.bell.notify_one();
        self.observe();
    }

    /// Sets the gauges. The controller's loop does so every second.
    pub fn observe(&self) {
        let now = Instant::now();
        let is_stalled = self.is_stalled(now);
        let state = self.shared.state.lock();
        let running = || state.work.running(now).map(|(_, running)| running);
        let meters = &self.shared.meters;
        meters.due.set(count(state.work.n_due(now)));
        meters.waiting.set(count(state.work.len()));
        meters.unfinished.set(running().sum::<Duration>().as_secs_f64());
        meters.longest.set(running().max().unwrap_or_default().as_secs_f64());
        meters.idle.set((now - state.last_finished).as_secs_f64());
        meters.stalled.set(if is_stalled { 1.0 } else { 0.0 });
    }
}

/// A gauge's value: more than 4 billion of anything are shown as that many.
fn count(n: usize) -> f64 {
    u32::try_from(n).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests;
