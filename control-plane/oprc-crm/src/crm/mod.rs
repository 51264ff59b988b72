//! What the CRM does when it is called: read, decide, write in one transaction, answer.
//!
//! Calls run at the same time and never wait for each other: each reads what it decides on, writes
//! under the condition that it is still so, and begins again when it is not.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use oprc_cp_storage::{Check, Error as StoreError, Precondition, Revision, SharedStore, Txn};
use oprc_models::{
    cluster::{ClusterHealth, HealthStatus, KnownCaller, features},
    crm::UnitStatus,
    names::{ClusterName, UnitId},
    record::{DeploymentRecord, RunCondition},
    unit::DeploymentUnit,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    Error,
    clock::Clock,
    decide::{self, Apply, Delete},
    feed::Feed,
    layout::{self, Stored, Term, Tombstone},
    record,
    runtime::Runtime,
    timers::Timers,
};

mod terms;
#[cfg(test)]
pub(crate) mod tests;

/// How often a call decides again because someone else wrote first. Each time at least one of the
/// calls at an id gets through, so more than this many are at it at once.
const MAX_ATTEMPTS: usize = 64;

/// The most owners whose terms are remembered.
const MAX_OWNERS: usize = 1_000;

/// The CRM of one cluster, without a way to call it: see [`crate::router`].
pub struct Crm {
    pub(crate) cluster: ClusterName,
    pub(crate) store: SharedStore,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    pub(crate) feed: Feed,
    pub(crate) timers: Timers,
    /// Whether the last write was answered.
    is_writable: AtomicBool,
    /// When each owner last called in a term.
    heard: Mutex<BTreeMap<String, Instant>>,
}

impl fmt::Debug for Crm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crm").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// In whose name and term a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The owner that terms are kept by.
    pub owner: String,
    /// The caller's term.
    pub term: u64,
}

/// What became of a unit that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How it is now.
    pub condition: RunCondition,
    /// What was done.
    pub change: Change,
}

/// What taking a unit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing was held before.
    Created,
    /// Something older was held.
    Updated,
    /// It was held already.
    Unchanged,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It has begun; the record goes when it is done.
    Begun,
    /// Nothing is held.
    Gone,
}

/// What the store has of one id.
struct Held {
    record: Option<Stored<DeploymentRecord>>,
    tombstone: Option<Stored<Tombstone>>,
}

impl Held {
    fn record(&self) -> Option<&DeploymentRecord> {
        self.record.as_ref().map(|stored| &stored.value)
    }

    fn deleted(&self) -> Option<u64> {
        self.tombstone.as_ref().map(|stored| stored.value.generation)
    }
}

impl Crm {
    /// The CRM of `cluster` over what `store` holds; [`crate::work`] keeps it going.
    pub(crate) fn new(
        cluster: ClusterName,
        store: SharedStore,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Self {
        Self {
            cluster,
            store,
            runtime,
            clock,
            feed: Feed::default(),
            timers: Timers::default(),
            is_writable: AtomicBool::new(true),
            heard: Mutex::default(),
        }
    }

    /// Takes `unit`: creates it or brings what is held under its id up to date.
    ///
    /// # Errors
    ///
    /// See [`Error`]. After [`Error::Store`] it may have been taken if the store says so.
    pub async fn apply(
        &self,
        fence: Option<&Fence>,
        unit: &DeploymentUnit,
    ) -> Result<Applied, Error> {
        if unit.target_env != self.cluster {
            let (asked, ours) = (unit.target_env.clone(), self.cluster.clone());
            return Err(Error::WrongCluster { asked, ours });
        }
        let violations = self.runtime.violations(unit);
        if !violations.is_empty() {
            return Err(Error::InvalidUnit(violations));
        }
        for _ in 0..MAX_ATTEMPTS {
            match self.try_apply(fence, unit).await {
                Err(err) if err.is_conflict() => {}
                outcome => return outcome,
            }
        }
        Err(Error::Busy)
    }

    async fn try_apply(
        &self,
        fence: Option<&Fence>,
        unit: &DeploymentUnit,
    ) -> Result<Applied, Error> {
        let mut txn = Txn::default();
        self.fence(fence, &mut txn).await?;
        let held = self.held(&unit.id).await?;
        let current = held.record();
        let now = self.clock.now();
        let created_at = current.map_or(now, |record| record.created_at);

        let decision = decide::apply(current, held.deleted(), unit.generation, &unit.spec_hash);

        let next = match (decision, current) {
            (Apply::Create | Apply::Replace, _) => {
                Some(record::accepted(unit, &self.cluster, created_at, now))
            }
            (Apply::Advance, Some(current)) => Some(record::advanced(current, unit, now)),
            (Apply::Advance | Apply::Unchanged | Apply::Stale(_) | Apply::Conflict(_), _) => None,
        };
        if let Some(next) = &next {
            // The unit's key lives as long as the record's; transitions write only the latter.
            let created = held.record.as_ref().map(|record| record.created);
            let unit_there = created.map_or(Precondition::Absent, Precondition::CreatedAt);
            txn.writes.push(layout::put(
                layout::record_key(&unit.id),
                layout::as_found(held.record.as_ref()),
                next,
            )?);
            txn.writes.push(layout::put(layout::unit_key(&unit.id), unit_there, unit)?);
            if let Some(tombstone) = &held.tombstone {
                let as_found = Precondition::At(tombstone.revision);
                txn.writes.push(layout::delete(layout::tombstone_key(&unit.id), as_found));
            }
        }
        self.commit(txn).await?;
        let asked = unit.generation;
        let change = match decision {
            Apply::Create => Change::Created,
            Apply::Replace | Apply::Advance => Change::Updated,
            Apply::Unchanged => Change::Unchanged,
            Apply::Stale(current) => return Err(Error::StaleGeneration { asked, current }),
            Apply::Conflict(current) => return Err(Error::GenerationConflict { current }),
        };
        let condition = next.as_ref().or(held.record()).map(|record| record.status.condition);
        Ok(Applied { condition: condition.unwrap_or_default(), change })
    }

    /// Begins to remove what is held under `id`, if it is of `generation` or older (whatever is
    /// held, when `None`), and remembers that it was asked for.
    ///
    /// # Errors
    ///
    /// See [`Error`]. After [`Error::Store`] it may have begun if the store says so.
    pub async fn delete(
        &self,
        fence: Option<&Fence>,
        id: &UnitId,
        generation: Option<u64>,
    ) -> Result<Deleted, Error> {
        for _ in 0..MAX_ATTEMPTS {
            match self.try_delete(fence, id, generation).await {
                Err(err) if err.is_conflict() => {}
                outcome => return outcome,
            }
        }
        Err(Error::Busy)
    }

    async fn try_delete(
        &self,
        fence: Option<&Fence>,
        id: &UnitId,
        generation: Option<u64>,
    ) -> Result<Deleted, Error> {
        let mut txn = Txn::default();
        self.fence(fence, &mut txn).await?;
        let held = self.held(id).await?;

        let decision = decide::delete(held.record(), held.deleted(), generation);

        if let Delete::Begin(generation)
        | Delete::Raise(generation)
        | Delete::Remember(generation) = decision
        {
            let as_found = layout::as_found(held.tombstone.as_ref());
            let tombstone = Tombstone { generation };
            txn.writes.push(layout::put(layout::tombstone_key(id), as_found, &tombstone)?);
        }
        if let (Delete::Begin(_), Some(record)) = (decision, &held.record) {
            let deleting = record::deleting(&record.value, self.clock.now());
            let as_found = Precondition::At(record.revision);
            txn.writes.push(layout::put(layout::record_key(id), as_found, &deleting)?);
        }
        self.commit(txn).await?;
        match decision {
            Delete::Begin(_) | Delete::Raise(_) | Delete::Underway => Ok(Deleted::Begun),
            Delete::Remember(_) | Delete::Gone => Ok(Deleted::Gone),
            Delete::Stale(current) => {
                let asked = generation.unwrap_or_default();
                Err(Error::StaleGeneration { asked, current })
            }
        }
    }

    /// The record of `id`, with its running instances.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Store`], [`Error::Damaged`].
    pub async fn record(&self, id: &UnitId) -> Result<DeploymentRecord, Error> {
        let record = layout::get::<DeploymentRecord>(&self.store, &layout::record_key(id)).await?;
        let mut record = record.ok_or(Error::NotFound)?.value;
        let unit = layout::get::<DeploymentUnit>(&self.store, &layout::unit_key(id)).await?;
        record.runtime = unit.map(|unit| self.runtime.instances(&unit.value, &record));
        Ok(record)
    }

    /// How the unit `id` is, in short.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Store`], [`Error::Damaged`].
    pub async fn status(&self, id: &UnitId) -> Result<UnitStatus, Error> {
        let record = layout::get::<DeploymentRecord>(&self.store, &layout::record_key(id)).await?;
        Ok(record::unit_status(record.ok_or(Error::NotFound)?.value))
    }

    /// How the cluster is.
    pub fn health(&self) -> ClusterHealth {
        let about = self.runtime.about();
        let ours = [features::WATCH, features::GENERATIONS, features::TERMS];
        let mut features: Vec<_> = ours.into_iter().map(ToOwned::to_owned).collect();
        features.extend(about.features);
        let is_well = self.is_writable.load(Ordering::Relaxed);
        ClusterHealth {
            cluster_name: self.cluster.clone(),
            status: if is_well { HealthStatus::Healthy } else { HealthStatus::Degraded },
            crm_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            last_seen: Some(self.clock.now()),
            node_count: Some(about.n_nodes),
            ready_nodes: Some(about.n_ready_nodes),
            availability: Some(about.availability),
            capacity: None,
            labels: about.labels,
            features,
            caller: None,
        }
    }

    /// What is known of `owner`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Damaged`].
    pub(crate) async fn known(&self, owner: &str) -> Result<KnownCaller, Error> {
        let seen = layout::get::<Term>(&self.store, &layout::term_key(owner)).await?;
        let heard = self.heard.lock().get(owner).copied();
        Ok(KnownCaller {
            term: seen.map(|seen| seen.value.term),
            idle_secs: heard.map(|at| at.elapsed().as_secs()),
        })
    }

    /// Notes that `owner` called in a term. Of more owners than terms are remembered for, the rest
    /// is not noted.
    pub(crate) fn heard(&self, owner: &str) {
        let mut heard = self.heard.lock();
        if heard.len() < MAX_OWNERS || heard.contains_key(owner) {
            heard.insert(owner.to_owned(), Instant::now());
        }
    }

    /// Whether it can answer: it follows its store, and the store answers.
    pub async fn is_ready(&self) -> bool {
        self.feed.is_following() && self.store.head().await.is_ok()
    }

    async fn held(&self, id: &UnitId) -> Result<Held, Error> {
        let record = layout::get(&self.store, &layout::record_key(id)).await?;
        let tombstone = layout::get(&self.store, &layout::tombstone_key(id)).await?;
        Ok(Held { record, tombstone })
    }

    /// Refuses an older term than was seen, and has `txn` remember a newer one. Where the term is
    /// known, `txn` still checks that no newer one comes before it lands.
    async fn fence(&self, fence: Option<&Fence>, txn: &mut Txn) -> Result<(), Error> {
        let Some(Fence { owner, term }) = fence else { return Ok(()) };
        self.heard(owner);
        let key = layout::term_key(owner);
        let seen = layout::get::<Term>(&self.store, &key).await?;
        terms::check_step(seen.as_ref().map_or(0, |seen| seen.value.term), *term)?;
        match &seen {
            Some(seen) if seen.value.term > *term => {
                return Err(Error::StaleTerm { asked: *term, current: seen.value.term });
            }
            Some(seen) if seen.value.term == *term => {
                let precondition = Precondition::At(seen.revision);
                txn.checks.push(Check { key, precondition });
                return Ok(());
            }
            Some(_) => {}
            None => {
                let owners = self.store.list(layout::TERMS, None, MAX_OWNERS, None).await?;
                if owners.items.len() >= MAX_OWNERS {
                    return Err(Error::TooManyOwners { max: MAX_OWNERS });
                }
            }
        }
        let write = layout::put(key, layout::as_found(seen.as_ref()), &Term { term: *term })?;
        txn.writes.push(write);
        Ok(())
    }

    /// Carries out `txn`, if it writes anything, and notes whether the store takes writes.
    pub(crate) async fn commit(&self, txn: Txn) -> Result<Option<Revision>, Error> {
        if txn.writes.is_empty() {
            return Ok(None);
        }
        let outcome = self.store.txn(txn).await;
        let is_writable = !matches!(
            outcome,
            Err(StoreError::Unavailable { .. }
                | StoreError::MaybeDone { .. }
                | StoreError::Full { .. })
        );
        self.is_writable.store(is_writable, Ordering::Relaxed);
        Ok(Some(outcome?))
    }
}
