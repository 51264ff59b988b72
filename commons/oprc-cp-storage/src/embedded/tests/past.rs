//! What a file remembers of the past.

use std::{path::Path, sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::time::{Instant, sleep};

use super::temp;
use crate::{
    Change, KeyValue, Op, Precondition, Revision, SharedStore, Write,
    embedded::{EmbeddedStore, OpenError},
    testing::conformance::{put, txn},
};

/// What is said of each revision, as watches and listings say it.
async fn past(store: &SharedStore, from: Revision) -> (Vec<Vec<KeyValue>>, Vec<Change>) {
    let head = store.head().await.unwrap();
    let mut listings = Vec::new();
    for at in from.0..=head.0 {
        listings.push(store.list("", None, 100, Some(Revision(at))).await.unwrap().items);
    }
    let (mut watch, mut changes) = (store.watch("", from.next()).await.unwrap(), Vec::new());
    loop {
        let batch = watch.next().await.unwrap().unwrap();
        changes.extend(batch.changes);
        if batch.revision == head {
            return (listings, changes);
        }
    }
}

/// Opens the file again. A child that another test is just starting has its lock for a moment, until
/// it is another program.
async fn reopen(path: &Path) -> SharedStore {
    let began = Instant::now();
    loop {
        match EmbeddedStore::open(path) {
            Err(OpenError::InUse { .. }) if began.elapsed() < Duration::from_secs(10) => {
                sleep(Duration::from_millis(5)).await;
            }
            opened => return Arc::new(opened.unwrap()),
        }
    }
}

/// Any past: after each restart it is told as it was told before, but for what was leased.
#[tokio::test]
async fn the_past_survives_restarts() {
    let (_dir, path) = temp();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    let lease = store.grant_lease(60).await.unwrap();
    let op = Op::PutLeased("mine".into(), lease);
    let write = Write { key: "leased".to_owned(), precondition: Precondition::Absent, op };
    store.txn(txn([write])).await.unwrap();
    // Afterwards nothing is leased, and nothing of it is to be seen.
    store.revoke_lease(lease).await.unwrap();
    let from = store.head().await.unwrap();
    for _ in 0..10 {
        for _ in 0..rng.u8(1..20) {
            let mut writes = Vec::new();
            for key in ["a", "b", "c", "d"] {
                let precondition = match store.get(key).await.unwrap() {
                    Some(kv) => Precondition::At(kv.mod_revision),
                    None => Precondition::Absent,
                };
                match rng.u8(0..4) {
                    0 | 1 => writes.push(put(key, precondition, rng.u64(..).to_string())),
                    2 if precondition != Precondition::Absent => {
                        writes.push(Write { key: key.to_owned(), precondition, op: Op::Delete });
                    }
                    _ => {}
                }
            }
            store.txn(txn(writes)).await.unwrap();
        }
        let before = past(&store, from).await;
        drop(store);
        store = reopen(&path).await;
        assert_eq!(past(&store, from).await, before);
        let of_the_lease = past(&store, Revision(0)).await.1;
        assert!(of_the_lease.iter().all(|change| !format!("{change:?}").contains("leased")));
    }
}
