//! Where the controllers' queues come from, and the watchdog over them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use oprc_controller_runtime::{
    backoff::Backoff,
    shared::{Key, Name, Queue},
};
use parking_lot::Mutex;
use tokio::time::Instant;

type IsStalled = Box<dyn Fn(Instant) -> bool + Send + Sync>;

/// Watches the queues of a term: one that holds due work while nothing is finished for a minute
/// has stopped, and a control plane that has stopped must not look green.
#[derive(Clone, Default)]
pub struct Watchdog {
    queues: Arc<Mutex<Vec<(Name, IsStalled)>>>,
}

impl Watchdog {
    /// The queues that have stopped, by controller and cluster.
    #[must_use]
    pub fn stalled(&self) -> Vec<String> {
        let now = Instant::now();
        let queues = self.queues.lock();
        let stalled = queues.iter().filter(|(_, is_stalled)| is_stalled(now));
        stalled
            .map(|(name, _)| {
                if name.cluster.is_empty() {
                    format!("queue {} has stopped", name.controller)
                } else {
                    format!("queue {} of {} has stopped", name.controller, name.cluster)
                }
            })
            .collect()
    }

    fn watch<K: Key>(&self, queue: &Queue<K>) {
        let (name, queue) = (queue.name().clone(), queue.clone());
        let mut queues = self.queues.lock();
        // An agent that is started anew brings a new queue of the same name.
        queues.retain(|(other, _)| *other != name);
        queues.push((name, Box::new(move |now| queue.is_stalled(now))));
    }

    pub(crate) fn clear(&self) {
        self.queues.lock().clear();
    }
}

/// Makes queues that the watchdog knows, each with a jitter of its own.
#[derive(Clone)]
pub(crate) struct QueueFactory {
    backoff: Backoff,
    watchdog: Watchdog,
    seed: Arc<AtomicU64>,
}

impl QueueFactory {
    pub(crate) fn new(backoff: Backoff, watchdog: Watchdog, seed: u64) -> Self {
        Self { backoff, watchdog, seed: Arc::new(AtomicU64::new(seed)) }
    }

    pub(crate) fn queue<K: Key>(&self, name: Name) -> Queue<K> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(name, self.backoff, seed);
        self.watchdog.watch(&queue);
        queue
    }
}
