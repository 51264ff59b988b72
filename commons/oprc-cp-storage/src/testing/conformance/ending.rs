//! What ends: leases and their keys, and the past.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::{Backend, PATIENCE, create, list_all, next_changes, ok, txn};
use crate::{Change, Error, Op, Precondition, SharedStore, Watch, Write};

pub(super) async fn leases(store: &SharedStore) {
    let lease = ok(store.grant_lease(60).await);
    let leased = |key: &str| Write {
        key: key.to_owned(),
        precondition: Precondition::Absent,
        op: Op::PutLeased("leased".into(), lease),
    };
    let revision = ok(store.txn(txn([leased("lease/a"), leased("lease/b")])).await);
    ok(store.keep_alive(lease).await);
    let mut watch = ok(store.watch("lease/", revision.next()).await);
    ok(store.revoke_lease(lease).await);
    assert_deleted(&mut watch, &["lease/a", "lease/b"]).await;
    assert_eq!(ok(store.get("lease/a").await), None);
    ok(store.revoke_lease(lease).await);
    let gone = store.keep_alive(lease).await;
    assert!(matches!(gone, Err(Error::LeaseGone(id)) if id == lease), "{gone:?}");
    let gone = store.txn(txn([leased("lease/c")])).await;
    assert!(matches!(gone, Err(Error::LeaseGone(id)) if id == lease), "{gone:?}");
    assert_eq!(ok(store.get("lease/c").await), None);
}

pub(super) async fn lease_expires(store: &SharedStore) {
    let lease = ok(store.grant_lease(2).await);
    let write = Write {
        key: "expires/a".to_owned(),
        precondition: Precondition::Absent,
        op: Op::PutLeased("leased".into(), lease),
    };
    let revision = ok(store.txn(txn([write])).await);
    let mut watch = ok(store.watch("expires/", revision.next()).await);
    // Kept alive past its time, then left alone.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        ok(store.keep_alive(lease).await);
        sleep(Duration::from_millis(500)).await;
    }
    assert!(ok(store.get("expires/a").await).is_some());
    assert_deleted(&mut watch, &["expires/a"]).await;
    assert_eq!(ok(store.get("expires/a").await), None);
    let gone = store.keep_alive(lease).await;
    assert!(matches!(gone, Err(Error::LeaseGone(_))), "{gone:?}");
}

async fn assert_deleted(watch: &mut Watch, want: &[&str]) {
    let mut deleted = Vec::new();
    while deleted.len() < want.len() {
        for change in next_changes(watch).await.changes {
            match change {
                Change::Delete { key, .. } => deleted.push(key),
                Change::Put(kv) => panic!("{} was not written", kv.key),
            }
        }
    }
    deleted.sort();
    assert_eq!(deleted, want);
}

pub(super) async fn compaction(backend: &Backend) {
    let store = &backend.store;
    let old = create(store, "compact/a", "1").await;
    create(store, "compact/b", "1").await;
    let newest = create(store, "compact/c", "1").await;
    (backend.compact)(newest).await;

    let listed = store.list("compact/", None, 10, Some(old)).await;
    assert!(matches!(listed, Err(Error::Compacted { asked }) if asked == old), "{listed:?}");
    let err = match store.watch("compact/", old).await {
        Err(err) => err,
        Ok(mut watch) => loop {
            // A bookmark may come first.
            let next = timeout(PATIENCE, watch.next()).await.expect("the watch says nothing");
            match next.expect("a watch ends with an error only") {
                Ok(batch) => assert!(batch.changes.is_empty(), "{batch:?}"),
                Err(err) => break err,
            }
        },
    };
    assert!(matches!(err, Error::Compacted { .. }), "{err:?}");

    // Then list again, and watch from there.
    let (items, revision) = list_all(store, "compact/", 2).await;
    assert_eq!(items.len(), 3);
    let mut watch = ok(store.watch("compact/", revision.next()).await);
    let after = create(store, "compact/d", "1").await;
    assert_eq!(next_changes(&mut watch).await.revision, after);
}
