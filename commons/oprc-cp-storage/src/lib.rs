//! The store: an ordered map from keys to bytes with revisions, transactions, watches and leases.
//!
//! Three backends stand behind [`Store`] and pass one conformance suite: `etcd` (production),
//! `embedded` (one process, durable) and `memory` (tests). They share etcd's semantics, which this
//! module states.
//!
//! Invariants:
//! - every write is a compare-and-swap: [`Precondition`] has no variant for "whatever is there";
//! - the writes of one [`Txn`] are seen together or not at all, by readers and by watchers;
//! - revisions only grow, one per transaction, and a watch delivers every change after its start,
//!   in order, or ends with an error: it never skips.
//!
//! This crate never interprets a value and never decides anything about a deployment or a cluster.

pub mod embedded;
pub mod etcd;
pub mod group_commit;
pub mod health;
pub mod keys;
pub mod limits;
mod local;
pub mod memory;
pub mod mvcc;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod typed;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use self::limits::{HEAD_KEY, MAX_PAGE_ITEMS, MAX_TXN_BYTES, MAX_TXN_OPS};

/// A shared store, whichever backend it is.
pub type SharedStore = Arc<dyn Store>;

/// The store's logical clock: the number of the transaction that last changed something.
///
/// etcd's revision of the whole store. Zero is before the first write.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key, without the backend's prefix, for example `deployments/shop.cart`.
    pub key: String,
    /// The value, as written.
    pub value: Bytes,
    /// The revision of the transaction that created the key (after its last deletion).
    pub create_revision: Revision,
    /// The revision of the transaction that last wrote the key.
    pub mod_revision: Revision,
}

/// A part of a listing, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys found.
    pub items: Vec<KeyValue>,
    /// The revision that the page shows. Pass it back as `at` for the pages that follow.
    pub revision: Revision,
    /// Whether keys follow the last item.
    pub has_more: bool,
}

/// What must hold of a key for a transaction to land.
///
/// There is no variant for "whatever is there": a write without a precondition cannot be spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key is absent.
    Absent,
    /// The key was last written at this revision.
    At(Revision),
    /// The key exists since this revision, whatever was written to it afterwards. Fences: the
    /// election key of a term exists since that term began.
    CreatedAt(Revision),
}

/// A condition on a key that a transaction does not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The key.
    pub key: String,
    /// What must hold of it.
    pub precondition: Precondition,
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Stores this value.
    Put(Bytes),
    /// Stores this value for as long as the lease lives.
    PutLeased(Bytes, LeaseId),
    /// Removes the key.
    Delete,
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// What must hold of the key before.
    pub precondition: Precondition,
    /// What becomes of it.
    pub op: Op,
}

/// Checks and writes that land together or not at all. A key is written at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Conditions on keys that are not written.
    pub checks: Vec<Check>,
    /// The writes.
    pub writes: Vec<Write>,
}

/// A lease: keys written under it vanish when it is revoked or not kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub i64);

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was written.
    Put(KeyValue),
    /// The key was removed.
    Delete {
        /// The key.
        key: String,
        /// The revision of the transaction that removed it.
        revision: Revision,
    },
}

impl Change {
    /// The revision of the transaction that made it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(stored) => stored.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// All changes of one transaction under the watched prefix (etcd: whole revisions, in order).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchBatch {
    /// Everything under the prefix up to and including this revision has been delivered.
    pub revision: Revision,
    /// The changes, in order; empty for a bookmark. May hold those of several transactions.
    pub changes: Vec<Change>,
}

/// The key of the write in [`Store::probe`], whose precondition never holds.
const PROBE_KEY: &str = "probe";

/// A running watch. After an error it yields nothing more.
pub type Watch = BoxStream<'static, Result<WatchBatch, Error>>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Someone else wrote first. Read again, decide again; nothing was written.
    #[error("the precondition on {} does not hold", keys.join(", "))]
    Conflict {
        /// The keys whose precondition failed; never empty.
        keys: Vec<String>,
    },
    /// The store could not be reached; nothing was written.
    #[error("the store is unavailable")]
    Unavailable {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The store did not answer a write. It may have landed, now or later.
    #[error("the store did not answer; the write may or may not have landed")]
    MaybeDone {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The revision asked for is no longer kept. List again, then watch from there.
    #[error("revision {asked} was compacted")]
    Compacted {
        /// The revision asked for.
        asked: Revision,
    },
    /// The store has no room: etcd's quota or the disk. etcd looks at its quota again after it has
    /// applied a write, so the write that meets the end of the room is answered with this and has
    /// landed; the other backends have written nothing.
    #[error("the store is full")]
    Full {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The lease has expired or was revoked.
    #[error("lease {0:?} is gone")]
    LeaseGone(LeaseId),
    /// The store refused our credentials, or they do not permit the operation; nothing was written.
    #[error("the store refused our credentials: {reason}")]
    Unauthorized {
        /// The store's reason.
        reason: String,
    },
    /// The store refused: an operation too large, or the like. The same call will fail again.
    #[error("the store refused: {reason}")]
    Refused {
        /// What the store said.
        reason: String,
    },
}

/// A cause from another library.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An ordered map with etcd's semantics. Keys are relative to the backend's prefix.
///
/// Every call is bounded by the backend's timeout. Reads are linearizable.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key, or `None` when it is absent.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Refused`].
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error>;

    /// The keys that start with `prefix` and sort after `after`, at most `limit`, as of revision
    /// `at` (now, when `None`).
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] when `at` is no longer kept; [`Error::Unavailable`],
    /// [`Error::Refused`].
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error>;

    /// The most writes and checks, together, of one transaction that it takes.
    fn max_txn_ops(&self) -> usize {
        MAX_TXN_OPS
    }

    /// Carries out `txn` when all its preconditions hold; answers the revision it made.
    ///
    /// A transaction without writes makes no revision: it answers the current one.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] names every key whose precondition failed; [`Error::MaybeDone`] when
    /// nobody answered; [`Error::Full`]; [`Error::LeaseGone`]; [`Error::Unavailable`];
    /// [`Error::Refused`]. Only after `MaybeDone` and `Full` may something have been written.
    async fn txn(&self, txn: Txn) -> Result<Revision, Error>;

    /// Takes the way of a write without changing anything: succeeds if a small write would succeed
    /// now. It makes no revision.
    ///
    /// # Errors
    ///
    /// As [`txn`](Self::txn), without [`Error::Conflict`].
    async fn probe(&self) -> Result<(), Error> {
        let never = Write {
            key: PROBE_KEY.to_owned(),
            precondition: Precondition::At(Revision(i64::MAX.unsigned_abs())),
            op: Op::Put(Bytes::new()),
        };
        match self.txn(Txn { checks: Vec::new(), writes: vec![never] }).await {
            Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes under `prefix` from revision `from` on (inclusive), and bookmarks now and then.
    ///
    /// # Errors
    ///
    /// As the stream's: [`Error::Compacted`] when `from` is no longer kept, then list again;
    /// [`Error::Unavailable`] when the stream broke, then watch again from the next revision.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error>;

    /// How far a cache of the whole prefix must be to be fresh: the revision of the newest
    /// transaction under the prefix at some moment between call and answer.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Refused`].
    async fn head(&self) -> Result<Revision, Error>;

    /// A new lease that lives for `ttl_secs` seconds from now and from each keep-alive.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::MaybeDone`], [`Error::Refused`].
    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error>;

    /// Renews the lease once.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseGone`]; [`Error::Unavailable`].
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error>;

    /// Ends the lease and removes its keys. A lease that is gone is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::MaybeDone`].
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error>;
}

/// Describes the metrics of this crate; once, when the process starts.
pub fn describe_metrics() {
    embedded::describe_metrics();
    group_commit::describe_metrics();
    health::describe_metrics();
}
