//! The store's semantics as a state machine: an ordered map, its revisions, a bounded log, leases.
//!
//! No IO, no lock, no clock of its own: `now` is an argument. A transaction takes two steps, so that
//! a durable backend can write between them: [`Pending`] decides what a transaction does and changes
//! nothing; [`Mvcc::publish`] makes it visible. Whoever only wants memory does both at once.
//!
//! Invariants:
//! - revisions grow by one with each transaction that writes, and never otherwise;
//! - `log` holds every transaction after `compacted`, without a gap, and nothing else;
//! - what a reader sees at revision `r` never changes while `r >= compacted`.

mod lease;
mod pending;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use self::lease::Leases;
pub use self::pending::Pending;
use crate::{Change, Error, KeyValue, LeaseId, MAX_PAGE_ITEMS, Page, Revision, WatchBatch};

/// How much of the past is kept for watches and for listings at a revision.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most transactions to remember.
    pub max_log_txns: usize,
    /// The most bytes of keys and values to remember (the newest transaction is always kept).
    pub max_log_bytes: usize,
}

impl Default for Options {
    /// Ten thousand transactions, 16 MiB: many seconds of a busy system, for a watch that
    /// reconnects in the same process, and for the pages of a listing.
    fn default() -> Self {
        Self { max_log_txns: 10_000, max_log_bytes: 16 << 20 }
    }
}

/// A key as it is stored, with the lease that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key, its value and its revisions.
    pub key_value: KeyValue,
    /// The lease under which it was written, if any.
    pub lease: Option<LeaseId>,
}

/// What one transaction did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// What it held before.
    pub before: Option<Item>,
    /// What it holds now.
    pub after: Option<Item>,
}

/// One transaction that wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its revision.
    pub revision: Revision,
    /// Its changes, in the order of its writes.
    pub changes: Vec<KeyChange>,
}

/// A transaction as it is remembered over a restart: what each key that it changed held before,
/// in the order of its writes. What they held afterwards follows from what came later.
///
/// Leased items are left out: whoever held them is gone, and so is what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The transaction's revision.
    pub revision: Revision,
    /// Keys, and what they held.
    pub before: Vec<(String, Option<KeyValue>)>,
}

impl Commit {
    /// What it takes to remember this transaction, roughly.
    fn n_bytes(&self) -> usize {
        let item = |item: &Option<Item>| item.as_ref().map_or(0, |i| i.key_value.value.len());
        let change = |c: &KeyChange| 128 + c.key.len() + item(&c.before) + item(&c.after);
        64 + self.changes.iter().map(change).sum::<usize>()
    }
}

/// The state. See the module.
#[derive(Debug)]
pub struct Mvcc {
    options: Options,
    revision: Revision,
    compacted: Revision,
    items: BTreeMap<String, Item>,
    log: VecDeque<Arc<Commit>>,
    n_log_bytes: usize,
    leases: Leases,
}

impl Mvcc {
    /// An empty store at revision zero.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::restore(options, Revision::default(), [], Vec::new())
    }

    /// A store that was at `revision` and held `key_values`. Of `past`, in the order in which it
    /// happened, what leads up to `revision` without a gap is known, as far as `options` allow.
    #[must_use]
    pub fn restore(
        options: Options,
        revision: Revision,
        key_values: impl IntoIterator<Item = KeyValue>,
        past: Vec<Undo>,
    ) -> Self {
        let unleased = |key_value| Item { key_value, lease: None };
        let item = |key_value: KeyValue| (key_value.key.clone(), unleased(key_value));
        let mut mvcc = Self {
            options,
            revision,
            compacted: revision,
            items: key_values.into_iter().map(item).collect(),
            log: VecDeque::new(),
            n_log_bytes: 0,
            leases: Leases::default(),
        };
        // What each key held after the transaction that is looked at, where that is not what it
        // holds now.
        let mut later: BTreeMap<String, Option<Item>> = BTreeMap::new();
        for undo in past.into_iter().rev() {
            if undo.revision != mvcc.compacted || undo.revision == Revision(0) {
                break;
            }
            let changes = undo.before.into_iter().map(|(key, before)| {
                let before = before.map(unleased);
                let after = match later.insert(key.clone(), before.clone()) {
                    Some(after) => after,
                    None => mvcc.items.get(&key).cloned(),
                };
                KeyChange { key, before, after }
            });
            let commit = Arc::new(Commit { revision: undo.revision, changes: changes.collect() });
            mvcc.n_log_bytes += commit.n_bytes();
            mvcc.log.push_front(commit);
            mvcc.compacted = Revision(undo.revision.0 - 1);
        }
        mvcc.trim();
        mvcc
    }

    /// The revision of the newest transaction.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be listed; a watch can start after it.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The key as it is now.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.items.get(key)
    }

    /// A page, with the meaning of [`crate::Store::list`].
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] when `at` is older than the log, or newer than the newest transaction:
    /// either way the caller's idea of the store is not this store's, and it must list again.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let revision = at.unwrap_or(self.revision);
        if revision < self.compacted || revision > self.revision {
            return Err(Error::Compacted { asked: revision });
        }
        let limit = limit.clamp(1, MAX_PAGE_ITEMS);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let undone = self.undo_after(revision, prefix);
        let current =
            self.items.range::<str, _>((start, Bound::Unbounded)).map(|(k, v)| (k.as_str(), v));
        let undone = undone.range::<str, _>((start, Bound::Unbounded)).map(|(k, v)| (*k, *v));
        let mut found = overlay(current, undone)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, item)| item.key_value.clone());
        let items: Vec<KeyValue> = found.by_ref().take(limit).collect();
        let has_more = found.next().is_some();
        Ok(Page { items, revision, has_more })
    }

    /// For each key under `prefix` that changed after `revision`: what it held at `revision`.
    fn undo_after(&self, revision: Revision, prefix: &str) -> BTreeMap<&str, Option<&Item>> {
        let mut undone = BTreeMap::new();
        for commit in self.log.iter().rev().take_while(|commit| commit.revision > revision) {
            for change in commit.changes.iter().filter(|change| change.key.starts_with(prefix)) {
                undone.insert(change.key.as_str(), change.before.as_ref());
            }
        }
        undone
    }

    /// The changes under `prefix` of the transactions from `from` on, of at most `max_txns`
    /// transactions; `None` when there is none of them yet.
    ///
    /// The batch is empty, a bookmark, when those transactions touched nothing under `prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] when `from` is no longer in the log, or lies further in the future than
    /// the next transaction.
    pub fn changes(
        &self,
        prefix: &str,
        from: Revision,
        max_txns: usize,
    ) -> Result<Option<WatchBatch>, Error> {
        if from <= self.compacted || from > self.revision.next() {
            return Err(Error::Compacted { asked: from });
        }
        // The log has no gap, so the place of a revision is its distance from the start.
        let n_skipped = usize::try_from(from.0 - self.compacted.0 - 1).unwrap_or(usize::MAX);
        let mut batch = None;
        for commit in self.log.iter().skip(n_skipped).take(max_txns.max(1)) {
            let batch = batch.get_or_insert_with(WatchBatch::default);
            batch.revision = commit.revision;
            let changes = commit.changes.iter().filter(|change| change.key.starts_with(prefix));
            batch.changes.extend(changes.map(|change| match &change.after {
                Some(item) => Change::Put(item.key_value.clone()),
                None => Change::Delete { key: change.key.clone(), revision: commit.revision },
            }));
        }
        Ok(batch)
    }

    /// Forgets what was before `revision` (capped at the newest).
    pub fn compact(&mut self, revision: Revision) {
        let revision = revision.min(self.revision);
        while self.compacted < revision {
            self.forget_oldest();
        }
    }

    /// Makes the transactions of `pending` visible, in order.
    ///
    /// `pending` must have been decided on this state: between its first decision and this call
    /// nothing else may have been published.
    pub fn publish(&mut self, pending: Pending) {
        let (commits, ended) = pending.into_parts();
        for commit in commits {
            assert!(commit.revision == self.revision.next(), "published on another state");
            self.revision = commit.revision;
            for change in &commit.changes {
                self.leases.note(change);
                match &change.after {
                    Some(item) => self.items.insert(change.key.clone(), item.clone()),
                    None => self.items.remove(&change.key),
                };
            }
            self.n_log_bytes += commit.n_bytes();
            self.log.push_back(commit);
        }
        self.leases.remove(&ended);
        self.trim();
    }

    fn trim(&mut self) {
        let Options { max_log_txns, max_log_bytes } = self.options;
        while self.log.len() > max_log_txns.max(1)
            || (self.n_log_bytes > max_log_bytes && self.log.len() > 1)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        match self.log.pop_front() {
            Some(commit) => {
                self.n_log_bytes -= commit.n_bytes();
                self.compacted = commit.revision;
            }
            None => self.compacted = self.revision,
        }
    }
}

/// Two ordered runs as one; where both have a key the second says what it holds, if anything.
fn overlay<'a>(
    base: impl Iterator<Item = (&'a str, &'a Item)>,
    over: impl Iterator<Item = (&'a str, Option<&'a Item>)>,
) -> impl Iterator<Item = (&'a str, &'a Item)> {
    let mut base = base.peekable();
    let mut over = over.peekable();
    std::iter::from_fn(move || {
        loop {
            match (base.peek(), over.peek()) {
                (Some((key, _)), Some((changed, _))) if key < changed => return base.next(),
                (Some(_), None) => return base.next(),
                (None, None) => return None,
                (on_both, Some((changed, item))) => {
                    let (changed, item) = (*changed, *item);
                    if on_both.is_some_and(|(key, _)| *key == changed) {
                        base.next();
                    }
                    over.next();
                    if let Some(item) = item {
                        return Some((changed, item));
                    }
                }
            }
        }
    })
}
