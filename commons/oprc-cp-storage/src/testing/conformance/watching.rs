//! What watches deliver: everything, once, in order, and from wherever they start.

use std::{collections::BTreeMap, sync::Arc};

use super::{create, delete, next_changes, ok, put, txn};
use crate::{Change, Precondition, Revision, SharedStore, WatchBatch};

pub(super) async fn watch_from_a_revision(store: &SharedStore) {
    let first = create(store, "watch/a", "1").await;
    let both = [
        put("watch/b", Precondition::Absent, "2"),
        delete("watch/a", Precondition::At(first)),
        put("other/b", Precondition::Absent, "2"),
    ];
    let second = ok(store.txn(txn(both)).await);
    let mut changes = Vec::new();
    let mut watch = ok(store.watch("watch/", first).await);
    let third = create(store, "watch/c", "3").await;
    let mut newest = Revision(0);
    while newest < third {
        let batch = next_changes(&mut watch).await;
        assert!(batch.revision > newest);
        newest = batch.revision;
        changes.extend(batch.changes);
    }
    let shown = |change: &Change| match change {
        Change::Put(kv) => format!("{}@{}", kv.key, kv.mod_revision.0 - first.0),
        Change::Delete { key, revision } => format!("-{key}@{}", revision.0 - first.0),
    };
    let mut got: Vec<String> = changes.iter().map(shown).collect();
    // Within a transaction the order is the backend's.
    got[1..3].sort();
    let a = format!("-watch/a@{}", second.0 - first.0);
    let b = format!("watch/b@{}", second.0 - first.0);
    let c = format!("watch/c@{}", third.0 - first.0);
    assert_eq!(got, ["watch/a@0", a.as_str(), b.as_str(), c.as_str()]);

    // From the middle, and from just after the end.
    let mut watch = ok(store.watch("watch/", second).await);
    assert_eq!(next_changes(&mut watch).await.changes[..2].len(), 2);
    let mut watch = ok(store.watch("watch/", third.next()).await);
    let fourth = create(store, "watch/d", "4").await;
    assert_eq!(next_changes(&mut watch).await.revision, fourth);
}

/// Four writers; two watchers, one of which is dropped and resumed after every batch.
pub(super) async fn watch_under_concurrent_writes(store: &SharedStore) {
    const N_WRITERS: usize = 4;
    const N_WRITES: usize = 40;
    let start = ok(store.head().await).next();
    let writers = (0..N_WRITERS).map(|writer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut last = create(&store, &format!("busy/{writer}"), "0").await;
            for n in 1..N_WRITES {
                let write = put(&format!("busy/{writer}"), Precondition::At(last), format!("{n}"));
                let pair = put(&format!("busy/{writer}-{n}"), Precondition::Absent, "pair");
                last = ok(store.txn(txn([write, pair])).await);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let n_expected = N_WRITERS * (2 * N_WRITES - 1);
    let mut steady = ok(store.watch("busy/", start).await);
    let mut seen = Vec::new();
    while seen.len() < n_expected {
        note(&mut seen, next_changes(&mut steady).await);
    }
    let mut resumed = Vec::new();
    let mut next = start;
    while resumed.len() < n_expected {
        let mut watch = ok(store.watch("busy/", next).await);
        let batch = next_changes(&mut watch).await;
        next = batch.revision.next();
        note(&mut resumed, batch);
    }
    for writer in writers {
        ok(writer.await);
    }
    assert_eq!(seen, resumed);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, value, _) in &seen {
        if value != "pair" {
            let count = counts.entry(key).or_default();
            assert_eq!(*value, format!("{count}"), "{key}: in order, nothing skipped");
            *count += 1;
        }
    }
    assert!(counts.len() == N_WRITERS && counts.values().all(|count| *count == N_WRITES));
}

fn note(seen: &mut Vec<(String, String, Revision)>, batch: WatchBatch) {
    let before = seen.last().map_or(Revision(0), |(_, _, revision)| *revision);
    let mut changes: Vec<_> = batch
        .changes
        .into_iter()
        .map(|change| match change {
            Change::Put(kv) => {
                (kv.key, String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision)
            }
            Change::Delete { key, .. } => panic!("{key} was not deleted"),
        })
        .collect();
    assert!(changes.iter().all(|(_, _, revision)| *revision > before), "a revision came twice");
    assert!(changes.iter().all(|(_, _, revision)| *revision <= batch.revision));
    changes.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
    seen.extend(changes);
}

/// A watch of everything sees each transaction's revision, without the head key.
pub(super) async fn watch_wakes_for_its_prefix(store: &SharedStore) {
    let from = ok(store.head().await).next();
    let mut all = ok(store.watch("", from).await);
    let revision = create(store, "wakes/a", "1").await;
    let batch = next_changes(&mut all).await;
    assert_eq!(batch.revision, revision);
    assert!(matches!(&batch.changes[..], [Change::Put(kv)] if kv.key == "wakes/a"));
}
