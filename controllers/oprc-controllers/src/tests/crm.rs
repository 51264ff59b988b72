//! A simulated CRM that keeps the contract, and can be told to break it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use oprc_crm_client::{CallError, Caller, Crm, Deleted, Page, Unreadable, Watch};
use oprc_models::{
    cluster::{ClusterHealth, HealthStatus, KnownCaller, features},
    crm::{DeploymentResponse, RecordEvent, RecordEventType, codes},
    meta::Timestamp,
    names::{ClusterName, UnitId},
    record::{DeploymentRecord, RecordStatus, RunCondition},
    unit::DeploymentUnit,
};
use parking_lot::Mutex;
use tokio::{
    sync::broadcast,
    time::{Instant, sleep},
};

/// What the next call for a unit does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is refused, as an invalid unit.
    Refused,
    /// Nothing answers, and nothing is done.
    Timeout,
}

/// A listing that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endless {
    /// Each page has new records.
    Records,
    /// The pages go in a circle.
    Circle,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) records: BTreeMap<UnitId, DeploymentRecord>,
    pub(crate) generations: BTreeMap<UnitId, u64>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) is_dead: bool,
    /// How long a call for a unit takes before it is carried out.
    pub(crate) latency: Duration,
    /// The client panics at its next health check.
    pub(crate) is_poisonous: bool,
    /// The client panics whenever it is to apply a unit of this deployment.
    pub(crate) poison: Option<String>,
    /// Calls that changed something, in order: `create x 1`, `update x 2`, `delete x`.
    pub(crate) effects: Vec<String>,
    /// Every call for a unit is refused.
    pub(crate) is_refusing: bool,
    /// Every call for a unit is answered 429, with this `Retry-After`.
    pub(crate) busy: Option<Duration>,
    /// When each call for a unit came.
    pub(crate) called_at: Vec<Instant>,
    /// How its listings never end.
    pub(crate) endless: Option<Endless>,
    /// Calls that came in, whatever became of them, health and listings aside.
    pub(crate) n_calls: usize,
    pub(crate) n_probes: usize,
    /// Records that a listing cannot read.
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) n_listings: usize,
    /// The highest term seen.
    pub(crate) term: u64,
    revision: u64,
}

impl Inner {
    /// Refuses a term that is older than one that was seen.
    fn fence(&mut self, caller: &Caller) -> Result<(), CallError> {
        let term = caller.term.unwrap_or(u64::MAX);
        if term < self.term {
            return Err(CallError::Stale {
                code: codes::STALE_TERM.to_owned(),
                message: format!("has seen term {}", self.term),
                current_generation: None,
                current_term: Some(self.term),
            });
        }
        self.term = term;
        Ok(())
    }
}

/// The simulated CRM of one cluster.
pub(crate) struct SimulatedCrm {
    pub(crate) cluster: ClusterName,
    pub(crate) inner: Mutex<Inner>,
    events: broadcast::Sender<RecordEvent>,
    features: Vec<String>,
}

impl SimulatedCrm {
    pub(crate) fn new(cluster: &str, features: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            cluster: cluster.parse().unwrap(),
            inner: Mutex::default(),
            events: broadcast::Sender::new(4096),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
        })
    }

    pub(crate) fn set_dead(&self, is_dead: bool) {
        self.inner.lock().is_dead = is_dead;
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.inner.lock().faults.push_back(fault);
    }

    /// Forgets everything, as a cluster that was rebuilt.
    pub(crate) fn wipe(&self) {
        let mut inner = self.inner.lock();
        let records = std::mem::take(&mut inner.records);
        inner.generations.clear();
        for record in records.into_values() {
            self.publish(&mut inner, RecordEventType::Deleted, record);
        }
    }

    pub(crate) fn insert(&self, record: DeploymentRecord) {
        let mut inner = self.inner.lock();
        inner.records.insert(record.id.clone(), record.clone());
        self.publish(&mut inner, RecordEventType::Added, record);
    }

    fn publish(&self, inner: &mut Inner, r#type: RecordEventType, record: DeploymentRecord) {
        inner.revision += 1;
        let event = RecordEvent { r#type, revision: inner.revision, record: Some(record) };
        // No watcher is no error.
        let _ = self.events.send(event);
    }

    /// The page after `after` of a listing that never ends.
    fn endless_page(&self, endless: Endless, after: Option<&str>) -> Page {
        let n: u64 = after.map_or(0, |after| after.parse().unwrap());
        let (n_items, next) = match endless {
            Endless::Records => (500, n + 1),
            Endless::Circle => (0, (n + 1) % 3),
        };
        let items = (0..n_items).map(|i| {
            let unit = serde_json::from_value(serde_json::json!({
                "id": format!("u-{n}-{i}"), "deployment_key": "a", "package_name": "shop",
                "class_key": "cart", "target_env": self.cluster, "generation": 1,
                "spec_hash": "x", "owner": "oprc-pm", "created_at": Timestamp::UNIX_EPOCH,
            }));
            record_of(&unit.unwrap(), &self.cluster)
        });
        let items = items.collect();
        Page { items, unreadable: Vec::new(), r#continue: Some(next.to_string()), revision: 0 }
    }

    fn check_alive(&self) -> Result<(), CallError> {
        if self.inner.lock().is_dead {
            return Err(CallError::Unreachable { source: "connection refused".into() });
        }
        Ok(())
    }

    async fn fault(&self) -> Result<bool, CallError> {
        let (fault, latency) = {
            let mut inner = self.inner.lock();
            inner.n_calls += 1;
            inner.called_at.push(Instant::now());
            if let Some(wait) = inner.busy {
                return Err(CallError::Busy { retry_after: Some(wait), status: 429 });
            }
            let refused = inner.is_refusing.then_some(Fault::Refused);
            (refused.or_else(|| inner.faults.pop_front()), inner.latency)
        };
        if !latency.is_zero() {
            sleep(latency).await;
        }
        match fault {
            None => Ok(false),
            Some(Fault::AnswerLost) => Ok(true),
            Some(Fault::Refused) => Err(CallError::Refused {
                status: 400,
                code: Some(codes::INVALID_UNIT.to_owned()),
                message: "no such template".to_owned(),
            }),
            Some(Fault::Timeout) => {
                sleep(Duration::from_secs(5)).await;
                Err(CallError::Unanswered { source: "timeout".into() })
            }
        }
    }
}

pub(crate) fn record_of(unit: &DeploymentUnit, cluster: &ClusterName) -> DeploymentRecord {
    DeploymentRecord {
        id: unit.id.clone(),
        deployment_key: unit.deployment_key.clone(),
        package_name: unit.package_name.clone(),
        class_key: unit.class_key.clone(),
        target_environment: unit.target_env.clone(),
        cluster_name: cluster.clone(),
        owner: unit.owner.clone(),
        generation: unit.generation,
        spec_hash: unit.spec_hash.clone(),
        status: RecordStatus {
            condition: RunCondition::Running,
            phase: "Running".to_owned(),
            message: None,
            last_updated: Timestamp::UNIX_EPOCH,
            functions: Vec::new(),
        },
        nfr_compliance: None,
        resource_refs: Vec::new(),
        runtime: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

#[async_trait]
impl Crm for SimulatedCrm {
    async fn health(&self, _: &Caller) -> Result<ClusterHealth, CallError> {
        let is_poisonous = {
            let mut inner = self.inner.lock();
            inner.n_probes += 1;
            std::mem::take(&mut inner.is_poisonous)
        };
        assert!(!is_poisonous, "a client that panics");
        self.check_alive()?;
        Ok(ClusterHealth {
            cluster_name: self.cluster.clone(),
            status: HealthStatus::Healthy,
            crm_version: None,
            last_seen: None,
            node_count: None,
            ready_nodes: None,
            availability: None,
            capacity: None,
            labels: BTreeMap::new(),
            features: self.features.clone(),
            caller: Some(KnownCaller { term: Some(self.inner.lock().term), idle_secs: None }),
        })
    }

    async fn apply(
        &self,
        caller: &Caller,
        unit: &DeploymentUnit,
    ) -> Result<DeploymentResponse, CallError> {
        let is_answer_lost = self.fault().await?;
        self.check_alive()?;
        let mut inner = self.inner.lock();
        inner.fence(caller)?;
        let is_poisonous = inner.poison.as_deref() == Some(unit.deployment_key.as_str());
        assert!(!is_poisonous, "cannot write {}", unit.deployment_key);
        let taken = inner.generations.get(&unit.id).copied().unwrap_or(0);
        if unit.generation < taken {
            return Err(CallError::Stale {
                code: codes::STALE_GENERATION.to_owned(),
                message: format!("has generation {taken}"),
                current_generation: Some(taken),
                current_term: None,
            });
        }
        inner.generations.insert(unit.id.clone(), unit.generation);
        let record = record_of(unit, &self.cluster);
        match inner.records.insert(unit.id.clone(), record.clone()) {
            Some(before) if before.generation == unit.generation => (),
            Some(_) => {
                inner.effects.push(format!("update {} {}", unit.deployment_key, unit.generation));
                self.publish(&mut inner, RecordEventType::Modified, record);
            }
            None => {
                inner.effects.push(format!("create {} {}", unit.deployment_key, unit.generation));
                self.publish(&mut inner, RecordEventType::Added, record);
            }
        }
        if is_answer_lost {
            return Err(CallError::Unanswered { source: "reset".into() });
        }
        let id = unit.id.clone();
        Ok(DeploymentResponse { id, status: RunCondition::Running, message: None })
    }

    async fn delete(
        &self,
        caller: &Caller,
        id: &UnitId,
        generation: u64,
    ) -> Result<Deleted, CallError> {
        let is_answer_lost = self.fault().await?;
        self.check_alive()?;
        let mut inner = self.inner.lock();
        inner.fence(caller)?;
        let taken = inner.generations.get(id).copied().unwrap_or(0);
        if generation < taken {
            return Err(CallError::Stale {
                code: codes::STALE_GENERATION.to_owned(),
                message: format!("has generation {taken}"),
                current_generation: Some(taken),
                current_term: None,
            });
        }
        inner.generations.insert(id.clone(), generation);
        let removed = inner.records.remove(id);
        let was_there = removed.is_some();
        if let Some(record) = removed {
            inner.effects.push(format!("delete {}", record.deployment_key));
            self.publish(&mut inner, RecordEventType::Deleted, record);
        }
        if is_answer_lost {
            return Err(CallError::Unanswered { source: "reset".into() });
        }
        Ok(if was_there { Deleted::Begun } else { Deleted::Gone })
    }

    async fn list(&self, _: &Caller, after: Option<&str>, limit: u32) -> Result<Page, CallError> {
        self.check_alive()?;
        if let Some(endless) = self.inner.lock().endless {
            return Ok(self.endless_page(endless, after));
        }
        let mut inner = self.inner.lock();
        inner.n_listings += 1;
        let start = inner.records.iter().filter(|(id, _)| after.is_none_or(|a| id.as_str() > a));
        let limit = usize::try_from(limit).unwrap();
        let items: Vec<_> = start.map(|(_, record)| record.clone()).take(limit + 1).collect();
        let has_more = items.len() > limit;
        let items: Vec<_> = items.into_iter().take(limit).collect();
        let last = items.last().map(|record| record.id.to_string());
        let r#continue = last.filter(|_| has_more);
        let unreadable = inner.unreadable.clone();
        Ok(Page { items, unreadable, r#continue, revision: inner.revision })
    }

    async fn watch(&self, _: &Caller, from: u64) -> Result<Watch, CallError> {
        self.check_alive()?;
        let events = self.events.subscribe();
        if self.inner.lock().revision != from {
            return Err(CallError::Gone);
        }
        let events = stream::unfold(events, |mut events| async move {
            let event = events.recv().await.map_err(|_| CallError::Gone);
            Some((event, events))
        });
        Ok(events.boxed())
    }
}

/// All features of the contract.
pub(crate) const ALL: &[&str] = &[features::WATCH, features::GENERATIONS, features::TERMS];
