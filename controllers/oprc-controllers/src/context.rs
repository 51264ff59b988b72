//! What every controller is given: the store, the cache, a clock and the term it leads in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oprc_controller_runtime::{
    cache::{Cache, State},
    leading::Term,
};
use oprc_cp_storage::{
    Check, Op, Precondition, Revision, SharedStore, Txn, Write, keys::Key, typed,
};
use oprc_models::{
    installation::Identity,
    meta::{Generation, Timestamp},
    names::ClusterName,
};
use serde::Serialize;

use crate::{error::Error, events::Recorder};

/// A clock for people: it is written down, and no decision rests on it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long a reconcile waits to see its own write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes in one transaction, at most.
const MAX_WRITES: usize = 100;

/// Checks that a transaction may have besides its writes: the term's fence, and what it was decided
/// on.
const MAX_CHECKS: usize = 4;

/// What every controller of one term is given.
#[derive(Clone)]
pub struct Context {
    /// The store, for writes.
    pub store: SharedStore,
    /// What the store holds, for reads.
    pub cache: Arc<Cache>,
    /// A clock for people.
    pub now: Now,
    /// The identity towards CRMs.
    pub identity: Identity,
    /// When the store was recovered from a backup, in the first term after that.
    pub recovered_at: Option<Timestamp>,
    /// The cluster that automatic placement prefers.
    pub default_cluster: Option<ClusterName>,
    /// How many revisions of a document are kept besides what it is now.
    pub history_limit: usize,
    /// How many versions of a package are kept besides what it is now and what is in use.
    pub version_limit: usize,
    /// Takes note of what people may want to know.
    pub recorder: Recorder,
    /// The term that all writes and calls are made in.
    pub term: Term,
}

impl Context {
    /// Writes in one transaction, at most.
    pub(crate) fn max_writes(&self) -> usize {
        self.store.max_txn_ops().saturating_sub(MAX_CHECKS).clamp(1, MAX_WRITES)
    }

    /// Transactions of at most [`max_writes`](Self::max_writes). Each part alone is a step in the
    /// right direction, and the next pass takes what a failure in between left.
    pub(crate) fn chunks(
        &self,
        mut writes: Vec<Write>,
    ) -> impl Iterator<Item = Vec<Write>> + use<> {
        let max_writes = self.max_writes();
        std::iter::from_fn(move || {
            let rest = writes.split_off(writes.len().min(max_writes));
            let chunk = std::mem::replace(&mut writes, rest);
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    /// Writes, if the term still lasts, and waits until the cache shows it: so that the next pass
    /// over the same key does not decide on what was before.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Behind`].
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        self.commit_on(&[], writes).await
    }

    /// As [`commit`](Self::commit), if what it was decided on besides the keys that it writes is
    /// still so: a write may land long after its caller gave up.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Behind`].
    pub(crate) async fn commit_on(&self, basis: &[Check], writes: Vec<Write>) -> Result<(), Error> {
        let mut checks = vec![self.term.fence()];
        checks.extend_from_slice(basis);
        let landed = self.store.txn(Txn { checks, writes }).await;
        let revision = landed.inspect_err(|error| self.doubt(error))?;
        Ok(self.cache.wait_for(revision, PATIENCE).await?)
    }

    /// What a conflict was about may be shown wrong.
    pub(crate) fn doubt(&self, error: &oprc_cp_storage::Error) {
        if let oprc_cp_storage::Error::Conflict { keys } = error {
            self.cache.doubt(keys);
        }
    }
}

/// A write of `value` to `key`, if it is still as it was at `revision` (`None`: absent).
pub(crate) fn put<T: Serialize>(
    key: &Key,
    revision: Option<Revision>,
    value: &T,
) -> Result<Write, Error> {
    let precondition = as_it_was(revision);
    Ok(Write { key: key.to_string(), precondition, op: Op::Put(typed::encode(key, value)?) })
}

/// That a key is still as it was at `revision` (`None`: absent).
pub(crate) fn as_it_was(revision: Option<Revision>) -> Precondition {
    revision.map_or(Precondition::Absent, Precondition::At)
}

/// A removal of `key`, if it is still as it was at `revision`.
pub(crate) fn remove(key: &Key, revision: Revision) -> Write {
    Write { key: key.to_string(), precondition: Precondition::At(revision), op: Op::Delete }
}

/// Removals of the revisions that are too many, of those that are archived: the oldest. `revision`
/// makes their keys.
pub(crate) fn trim(
    archived: Option<&BTreeMap<Generation, Revision>>,
    limit: usize,
    revision: impl Fn(Generation) -> Key,
) -> Vec<Write> {
    let Some(archived) = archived else { return Vec::new() };
    let n_too_many = archived.len().saturating_sub(limit);
    let oldest = archived.iter().take(n_too_many);
    oldest.map(|(generation, at)| remove(&revision(*generation), *at)).collect()
}

/// Refuses to decide while a stored value that matters cannot be read.
///
/// # Errors
///
/// [`Error::Unreadable`] with the first such key.
pub(crate) fn require_readable(
    state: &State,
    concerns: impl Fn(&Key) -> bool,
) -> Result<(), Error> {
    match state.unreadable.iter().find(|(key, _)| concerns(key)) {
        Some((key, reason)) => {
            Err(Error::Unreadable { key: key.to_string(), reason: reason.clone() })
        }
        None => Ok(()),
    }
}
