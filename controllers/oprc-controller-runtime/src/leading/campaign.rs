//! Campaigning: waiting for the key to be free, and creating it.

use std::time::Duration;

use oprc_cp_storage::{Error, LeaseId, Op, Precondition, Revision, SharedStore, Store, Txn, Write};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    Options, Term, bounded,
    lease::{Lease, Seen, changed, read, revoke},
};
use oprc_observability::Report;

use crate::backoff::Backoff;

/// What the election key says: who leads, for people, and by which lease, for us.
///
/// The lease tells our key from that of another replica, or of our own former life, with the same
/// identity.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    id: String,
    lease: i64,
}

/// One who stands for election.
pub(super) struct Candidate<'a> {
    store: &'a dyn Store,
    options: &'a Options,
    backoff: Backoff,
    rng: fastrand::Rng,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(store: &'a SharedStore, options: &'a Options) -> Self {
        let backoff = Backoff { base: Duration::from_millis(100), cap: options.ttl() / 2 };
        let rng = fastrand::Rng::with_seed(options.seed);
        Self { store: &**store, options, backoff, rng }
    }

    /// Waits for a term and begins it; `None` when stopped before.
    ///
    /// Stopped in the middle of a claim, it finishes that, so that no lease is left behind.
    pub(super) async fn campaign(&mut self, stop: &CancellationToken) -> Option<Lease<'a>> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                turn = self.wait_for_turn() => turn,
            };
            let claimed = match turn {
                // A term in which nothing can be written helps no one.
                Ok(true) if self.options.is_cut_off() => Ok(None),
                Ok(true) => self.claim().await,
                Ok(false) => {
                    failures = 0;
                    continue;
                }
                Err(err) => Err(err),
            };
            match claimed {
                Ok(Some(lease)) => return Some(lease),
                // Another was faster; or the key is not there though nobody said no.
                Ok(None) => tracing::debug!("the claim did not succeed"),
                Err(err) => tracing::warn!(error = %Report(&err), "cannot stand for election"),
            }
            failures += 1;
            let delay = self.backoff.delay(failures, &mut self.rng);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = sleep(delay) => (),
            }
        }
        None
    }

    /// Whether the key is free; if it is not, waits until it may be.
    async fn wait_for_turn(&self) -> Result<bool, Error> {
        let Seen { holder, revision } = read(self.store, self.options).await?;
        let Some(holder) = holder else { return Ok(true) };
        let leader = serde_json::from_slice(&holder.value).map_or_else(
            |_| String::from_utf8_lossy(&holder.value).into_owned(),
            |Holder { id, .. }| id,
        );
        tracing::debug!(leader, term = holder.create_revision.0, "another leads");
        changed(self.store, self.options, revision).await?;
        Ok(false)
    }

    /// Tries to create the key. `None` when another was faster.
    async fn claim(&self) -> Result<Option<Lease<'a>>, Error> {
        // The lease counts from before it was asked for, and so does the term.
        let asked = Instant::now();
        let valid_until = asked + self.options.give_up();
        let grant = self.store.grant_lease(self.options.ttl_secs);
        let lease = bounded(self.options.give_up(), grant).await?;
        let claimed = match timeout_at(valid_until, self.create_key(lease)).await {
            Ok(claimed) => claimed,
            Err(elapsed) => Err(Error::MaybeDone { source: elapsed.into() }),
        };
        if let Ok(Some(revision)) = claimed {
            let term = Term::new(self.options.key.clone(), revision, valid_until);
            let (store, options) = (self.store, self.options);
            return Ok(Some(Lease { store, options, id: lease, term }));
        }
        // Also where nobody answered: a key that is written yet, or after this, goes with its lease.
        revoke(self.store, self.options, lease).await;
        claimed.map(|_| None)
    }

    /// Creates the key under `lease` and answers the revision it has been there since; `None` when
    /// the key is not ours.
    ///
    /// Whatever the transaction answered, the key is read: an answer may be lost, and a lease may
    /// have run out before its owner looked again (Jepsen found etcd's own locks to miss that,
    /// etcd-io/etcd#11408).
    async fn create_key(&self, lease: LeaseId) -> Result<Option<Revision>, Error> {
        let ours = Holder { id: self.options.identity.clone(), lease: lease.0 };
        let value = serde_json::to_vec(&ours).map_err(|err| refused(&err))?;
        let write = Write {
            key: self.options.key.clone(),
            precondition: Precondition::Absent,
            op: Op::PutLeased(value.into(), lease),
        };
        match self.store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await {
            Ok(_) | Err(Error::Conflict { .. } | Error::MaybeDone { .. }) => (),
            Err(err) => return Err(err),
        }
        let holder = read(self.store, self.options).await?.holder;
        let is_ours =
            |value: &[u8]| serde_json::from_slice(value).is_ok_and(|it: Holder| it == ours);
        Ok(holder.filter(|it| is_ours(&it.value)).map(|it| it.create_revision))
    }
}

/// An identity that cannot be written. (A string always can.)
fn refused(err: &serde_json::Error) -> Error {
    Error::Refused { reason: err.to_string() }
}
