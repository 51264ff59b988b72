//! The line that waiting keys stand in: by priority, then by the time they are due at, then by the
//! order in which they came.
//!
//! It knows nothing of keys but that they stand in it; [`WorkQueue`](super::WorkQueue) sees to it
//! that each does so once.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Priority, Wish};

/// The most changes that go before a resync that is due: it gets at least one turn in sixteen.
pub(super) const MAX_PASSED_OVER: u32 = 15;

#[derive(Debug)]
pub(super) struct Line<K> {
    changes: BTreeMap<(Instant, u64), K>,
    resyncs: BTreeMap<(Instant, u64), K>,
    /// How many changes in a row went before a resync that was due.
    n_passed_over: u32,
    next_ticket: u64,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self {
            changes: BTreeMap::new(),
            resyncs: BTreeMap::new(),
            n_passed_over: 0,
            next_ticket: 0,
        }
    }
}

impl<K> Line<K> {
    /// A number that nobody had before: among keys due at the same moment the lower goes first.
    pub(super) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub(super) fn join(&mut self, wish: Wish, ticket: u64, key: K) {
        self.queue_mut(wish.priority).insert((wish.due, ticket), key);
    }

    pub(super) fn leave(&mut self, wish: Wish, ticket: u64) {
        self.queue_mut(wish.priority).remove(&(wish.due, ticket));
    }

    /// Takes out the key whose turn it is, with the time it was due at.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(K, Instant)> {
        let is_due = |queue: &BTreeMap<(Instant, u64), K>| {
            queue.first_key_value().is_some_and(|((due, _), _)| *due <= now)
        };
        let priority = match (is_due(&self.changes), is_due(&self.resyncs)) {
            (false, false) => return None,
            (true, true) if self.n_passed_over < MAX_PASSED_OVER => {
                self.n_passed_over += 1;
                Priority::Change
            }
            (true, false) => Priority::Change,
            (_, true) => {
                self.n_passed_over = 0;
                Priority::Resync
            }
        };
        let ((due, _), key) = self.queue_mut(priority).pop_first()?;
        Some((key, due))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = |queue: &BTreeMap<(Instant, u64), K>| Some(queue.first_key_value()?.0.0);
        first(&self.changes).into_iter().chain(first(&self.resyncs)).min()
    }

    pub(super) fn n_due(&self, now: Instant) -> usize {
        let n_due = |queue: &BTreeMap<_, K>| queue.range(..=(now, u64::MAX)).count();
        n_due(&self.changes) + n_due(&self.resyncs)
    }

    fn queue_mut(&mut self, priority: Priority) -> &mut BTreeMap<(Instant, u64), K> {
        match priority {
            Priority::Change => &mut self.changes,
            Priority::Resync => &mut self.resyncs,
        }
    }
}
