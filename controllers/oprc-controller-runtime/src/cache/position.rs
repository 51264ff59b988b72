//! How far a cache is, and who waits for it to get further.

use oprc_cp_storage::Revision;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How the cache stands to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The revision that the state shows; `None` until it was first filled.
    pub revision: Option<Revision>,
    /// Whether the watch is running. While it is not, the state may be behind.
    pub is_live: bool,
}

/// The position of one cache.
///
/// Those that wait are woken in the order in which they came, so that a simulation can be repeated:
/// `tokio::sync::watch` wakes its receivers in an order that is drawn, from a generator whose seed
/// cannot be set.
#[derive(Debug, Default)]
pub(super) struct Progress {
    at: Mutex<Position>,
    moved: Notify,
}

impl Progress {
    pub(super) fn get(&self) -> Position {
        *self.at.lock()
    }

    /// Changes the position, and wakes those that wait if it did change.
    pub(super) fn update(&self, change: impl FnOnce(&mut Position)) {
        let has_moved = {
            let mut at = self.at.lock();
            let before = *at;
            change(&mut at);
            *at != before
        };
        if has_moved {
            self.moved.notify_waiters();
        }
    }

    /// Waits until the position is as it `should_be`.
    pub(super) async fn until(&self, should_be: impl Fn(Position) -> bool) {
        loop {
            // Made before the look, it hears of everything that happens after it.
            let moved = self.moved.notified();
            if should_be(self.get()) {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiters_go_on_in_the_order_in_which_they_came() {
        let progress = Arc::new(Progress::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let (progress, order) = (Arc::clone(&progress), Arc::clone(&order));
                tokio::spawn(async move {
                    progress.until(|at| at.revision >= Some(Revision(7))).await;
                    order.lock().push(number);
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        progress.update(|at| at.revision = Some(Revision(6)));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(*order.lock(), Vec::<usize>::new());
        progress.update(|at| at.revision = Some(Revision(7)));
        for waiting in waiting {
            waiting.await.expect("nobody panics");
        }
        assert_eq!(*order.lock(), (0..100).collect::<Vec<_>>());
    }
}
