//! The suite that every backend passes: what the contract says, asked of a real store.
//!
//! Each case uses keys under a prefix of its own, so that they can share a store.

mod ending;
mod watching;

use std::{fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture};
use tokio::time::timeout;

use crate::{
    Check, Error, KeyValue, MAX_TXN_OPS, Op, Precondition, Revision, SharedStore, Txn, Watch,
    WatchBatch, Write,
};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store to test, and what the contract leaves to the backend.
pub struct Backend {
    /// The store.
    pub store: SharedStore,
    /// Makes the store forget what was before a revision.
    pub compact: Box<dyn Fn(Revision) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Runs every case, one after another.
///
/// # Panics
///
/// When the store does not keep the contract.
pub async fn check_all(backend: &Backend) {
    let store = &backend.store;
    compare_and_swap(store).await;
    all_or_nothing(store).await;
    failing_keys_are_named(store).await;
    fence(store).await;
    checks_alone(store).await;
    limits(store).await;
    pages_show_one_revision(store).await;
    big_listing(store).await;
    head_and_head_key(store).await;
    watching::watch_from_a_revision(store).await;
    watching::watch_under_concurrent_writes(store).await;
    watching::watch_wakes_for_its_prefix(store).await;
    contention(store).await;
    ending::leases(store).await;
    ending::lease_expires(store).await;
    ending::compaction(backend).await;
}

/// A write of `value`.
#[must_use]
pub fn put(key: &str, precondition: Precondition, value: impl Into<Bytes>) -> Write {
    Write { key: key.to_owned(), precondition, op: Op::Put(value.into()) }
}

/// A removal.
#[must_use]
pub fn delete(key: &str, precondition: Precondition) -> Write {
    Write { key: key.to_owned(), precondition, op: Op::Delete }
}

/// A transaction of `writes` alone.
#[must_use]
pub fn txn(writes: impl Into<Vec<Write>>) -> Txn {
    Txn { checks: Vec::new(), writes: writes.into() }
}

/// Writes a key that is absent.
///
/// # Panics
///
/// When that fails.
pub async fn create(store: &SharedStore, key: &str, value: impl Into<Bytes>) -> Revision {
    ok(store.txn(txn([put(key, Precondition::Absent, value)])).await)
}

/// All keys under `prefix`, by pages of `limit`, as of the first page; and its revision.
///
/// # Panics
///
/// When a page fails.
pub async fn list_all(
    store: &SharedStore,
    prefix: &str,
    limit: usize,
) -> (Vec<KeyValue>, Revision) {
    let mut page = ok(store.list(prefix, None, limit, None).await);
    let revision = page.revision;
    let mut items = Vec::new();
    loop {
        assert!(page.items.len() <= limit && page.revision == revision);
        items.append(&mut page.items);
        if !page.has_more {
            return (items, revision);
        }
        let last = items.last().expect("a page with more after it is not empty");
        page = ok(store.list(prefix, Some(&last.key), limit, Some(revision)).await);
    }
}

/// The next batch that is not a bookmark.
///
/// # Panics
///
/// When there is none in time.
pub async fn next_changes(watch: &mut Watch) -> WatchBatch {
    let changes = async {
        loop {
            let batch = ok(watch.next().await.expect("a watch ends with an error only"));
            if !batch.changes.is_empty() {
                return batch;
            }
        }
    };
    timeout(PATIENCE, changes).await.expect("the watch says nothing")
}

#[track_caller]
fn ok<T, E: Debug>(result: Result<T, E>) -> T {
    result.expect("the store works")
}

#[track_caller]
fn assert_conflict<T: Debug>(result: Result<T, Error>, want: &[&str]) {
    match result {
        Err(Error::Conflict { keys }) => assert_eq!(keys, want),
        other => panic!("want a conflict on {want:?}, got {other:?}"),
    }
}

async fn compare_and_swap(store: &SharedStore) {
    let first = create(store, "cas/a", "1").await;
    assert_conflict(store.txn(txn([put("cas/a", Precondition::Absent, "x")])).await, &["cas/a"]);
    let second = ok(store.txn(txn([put("cas/a", Precondition::At(first), "2")])).await);
    assert!(second > first);
    let stale = txn([put("cas/a", Precondition::At(first), "x")]);
    assert_conflict(store.txn(stale).await, &["cas/a"]);
    let found = ok(store.get("cas/a").await).expect("it was written");
    let want = KeyValue {
        key: "cas/a".to_owned(),
        value: "2".into(),
        create_revision: first,
        mod_revision: second,
    };
    assert_eq!(found, want);
    ok(store.txn(txn([delete("cas/a", Precondition::At(second))])).await);
    assert_eq!(ok(store.get("cas/a").await), None);
    let again = create(store, "cas/a", "3").await;
    let found = ok(store.get("cas/a").await).expect("it was written");
    assert_eq!(found.create_revision, again, "a key that comes back is new");
}

async fn all_or_nothing(store: &SharedStore) {
    let writes: Vec<Write> =
        (0..50).map(|n| put(&format!("all/{n:02}"), Precondition::Absent, "1")).collect();
    let revision = ok(store.txn(txn(writes.clone())).await);
    let (items, _) = list_all(store, "all/", 100).await;
    assert_eq!(items.len(), 50);
    assert!(items.iter().all(|kv| kv.mod_revision == revision), "one revision for all");

    let more = [
        put("all/new", Precondition::Absent, "1"),
        put("all/00", Precondition::At(revision), "2"),
        delete("all/01", Precondition::At(Revision(revision.0 + 1))),
    ];
    assert_conflict(store.txn(txn(more)).await, &["all/01"]);
    assert_eq!(list_all(store, "all/", 100).await.0, items, "nothing was written");
}

async fn failing_keys_are_named(store: &SharedStore) {
    let revision = create(store, "named/here", "1").await;
    let check = |key: &str, precondition| Check { key: key.to_owned(), precondition };
    let mixed = Txn {
        checks: vec![
            check("named/absent", Precondition::CreatedAt(revision)),
            check("named/here", Precondition::CreatedAt(revision)),
            check("named/b", Precondition::Absent),
        ],
        writes: vec![
            put("named/z", Precondition::At(revision), "x"),
            put("named/here", Precondition::Absent, "x"),
            put("named/fine", Precondition::Absent, "x"),
        ],
    };
    let got = store.txn(mixed).await;
    assert_conflict(got, &["named/absent", "named/here", "named/z"]);
}

/// The fence of a term: the election key's create revision, whatever was written to it since.
async fn fence(store: &SharedStore) {
    let term = create(store, "fence/leader", "me").await;
    let renewed =
        ok(store.txn(txn([put("fence/leader", Precondition::At(term), "still me")])).await);
    let fenced = |key: &str, term| Txn {
        checks: vec![Check {
            key: "fence/leader".to_owned(),
            precondition: Precondition::CreatedAt(term),
        }],
        writes: vec![put(key, Precondition::Absent, "1")],
    };
    ok(store.txn(fenced("fence/a", term)).await);
    ok(store.txn(txn([delete("fence/leader", Precondition::At(renewed))])).await);
    assert_conflict(store.txn(fenced("fence/b", term)).await, &["fence/leader"]);
    let next = create(store, "fence/leader", "other").await;
    assert_conflict(store.txn(fenced("fence/b", term)).await, &["fence/leader"]);
    ok(store.txn(fenced("fence/b", next)).await);
}

async fn checks_alone(store: &SharedStore) {
    let revision = create(store, "checks/a", "1").await;
    let check = |precondition| Txn {
        checks: vec![Check { key: "checks/a".to_owned(), precondition }],
        writes: vec![],
    };
    let got = ok(store.txn(check(Precondition::At(revision))).await);
    assert!(got >= revision);
    assert_conflict(store.txn(check(Precondition::Absent)).await, &["checks/a"]);
    assert!(ok(store.txn(Txn::default()).await) >= revision);
}

async fn limits(store: &SharedStore) {
    let many = |n: usize| -> Vec<Write> {
        (0..n).map(|n| put(&format!("limits/{n:03}"), Precondition::Absent, "1")).collect()
    };
    let twice =
        [put("limits/x", Precondition::Absent, "1"), put("limits/x", Precondition::Absent, "2")];
    let refused = [
        txn(many(MAX_TXN_OPS + 1)),
        txn(twice),
        txn([put("limits/big", Precondition::Absent, vec![b'x'; 1_400_000])]),
        txn([put("head", Precondition::Absent, "1")]),
        txn([put("limits/x", Precondition::At(Revision(0)), "1")]),
    ];
    for txn in refused {
        let got = store.txn(txn).await;
        assert!(matches!(got, Err(Error::Refused { .. })), "{got:?}");
    }
    ok(store.txn(txn(many(MAX_TXN_OPS))).await);
    let big = vec![b'x'; 1_390_000];
    create(store, "limits/big", big.clone()).await;
    assert_eq!(ok(store.get("limits/big").await).expect("it was written").value, big);
}

async fn pages_show_one_revision(store: &SharedStore) {
    for n in 0..25 {
        create(store, &format!("pages/{n:02}"), "old").await;
    }
    let first = ok(store.list("pages/", None, 10, None).await);
    assert!(first.has_more && first.items.len() == 10);
    // Behind, in and before the pages that follow: nothing of it shows.
    create(store, "pages/99", "new").await;
    let changed = ok(store.get("pages/15").await).expect("it was written").mod_revision;
    ok(store.txn(txn([put("pages/15", Precondition::At(changed), "new")])).await);
    let removed = ok(store.get("pages/20").await).expect("it was written").mod_revision;
    ok(store.txn(txn([delete("pages/20", Precondition::At(removed))])).await);

    let at = Some(first.revision);
    let mut items = first.items;
    let second = ok(store.list("pages/", Some("pages/09"), 10, at).await);
    let third = ok(store.list("pages/", Some("pages/19"), 10, at).await);
    assert!(second.has_more && !third.has_more);
    items.extend(second.items);
    items.extend(third.items);
    let keys: Vec<String> = items.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!(keys, (0..25).map(|n| format!("pages/{n:02}")).collect::<Vec<_>>());
    assert!(items.iter().all(|kv| kv.value == "old"));
    assert_eq!(list_all(store, "pages/", 7).await.0.len(), 25, "24 and one new");
    let exact = ok(store.list("pages/", None, 25, None).await);
    assert!(!exact.has_more && exact.items.len() == 25);
    let none = ok(store.list("pages/", Some("pages/zz"), 5, None).await);
    assert!(none.items.is_empty() && !none.has_more);
    let other = ok(store.list("pages/", Some("zzz"), 5, None).await);
    assert!(other.items.is_empty() && !other.has_more);
}

/// Twelve MiB, more than etcd's clients take in one message by default.
async fn big_listing(store: &SharedStore) {
    for n in 0..12 {
        create(store, &format!("big/{n:02}"), vec![b'x'; 1 << 20]).await;
    }
    let page = ok(store.list("big/", None, 1000, None).await);
    assert!(!page.items.is_empty());
    let (items, _) = list_all(store, "big/", 1000).await;
    assert_eq!(items.len(), 12);
    let n_bytes: usize = items.iter().map(|kv| kv.value.len()).sum();
    assert_eq!(n_bytes, 12 << 20);
}

async fn head_and_head_key(store: &SharedStore) {
    let before = ok(store.head().await);
    let revision = create(store, "heads/a", "1").await;
    assert!(revision > before);
    assert_eq!(ok(store.head().await), revision);
    let (items, _) = list_all(store, "", 1000).await;
    assert!(items.iter().all(|kv| kv.key != "head"), "the head key is not one of ours");
    let (items, _) = list_all(store, "head", 1000).await;
    assert_eq!(items.len(), 1, "heads/a alone");
}

/// Many on one key: each turn one wins, and all turns are had.
async fn contention(store: &SharedStore) {
    const N_CLIENTS: usize = 8;
    const N_TURNS: usize = 10;
    create(store, "contended/n", "0").await;
    let clients = (0..N_CLIENTS).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut n_turns = 0;
            while n_turns < N_TURNS {
                let kv = ok(store.get("contended/n").await).expect("it was written");
                let text = String::from_utf8_lossy(&kv.value);
                let n: usize = text.parse().expect("a number");
                let value = format!("{}", n + 1);
                let write = put("contended/n", Precondition::At(kv.mod_revision), value);
                match store.txn(txn([write])).await {
                    Ok(_) => n_turns += 1,
                    Err(Error::Conflict { .. }) => (),
                    Err(err) => panic!("{err:?}"),
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        ok(client.await);
    }
    let kv = ok(store.get("contended/n").await).expect("it was written");
    assert_eq!(kv.value, format!("{}", N_CLIENTS * N_TURNS));
}
