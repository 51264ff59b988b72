//! What a transaction may be, the same for every backend, so that what passes in a test passes in
//! production. The figures are etcd's defaults, less what our own additions need.

use std::collections::BTreeSet;

use crate::{Error, Op, Precondition, Revision, Txn};

/// The most comparisons, and the most operations, of one transaction that etcd takes by default: its
/// `--max-txn-ops`.
pub const ETCD_TXN_OPS: usize = 128;

/// What is kept free of that: the write of the head key, and room for a key that is compared twice,
/// as one that is written and checked in transactions that go together is.
pub const RESERVED_TXN_OPS: usize = 8;

/// The most writes and checks of one transaction, unless a store says otherwise: see
/// [`Store::max_txn_ops`](crate::Store::max_txn_ops).
pub const MAX_TXN_OPS: usize = ETCD_TXN_OPS - RESERVED_TXN_OPS;

/// The most bytes of one transaction, as [`txn_bytes`] counts them.
///
/// etcd's default limit for a request is 1.5 MiB; a part is left for its framing.
pub const MAX_TXN_BYTES: usize = 1_400_000;

/// The most keys of one page, whatever was asked for.
pub const MAX_PAGE_ITEMS: usize = 10_000;

/// The key that every etcd transaction writes; no backend lets a user of the store write it.
pub const HEAD_KEY: &str = "head";

/// The size of `txn` as etcd would see it: a key travels up to three times (compared, written, and
/// read back when the transaction fails), a value once.
#[must_use]
pub fn txn_bytes(txn: &Txn) -> usize {
    let key_bytes = |key: &str| 3 * (key.len() + 64);
    let writes = txn.writes.iter().map(|write| {
        key_bytes(&write.key)
            + match &write.op {
                Op::Put(value) | Op::PutLeased(value, _) => value.len(),
                Op::Delete => 0,
            }
    });
    let checks = txn.checks.iter().map(|check| key_bytes(&check.key));
    writes.chain(checks).sum()
}

/// Refuses what some backend would refuse; of one that takes `max_ops` writes and checks.
pub(crate) fn validate(txn: &Txn, max_ops: usize) -> Result<(), Error> {
    let refused = |reason: String| Err(Error::Refused { reason });
    let n_preconditions = txn.writes.len() + txn.checks.len();
    if n_preconditions > max_ops {
        return refused(format!(
            "{n_preconditions} writes and checks in one transaction: want at most {max_ops}"
        ));
    }
    let n_bytes = txn_bytes(txn);
    if n_bytes > MAX_TXN_BYTES {
        return refused(format!(
            "{n_bytes} bytes in one transaction: want at most {MAX_TXN_BYTES}"
        ));
    }
    let mut seen = BTreeSet::new();
    for write in &txn.writes {
        if write.key.is_empty() || write.key == HEAD_KEY {
            return refused(format!("{:?} is not a key that can be written", write.key));
        }
        if !seen.insert(&write.key) {
            return refused(format!("{} is written twice in one transaction", write.key));
        }
    }
    let written = txn.writes.iter().map(|write| (&write.key, write.precondition));
    let checked = txn.checks.iter().map(|check| (&check.key, check.precondition));
    for (key, precondition) in written.chain(checked) {
        if let Precondition::At(Revision(0)) | Precondition::CreatedAt(Revision(0)) = precondition {
            // etcd would take it for `Absent`.
            return refused(format!("{key}: no key is from revision 0; to want it absent, say so"));
        }
    }
    Ok(())
}
