//! Which transactions can share one: pure, so that the rules can be tested without a store.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Check, Precondition, Txn, limits};

/// The keys that transactions write and check.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    written: BTreeSet<String>,
    /// `None` when several different things are checked of the key.
    checked: BTreeMap<String, Option<Precondition>>,
}

impl Footprint {
    /// Whether `txn` neither writes what is here nor checks what is written here, so that the two
    /// do not depend on their order. Two may check the same of a key (a fence), not different things.
    pub(super) fn is_apart_from(&self, txn: &Txn) -> bool {
        let writes_apart = txn.writes.iter().all(|write| {
            !self.written.contains(&write.key) && !self.checked.contains_key(&write.key)
        });
        writes_apart
            && txn.checks.iter().all(|check| {
                let same = |checked: &Option<Precondition>| *checked == Some(check.precondition);
                !self.written.contains(&check.key) && self.checked.get(&check.key).is_none_or(same)
            })
    }

    pub(super) fn add(&mut self, txn: &Txn) {
        self.written.extend(txn.writes.iter().map(|write| write.key.clone()));
        for check in &txn.checks {
            self.checked
                .entry(check.key.clone())
                .and_modify(|checked| *checked = checked.filter(|same| *same == check.precondition))
                .or_insert(Some(check.precondition));
        }
    }

    /// How many preconditions there are once `txn` is added.
    fn n_ops_with(&self, txn: &Txn) -> usize {
        let is_new = |check: &&Check| !self.checked.contains_key(&check.key);
        let n_new_checks = txn.checks.iter().filter(is_new).count();
        self.written.len() + self.checked.len() + txn.writes.len() + n_new_checks
    }
}

/// A transaction that grows.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) footprint: Footprint,
    n_members: usize,
    n_bytes: usize,
}

impl Batch {
    /// Takes `txn` in, if there is room for it. The first is always taken, however large: alone.
    pub(super) fn take(&mut self, txn: &Txn, max_ops: usize, max_bytes: usize) -> bool {
        let n_bytes = self.n_bytes + limits::txn_bytes(txn);
        let fits = self.footprint.n_ops_with(txn) <= max_ops && n_bytes <= max_bytes;
        if self.n_members > 0 && !fits {
            return false;
        }
        self.n_members += 1;
        self.n_bytes = n_bytes;
        self.footprint.add(txn);
        true
    }
}

/// One transaction that does what `txns` do. Identical checks are made once.
pub(super) fn merge<'a>(txns: impl IntoIterator<Item = &'a Txn>) -> Txn {
    let mut merged = Txn::default();
    let mut checked = BTreeSet::new();
    for txn in txns {
        merged.writes.extend(txn.writes.iter().cloned());
        for check in &txn.checks {
            if checked.insert(&check.key) || !merged.checks.contains(check) {
                merged.checks.push(check.clone());
            }
        }
    }
    merged
}

/// The keys of `failing` that `txn` has a precondition on.
pub(super) fn own_keys(txn: &Txn, failing: &[String]) -> Vec<String> {
    let has = |key: &&String| {
        txn.writes.iter().any(|write| write.key == **key)
            || txn.checks.iter().any(|check| check.key == **key)
    };
    failing.iter().filter(has).cloned().collect()
}
