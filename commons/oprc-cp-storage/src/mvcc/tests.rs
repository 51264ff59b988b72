//! Tests of the state machine.

use std::time::Duration;

use tokio::time::Instant;

use super::{Mvcc, Options, Pending};
use crate::{Change, Check, Error, KeyValue, LeaseId, Op, Precondition, Revision, Txn, Write};

const SMALL_LOG: Options = Options { max_log_txns: 3, max_log_bytes: 1 << 20 };

fn put(key: &str, precondition: Precondition, value: &str) -> Write {
    let op = Op::Put(value.to_owned().into());
    Write { key: key.to_owned(), precondition, op }
}

fn delete(key: &str, precondition: Precondition) -> Write {
    Write { key: key.to_owned(), precondition, op: Op::Delete }
}

fn leased(key: &str, lease: LeaseId) -> Write {
    let op = Op::PutLeased("leased".into(), lease);
    Write { key: key.to_owned(), precondition: Precondition::Absent, op }
}

fn check(key: &str, precondition: Precondition) -> Check {
    Check { key: key.to_owned(), precondition }
}

fn commit(mvcc: &mut Mvcc, checks: &[Check], writes: &[Write]) -> Result<Revision, Error> {
    commit_at(mvcc, checks, writes, Instant::now())
}

fn commit_at(
    mvcc: &mut Mvcc,
    checks: &[Check],
    writes: &[Write],
    now: Instant,
) -> Result<Revision, Error> {
    let mut pending = Pending::default();
    let txn = Txn { checks: checks.to_vec(), writes: writes.to_vec() };
    let answer = pending.txn(mvcc, txn, now);
    mvcc.publish(pending);
    answer
}

fn keys(mvcc: &Mvcc, prefix: &str, at: Option<u64>) -> String {
    let page = mvcc.list(prefix, None, 100, at.map(Revision)).expect("the revision is kept");
    let shown = |kv: KeyValue| format!("{}={}", kv.key, String::from_utf8_lossy(&kv.value));
    page.items.into_iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// Every precondition against every state that a key can be in.
#[test]
fn preconditions() {
    let mut mvcc = Mvcc::new(Options::default());
    commit(&mut mvcc, &[], &[put("twice", Precondition::Absent, "1")]).unwrap();
    commit(&mut mvcc, &[], &[put("twice", Precondition::At(Revision(1)), "2")]).unwrap();
    commit(&mut mvcc, &[], &[put("gone", Precondition::Absent, "3")]).unwrap();
    commit(&mut mvcc, &[], &[delete("gone", Precondition::At(Revision(3)))]).unwrap();
    let table = [
        ("twice", Precondition::Absent, false),
        ("twice", Precondition::At(Revision(1)), false),
        ("twice", Precondition::At(Revision(2)), true),
        ("twice", Precondition::CreatedAt(Revision(1)), true),
        ("twice", Precondition::CreatedAt(Revision(2)), false),
        ("gone", Precondition::Absent, true),
        ("gone", Precondition::At(Revision(3)), false),
        ("gone", Precondition::CreatedAt(Revision(3)), false),
        ("never", Precondition::Absent, true),
        ("never", Precondition::At(Revision(1)), false),
    ];
    for (key, precondition, want) in table {
        let got = commit(&mut mvcc, &[check(key, precondition)], &[]);
        assert_eq!(got.is_ok(), want, "{key} {precondition:?}");
    }
    assert_eq!(mvcc.revision(), Revision(4), "checks alone make no revision");
}

#[test]
fn all_failing_keys_are_named_and_nothing_is_written() {
    let mut mvcc = Mvcc::new(Options::default());
    commit(&mut mvcc, &[], &[put("a", Precondition::Absent, "")]).unwrap();
    let got = commit(
        &mut mvcc,
        &[check("z", Precondition::At(Revision(9))), check("a", Precondition::At(Revision(1)))],
        &[put("new", Precondition::Absent, ""), delete("b", Precondition::At(Revision(1)))],
    );
    assert!(matches!(got, Err(Error::Conflict { keys }) if keys == ["b", "z"]));
    assert_eq!(keys(&mvcc, "", None), "a=");
}

#[test]
fn listing_shows_the_past() {
    let mut mvcc = Mvcc::new(Options::default());
    commit(&mut mvcc, &[], &[put("a", Precondition::Absent, "1")]).unwrap();
    commit(&mut mvcc, &[], &[put("b", Precondition::Absent, "2")]).unwrap();
    let both = [put("a", Precondition::At(Revision(1)), "3"), put("c", Precondition::Absent, "3")];
    commit(&mut mvcc, &[], &both).unwrap();
    commit(&mut mvcc, &[], &[delete("b", Precondition::At(Revision(2)))]).unwrap();
    commit(&mut mvcc, &[], &[put("b", Precondition::Absent, "5")]).unwrap();
    let table = [
        (0, ""),
        (1, "a=1"),
        (2, "a=1 b=2"),
        (3, "a=3 b=2 c=3"),
        (4, "a=3 c=3"),
        (5, "a=3 b=5 c=3"),
    ];
    for (at, want) in table {
        assert_eq!(keys(&mvcc, "", Some(at)), want, "at {at}");
    }
    assert_eq!(keys(&mvcc, "b", Some(3)), "b=2");
    let page = mvcc.list("", Some("a"), 1, Some(Revision(3))).unwrap();
    assert_eq!((page.items[0].key.as_str(), page.has_more), ("b", true));
    let page = mvcc.list("", Some("b"), 1, Some(Revision(3))).unwrap();
    assert_eq!((page.items[0].key.as_str(), page.has_more), ("c", false));
}

#[test]
fn what_left_the_log_is_compacted() {
    let mut mvcc = Mvcc::new(SMALL_LOG);
    for n in 1..=5 {
        commit(&mut mvcc, &[], &[put(&format!("k{n}"), Precondition::Absent, "")]).unwrap();
    }
    assert_eq!(mvcc.compacted(), Revision(2));
    assert!(mvcc.list("", None, 1, Some(Revision(1))).is_err());
    assert!(mvcc.list("", None, 1, Some(Revision(2))).is_ok());
    assert!(mvcc.list("", None, 1, Some(Revision(6))).is_err(), "the future");
    let is_compacted = |from| mvcc.changes("", Revision(from), 9).is_err();
    assert!(is_compacted(2) && !is_compacted(3) && !is_compacted(6) && is_compacted(7));
    mvcc.compact(Revision(4));
    assert!(mvcc.changes("", Revision(4), 9).is_err());
    let batch = mvcc.changes("", Revision(5), 9).unwrap().unwrap();
    assert!(matches!(&batch.changes[..], [Change::Put(kv)] if kv.key == "k5"));
    mvcc.compact(Revision(100));
    assert_eq!(mvcc.compacted(), Revision(5));
}

#[test]
fn the_log_is_bounded_in_bytes() {
    let mut mvcc = Mvcc::new(Options { max_log_txns: 100, max_log_bytes: 3000 });
    for n in 1..=10 {
        let value = "x".repeat(1000);
        commit(&mut mvcc, &[], &[put(&format!("k{n}"), Precondition::Absent, &value)]).unwrap();
    }
    assert_eq!(mvcc.compacted(), Revision(8));
}

#[test]
fn changes_are_cut_by_transactions_and_filtered_by_prefix() {
    let mut mvcc = Mvcc::new(Options::default());
    commit(&mut mvcc, &[], &[put("a/1", Precondition::Absent, "")]).unwrap();
    commit(&mut mvcc, &[], &[put("b/1", Precondition::Absent, "")]).unwrap();
    commit(&mut mvcc, &[], &[delete("a/1", Precondition::At(Revision(1)))]).unwrap();
    let changes = |from, n| mvcc.changes("a/", Revision(from), n).unwrap();
    let of = |from, n| changes(from, n).map(|batch| (batch.revision.0, batch.changes.len()));
    assert_eq!(of(1, 2), Some((2, 1)));
    assert_eq!(of(2, 1), Some((2, 0)), "a bookmark");
    assert_eq!(of(1, 9), Some((3, 2)));
    assert_eq!(of(4, 9), None, "not yet");
}

#[test]
fn transactions_pending_together_see_each_other() {
    let mut mvcc = Mvcc::new(Options::default());
    let now = Instant::now();
    let mut pending = Pending::default();
    let create = || Txn { checks: vec![], writes: vec![put("a", Precondition::Absent, "1")] };
    assert_eq!(pending.txn(&mvcc, create(), now).unwrap(), Revision(1));
    assert!(pending.txn(&mvcc, create(), now).is_err(), "the first has taken it");
    let update = Txn { checks: vec![], writes: vec![put("a", Precondition::At(Revision(1)), "2")] };
    assert_eq!(pending.txn(&mvcc, update, now).unwrap(), Revision(2));
    assert_eq!(keys(&mvcc, "", None), "", "nothing is visible yet");
    mvcc.publish(pending);
    assert_eq!(keys(&mvcc, "", None), "a=2");
    assert_eq!(keys(&mvcc, "", Some(1)), "a=1");
}

#[test]
fn leases_end_with_their_keys() {
    let mut mvcc = Mvcc::new(Options::default());
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let lease = mvcc.grant_lease(5, now);
    commit_at(&mut mvcc, &[], &[leased("a", lease), leased("b", lease)], now).unwrap();
    let release = [put("b", Precondition::At(Revision(1)), "mine")];
    commit_at(&mut mvcc, &[], &release, now).unwrap();

    assert_eq!(mvcc.next_expiry(), Some(later));
    assert!(matches!(mvcc.keep_alive(lease, later), Err(Error::LeaseGone(_))), "too late");
    let late = commit_at(&mut mvcc, &[], &[leased("c", lease)], later);
    assert!(matches!(late, Err(Error::LeaseGone(gone)) if gone == lease));

    let mut pending = Pending::default();
    pending.expire(&mvcc, later);
    mvcc.publish(pending);
    assert_eq!(keys(&mvcc, "", None), "b=mine", "a plain write frees the key from its lease");
    assert_eq!((mvcc.revision(), mvcc.next_expiry()), (Revision(3), None));
}

#[test]
fn a_lease_ends_with_keys_that_are_pending() {
    let mut mvcc = Mvcc::new(Options::default());
    let now = Instant::now();
    let lease = mvcc.grant_lease(5, now);
    let mut pending = Pending::default();
    let txn = |key| Txn { checks: vec![], writes: vec![leased(key, lease)] };
    pending.txn(&mvcc, txn("a"), now).unwrap();
    pending.end_lease(&mvcc, lease);
    assert!(matches!(pending.txn(&mvcc, txn("b"), now), Err(Error::LeaseGone(_))));
    mvcc.publish(pending);
    assert_eq!(keys(&mvcc, "", None), "");
    assert_eq!(keys(&mvcc, "", Some(1)), "a=leased");
    mvcc.keep_alive(lease, now).unwrap_err();
}

#[test]
fn refuses_what_etcd_refuses() {
    let mut mvcc = Mvcc::new(Options::default());
    let many = |n: usize| (0..n).map(|i| put(&format!("k{i}"), Precondition::Absent, "")).collect();
    let big = |n: usize| vec![put("big", Precondition::Absent, &"x".repeat(n))];
    let table: [(Vec<Write>, bool); 9] = [
        (many(120), true),
        (many(121), false),
        (big(1_300_000), true),
        (big(1_400_000), false),
        (vec![put("", Precondition::Absent, "")], false),
        (vec![put("head", Precondition::Absent, "")], false),
        (vec![put("x", Precondition::At(Revision(0)), "")], false),
        (vec![put("x", Precondition::Absent, ""), delete("x", Precondition::Absent)], false),
        (vec![delete("absent", Precondition::Absent)], true),
    ];
    for (n, (writes, want)) in table.into_iter().enumerate() {
        let got = commit(&mut mvcc, &[], &writes);
        let is_refused = matches!(got, Err(Error::Refused { .. }));
        assert_eq!((got.is_ok(), is_refused), (want, !want), "row {n}");
    }
}
