//! A full disk is emptied through the store itself.

use super::*;
use crate::testing::conformance::delete;

const BIG: usize = 1 << 20;

/// A file system of `size` at `path`, until what is returned is dropped; `None`, with a line on
/// standard error, where this process may not mount one.
pub(super) fn small_file_system(path: &Path, size: &str) -> Option<Unmount> {
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(path)
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        crate::testing::skip("this process may not mount a file system");
        return None;
    }
    Some(Unmount(path.to_owned()))
}

pub(super) struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Lazily: files in it may still be open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn full_disk_is_emptied_through_the_reserve() {
    let dir = TempDir::new().unwrap();
    let Some(_mount) = small_file_system(dir.path(), "64m") else { return };
    let path = dir.path().join("store.db");
    let store: SharedStore = Arc::new(patiently(|| EmbeddedStore::open(&path)).unwrap());
    let kept = create(&store, "kept", "1").await;
    let mut revisions = Vec::new();
    let full = loop {
        let write = put(&format!("big/{}", revisions.len()), Precondition::Absent, vec![0; BIG]);
        match store.txn(txn([write])).await {
            Ok(revision) => revisions.push(revision),
            Err(err) => break err,
        }
        assert!(revisions.len() < 100, "the disk is never full");
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    let probed = store.probe().await;
    assert!(matches!(probed, Err(Error::Full { .. })), "{probed:?}");

    // An election, the mark of a deletion, a status.
    let lease = store.grant_lease(60).await.unwrap();
    let op = Op::PutLeased("mine".into(), lease);
    let leased = Write { key: "leased".to_owned(), precondition: Precondition::Absent, op };
    store.txn(txn([leased])).await.unwrap();
    let mark = put("kept", Precondition::At(kept), "1, and its deletion was asked for");
    store.txn(txn([mark])).await.unwrap();
    let more = store.txn(txn([put("more", Precondition::Absent, vec![0; BIG])])).await;
    assert!(matches!(more, Err(Error::Full { .. })), "the reserve is not for what adds: {more:?}");

    for (n, revision) in revisions.into_iter().enumerate() {
        let gone = store.txn(txn([delete(&format!("big/{n}"), Precondition::At(revision))])).await;
        assert!(gone.is_ok(), "deletion {n}: {gone:?}");
    }
    create(&store, "more", vec![0; BIG]).await;
    store.probe().await.unwrap();
    drop(store);
    let store: SharedStore = Arc::new(patiently(|| EmbeddedStore::open(&path)).unwrap());
    let keys: Vec<_> = list_all(&store, "", 100).await.0.into_iter().map(|kv| kv.key).collect();
    assert_eq!(keys, ["kept", "more"]);
}

#[tokio::test]
async fn probe_of_a_healthy_store_leaves_its_file_alone() {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    create(&store, "a", "1").await;
    let before = fs::read(&path).unwrap();
    let head = store.head().await.unwrap();
    store.probe().await.unwrap();
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(store.head().await.unwrap(), head);
}
