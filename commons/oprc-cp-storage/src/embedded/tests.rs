//! The suite on a file, and what a disk and a power cut can do to it.

mod past;
pub(super) mod power;
mod reserve;

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

use self::reserve::small_file_system;
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

/// Opens a file that a process started by another test may hold: it inherits the lock until it runs
/// its program.
#[expect(clippy::disallowed_methods, reason = "the lock is another process's, and opening blocks")]
fn patiently<T>(open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    for _ in 0..500 {
        match open() {
            Err(OpenError::InUse { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(10))
            }
            opened => return opened,
        }
    }
    open()
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
            let message = err.to_string();
            assert!(message.contains("store.db"), "it names the file: {message}");
            let says_what_to_do = ["from a backup", "check the configured path"];
            assert!(says_what_to_do.iter().any(|advice| message.contains(advice)), "{message}");
            message
        }
    }
}

/// A file with forty keys.
async fn good_file() -> Vec<u8> {
    good_files().await.0
}

/// A file with forty keys that was closed, and the same as a process leaves it that is killed.
async fn good_files() -> (Vec<u8>, Vec<u8>) {
    let (_dir, path) = temp();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&path).unwrap());
    for n in 0..40 {
        create(&store, &format!("{n:02}"), vec![b'x'; 500]).await;
    }
    let open = fs::read(&path).unwrap();
    drop(store);
    (fs::read(&path).unwrap(), open)
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
    let (closed, open) = good_files().await;
    for (good, seed) in [(closed, 7), (open, 8)] {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..60 {
            let at = random.usize(..good.len());
            check_damage(&good, |bytes| bytes[at] ^= 1 << random.u8(..8), false);
        }
        for at in (0..640).step_by(7) {
            check_damage(&good, |bytes| bytes[at] ^= 0x10, false);
        }
    }
}

/// Cuts the file at random lengths, which may leave room that was not in use, or a file that looks
/// like one that was cut short while it was written.
#[tokio::test]
async fn a_file_cut_anywhere_is_refused_or_complete() {
    let (closed, open) = good_files().await;
    for (good, seed) in [(closed, 7), (open, 8)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut n_refused = 0;
        for _ in 0..100 {
            let keep = random.usize(..good.len());
            let message = check_damage(&good, |bytes| bytes.truncate(keep), false);
            n_refused += usize::from(!message.is_empty());
        }
        assert!(n_refused > 0, "no cut was noticed");
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
    let Some(_mount) = small_file_system(dir.path(), "6m") else { return };
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

/// Names the file that a child process of [`kill_minus_nine`] writes to.
const CHILD_PATH: &str = "OPRC_TEST_EMBEDDED_CHILD";

/// How often the child is killed.
const N_LIVES: usize = 200;

/// Keys of each of the child's writers: few, so that the file stays small for all its lives.
const N_CHILD_KEYS: usize = 16;
const N_CHILD_WRITERS: usize = 8;

/// Not a test: the child. Writes for ever, and prints what it is about to do, and what it was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_killed() {
    let Some(path) = env::var_os(CHILD_PATH) else { return };
    let store: SharedStore = Arc::new(EmbeddedStore::open(path).unwrap());
    let writers = (0..N_CHILD_WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        async move {
            let mut random = fastrand::Rng::new();
            loop {
                let key = format!("{writer}/{}", random.usize(..N_CHILD_KEYS));
                let found = store.get(&key).await.unwrap().map(|kv| kv.mod_revision);
                let precondition = found.map_or(Precondition::Absent, Precondition::At);
                let is_deleted = found.is_some() && random.u8(..4) == 0;
                let write = match is_deleted {
                    true => Write { key: key.clone(), precondition, op: Op::Delete },
                    false => put(&key, precondition, format!("{key}{}", "v".repeat(200 * writer))),
                };
                let what = if is_deleted { "delete" } else { "write" };
                let say = |line: String| std::io::stdout().lock().write_all(line.as_bytes());
                say(format!("trying {what} {key} .\n")).unwrap();
                let revision = store.txn(txn([write])).await.unwrap();
                say(format!("done {what} {key} {revision} .\n")).unwrap();
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

/// What writing processes have said.
#[derive(Default)]
struct Told {
    /// Of each key: the revision it was written at; `None` once it was deleted.
    keys: BTreeMap<String, Option<Revision>>,
    /// Of each writer: the key that it was last about to write or delete, and of which no more was
    /// heard.
    under_way: BTreeMap<String, String>,
    n_acknowledged: usize,
}

impl Told {
    fn hear(&mut self, line: &str) {
        // The test harness may have said something before, and the last line may be cut short.
        let words: Vec<&str> = line.split(' ').collect();
        let Some(start) = words.iter().position(|word| ["trying", "done"].contains(word)) else {
            return;
        };
        let writer = |key: &str| key.split('/').next().unwrap_or_default().to_owned();
        match words[start..] {
            ["trying", _, key, "."] => drop(self.under_way.insert(writer(key), key.to_owned())),
            ["done", what, key, revision, "."] => {
                let revision = Revision(revision.parse().unwrap());
                self.under_way.remove(&writer(key));
                self.keys.insert(key.to_owned(), (what == "write").then_some(revision));
                self.n_acknowledged += 1;
            }
            _ => (),
        }
    }

    /// Compares with what is stored, which is what is known from then on.
    fn check(&mut self, stored: BTreeMap<String, Revision>, life: usize) {
        let keys: std::collections::BTreeSet<&String> =
            self.keys.keys().chain(stored.keys()).collect();
        for key in keys {
            let told = self.keys.get(key).copied().flatten();
            let found = stored.get(key).copied();
            // Nobody was told of it: it may have landed, or not.
            let is_under_way = self.under_way.values().any(|it| it == key);
            let is_later = found.is_none_or(|found| told.is_none_or(|told| found > told));
            assert!(
                found == told || is_under_way && is_later,
                "{key} in life {life}: told {told:?}, found {found:?}"
            );
        }
        self.keys = stored.into_iter().map(|(key, revision)| (key, Some(revision))).collect();
        self.under_way.clear();
    }
}

/// Kills a writing process again and again, at any moment of its life: what it was told is there,
/// and nothing is half there.
#[tokio::test]
async fn kill_minus_nine() {
    // What a killed process wrote is the system's to keep, on a disk or not.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.unwrap();
    let path = dir.path().join("store.db");
    let mut told = Told::default();
    let mut random = fastrand::Rng::with_seed(3);
    for life in 1..=N_LIVES {
        let mut child = spawn_child(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Some lives end before anything is said: while the file is made, opened, or repaired.
        let n_lines = if life % 4 == 0 { 0 } else { random.usize(1..100) };
        for _ in 0..n_lines {
            told.hear(&lines.next().expect("the child writes").unwrap());
        }
        tokio::time::sleep(std::time::Duration::from_micros(random.u64(..20_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still had said before it died.
        lines.map_while(Result::ok).for_each(|line| told.hear(&line));

        let store: SharedStore = Arc::new(patiently(|| EmbeddedStore::open(&path)).unwrap());
        let (items, head) = list_all(&store, "", 10_000).await;
        for kv in &items {
            assert!(kv.mod_revision <= head);
            assert!(kv.value.starts_with(kv.key.as_bytes()), "{} in life {life}", kv.key);
        }
        told.check(items.into_iter().map(|kv| (kv.key, kv.mod_revision)).collect(), life);
    }
    // Of the lines that are waited for in three lives of four, more than a third are such.
    assert!(told.n_acknowledged > 10 * N_LIVES, "hardly heard: {}", told.n_acknowledged);
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
    disk.write(pending.commits(), Revision(0)).unwrap();
    let shared = Arc::new(crate::local::Shared::new(mvcc));
    let doubtful = Some(pending);
    let mut writer =
        super::Writer { shared: Arc::clone(&shared), disk, doubtful, is_failing: true };
    writer.settle().unwrap();
    assert_eq!(shared.get("a").unwrap().value, "1");
}

/// The store may hold secrets: nobody but the process's user may read what it makes.
#[test]
fn a_new_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _) = temp();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = dir.path().join("above").join("data");
    super::make_folder(&folder).unwrap();
    assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    let path = folder.join("store.db");
    // A draft that an earlier version left, for all to read.
    fs::write(folder.join("store.db.new"), "").unwrap();
    drop(EmbeddedStore::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600);
    // What is there stays as it is.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    super::make_folder(&folder).unwrap();
    drop(EmbeddedStore::open(&path).unwrap());
    assert_eq!((mode(&folder), mode(&path)), (0o755, 0o600));
}
