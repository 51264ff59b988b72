//! Which tombstones there are, oldest first, so that there are never more than a bound.
//!
//! Why a number and not an age: an age needs a wall clock to be right, over years and restarts.

use std::collections::{BTreeMap, BTreeSet};

use oprc_cp_storage::{MAX_TXN_OPS, Precondition, Revision, Txn};

use crate::layout;

#[cfg(test)]
mod tests;

/// The most ids whose deletion is remembered.
pub(crate) const MAX_TOMBSTONES: usize = 100_000;

/// Tombstones by age.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    by_age: BTreeSet<(Revision, String)>,
    by_key: BTreeMap<String, Revision>,
}

impl Tombstones {
    /// The tombstone under `key` was written at `revision`.
    pub(crate) fn put(&mut self, key: &str, revision: Revision) {
        self.remove(key);
        self.by_age.insert((revision, key.to_owned()));
        self.by_key.insert(key.to_owned(), revision);
    }

    /// The tombstone under `key` is gone.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(revision) = self.by_key.remove(key) {
            self.by_age.remove(&(revision, key.to_owned()));
        }
    }

    /// The transaction that removes the oldest, once there are enough over `max` for a full one.
    pub(crate) fn prune(&self, max: usize) -> Option<Txn> {
        if self.by_age.len() < max.saturating_add(MAX_TXN_OPS) {
            return None;
        }
        let oldest = self.by_age.iter().take(MAX_TXN_OPS);
        let writes = oldest.map(|(at, key)| layout::delete(key.clone(), Precondition::At(*at)));
        Some(Txn { checks: Vec::new(), writes: writes.collect() })
    }
}
