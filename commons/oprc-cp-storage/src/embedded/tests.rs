//! The suite on a file, and what a disk and a power cut can do to it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering},
};

use futures::{FutureExt, StreamExt, future::join_all};
use tempfile::TempDir;

use super::{EmbeddedStore, OpenError, disk::Disk};
use crate::{
    Error, Op, Precondition, Revision, SharedStore, Store, Txn, Write,
    mvcc::{Mvcc, Options, Pending},
    testing::conformance::{Backend, check_all, create, list_all, put, txn},
};

fn temp() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.db");
    (dir, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(path).unwrap();
    let compacted = store.clone();
    let compact = move |revision| {
        compacted.compact(revision);
        std::future::ready(()).boxed()
    };
    check_all(&Backend { store: Arc::new(store), compact: Box::new(compact) }).await;
}

#[tokio::test]
async fn survives_a_restart() {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    let first = create(&store, "a", "1").await;
    let second = store.txn(txn([put("a", Precondition::At(first), "2")])).await.unwrap();
    let lease = store.grant_lease(60).await.unwrap();
    let op = Op::PutLeased("mine".into(), lease);
    let leased = Write { key: "leased".to_owned(), precondition: Precondition::Absent, op };
    let last = store.txn(txn([leased])).await.unwrap();
    let mut watch = store.watch("", last.next()).await.unwrap();
    drop(store);
    assert!(matches!(watch.next().await, Some(Err(Error::Unavailable { .. }))));

    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    assert_eq!(store.head().await.unwrap(), last, "revisions go on");
    let (items, _) = list_all(&store, "", 10).await;
    assert!(matches!(&items[..], [kv] if kv.key == "a" && kv.value == "2"));
    assert_eq!((items[0].create_revision, items[0].mod_revision), (first, second));
    assert!(matches!(store.watch("", last).await.err(), Some(Error::Compacted { .. })));
    assert!(store.watch("", last.next()).await.is_ok());
    assert!(matches!(store.keep_alive(lease).await, Err(Error::LeaseGone(_))));
    assert_eq!(create(&store, "b", "1").await, last.next());
}

/// A plain key that is overwritten under a lease is gone after a restart, not back in its old state.
#[tokio::test]
async fn a_lease_takes_the_key_from_the_file() {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    let revision = create(&store, "a", "plain").await;
    let lease = store.grant_lease(60).await.unwrap();
    let op = Op::PutLeased("leased".into(), lease);
    let write = Write { key: "a".to_owned(), precondition: Precondition::At(revision), op };
    store.txn(txn([write])).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_share_syncs_and_keep_their_own_results() {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    let writes = (0..200).map(|n| {
        let store = Arc::clone(&store);
        // Each key is wanted by two.
        let write = put(&format!("{:03}", n / 2), Precondition::Absent, format!("{n}"));
        async move { store.txn(txn([write])).await }
    });
    let results = join_all(writes).await;
    let mut revisions: Vec<Revision> = results.iter().flatten().copied().collect();
    revisions.sort();
    assert_eq!(revisions, (1..=100).map(Revision).collect::<Vec<_>>());
    let lost = results.iter().filter(|result| matches!(result, Err(Error::Conflict { .. })));
    assert_eq!(lost.count(), 100);
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    let err = EmbeddedStore::open(&path).unwrap_err();
    assert!(matches!(err, OpenError::InUse { .. }), "{err:?}");
    assert!(err.to_string().contains("store.db"), "{err}");
    drop(store);
    EmbeddedStore::open(&path).unwrap();
}

/// Opens what `damage` makes of a good file: it must be refused, and left alone, or be complete.
#[track_caller]
fn check_damage(good: &[u8], damage: impl FnOnce(&mut Vec<u8>), want_refused: bool) -> String {
    let (_dir, path) = temp();
    let mut bytes = good.to_vec();
    damage(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    match Disk::open(&path) {
        Ok((_, contents)) => {
            assert!(!want_refused, "it was opened");
            assert_eq!((contents.revision, contents.key_values.len()), (Revision(40), 40));
            String::new()
        }
        Err(err) => {
            assert!(fs::read(&path).unwrap() == bytes, "the file was touched");
            assert!(err.to_string().contains("store.db"), "{err}");
            err.to_string()
        }
    }
}

/// A file with forty keys.
async fn good_file() -> Vec<u8> {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    for n in 0..40 {
        create(&store, &format!("{n:02}"), vec![b'x'; 500]).await;
    }
    drop(store);
    fs::read(&path).unwrap()
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused_and_left_alone() {
    let good = good_file().await;
    check_damage(&good, |_| (), false);
    let n = good.len();
    for keep in [n / 2, n - 4096, 4096, 100, 1, 0] {
        let message = check_damage(&good, |bytes| bytes.truncate(keep), true);
        assert!(message.contains("backup") || message.contains("not a store"), "{message}");
    }
    let text = b"key: value\n".repeat(1000);
    let message = check_damage(&text, |_| (), true);
    assert!(message.contains("not a store of the Package Manager"), "{message}");
    // A byte of a value, wherever redb put the pages that are in use.
    let mut n_refused = 0;
    for at in (0..n).filter(|at| good[*at] == b'x').step_by(997) {
        let message = check_damage(&good, |bytes| bytes[at] ^= 1, false);
        n_refused += usize::from(!message.is_empty());
    }
    assert!(n_refused > 0, "no flipped byte was noticed");
}

/// Flips bytes all over the file: never a panic, never less than everything.
#[tokio::test]
async fn a_flipped_byte_anywhere_is_noticed_or_harmless() {
    let good = good_file().await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..60 {
        let at = random.usize(..good.len());
        check_damage(&good, |bytes| bytes[at] ^= 1 << random.u8(..8), false);
    }
    for at in (0..640).step_by(7) {
        check_damage(&good, |bytes| bytes[at] ^= 0x10, false);
    }
}

#[test]
fn another_programs_database_and_a_newer_format_are_refused() {
    let about = redb::TableDefinition::<&str, u64>::new("about");
    let table = [
        ("another's", vec![], "not a store"),
        ("newer", vec![("format", 2), ("revision", 7)], "use the newer version"),
        ("no keys", vec![("format", 1), ("revision", 7)], "damaged"),
    ];
    for (name, entries, want) in table {
        let (_dir, path) = temp();
        let database = redb::Database::create(&path).unwrap();
        let txn = database.begin_write().unwrap();
        for (key, value) in entries {
            txn.open_table(about).unwrap().insert(key, value).unwrap();
        }
        txn.commit().unwrap();
        drop(database);
        let before = fs::read(&path).unwrap();
        let err = Disk::open(&path).unwrap_err();
        assert!(err.to_string().contains(want), "{name}: {err}");
        assert!(fs::read(&path).unwrap() == before, "{name}: the file was touched");
    }
}

/// The disk fills up, then there is room again: told as full, nothing half done, then on it goes.
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let (_dir, path) = temp();
    let (disk, _) = Disk::open(&path).unwrap();
    let max_bytes = disk.max_bytes();
    let store = EmbeddedStore::over(disk, Mvcc::new(Options::default())).unwrap();
    let store: SharedStore = Arc::new(store);
    create(&store, "before", "1").await;
    max_bytes.store(fs::metadata(&path).unwrap().len(), Ordering::SeqCst);
    let mut n_written = 1;
    let full = loop {
        let write = put(&format!("big/{n_written}"), Precondition::Absent, vec![0; 1 << 20]);
        match store.txn(txn([write])).await {
            Ok(_) => n_written += 1,
            Err(err) => break err,
        }
        assert!(n_written < 100, "the disk is never full");
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    assert_eq!(list_all(&store, "", 100).await.0.len(), n_written, "reads go on");
    let again = store.txn(txn([put("more", Precondition::Absent, vec![0; 1 << 20])])).await;
    assert!(matches!(again, Err(Error::Full { .. })), "{again:?}");

    max_bytes.store(u64::MAX, Ordering::SeqCst);
    create(&store, "after", "1").await;
    create(&store, "more", vec![0; 1 << 20]).await;
    let (before, revision) = list_all(&store, "", 100).await;
    drop(store);
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    assert_eq!(list_all(&store, "", 100).await, (before, revision));
}

/// As above, on a real file system without room, where this process may mount one.
#[tokio::test]
async fn a_full_file_system_is_told_and_survived() {
    let dir = TempDir::new().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
        .arg(dir.path())
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this process may not mount a file system");
        return;
    }
    let _unmount = Unmount(dir.path().to_owned());
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let path = dir.path().join("store.db");
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    let mut n_written = 0;
    let full = loop {
        let write = put(&format!("big/{n_written}"), Precondition::Absent, vec![0; 300_000]);
        match store.txn(txn([write])).await {
            Ok(_) => n_written += 1,
            Err(err) => break err,
        }
        assert!(n_written < 100, "the disk is never full");
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    fs::remove_file(ballast).unwrap();
    create(&store, "after", vec![0; 300_000]).await;
    drop(store);
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    assert_eq!(list_all(&store, "", 100).await.0.len(), n_written + 1);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Lazily: files in it may still be open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Names the file that a child process of [`kill_minus_nine`] writes to.
const CHILD_PATH: &str = "OPRC_TEST_EMBEDDED_CHILD";

/// Not a test: the child. Writes for ever, and prints each key once it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_killed() {
    let Some(path) = env::var_os(CHILD_PATH) else { return };
    let store: SharedStore = Arc::new(EmbeddedStore::open(path).unwrap());
    let start = store.head().await.unwrap();
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        async move {
            for n in 0.. {
                let key = format!("{start}-{writer}-{n}");
                let revision = create(&store, &key, vec![b'v'; 200 * writer]).await;
                let line = format!("acknowledged {key} {revision}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        }
    });
    join_all(writers).await;
}

fn spawn_child(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::child_writes_until_killed", "--nocapture"])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills a writing process again and again: what it was told is there, and nothing is half there.
#[tokio::test]
async fn kill_minus_nine() {
    let (_dir, path) = temp();
    let mut acknowledged: BTreeMap<String, Revision> = BTreeMap::new();
    for round in 1..=6 {
        let mut child = spawn_child(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| {
            let mut words = line.split(' ').skip_while(|word| !word.ends_with("acknowledged"));
            if let (Some(_), Some(key), Some(revision)) = (words.next(), words.next(), words.next())
            {
                acknowledged.insert(key.to_owned(), Revision(revision.parse().unwrap_or(0)));
            }
        };
        for _ in 0..60 * round {
            note(&lines.next().expect("the child writes").unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still had said before it died. The last line may be cut short.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest.iter().rev().skip(1).for_each(|line| note(line));

        // A few lines are the test harness's.
        assert!(acknowledged.len() >= 50 * round, "the child was not heard");

        let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
        let (items, head) = list_all(&store, "", 10_000).await;
        let found: BTreeMap<&str, Revision> =
            items.iter().map(|kv| (kv.key.as_str(), kv.mod_revision)).collect();
        for (key, revision) in &acknowledged {
            assert_eq!(found.get(key.as_str()), Some(revision), "{key} in round {round}");
        }
        assert!(items.iter().all(|kv| kv.mod_revision <= head));
    }
}

/// What landed although the write failed is published when that is found out.
#[test]
fn a_doubtful_write_that_landed_is_kept() {
    let (_dir, path) = temp();
    let (mut disk, _) = Disk::open(&path).unwrap();
    let mvcc = Mvcc::new(Options::default());
    let mut pending = Pending::default();
    let now = tokio::time::Instant::now();
    let create = Txn { checks: vec![], writes: vec![put("a", Precondition::Absent, "1")] };
    pending.txn(&mvcc, create, now).unwrap();
    disk.write(pending.commits()).unwrap();
    let shared = Arc::new(crate::local::Shared::new(mvcc));
    let mut writer = super::Writer { shared: Arc::clone(&shared), disk, doubtful: Some(pending) };
    writer.settle().unwrap();
    assert_eq!(shared.get("a").unwrap().value, "1");
}
