//! Transactions in etcd's words.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, TxnOp, TxnOpResponse, TxnResponse};

use super::{keys::Keys, to_i64, to_revision};
use crate::{HEAD_KEY, LeaseId, Op, Precondition, Revision, Txn};

/// `txn` for etcd. When its preconditions fail, the answer shows every key they speak of.
pub(super) fn request(keys: &Keys, txn: &Txn) -> etcd_client::Txn {
    let preconditions = preconditions(txn);
    let compares: Vec<Compare> = preconditions
        .iter()
        .flat_map(|(key, wanted)| wanted.iter().map(|wanted| compare(keys.full(key), *wanted)))
        .collect();
    let keys_only = || Some(GetOptions::new().with_keys_only());
    let gets: Vec<TxnOp> =
        preconditions.keys().map(|key| TxnOp::get(keys.full(key), keys_only())).collect();
    let mut writes: Vec<TxnOp> = txn
        .writes
        .iter()
        .map(|write| {
            let key = keys.full(&write.key);
            match &write.op {
                Op::Put(value) => TxnOp::put(key, value.to_vec(), None),
                Op::PutLeased(value, lease) => {
                    let options = PutOptions::new().with_lease(lease.0);
                    TxnOp::put(key, value.to_vec(), Some(options))
                }
                Op::Delete => TxnOp::delete(key, None),
            }
        })
        .collect();
    if !writes.is_empty() {
        writes.push(TxnOp::put(keys.full(HEAD_KEY), "", None));
    }
    etcd_client::Txn::new().when(compares).and_then(writes).or_else(gets)
}

/// A write that never happens. etcd checks permissions and room for it all the same, since it looks at
/// all operations of a transaction before it compares anything.
pub(super) fn never(keys: &Keys) -> etcd_client::Txn {
    let head = keys.full(HEAD_KEY);
    let never = Compare::mod_revision(head.clone(), CompareOp::Equal, i64::MAX);
    etcd_client::Txn::new().when([never]).and_then([TxnOp::put(head, "", None)])
}

/// The keys whose precondition failed, by what the failed transaction showed.
pub(super) fn failing_keys(txn: &Txn, response: &TxnResponse) -> Vec<String> {
    let preconditions = preconditions(txn);
    let found = response.op_responses().into_iter().map(|op| match op {
        TxnOpResponse::Get(get) => get
            .kvs()
            .first()
            .map(|kv| (to_revision(kv.create_revision()), to_revision(kv.mod_revision()))),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
    });
    let failing: Vec<String> = preconditions
        .iter()
        .zip(found)
        .filter(|((_, wanted), found)| wanted.iter().any(|wanted| !holds(*found, *wanted)))
        .map(|((key, _), _)| (*key).to_owned())
        .collect();
    match failing.is_empty() {
        false => failing,
        // etcd says that one failed; a conflict without a key would be read as none.
        true => preconditions.keys().map(|key| (*key).to_owned()).collect(),
    }
}

/// The lease to name when etcd says that one is gone; it does not say which.
pub(super) fn first_lease(txn: &Txn) -> LeaseId {
    let lease = txn.writes.iter().find_map(|write| match write.op {
        Op::PutLeased(_, lease) => Some(lease),
        Op::Put(_) | Op::Delete => None,
    });
    lease.unwrap_or(LeaseId(0))
}

/// What is wanted of each key, in key order.
fn preconditions(txn: &Txn) -> BTreeMap<&str, Vec<Precondition>> {
    let mut preconditions: BTreeMap<&str, Vec<Precondition>> = BTreeMap::new();
    let written = txn.writes.iter().map(|write| (write.key.as_str(), write.precondition));
    let checked = txn.checks.iter().map(|check| (check.key.as_str(), check.precondition));
    for (key, precondition) in written.chain(checked) {
        let wanted = preconditions.entry(key).or_default();
        if !wanted.contains(&precondition) {
            wanted.push(precondition);
        }
    }
    preconditions
}

fn compare(key: String, precondition: Precondition) -> Compare {
    match precondition {
        Precondition::Absent => Compare::mod_revision(key, CompareOp::Equal, 0),
        Precondition::At(revision) => {
            Compare::mod_revision(key, CompareOp::Equal, to_i64(revision))
        }
        Precondition::CreatedAt(revision) => {
            Compare::create_revision(key, CompareOp::Equal, to_i64(revision))
        }
    }
}

/// Whether `precondition` holds of a key that was found with (create, mod) revisions, or was not.
fn holds(found: Option<(Revision, Revision)>, precondition: Precondition) -> bool {
    match (found, precondition) {
        (found, Precondition::Absent) => found.is_none(),
        (Some((_, modified)), Precondition::At(revision)) => modified == revision,
        (Some((created, _)), Precondition::CreatedAt(revision)) => created == revision,
        (None, Precondition::At(_) | Precondition::CreatedAt(_)) => false,
    }
}
