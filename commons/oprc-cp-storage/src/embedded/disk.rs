//! The database file: what it holds, how it is opened, checked and written.
//!
//! Three tables. `about` says which format this is, the newest revision, and of which revisions the
//! past is there; `keys` has for each key a checksum, its revisions and its value; `past` has for
//! each change of those revisions what the key held before, in the same form. Keys under a lease are
//! never written: leases end with the process.
//!
//! `past` came after files were in use. A program that does not know it leaves it behind: its end is
//! then not the newest revision, and it counts for nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{Error as IoError, ErrorKind},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::{medium::Medium, private, reserve::Reserve};
use crate::{
    BoxError, KeyValue, Revision,
    mvcc::{Commit, Item, KeyChange, Undo},
};

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// By revision and place in it: a key, and what it held before.
const PAST: TableDefinition<'_, (u64, u32), (&str, &[u8])> = TableDefinition::new("past");

/// In `about`: the revision after which `past` begins, and the one with which it ends.
const PAST_AFTER: &str = "past_after";
const PAST_END: &str = "past_end";

/// The most revisions of the past that are read.
const MAX_PAST: u64 = 10_000;

/// The only format so far. A change that older versions cannot read makes a new one.
const FORMAT: u64 = 1;

/// redb's cache. Small, since all values are in memory anyway.
const CACHE_BYTES: usize = 16 << 20;

/// Bytes of a checksum: enough for damage, which is not an adversary.
const SUM_BYTES: usize = 8;

/// Why a store file cannot be used. It was not touched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process: stop that process, or give this one its own file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is some other kind of file.
    #[error("{} is not a store of the Package Manager: check the configured path; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        #[source]
        source: BoxError,
    },
    /// A newer version of this program wrote it.
    #[error("{} has format {found}, and this version reads up to {FORMAT}: use the newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Its contents are not what was written.
    #[error(
        "{} is damaged: restore it from a backup, or move it away to start empty; nothing was changed",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BoxError,
    },
    /// The operating system refused.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: IoError,
    },
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) revision: Revision,
    pub(super) key_values: Vec<KeyValue>,
    /// What is remembered of the past, oldest first, up to `revision`.
    pub(super) past: Vec<Undo>,
}

/// An open, locked database file.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    medium: Medium,
    /// `None` after a failed write, until the file is opened again.
    database: Option<Database>,
    reserve: Reserve,
}

impl Disk {
    /// Opens the file, or makes a new one where there is none.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        Self::open_on(path, Medium::new)
    }

    /// As [`open`](Self::open), on what `medium` makes of a file that is there.
    pub(super) fn open_on(
        path: &Path,
        medium: impl FnOnce(File) -> Medium,
    ) -> Result<(Self, Contents), OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let medium = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                private::warn_if_shared(path);
                medium(lock(path, file)?)
            }
            Err(err) if err.kind() == ErrorKind::NotFound => Self::create(path)?,
            Err(err) => return Err(io(err)),
        };
        let contents = examine(path, &medium)?;
        let database = database(medium.clone()).map_err(|err| io(into_io(err)))?;
        let reserve = Reserve::open(path);
        Ok((Self { path: path.to_owned(), medium, database: Some(database), reserve }, contents))
    }

    /// A new file. It gets its name when it is complete, so a crash leaves no half of one.
    fn create(path: &Path) -> Result<Medium, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let mut draft = path.to_owned();
        draft.as_mut_os_string().push(".new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(private::FILE_MODE);
        let file = lock(path, options.open(&draft).map_err(io)?)?;
        // A draft may be left of an earlier version, which others could read.
        file.set_permissions(Permissions::from_mode(private::FILE_MODE)).map_err(io)?;
        if fs::exists(path).map_err(io)? {
            return Err(OpenError::InUse { path: path.to_owned() });
        }
        file.set_len(0).map_err(io)?;
        let medium = Medium::new(file);
        let database = database(medium.clone()).map_err(|err| io(into_io(err)))?;
        write(&database, Revision(0), &[], Revision(0)).map_err(|err| io(into_io(err)))?;
        drop(database);
        fs::rename(&draft, path).map_err(io)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(io)?;
        parent.sync_all().map_err(io)?;
        Ok(medium)
    }

    /// Writes `commits`, all or none, and syncs them; of the past, what was up to `forgotten` goes.
    ///
    /// After an error it is unknown which; [`settle`](Self::settle) tells.
    pub(super) fn write(
        &mut self,
        commits: &[Arc<Commit>],
        forgotten: Revision,
    ) -> Result<(), IoError> {
        let Some(newest) = commits.last() else { return Ok(()) };
        let Some(database) = &self.database else {
            return Err(IoError::other("the file is not open"));
        };
        write(database, newest.revision, commits, forgotten).map_err(into_io).inspect_err(|_| {
            // After an IO error redb refuses everything, so the file has to be opened again.
            self.database = None;
        })
    }

    /// Writes what is there already, at `revision`: an error if writes would fail.
    pub(super) fn check(&mut self, revision: Revision, forgotten: Revision) -> Result<(), IoError> {
        if !self.reserve.has_room_beside() {
            return Err(ErrorKind::StorageFull.into());
        }
        let Some(database) = &self.database else {
            return Err(IoError::other("the file is not open"));
        };
        write(database, revision, &[], forgotten).map_err(into_io).inspect_err(|_| {
            self.database = None;
        })
    }

    /// Gives up the room that is kept for deletions; `true` if there was any.
    pub(super) fn release_reserve(&mut self) -> bool {
        self.reserve.release()
    }

    /// Takes back as much of that room as there is.
    pub(super) fn fill_reserve(&mut self) {
        self.reserve.fill();
    }

    /// Opens the file again after a failed write, and answers the newest revision that is in it.
    pub(super) fn settle(&mut self) -> Result<Revision, IoError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                tracing::warn!(path = %self.path.display(), "opening the store file again");
                database(self.medium.clone()).map_err(into_io)?
            }
        };
        let revision = read_about(&database).map_err(into_io).and_then(|about| {
            about.map(|(_, revision)| revision).ok_or_else(|| IoError::other("no revision"))
        })?;
        self.database = Some(database);
        Ok(revision)
    }

    #[cfg(test)]
    pub(super) fn max_bytes(&self) -> Arc<std::sync::atomic::AtomicU64> {
        Arc::clone(&self.medium.max_bytes)
    }
}

fn lock(path: &Path, file: File) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

fn database(medium: Medium) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(medium)?)
}

/// Reads and checks everything, without touching the file.
fn examine(path: &Path, medium: &Medium) -> Result<Contents, OpenError> {
    let path = path.to_owned();
    let overlay = match medium.overlay() {
        Ok(overlay) => overlay,
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    if redb::StorageBackend::len(&overlay).is_ok_and(|n_bytes| n_bytes == 0) {
        return Err(OpenError::Damaged { path, source: "it is empty".into() });
    }
    // redb asserts, in places, that a file is as it wrote it.
    let examined = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(overlay)?;
        let about = read_about(&database)?;
        let contents = match &about {
            Some((FORMAT, revision)) => read_keys(&database, *revision)?,
            Some(_) | None => Ok(Contents::default()),
        };
        Ok((about, contents))
    }));
    match examined {
        Ok(Ok((Some((FORMAT, _)), Ok(contents)))) => Ok(contents),
        Ok(Ok((Some((FORMAT, _)), Err(source)))) => Err(OpenError::Damaged { path, source }),
        Ok(Ok((Some((found, _)), _))) => Err(OpenError::Newer { path, found }),
        Ok(Ok((None, _))) => {
            Err(OpenError::Foreign { path, source: "it is another program's database".into() })
        }
        Ok(Err(err)) => Err(open_error(path, err)),
        Err(_) => Err(OpenError::Damaged { path, source: "it cannot be read".into() }),
    }
}

fn open_error(path: PathBuf, err: redb::Error) -> OpenError {
    match err {
        redb::Error::Io(err) if err.kind() == ErrorKind::InvalidData => {
            OpenError::Foreign { path, source: err.into() }
        }
        redb::Error::Io(source) if source.kind() != ErrorKind::UnexpectedEof => {
            OpenError::Io { path, source }
        }
        err => OpenError::Damaged { path, source: err.into() },
    }
}

/// The format and the newest revision; `None` when the file does not say.
fn read_about(database: &Database) -> Result<Option<(u64, Revision)>, redb::Error> {
    let read = database.begin_read()?;
    let about = match read.open_table(ABOUT) {
        Ok(about) => about,
        Err(
            redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. },
        ) => {
            return Ok(None);
        }
        Err(err) => return Err(err.into()),
    };
    let format = about.get("format")?.map(|format| format.value());
    let revision = about.get("revision")?.map(|revision| Revision(revision.value()));
    Ok(format.zip(revision))
}

/// All keys; the inner error says which of them is not what was written.
fn read_keys(
    database: &Database,
    revision: Revision,
) -> Result<Result<Contents, BoxError>, redb::Error> {
    let read = database.begin_read()?;
    let keys = match read.open_table(KEYS) {
        Ok(keys) => keys,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Err("it has no keys".into())),
        Err(err) => return Err(err.into()),
    };
    let mut key_values = Vec::new();
    for entry in keys.iter()? {
        let (key, value) = entry?;
        match decode(key.value(), value.value()) {
            Some(kv) if kv.mod_revision <= revision => key_values.push(kv),
            Some(_) | None => {
                return Ok(Err(format!("the value of {} is wrong", key.value()).into()));
            }
        }
    }
    Ok(read_past(&read, revision)?.map(|past| Contents { revision, key_values, past }))
}

/// What is remembered of the past up to `revision`.
fn read_past(
    read: &ReadTransaction,
    revision: Revision,
) -> Result<Result<Vec<Undo>, BoxError>, redb::Error> {
    let about = read.open_table(ABOUT)?;
    let of_about = |name| about.get(name).map(|value| value.map(|value| value.value()));
    let (Some(after), Some(end)) = (of_about(PAST_AFTER)?, of_about(PAST_END)?) else {
        return Ok(Ok(Vec::new()));
    };
    if end != revision.0 {
        return Ok(Ok(Vec::new()));
    }
    let after = after.max(end.saturating_sub(MAX_PAST));
    let mut undos = BTreeMap::new();
    let changes = read.open_table(PAST)?;
    for entry in changes.range((after + 1, 0)..)? {
        let (place, change) = entry?;
        let ((at, _), (key, stored)) = (place.value(), change.value());
        let Some(before) = decode_before(key, stored).filter(|_| at <= end) else {
            return Ok(Err(format!("what {key} was before {at} is wrong").into()));
        };
        undos.entry(at).or_insert_with(Vec::new).push((key.to_owned(), before));
    }
    // A transaction of nothing but leases has left nothing, and has a revision none the less.
    let undo = |at| Undo { revision: Revision(at), before: undos.remove(&at).unwrap_or_default() };
    Ok(Ok((after + 1..=end).map(undo).collect()))
}

fn write(
    database: &Database,
    revision: Revision,
    commits: &[Arc<Commit>],
    forgotten: Revision,
) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    // Two-phase commits, so that a damaged newest commit is told from one that was cut short, and
    // no repair, which needs room, when the file is opened again on a full disk.
    txn.set_quick_repair(true);
    {
        let mut about = txn.open_table(ABOUT)?;
        about.insert("format", FORMAT)?;
        about.insert("revision", revision.0)?;
        about.insert(PAST_AFTER, forgotten.0)?;
        about.insert(PAST_END, revision.0)?;
        let mut keys = txn.open_table(KEYS)?;
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            match &change.after {
                Some(item) if item.lease.is_none() => {
                    keys.insert(change.key.as_str(), encode(&item.key_value).as_slice())?;
                }
                Some(_) | None => {
                    keys.remove(change.key.as_str())?;
                }
            }
        }
        let mut past = txn.open_table(PAST)?;
        past.retain_in(..=(forgotten.0, u32::MAX), |_, _| false)?;
        for commit in commits {
            for (place, change) in (0..).zip(&commit.changes) {
                if let Some(before) = encode_before(change) {
                    let key = change.key.as_str();
                    past.insert((commit.revision.0, place), (key, before.as_slice()))?;
                }
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn encode(kv: &KeyValue) -> Vec<u8> {
    let mut body = Vec::with_capacity(SUM_BYTES + 16 + kv.value.len());
    body.extend_from_slice(&[0; SUM_BYTES]);
    body.extend_from_slice(&kv.create_revision.0.to_be_bytes());
    body.extend_from_slice(&kv.mod_revision.0.to_be_bytes());
    body.extend_from_slice(&kv.value);
    let (sum, rest) = body.split_at_mut(SUM_BYTES);
    sum.copy_from_slice(&checksum(&kv.key, rest));
    body
}

/// What a change has to say of the past; `None` where it is all of leases.
fn encode_before(change: &KeyChange) -> Option<Vec<u8>> {
    let unleased = |item: &&Item| item.lease.is_none();
    match change.before.as_ref().filter(unleased) {
        Some(item) => Some(encode(&item.key_value)),
        None => change.after.as_ref().filter(unleased).map(|_| checksum(&change.key, &[]).into()),
    }
}

/// The outer `None` when the checksum does not fit.
fn decode_before(key: &str, stored: &[u8]) -> Option<Option<KeyValue>> {
    if stored.len() == SUM_BYTES {
        return (stored == checksum(key, &[])).then_some(None);
    }
    decode(key, stored).map(Some)
}

/// `None` when the checksum does not fit.
fn decode(key: &str, stored: &[u8]) -> Option<KeyValue> {
    let (sum, rest) = stored.split_first_chunk::<SUM_BYTES>()?;
    if *sum != checksum(key, rest) {
        return None;
    }
    let (create_revision, rest) = rest.split_first_chunk::<8>()?;
    let (mod_revision, value) = rest.split_first_chunk::<8>()?;
    Some(KeyValue {
        key: key.to_owned(),
        value: value.to_vec().into(),
        create_revision: Revision(u64::from_be_bytes(*create_revision)),
        mod_revision: Revision(u64::from_be_bytes(*mod_revision)),
    })
}

fn checksum(key: &str, rest: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key.as_bytes());
    hasher.update(rest);
    let mut sum = [0; SUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// redb's error, of which only the operating system's part can be acted on.
fn into_io(err: redb::Error) -> IoError {
    match err {
        redb::Error::Io(err) => err,
        err => IoError::other(err),
    }
}
