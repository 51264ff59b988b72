//! Transactions that are decided and not yet visible.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::Instant;

use super::{Commit, Item, KeyChange, Mvcc};
use crate::{Error, KeyValue, LeaseId, Op, Precondition, Revision, Txn, Write, limits};

/// Transactions decided on a state and on each other, in order, for [`Mvcc::publish`].
///
/// Dropping it undoes them: nobody has seen them.
#[derive(Debug, Default)]
pub struct Pending {
    commits: Vec<Arc<Commit>>,
    /// What the keys that `commits` changed hold now.
    changed: BTreeMap<String, Option<Item>>,
    ended: BTreeSet<i64>,
}

impl Pending {
    /// Decides `txn` on `mvcc` and on what was decided before. Answers its revision.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] with every failing key, [`Error::LeaseGone`], [`Error::Refused`]; then
    /// nothing has changed.
    pub fn txn(&mut self, mvcc: &Mvcc, txn: Txn, now: Instant) -> Result<Revision, Error> {
        limits::validate(&txn, limits::MAX_TXN_OPS)?;
        let written = txn.writes.iter().map(|write| (&write.key, write.precondition));
        let checked = txn.checks.iter().map(|check| (&check.key, check.precondition));
        let failing: BTreeSet<&String> = checked
            .chain(written)
            .filter(|(key, precondition)| !holds(self.item(mvcc, key), *precondition))
            .map(|(key, _)| key)
            .collect();
        if !failing.is_empty() {
            return Err(Error::Conflict { keys: failing.into_iter().cloned().collect() });
        }
        for write in &txn.writes {
            if let Op::PutLeased(_, lease) = write.op
                && (self.ended.contains(&lease.0) || !mvcc.is_lease_live(lease, now))
            {
                return Err(Error::LeaseGone(lease));
            }
        }
        if txn.writes.is_empty() {
            return Ok(self.revision(mvcc));
        }
        let revision = self.revision(mvcc).next();
        let changes =
            txn.writes.into_iter().filter_map(|write| self.change(mvcc, write, revision)).collect();
        Ok(self.push(revision, changes))
    }

    /// Ends `lease` and removes its keys. One that is gone is no error.
    pub fn end_lease(&mut self, mvcc: &Mvcc, lease: LeaseId) {
        let mut keys: BTreeSet<String> = mvcc.leased_keys(lease).cloned().collect();
        keys.extend(self.changed.keys().cloned());
        let revision = self.revision(mvcc).next();
        let changes: Vec<KeyChange> = keys
            .into_iter()
            .filter(|key| self.item(mvcc, key).is_some_and(|item| item.lease == Some(lease)))
            .map(|key| KeyChange { before: self.item(mvcc, &key).cloned(), key, after: None })
            .collect();
        if !changes.is_empty() {
            self.push(revision, changes);
        }
        self.ended.insert(lease.0);
    }

    /// Ends every lease that has run out, each in a transaction of its own.
    pub fn expire(&mut self, mvcc: &Mvcc, now: Instant) {
        for lease in mvcc.expired_leases(now) {
            self.end_lease(mvcc, lease);
        }
    }

    /// The transactions that wrote, in order.
    #[must_use]
    pub fn commits(&self) -> &[Arc<Commit>] {
        &self.commits
    }

    /// Whether publishing this would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.ended.is_empty()
    }

    pub(super) fn into_parts(self) -> (Vec<Arc<Commit>>, BTreeSet<i64>) {
        (self.commits, self.ended)
    }

    fn revision(&self, mvcc: &Mvcc) -> Revision {
        self.commits.last().map_or(mvcc.revision(), |commit| commit.revision)
    }

    fn item<'a>(&'a self, mvcc: &'a Mvcc, key: &str) -> Option<&'a Item> {
        match self.changed.get(key) {
            Some(item) => item.as_ref(),
            None => mvcc.get(key),
        }
    }

    /// What `write` changes; `None` when it removes what is not there.
    fn change(&self, mvcc: &Mvcc, write: Write, revision: Revision) -> Option<KeyChange> {
        let before = self.item(mvcc, &write.key).cloned();
        let (value, lease) = match write.op {
            Op::Put(value) => (Some(value), None),
            Op::PutLeased(value, lease) => (Some(value), Some(lease)),
            Op::Delete => (None, None),
        };
        if before.is_none() && value.is_none() {
            return None;
        }
        let create_revision =
            before.as_ref().map_or(revision, |item| item.key_value.create_revision);
        let after = value.map(|value| Item {
            key_value: KeyValue {
                key: write.key.clone(),
                value,
                create_revision,
                mod_revision: revision,
            },
            lease,
        });
        Some(KeyChange { key: write.key, before, after })
    }

    fn push(&mut self, revision: Revision, changes: Vec<KeyChange>) -> Revision {
        for change in &changes {
            self.changed.insert(change.key.clone(), change.after.clone());
        }
        self.commits.push(Arc::new(Commit { revision, changes }));
        revision
    }
}

/// Whether `precondition` holds of a key that holds `item`.
fn holds(item: Option<&Item>, precondition: Precondition) -> bool {
    match (item, precondition) {
        (item, Precondition::Absent) => item.is_none(),
        (Some(item), Precondition::At(revision)) => item.key_value.mod_revision == revision,
        (Some(item), Precondition::CreatedAt(revision)) => {
            item.key_value.create_revision == revision
        }
        (None, Precondition::At(_) | Precondition::CreatedAt(_)) => false,
    }
}
