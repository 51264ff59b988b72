//! A simulated CRM: it keeps the contract, unless a fault says otherwise.
//!
//! The state and what it does by itself; how replicas call it is in `crm_client`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oprc_crm_client::{CallError, Deleted};
use oprc_models::{
    crm::{DeploymentResponse, RecordEvent, RecordEventType, RecordPage, codes},
    names::{ClusterName, UnitId},
    record::{DeploymentRecord, RecordStatus, RunCondition},
    unit::{DeploymentUnit, StoredUnit},
};
use tokio::sync::mpsc;

use super::world::{World, note};

/// Events that are remembered for watches.
const MAX_LOG: usize = 40;

/// What goes wrong at a CRM, by share of calls, or until it is put right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mood {
    /// It answers nobody: connections are refused, or hang.
    pub(crate) is_dead: bool,
    pub(crate) hangs: bool,
    /// Further milliseconds of each call, at the most.
    pub(crate) slow: u64,
    pub(crate) lost_answers: f64,
    pub(crate) garbage: f64,
    pub(crate) busy: f64,
    pub(crate) refused: f64,
    /// It says that it serves another cluster.
    pub(crate) is_another: bool,
    pub(crate) is_unauthorized: bool,
    /// Milliseconds that watches are late, at the most.
    pub(crate) report_lag: u64,
    /// Share of answers that make whoever reads them panic.
    pub(crate) poison: f64,
    /// Listings break off in the middle.
    pub(crate) breaks_listings: f64,
    /// Listings are turned away, all of them, and nothing else.
    pub(crate) lists_nothing: bool,
    /// Share of calls for units that are carried out long after their caller has given up.
    pub(crate) late_calls: f64,
    /// A unit that is deleted takes minutes to go.
    pub(crate) is_slow_to_delete: bool,
}

/// What a CRM holds; what a backup of it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) records: BTreeMap<UnitId, DeploymentRecord>,
    /// The highest generation whose deletion was asked for.
    pub(crate) tombstones: BTreeMap<UnitId, u64>,
    /// The highest term of each owner.
    pub(crate) terms: BTreeMap<String, u64>,
}

struct Watcher {
    replica: usize,
    life: u64,
    sender: mpsc::UnboundedSender<Result<RecordEvent, CallError>>,
    /// When its last event arrives: the next one not before.
    last_at: u64,
}

/// The CRM of one cluster.
pub(crate) struct CrmServer {
    pub(crate) name: ClusterName,
    pub(crate) features: Vec<String>,
    pub(crate) held: Held,
    pub(crate) backup: Option<Held>,
    pub(crate) mood: Mood,
    revision: u64,
    log: VecDeque<(u64, RecordEvent)>,
    watchers: BTreeMap<u64, Watcher>,
    n_watchers: u64,
    /// Calls that changed or would change units, whatever came of them.
    pub(crate) n_calls: u64,
    /// Ids of records that are nobody's but their own.
    pub(crate) strangers: BTreeSet<UnitId>,
}

impl CrmServer {
    pub(crate) fn new(name: ClusterName, features: &[&str]) -> Self {
        Self {
            name,
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
            held: Held::default(),
            backup: None,
            mood: Mood::default(),
            revision: 1,
            log: VecDeque::new(),
            watchers: BTreeMap::new(),
            n_watchers: 0,
            n_calls: 0,
            strangers: BTreeSet::new(),
        }
    }

    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|has| has == feature)
    }

    fn keeps_generations(&self) -> bool {
        self.has(oprc_models::cluster::features::GENERATIONS)
    }
}

fn stale(code: &str, current: u64) -> CallError {
    let current_generation = (code == codes::STALE_GENERATION).then_some(current);
    let message = format!("has {current}");
    let current_term = (code == codes::STALE_TERM).then_some(current);
    CallError::Stale { code: code.to_owned(), message, current_generation, current_term }
}

impl World {
    fn crm(&mut self, cluster: &ClusterName) -> &mut CrmServer {
        self.crms.get_mut(cluster).unwrap_or_else(|| unreachable!("{cluster} has a CRM"))
    }

    /// Refuses a term that is older than one that was seen of this owner.
    fn crm_fence(
        &mut self,
        cluster: &ClusterName,
        owner: &str,
        term: u64,
    ) -> Result<(), CallError> {
        let crm = self.crm(cluster);
        if !crm.has(oprc_models::cluster::features::TERMS) {
            return Ok(());
        }
        let seen = crm.held.terms.entry(owner.to_owned()).or_default();
        if term < *seen {
            let seen = *seen;
            self.strike("stale term refused");
            return Err(stale(codes::STALE_TERM, seen));
        }
        *seen = term;
        Ok(())
    }

    /// Takes a unit.
    pub(crate) fn crm_apply(
        &mut self,
        cluster: &ClusterName,
        owner: &str,
        term: u64,
        unit: &DeploymentUnit,
    ) -> Result<DeploymentResponse, CallError> {
        self.crm_fence(cluster, owner, term)?;
        let wall = self.wall();
        let crm = self.crm(cluster);
        let before = crm.held.records.get(&unit.id);
        let deleted = crm.held.tombstones.get(&unit.id).copied();
        if crm.keeps_generations() {
            if let Some(deleted) = deleted.filter(|deleted| *deleted >= unit.generation) {
                let held = before.map_or(0, |before| before.generation);
                self.strike("stale generation refused");
                return Err(stale(codes::STALE_GENERATION, deleted.max(held)));
            }
            if let Some(before) = before {
                let is_deleting = before.status.condition == RunCondition::Deleted;
                let is_other = before.spec_hash != unit.spec_hash || is_deleting;
                if before.generation > unit.generation
                    || (before.generation == unit.generation && is_other)
                {
                    let held = before.generation;
                    self.strike("stale generation refused");
                    return Err(stale(codes::STALE_GENERATION, held));
                }
            }
        }
        let is_same = before.is_some_and(|before| {
            before.generation == unit.generation
                && before.spec_hash == unit.spec_hash
                && before.status.condition != RunCondition::Deleted
        });
        let status = before.map(|before| before.status.condition);
        if is_same {
            let status = status.unwrap_or_default();
            return Ok(DeploymentResponse { id: unit.id.clone(), status, message: None });
        }
        let is_new = before.is_none();
        let record = DeploymentRecord {
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
                condition: RunCondition::Pending,
                phase: "Accepted".to_owned(),
                message: None,
                last_updated: wall,
                functions: Vec::new(),
            },
            nfr_compliance: None,
            resource_refs: Vec::new(),
            runtime: None,
            created_at: wall,
            updated_at: wall,
        };
        crm.held.tombstones.remove(&unit.id);
        crm.held.records.insert(unit.id.clone(), record.clone());
        let verb = if is_new { "creates" } else { "updates" };
        note!(self, "{cluster} {verb} {} generation {} term {term}", unit.id, unit.generation);
        self.check_taken(cluster, term, unit, is_new);
        let kind = if is_new { RecordEventType::Added } else { RecordEventType::Modified };
        self.crm_publish(cluster, kind, record);
        let conditions = [RunCondition::Deploying, RunCondition::Running];
        let mut delay = 0;
        for condition in conditions {
            delay += self.dice.within(5..=1_500);
            let (cluster, id, generation) = (cluster.clone(), unit.id.clone(), unit.generation);
            self.deliver(delay, move |world| {
                world.crm_progress(&cluster, &id, generation, condition);
            });
        }
        let status = RunCondition::Pending;
        Ok(DeploymentResponse { id: unit.id.clone(), status, message: None })
    }

    /// The runtime has come further with a unit.
    fn crm_progress(
        &mut self,
        cluster: &ClusterName,
        id: &UnitId,
        generation: u64,
        condition: RunCondition,
    ) {
        let wall = self.wall();
        let Some(record) = self.crm(cluster).held.records.get_mut(id) else { return };
        let is_over = record.generation != generation
            || matches!(record.status.condition, RunCondition::Deleted | RunCondition::Running);
        if is_over {
            return;
        }
        record.status.condition = condition;
        record.status.phase = format!("{condition:?}");
        (record.status.last_updated, record.updated_at) = (wall, wall);
        let record = record.clone();
        if condition == RunCondition::Running {
            self.checker.runs(cluster, id, generation);
        }
        self.crm_publish(cluster, RecordEventType::Modified, record);
    }

    /// Takes a deletion.
    pub(crate) fn crm_delete(
        &mut self,
        cluster: &ClusterName,
        owner: &str,
        term: u64,
        id: &UnitId,
        generation: u64,
    ) -> Result<Deleted, CallError> {
        self.crm_fence(cluster, owner, term)?;
        let wall = self.wall();
        let crm = self.crm(cluster);
        let keeps = crm.keeps_generations();
        let Some(record) = crm.held.records.get_mut(id) else {
            let deleted = crm.held.tombstones.entry(id.clone()).or_default();
            *deleted = generation.max(*deleted);
            return Ok(Deleted::Gone);
        };
        if keeps && generation < record.generation {
            let held = record.generation;
            self.strike("stale generation refused");
            return Err(stale(codes::STALE_GENERATION, held));
        }
        let is_underway = record.status.condition == RunCondition::Deleted;
        record.status.condition = RunCondition::Deleted;
        record.status.phase = "DeletionRequested".to_owned();
        record.updated_at = wall;
        let record = record.clone();
        let deleted = crm.held.tombstones.entry(id.clone()).or_default();
        *deleted = generation.max(*deleted);
        if !is_underway {
            note!(self, "{cluster} deletes {id} generation {generation} term {term}");
            self.check_deleted(cluster, term, &record);
            self.crm_publish(cluster, RecordEventType::Modified, record);
            let delay = if self.crm(cluster).mood.is_slow_to_delete {
                self.strike("deletion takes minutes");
                self.dice.within(20_000..=120_000)
            } else {
                self.dice.within(5..=2_000)
            };
            let (cluster, id) = (cluster.clone(), id.clone());
            self.deliver(delay, move |world| world.crm_gone(&cluster, &id));
        }
        Ok(Deleted::Begun)
    }

    /// The runtime has removed a unit.
    fn crm_gone(&mut self, cluster: &ClusterName, id: &UnitId) {
        let crm = self.crm(cluster);
        let is_deleting =
            |record: &DeploymentRecord| record.status.condition == RunCondition::Deleted;
        if !crm.held.records.get(id).is_some_and(is_deleting) {
            return;
        }
        if let Some(record) = crm.held.records.remove(id) {
            note!(self, "{cluster} has removed {id}");
            self.crm_publish(cluster, RecordEventType::Deleted, record);
        }
    }

    /// One page of what the CRM holds, as it says.
    pub(crate) fn crm_list(
        &mut self,
        cluster: &ClusterName,
        after: Option<&str>,
        limit: usize,
    ) -> RecordPage {
        let crm = self.crm(cluster);
        let found = crm.held.records.iter();
        let found = found.filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut items: Vec<DeploymentRecord> =
            found.take(limit + 1).map(|(_, record)| crm.as_reported(record)).collect();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(|record| record.id.to_string());
        RecordPage { items, r#continue: last.filter(|_| has_more), revision: crm.revision }
    }

    /// Opens a watch of what changes after `from`.
    pub(crate) fn crm_watch(
        &mut self,
        cluster: &ClusterName,
        replica: usize,
        life: u64,
        from: u64,
    ) -> Result<mpsc::UnboundedReceiver<Result<RecordEvent, CallError>>, CallError> {
        let crm = self.crm(cluster);
        let oldest = crm.log.front().map_or(crm.revision, |(revision, _)| revision - 1);
        if from < oldest || from > crm.revision {
            return Err(CallError::Gone);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        for (_, event) in crm.log.iter().filter(|(revision, _)| *revision > from) {
            // The receiver is here.
            let _ = sender.send(Ok(event.clone()));
        }
        crm.n_watchers += 1;
        let id = crm.n_watchers;
        crm.watchers.insert(id, Watcher { replica, life, sender, last_at: 0 });
        Ok(receiver)
    }

    fn crm_publish(
        &mut self,
        cluster: &ClusterName,
        kind: RecordEventType,
        record: DeploymentRecord,
    ) {
        let lag = self.crm(cluster).mood.report_lag;
        let late = if lag > 0 { self.dice.within(0..=lag) } else { 0 };
        if late > 500 {
            self.strike("CRM reports late");
        }
        let now = self.now;
        let crm = self.crm(cluster);
        crm.revision += 1;
        let record = crm.as_reported(&record);
        let event = RecordEvent { r#type: kind, revision: crm.revision, record: Some(record) };
        crm.log.push_back((crm.revision, event.clone()));
        if crm.log.len() > MAX_LOG {
            crm.log.pop_front();
        }
        let mut at = Vec::new();
        for (id, watcher) in &mut crm.watchers {
            watcher.last_at = watcher.last_at.max(now + 2 + late);
            at.push((*id, watcher.last_at));
        }
        for (id, at) in at {
            let (cluster, event) = (cluster.clone(), event.clone());
            self.deliver(at - now, move |world| world.crm_tell(&cluster, id, event));
        }
    }

    fn crm_tell(&mut self, cluster: &ClusterName, id: u64, event: RecordEvent) {
        let Some(watcher) = self.crm(cluster).watchers.get(&id) else { return };
        let (replica, life) = (watcher.replica, watcher.life);
        let is_heard = self.is_alive(replica, life) && !self.is_crm_cut(cluster, replica);
        let crm = self.crm(cluster);
        let is_taken =
            is_heard && crm.watchers.get(&id).is_some_and(|it| it.sender.send(Ok(event)).is_ok());
        if !is_taken && let Some(watcher) = crm.watchers.remove(&id) {
            let _ = watcher.sender.send(Err(CallError::Unanswered { source: "reset".into() }));
        }
    }

    /// Breaks every watch of a CRM.
    pub(crate) fn crm_break_watches(&mut self, cluster: &ClusterName) {
        let watchers = std::mem::take(&mut self.crm(cluster).watchers);
        for watcher in watchers.into_values() {
            self.strike("watch of a CRM broken");
            let _ = watcher.sender.send(Err(CallError::Unanswered { source: "reset".into() }));
        }
    }

    /// Whether a replica and a CRM do not hear each other.
    pub(crate) fn is_crm_cut(&self, cluster: &ClusterName, replica: usize) -> bool {
        self.weather.crm_cut.contains(&(replica, cluster.clone()))
            || self.crms.get(cluster).is_none_or(|crm| crm.mood.is_dead)
    }

    /// The CRM loses its disk, or is given an old one.
    pub(crate) fn crm_restore(&mut self, cluster: &ClusterName, held: Held) {
        self.checker.distrust(cluster);
        let crm = self.crm(cluster);
        // Strangers live elsewhere: they are not lost with it.
        let mut held = held;
        for id in &crm.strangers {
            if let Some(record) = crm.held.records.get(id) {
                held.records.insert(id.clone(), record.clone());
            }
        }
        crm.held = held;
        crm.log.clear();
        // Another history: a watch cannot go on in it.
        crm.revision += 1_000;
        let moving: Vec<_> = crm
            .held
            .records
            .values()
            .map(|record| (record.id.clone(), record.generation, record.status.condition))
            .collect();
        for (id, generation, condition) in moving {
            let delay = self.dice.within(100..=3_000);
            let cluster = cluster.clone();
            match condition {
                RunCondition::Deleted => {
                    self.deliver(delay, move |world| world.crm_gone(&cluster, &id));
                }
                RunCondition::Running => self.checker.runs(&cluster, &id, generation),
                _ => self.deliver(delay, move |world| {
                    world.crm_progress(&cluster, &id, generation, RunCondition::Running);
                }),
            }
        }
        self.crm_break_watches(cluster);
    }

    /// What is restored from `backup`: without what a CRM that keeps no generations would hold in an
    /// older one than is wanted, since nothing that it says would show it.
    pub(crate) fn crm_backup(&mut self, cluster: &ClusterName, mut backup: Held) -> Held {
        let units: BTreeMap<String, StoredUnit> = self.stored(&format!("units/{cluster}/"));
        let crm = self.crm(cluster);
        if !crm.keeps_generations() {
            for unit in units.values() {
                let id = &unit.unit.id;
                match crm.held.records.get(id) {
                    Some(record) => drop(backup.records.insert(id.clone(), record.clone())),
                    None => drop(backup.records.remove(id)),
                }
            }
        }
        backup
    }

    /// A record appears that nobody asked for.
    pub(crate) fn crm_intrude(&mut self, cluster: &ClusterName, record: DeploymentRecord) {
        let crm = self.crm(cluster);
        crm.held.records.insert(record.id.clone(), record.clone());
        self.crm_publish(cluster, RecordEventType::Added, record);
    }
}

impl CrmServer {
    /// A record as this CRM tells it: one that keeps no generations knows none.
    fn as_reported(&self, record: &DeploymentRecord) -> DeploymentRecord {
        let mut record = record.clone();
        if !self.keeps_generations() {
            record.generation = 0;
            record.spec_hash = String::new();
        }
        record
    }
}
