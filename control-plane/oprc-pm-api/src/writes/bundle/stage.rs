//! A push of more documents than one transaction holds: intents, then one key.
//!
//! 1. `pushes/{id}` is created under a lease: undecided.
//! 2. Each document gets an intent, in batches, in the order of keys, so that two pushes meet at
//!    the first document that both write and neither waits for the other in a circle. Each batch
//!    checks that the push is still undecided, so one that lands late does nothing.
//! 3. `pushes/{id}` is rewritten, without the lease: committed. The one moment. Versions that are
//!    published beside what their packages are, are written with it.
//! 4. Each document becomes what its intent said, and the key goes.
//!
//! Cut off before 3 the lease ends and with it the push; after it, it has taken effect. What is left
//! to be tidied up either way is up to the leader's push controller.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use oprc_cp_storage::{
    Check, Error as StoreError, LeaseId, Op, Precondition, Revision, Txn, Write, keys::Key, typed,
};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::PushId,
    package::OPackage,
    push::{Envelope, Fate, Progress, PushRecord},
};
use tokio::time::Instant;

use super::{NEVER, Unlanded, fill_with_checks, plan::Plan};
use crate::{
    splice::Object,
    writes::{Error, MAX_BATCH, Writes, draft, view::StoredAt},
};

/// How long a push whose pusher died stands in the way of others.
///
/// Why 15: longer than the store's own timeout, so that one call that hangs is survived.
const LEASE_SECS: u32 = 15;

/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(4);

/// How often a call that was not answered is looked into and made again.
const MAX_TRIES: u32 = 4;

/// How long finishing waits for the cache to show what was written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of documents in one transaction that finishes: below its limit, since keys count too.
const MAX_SETTLED_BYTES: usize = 1_000_000;

/// Documents as they are to become, encoded.
pub(super) struct Prepared {
    documents: BTreeMap<Key, (Precondition, Bytes)>,
}

impl Prepared {
    pub(super) fn new(plan: &Plan<'_>) -> Result<Self, Error> {
        let mut documents = BTreeMap::new();
        for draft in plan.drafts() {
            let value = draft.encode()?.value;
            documents.insert(draft.key.clone(), (draft.precondition, value));
        }
        Ok(Self { documents })
    }

    /// The writes of one transaction.
    pub(super) fn plain_writes(&self) -> Vec<Write> {
        let writes = self.documents.iter().map(|(key, (precondition, value))| Write {
            key: key.to_string(),
            precondition: *precondition,
            op: Op::Put(value.clone()),
        });
        writes.collect()
    }
}

/// A push under way.
struct Staging {
    id: PushId,
    key: String,
    lease: LeaseId,
    /// The revision of its key.
    revision: Revision,
    record: PushRecord,
    renewed: Instant,
    /// That a document of the last batch has its intent. So have all others: they came before.
    last: Option<Check>,
}

impl Writes {
    /// Stages `prepared`, commits it and finishes it; or leaves nothing of it.
    pub(super) async fn stage(&self, plan: &Plan<'_>, prepared: &Prepared) -> Result<(), Unlanded> {
        metrics::counter!("oprc_pm_pushes_staged_total").increment(1);
        let mut staging = self.begin(plan, prepared).await?;
        let staged = match self.stage_all(&mut staging, plan, prepared).await {
            Ok(()) => self.commit(&staging, plan).await,
            Err(unlanded) => Err(unlanded),
        };
        match staged {
            Ok(at) => {
                tracing::info!(push = %staging.id, revision = at.0, "push committed");
                self.finish(&staging, at).await;
                Ok(())
            }
            // It may have been committed: only what the store says can tell.
            Err(Unlanded::Failed(error @ Error::MaybeDone { .. })) => Err(Unlanded::Failed(error)),
            Err(unlanded) => {
                self.abort(&staging).await;
                Err(unlanded)
            }
        }
    }

    async fn begin(&self, plan: &Plan<'_>, prepared: &Prepared) -> Result<Staging, Unlanded> {
        let lease = self.store.grant_lease(LEASE_SECS).await.map_err(undone)?;
        let id = (self.new_uid)();
        let id: PushId = id.parse().map_err(|error| Error::Refused { source: Box::new(error) })?;
        let record = PushRecord {
            progress: Progress::Pending,
            begun_at: plan.now,
            n_documents: u64::try_from(prepared.documents.len()).unwrap_or(u64::MAX),
            bundle: plan.push.bundle.cloned(),
            correlation_id: plan.push.by.correlation_id.map(str::to_owned),
        };
        let key = Key::Push(id.clone());
        let value = typed::encode(&key, &record).map_err(|error| Error::from(error.source))?;
        let key = key.to_string();
        let op = Op::PutLeased(value, lease);
        let write = Write { key: key.clone(), precondition: Precondition::Absent, op };
        let txn = Txn { checks: Vec::new(), writes: vec![write] };
        // Where it is not known whether it landed, the lease ends it.
        let revision = self.store.txn(txn).await.map_err(undone)?;
        tracing::info!(push = %id, documents = record.n_documents, "staging a push");
        Ok(Staging { id, key, lease, revision, record, renewed: Instant::now(), last: None })
    }

    /// Gives every document its intent.
    async fn stage_all(
        &self,
        staging: &mut Staging,
        plan: &Plan<'_>,
        prepared: &Prepared,
    ) -> Result<(), Unlanded> {
        let is_undecided =
            Check { key: staging.key.clone(), precondition: Precondition::At(staging.revision) };
        let batch = || Txn { checks: vec![is_undecided.clone()], writes: Vec::new() };
        let fits = |txn: &Txn| draft::fits(txn, self.max_txn_ops);
        let mut txn = batch();
        for (key, (precondition, value)) in &prepared.documents {
            let write = self.intent(staging, key, *precondition, value, &plan.stored_at)?;
            txn.writes.push(write);
            if fits(&txn).is_err() {
                let last = txn.writes.pop();
                if txn.writes.is_empty() {
                    txn.writes.extend(last);
                    return Err(fits(&txn).err().map_or(Unlanded::Conflict, Unlanded::from));
                }
                self.land_batch(staging, std::mem::replace(&mut txn, batch())).await?;
                txn.writes.extend(last);
                fits(&txn)?;
            }
        }
        if !txn.writes.is_empty() {
            self.land_batch(staging, txn).await?;
        }
        Ok(())
    }

    /// The write that puts an intent beside the document `key`.
    fn intent(
        &self,
        staging: &Staging,
        key: &Key,
        shown: Precondition,
        value: &[u8],
        stored_at: &StoredAt,
    ) -> Result<Write, Unlanded> {
        let (current, since) = self.current(key, shown)?;
        let mut buffer = Vec::with_capacity(current.len() + value.len() + 128);
        let mut object = Object::new(&mut buffer);
        if !current.is_empty() {
            object.members_of_text(&current);
        }
        let written = object.field_with("intent", |buffer| {
            let mut intent = Object::new(buffer);
            intent.field("push", &staging.id)?;
            intent.field("since", &since)?;
            intent.members_of_text(value);
            intent.end();
            Ok(())
        });
        written.map_err(Error::from)?;
        object.end();
        let name = key.to_string();
        let precondition = stored_at.of(&name, shown);
        Ok(Write { key: name, precondition, op: Op::Put(buffer.into()) })
    }

    /// The document as it is shown, without an intent, and the revision that it is shown at.
    fn current(&self, key: &Key, shown: Precondition) -> Result<(Vec<u8>, Revision), Unlanded> {
        let Precondition::At(at) = shown else { return Ok((Vec::new(), NEVER)) };
        let text = match key {
            Key::Package(name) => {
                let entry = self.cache.read().packages.get(name).cloned();
                let entry = entry.filter(|entry| entry.revision == at);
                let stored: Arc<Stored<OPackage>> = entry.ok_or(Unlanded::Conflict)?.value;
                serde_json::to_vec(&*stored)
            }
            Key::Deployment(name) => {
                let entry = self.cache.read().deployments.get(name).cloned();
                let entry = entry.filter(|entry| entry.revision == at);
                let stored: Arc<Stored<OClassDeployment>> = entry.ok_or(Unlanded::Conflict)?.value;
                serde_json::to_vec(&*stored)
            }
            _ => return Err(Unlanded::Conflict),
        };
        Ok((text.map_err(Error::from)?, at))
    }

    /// Writes a batch of intents, until it is known that they are there or cannot be.
    async fn land_batch(&self, staging: &mut Staging, txn: Txn) -> Result<(), Unlanded> {
        if staging.renewed.elapsed() > RENEWAL {
            self.store.keep_alive(staging.lease).await.map_err(undone)?;
            staging.renewed = Instant::now();
        }
        let first = txn.writes.first().map(|write| write.key.clone()).unwrap_or_default();
        let mut n_tries = 0;
        let mut may_be_done = false;
        let landed_at = loop {
            let error = match self.txn(txn.clone()).await {
                Ok(at) => break at,
                Err(error) => error,
            };
            n_tries += 1;
            may_be_done |= matches!(error, StoreError::MaybeDone { .. });
            if may_be_done
                && let Some(at) = self.intent_at(&first, &staging.id).await.map_err(undone)?
            {
                break at;
            }
            match error {
                StoreError::Conflict { .. } => return Err(Unlanded::Conflict),
                StoreError::MaybeDone { .. } if n_tries < MAX_TRIES => {}
                other => return Err(undone(other)),
            }
        };
        staging.last = Some(Check { key: first, precondition: Precondition::At(landed_at) });
        Ok(())
    }

    /// The revision at which the document `key` was given an intent of `push`, if it has one.
    async fn intent_at(&self, key: &str, push: &PushId) -> Result<Option<Revision>, StoreError> {
        let Some(stored) = self.store.get(key).await? else { return Ok(None) };
        let read = serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&stored.value);
        let intent = read.ok().and_then(|read| read.intent);
        Ok(intent.filter(|intent| intent.push == *push).map(|_| stored.mod_revision))
    }

    /// Makes all of it true at once; answers the revision of that moment. It checks that the last
    /// intents are there: a store that was restored from a snapshot of the middle of the push has
    /// its key, and not all of them.
    async fn commit(&self, staging: &Staging, plan: &Plan<'_>) -> Result<Revision, Unlanded> {
        let record = PushRecord { progress: Progress::Committed, ..staging.record.clone() };
        let key = Key::Push(staging.id.clone());
        let value = typed::encode(&key, &record).map_err(|error| Error::from(error.source))?;
        let precondition = Precondition::At(staging.revision);
        let mut txn = Txn {
            checks: staging.last.iter().cloned().collect(),
            writes: vec![Write { key: staging.key.clone(), precondition, op: Op::Put(value) }],
        };
        txn.writes.extend(plan.bundle_write()?);
        plan.publish(&mut txn)?;
        draft::fits(&txn, self.max_txn_ops)?;
        fill_with_checks(&mut txn, plan, self.max_txn_ops);
        let mut n_tries = 0;
        let mut may_be_done = false;
        loop {
            let error = match self.txn(txn.clone()).await {
                Ok(revision) => return Ok(revision),
                Err(error) => error,
            };
            n_tries += 1;
            may_be_done |= matches!(error, StoreError::MaybeDone { .. } | StoreError::Full { .. });
            if !may_be_done {
                return Err(match error {
                    StoreError::Conflict { .. } => Unlanded::Conflict,
                    other => undone(other),
                });
            }
            match self.store.get(&staging.key).await {
                Ok(Some(stored)) if stored.mod_revision == staging.revision => {
                    // Not yet; it may still be under way.
                    if matches!(error, StoreError::Conflict { .. }) {
                        return Err(Unlanded::Conflict);
                    }
                }
                // Nobody but us writes it, and only once.
                Ok(Some(stored)) => return Ok(stored.mod_revision),
                // Ended by its lease, or committed, finished and removed by the leader.
                Ok(None) => return Err(maybe(error)),
                Err(_) if n_tries >= MAX_TRIES => return Err(maybe(error)),
                Err(_) => {}
            }
            if n_tries >= MAX_TRIES {
                return Err(maybe(error));
            }
        }
    }

    /// Ends the push before it was committed, and takes its intents away.
    async fn abort(&self, staging: &Staging) {
        if let Err(error) = self.store.revoke_lease(staging.lease).await {
            tracing::warn!(push = %staging.id, error = %error, "a push that failed ends with its lease");
            return;
        }
        tracing::info!(push = %staging.id, "push aborted");
        if self.freshness.wait().await.is_ok() {
            self.settle_documents(&staging.id).await;
        }
    }

    /// Makes the documents of a committed push what they are, and removes its key. What fails is up
    /// to the leader's push controller, and so is a push of which not all is seen.
    async fn finish(&self, staging: &Staging, committed_at: Revision) {
        let push = &staging.id;
        if self.cache.wait_for(committed_at, PATIENCE).await.is_err() {
            return;
        }
        let n_seen = u64::try_from(self.cache.read().intents_of_push(push).len());
        let is_whole = n_seen.is_ok_and(|n_seen| n_seen == staging.record.n_documents);
        if !self.settle_documents(push).await || !is_whole {
            return;
        }
        let Some(at) = self.cache.read().pushes.get(push).map(|entry| entry.revision) else {
            return;
        };
        let key = Key::Push(push.clone()).to_string();
        let write = Write { key, precondition: Precondition::At(at), op: Op::Delete };
        // Either it is gone or somebody else will see to it.
        let _ = self.store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await;
    }

    /// Takes the intents of a decided push out of its documents; answers whether none is left.
    async fn settle_documents(&self, push: &PushId) -> bool {
        let (mut n_failed, batch) = (0, MAX_BATCH.min(self.max_txn_ops));
        loop {
            let (fate, writes) = {
                let state = self.cache.read();
                (state.fate(push), state.settling(push, batch, MAX_SETTLED_BYTES))
            };
            if writes.is_empty() {
                return fate != Fate::Pending;
            }
            let landed = self.store.txn(Txn { checks: Vec::new(), writes }).await;
            let is_shown = match landed {
                Ok(revision) => self.cache.wait_for(revision, PATIENCE).await.is_ok(),
                Err(_) => {
                    n_failed += 1;
                    n_failed < MAX_TRIES && self.freshness.wait().await.is_ok()
                }
            };
            if !is_shown {
                return false;
            }
        }
    }
}

/// Why nothing can be seen of the push: it was not committed, whatever became of this call.
fn undone(error: StoreError) -> Unlanded {
    Unlanded::Failed(match error {
        StoreError::MaybeDone { source } => Error::Unavailable { source },
        // It met the end of the room before it was committed.
        StoreError::Full { source } => Error::Full { source },
        other => other.into(),
    })
}

fn maybe(error: StoreError) -> Unlanded {
    Unlanded::Failed(Error::MaybeDone { source: Box::new(error) })
}
