//! The work queue: which key to reconcile next.
//!
//! A state machine without I/O or a clock of its own: `now` is an argument, so tests need no sleep,
//! and the jitter's seed is one, so a run can be repeated.
//!
//! Invariants:
//! - a key is worked on by at most one worker at a time;
//! - a key added while being worked on is worked on again afterwards (no lost update);
//! - a key waits in the queue at most once, at the earliest time and the highest priority asked
//!   for;
//! - a key that was given back with [`Outcome::RetryAfter`] is not handed out before that time,
//!   whoever adds it.
//!
//! So its size is bounded by the number of distinct keys, whatever is added how often. It remembers
//! a key only while the key waits or is worked on: a failure count cannot leak, because a key that
//! failed always waits for its next try.
//!
//! The semantics are client-go's `workqueue` with its delaying and rate limiting layers, and the
//! priorities of controller-runtime. One structure does for all of them: keys wait in order of the
//! time they are due at, and those due now are "ready".

mod line;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

use self::line::Line;
use crate::backoff::Backoff;

/// The longest time that a key is put off, whoever asks for more.
///
/// Nothing here needs longer, and adding it to an instant cannot overflow.
pub const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest `RetryAfter` that is obeyed: who asks for more is asked again after this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// At the least between two tries that are made although everything fails, on average.
pub const SPACING: Duration = Duration::from_millis(1);

/// Who goes first among the keys that are due.
///
/// A resync that is due gets at least one turn in sixteen: it is slowed, not starved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Nothing is known to have changed: the first listing, a relisting, the periodic second look.
    Resync,
    /// Something changed.
    Change,
}

/// How a piece of work ended, and so when its key is due again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded: forget the failures and wait for the next add.
    Settled,
    /// It succeeded: forget the failures and look again after this time, as a resync.
    After(Duration),
    /// It failed: back off and try again, at the priority it had.
    Retry,
    /// It failed for what is not the key's fault and ends for all keys at once: back off, but for
    /// no longer than this, unless so many wait that they would come back faster than one a
    /// [`SPACING`]. Failures past that wait are not counted: the key's own back-off is not used up.
    RetryWithin(Duration),
    /// It failed, and was told not to come back sooner than this: the back-off is added to it, so
    /// that those who were told the same do not come back together. Adding the key can take the
    /// back-off away, and not this.
    RetryAfter(Duration),
}

/// A key handed out to be worked on, until [`WorkQueue::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<K> {
    /// The key.
    pub key: K,
    /// How long it was due before it was handed out.
    pub waited: Duration,
    /// How often it has failed in a row.
    pub failures: u32,
}

/// What there is to tell of a key that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How long it was worked on.
    pub worked: Duration,
    /// How long it waits now, unless it is added before; `None`: until it is added.
    pub waits: Option<Duration>,
}

/// The work queue. See the [module](self).
#[derive(Debug)]
pub struct WorkQueue<K> {
    line: Line<K>,
    /// Only ever looked up, so its order decides nothing. A B-tree took twice to four times as long.
    waiting: HashMap<K, Waiting>,
    active: BTreeMap<K, Active>,
    backoff: Backoff,
    rng: fastrand::Rng,
    is_closed: bool,
}

/// When and how urgently a key is to be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    priority: Priority,
    due: Instant,
}

impl Wish {
    /// What satisfies both.
    fn and(self, other: Self) -> Self {
        Self { priority: self.priority.max(other.priority), due: self.due.min(other.due) }
    }

    /// The same, but not before `earliest`.
    fn not_before(self, earliest: Option<Instant>) -> Self {
        Self { due: earliest.map_or(self.due, |earliest| self.due.max(earliest)), ..self }
    }
}

#[derive(Debug)]
struct Waiting {
    wish: Wish,
    /// The key's own number in the line.
    ticket: u64,
    failures: u32,
    /// It is not due before this, whoever adds it.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Active {
    priority: Priority,
    since: Instant,
    failures: u32,
    /// What was asked for while it was worked on: client-go's "dirty" mark.
    again: Option<Wish>,
}

impl<K: Ord + Hash + Clone> WorkQueue<K> {
    /// An empty queue; `seed` is that of the jitter.
    #[must_use]
    pub fn new(backoff: Backoff, seed: u64) -> Self {
        Self {
            line: Line::default(),
            waiting: HashMap::new(),
            active: BTreeMap::new(),
            backoff,
            rng: fastrand::Rng::with_seed(seed),
            is_closed: false,
        }
    }

    /// Asks for `key` to be worked on now, or again if it is being worked on.
    pub fn add(&mut self, key: K, priority: Priority, now: Instant) {
        self.add_after(key, priority, Duration::ZERO, now);
    }

    /// Asks for `key` to be worked on in `delay`, at most [`MAX_DELAY`].
    ///
    /// This never puts off a key that is due sooner, and it brings forward one that waits longer,
    /// be it for its back-off: what was added may be what heals it.
    pub fn add_after(&mut self, key: K, priority: Priority, delay: Duration, now: Instant) {
        if self.is_closed {
            return;
        }
        let wish = Wish { priority, due: now + delay.min(MAX_DELAY) };
        match self.active.get_mut(&key) {
            Some(active) => {
                active.again = Some(active.again.map_or(wish, |earlier| earlier.and(wish)));
            }
            None => self.enqueue(key, wish, 0, None),
        }
    }

    /// Asks for `key` to be worked on now, unless it waits or is being worked on already.
    ///
    /// For a look without news: it brings no key forward that waits, be it for its back-off.
    pub fn offer(&mut self, key: K, priority: Priority, now: Instant) {
        if !self.waiting.contains_key(&key) && !self.active.contains_key(&key) {
            self.add(key, priority, now);
        }
    }

    /// Hands out the next key that is due, if any.
    pub fn pop(&mut self, now: Instant) -> Option<Job<K>> {
        let (key, due) = self.line.pop(now)?;
        let (kept, waiting) =
            self.waiting.remove_entry(&key).expect("what stands in line is waiting");
        let active = Active {
            priority: waiting.wish.priority,
            since: now,
            failures: waiting.failures,
            again: None,
        };
        self.active.insert(kept, active);
        Some(Job { key, waited: now.duration_since(due), failures: waiting.failures })
    }

    /// Takes back a key that [`pop`](Self::pop) handed out; answers how long it was worked on, and
    /// how long it waits now.
    ///
    /// # Panics
    ///
    /// When `key` was not handed out: two workers would have had it.
    pub fn done(&mut self, key: &K, outcome: Outcome, now: Instant) -> Done {
        let (key, active) =
            self.active.remove_entry(key).expect("done() is for a key that pop() handed out");
        let worked = now.duration_since(active.since);
        if self.is_closed {
            return Done { worked, waits: None };
        }
        let failures = match outcome {
            Outcome::Settled | Outcome::After(_) => 0,
            Outcome::RetryWithin(most) if self.backoff.ceiling(active.failures) >= most => {
                active.failures
            }
            Outcome::Retry | Outcome::RetryWithin(_) | Outcome::RetryAfter(_) => {
                active.failures.saturating_add(1)
            }
        };
        let next = self.delay(outcome, failures).map(|delay| {
            let priority = match outcome {
                Outcome::Settled | Outcome::After(_) => Priority::Resync,
                Outcome::Retry | Outcome::RetryWithin(_) | Outcome::RetryAfter(_) => {
                    active.priority
                }
            };
            Wish { priority, due: now + delay.min(MAX_DELAY) }
        });
        let not_before = match outcome {
            Outcome::RetryAfter(at_least) => Some(now + at_least.min(MAX_RETRY_AFTER)),
            Outcome::Settled | Outcome::After(_) | Outcome::Retry | Outcome::RetryWithin(_) => None,
        };
        let mut waits = None;
        for wish in active.again.into_iter().chain(next) {
            let wish = wish.not_before(not_before);
            let left = wish.due.saturating_duration_since(now);
            waits = Some(waits.map_or(left, |waits: Duration| waits.min(left)));
            self.enqueue(key.clone(), wish, failures, not_before);
        }
        Done { worked, waits }
    }

    /// When the next key is due: not after now if a `pop` would yield one, `None` when none waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.line.next_due()
    }

    /// The number of keys that wait, due or not; those being worked on do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no key waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of keys that are due.
    #[must_use]
    pub fn n_due(&self, now: Instant) -> usize {
        self.line.n_due(now)
    }

    /// How long each key that is being worked on has been so, in key order.
    pub fn running(&self, now: Instant) -> impl Iterator<Item = (&K, Duration)> {
        self.active.iter().map(move |(key, active)| (key, now.duration_since(active.since)))
    }

    /// Forgets what waits, and ignores what is added from now on.
    ///
    /// Nothing is lost by it: whoever works next starts from the whole state. Keys being worked on
    /// are still to be given back.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
        self.line = Line::default();
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How long a key with this outcome and so many failures in a row waits; `None`: until added.
    fn delay(&mut self, outcome: Outcome, failures: u32) -> Option<Duration> {
        match outcome {
            Outcome::Settled => None,
            Outcome::After(delay) => Some(delay),
            Outcome::Retry => Some(self.backoff.delay(failures, &mut self.rng)),
            Outcome::RetryWithin(most) => {
                let n_waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
                let spaced = SPACING.saturating_mul(n_waiting).max(most).min(self.backoff.cap);
                let ceiling = self.backoff.ceiling(failures);
                let ceiling = if ceiling < most { ceiling } else { spaced };
                Some(ceiling.mul_f64(self.rng.f64()))
            }
            Outcome::RetryAfter(at_least) => {
                Some(at_least.min(MAX_RETRY_AFTER) + self.backoff.delay(failures, &mut self.rng))
            }
        }
    }

    /// Lets `key` wait for `wish`, or for that and what it waits for already.
    fn enqueue(&mut self, key: K, wish: Wish, failures: u32, not_before: Option<Instant>) {
        match self.waiting.entry(key) {
            Entry::Vacant(entry) => {
                let ticket = self.line.ticket();
                self.line.join(wish, ticket, entry.key().clone());
                entry.insert(Waiting { wish, ticket, failures, not_before });
            }
            Entry::Occupied(mut entry) => {
                let Waiting { wish: waited_for, ticket, not_before, .. } = *entry.get();
                let both = waited_for.and(wish.not_before(not_before));
                if both != waited_for {
                    self.line.leave(waited_for, ticket);
                    self.line.join(both, ticket, entry.key().clone());
                    entry.get_mut().wish = both;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
