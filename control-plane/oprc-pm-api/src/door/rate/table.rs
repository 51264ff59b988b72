//! Token buckets by caller, in bounded memory. A state machine: `now` is an argument.
//!
//! A bucket is the moment at which it will be full again (the generic cell rate algorithm): one
//! number, and no timer that fills it.
//!
//! The table has two halves. A caller is looked up in the young one, and moved there from the old
//! one; when the young one is full it becomes the old one, and what was old is forgotten. So those
//! who ask often stay, and a flood of callers who ask once pushes out such as have been silent.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

use super::Rate;

/// A bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
    /// Its last answer was a refusal.
    is_refusing: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Go,
    /// It is refused.
    Wait {
        /// Until there is a token.
        wait: Duration,
        /// The one before was not refused.
        is_first: bool,
    },
}

/// The buckets.
pub(super) struct Table<K> {
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
    half: usize,
}

impl<K: Clone + Eq + Hash> Table<K> {
    /// A table of at most `max` buckets.
    pub(super) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    /// Takes a token out of the bucket of `key`.
    pub(super) fn take(&mut self, key: &K, rate: Rate, now: Instant) -> Verdict {
        self.bucket(key, now).take(rate, now)
    }

    fn bucket(&mut self, key: &K, now: Instant) -> &mut Bucket {
        if !self.young.contains_key(key) {
            let known = self.old.remove(key);
            if self.young.len() >= self.half {
                self.old = std::mem::take(&mut self.young);
            }
            let bucket = known.unwrap_or(Bucket { full_at: now, is_refusing: false });
            self.young.insert(key.clone(), bucket);
        }
        self.young.get_mut(key).unwrap_or_else(|| unreachable!("it was there or was put there"))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Instant) -> Verdict {
        let interval = Duration::from_secs(1) / rate.per_sec.max(1);
        let depth = interval.saturating_mul(rate.burst.max(1));
        let missing = self.full_at.saturating_duration_since(now).saturating_add(interval);
        if missing <= depth {
            self.full_at = now + missing;
            self.is_refusing = false;
            return Verdict::Go;
        }
        let is_first = !std::mem::replace(&mut self.is_refusing, true);
        Verdict::Wait { wait: missing - depth, is_first }
    }
}
