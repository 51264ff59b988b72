//! What must hold at every moment, checked with each transaction and each call that took effect.

use std::collections::{BTreeMap, BTreeSet};

use oprc_cp_storage::{
    keys::Key,
    mvcc::{Commit, Item},
};
use oprc_models::{
    cluster::{ClusterStatus, features},
    meta::{Meta, Stored},
    names::{ClusterName, DeploymentKey, UnitId},
    record::{DeploymentRecord, RunCondition, StoredRecord},
    status::{DeploymentStatus, PackageStatus},
    unit::{DeploymentUnit, Desired, StoredUnit},
};
use serde::de::DeserializeOwned;

use super::{
    documents::{Documents, digest},
    pauses::Paused,
    placing::Placing,
    replica::{LEADER_KEY, OWNER},
    world::{World, note},
};

/// How long after a cluster's status says that it is not connected a deployment's status may still
/// say RUNNING: both are written by reconciles that may have been cut off in between.
const UNKNOWN_AFTER: u64 = 30_000;

/// How long after that, while somebody leads undisturbed, the stored status of a deployment may say
/// RUNNING of such a cluster: the longest back-off of a write that failed, and as much again.
const UNWRITTEN_FOR: u64 = 60_000;

/// What is remembered to check by.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// The first properties that did not hold.
    pub(crate) violations: Vec<String>,
    /// Clusters whose CRM has broken the contract: lost or restored what it held.
    distrusted: BTreeSet<ClusterName>,
    /// What has really been running: cluster, unit, generation.
    ran: BTreeSet<(ClusterName, UnitId, u64)>,
    /// The highest generation taken, by cluster and unit.
    taken: BTreeMap<(ClusterName, UnitId), u64>,
    /// The highest generation, and the last, of each unit that a CRM took which neither keeps nor
    /// reports generations: nothing shows that a call that came late has taken it back.
    taken_blindly: BTreeMap<(ClusterName, UnitId), (u64, u64)>,
    /// The highest term accepted, by cluster.
    terms: BTreeMap<ClusterName, u64>,
    /// Units of deployments that are gone from the store: nothing makes them again.
    removed: BTreeSet<(ClusterName, UnitId)>,
    /// Units that were ever planned, by deployment, with their highest generation.
    planned: BTreeMap<DeploymentKey, BTreeMap<(ClusterName, UnitId), u64>>,
    /// The highest generation of each unit that a store which was taken back has forgotten: a call
    /// for it may still be on its way, and the store has no way to know.
    forgotten: BTreeMap<(ClusterName, UnitId), u64>,
    /// Since when a cluster's status says that it is not connected.
    disconnected: BTreeMap<ClusterName, u64>,
    /// Whether a watch has lost a change without a sign: caches may be wrong until they have looked
    /// for themselves, and what is decided meanwhile is held to nothing but what checks in the store
    /// and at CRMs ensure.
    pub(crate) is_blind: bool,
    /// Whether the store was ever taken back to what it was. A write that was decided before may land
    /// after, so for once a status may speak of what is not yet again, and then of what is.
    pub(crate) was_restored: bool,
    /// When the leader or the store was last not as usual: what is known may not be written down.
    pub(crate) disturbed_at: u64,
    /// Transactions that were not the election's.
    pub(crate) n_writes: u64,
    /// Writes that users were told of: the key, its generation and uid at a revision.
    pub(crate) n_acknowledged: u64,
    /// What documents were.
    pub(crate) documents: Documents,
    /// Keys whose last write landed late.
    landed_late: BTreeSet<String>,
    /// Units that are marked as paused.
    pub(crate) paused: Paused,
    /// Clusters that are fit for placement.
    pub(crate) placing: Placing,
}

fn decode<T: DeserializeOwned>(item: Option<&Item>) -> Option<T> {
    serde_json::from_slice(&item?.key_value.value).ok()
}

impl Checker {
    fn violated(&mut self, what: String) {
        if self.violations.len() < 5 {
            self.violations.push(what);
        }
    }

    /// A transaction wrote `keys`, seconds after it was sent or not.
    pub(crate) fn note_writes(&mut self, keys: Vec<String>, is_late: bool) {
        if is_late {
            self.landed_late.extend(keys);
        } else {
            self.landed_late.retain(|late| !keys.contains(late));
        }
    }

    /// The store is as it was once: what was planned and removed since is not known to it.
    pub(crate) fn forget_the_store(&mut self) {
        self.was_restored = true;
        for (place, generation) in std::mem::take(&mut self.planned).into_values().flatten() {
            let highest = self.forgotten.entry(place).or_default();
            *highest = generation.max(*highest);
        }
        self.removed.clear();
        self.disconnected.clear();
    }

    pub(crate) fn distrust(&mut self, cluster: &ClusterName) {
        self.distrusted.insert(cluster.clone());
        self.taken.retain(|(of, _), _| of != cluster);
        self.terms.remove(cluster);
    }

    pub(crate) fn runs(&mut self, cluster: &ClusterName, id: &UnitId, generation: u64) {
        self.ran.insert((cluster.clone(), id.clone(), generation));
    }

    /// A user was told that a document is stored.
    pub(crate) fn acknowledged(&mut self, key: &str, uid: &str, generation: u64, revision: u64) {
        self.n_acknowledged += 1;
        if !self.documents.became(key, revision, uid, generation) {
            self.violated(format!(
                "nothing accepted is forgotten: {key} generation {generation} of {uid} was \
                 acknowledged at {revision}, and the store has no such write"
            ));
        }
    }
}

impl World {
    /// Whether the CRM has kept the contract from the beginning, generations included.
    fn keeps_contract(&self, cluster: &ClusterName) -> bool {
        !self.checker.distrusted.contains(cluster)
            && self.crms.get(cluster).is_some_and(|crm| crm.has(features::GENERATIONS))
    }

    pub(crate) fn violated(&mut self, what: String) {
        note!(self, "VIOLATED {what}");
        self.checker.violated(what);
    }

    /// Checks a transaction that has landed.
    pub(crate) fn check_commit(&mut self, by: Option<usize>, commit: &Commit) {
        let documents = self.note_documents(commit);
        if self.is_overwriting {
            return;
        }
        for (key, before, after) in documents {
            let is_gone = before.is_some() && after.is_none();
            self.check_spec(&key.to_string(), &(before.map(|it| it.meta), after.map(|it| it.meta)));
            if let Key::Deployment(name) = &key
                && is_gone
            {
                self.check_removed(name);
            }
        }
        let mut is_ours = false;
        for change in &commit.changes {
            if self.spoilt.contains_key(&change.key) {
                self.violated(format!("{} cannot be read, and was overwritten", change.key));
                continue;
            }
            let Ok(key) = change.key.parse::<Key>() else {
                self.violated(format!("{} is a key of no known family", change.key));
                continue;
            };
            let (before, after) = (change.before.as_ref(), change.after.as_ref());
            let has_expired = after.is_none() && matches!(key, Key::Events(_));
            if !has_expired {
                self.check_fenced(by, &key);
            }
            match &key {
                Key::Leader(_) => {
                    self.checker.disturbed_at = self.now;
                    let what = if after.is_some() { "leads from" } else { "leads no more at" };
                    note!(self, "{by:?} {what} {}", commit.revision);
                    continue;
                }
                Key::Unit(cluster, deployment) => {
                    self.check_unit(cluster, deployment, decode(before), decode(after));
                }
                Key::DeploymentStatus(name) => {
                    let old: Option<DeploymentStatus> = decode(before);
                    let new: Option<DeploymentStatus> = decode(after);
                    let said = |it: &DeploymentStatus| (it.uid.clone(), it.observed_generation);
                    self.check_monotonic(&key, old.as_ref().map(said), new.as_ref().map(said));
                    if let Some(status) = new {
                        self.check_status(name, &status);
                    }
                }
                Key::PackageStatus(_) => {
                    let (old, new): (Option<PackageStatus>, _) = (decode(before), decode(after));
                    let said = |it: PackageStatus| (it.uid, it.observed_generation);
                    self.check_monotonic(&key, old.map(said), new.map(said));
                }
                Key::ClusterStatus(cluster) => {
                    let status: Option<ClusterStatus> = decode(after);
                    self.checker.placing.note(cluster, status.as_ref(), self.now);
                    if status.is_some_and(|status| status.is_connected()) {
                        self.checker.disconnected.remove(cluster);
                    } else {
                        let now = self.now;
                        self.checker.disconnected.entry(cluster.clone()).or_insert(now);
                    }
                }
                Key::PackageRevision(..) | Key::DeploymentRevision(..) => {
                    self.check_archived(&key, after);
                }
                // An event goes with its lease, however quiet it is.
                Key::Events(_) if after.is_none() => continue,
                Key::Events(_) => self.check_events(&change.key, decode(after)),
                Key::PackageVersion(name, version) => {
                    self.check_version(name, version, decode(after));
                }
                Key::Package(_)
                | Key::Deployment(_)
                | Key::Cluster(_)
                | Key::Record(..)
                | Key::Bundle(_)
                | Key::Push(_)
                | Key::Installation
                | Key::RoleBinding(_) => (),
            }
            is_ours = true;
        }
        if is_ours {
            self.checker.n_writes += 1;
        }
    }

    /// What controllers write is written by who leads at that moment.
    fn check_fenced(&mut self, by: Option<usize>, key: &Key) {
        let is_controllers = matches!(
            key,
            Key::Unit(..)
                | Key::Record(..)
                | Key::DeploymentStatus(_)
                | Key::PackageStatus(_)
                | Key::ClusterStatus(_)
                | Key::Events(_)
        );
        let leader = self.leader();
        if is_controllers && by != leader {
            self.violated(format!("fenced: {by:?} wrote {key} while {leader:?} led"));
        }
    }

    /// What is archived under a generation is what that generation was.
    fn check_archived(&mut self, key: &Key, after: Option<&Item>) {
        let (live, generation) = match key {
            Key::PackageRevision(name, generation) => (Key::Package(name.clone()), *generation),
            Key::DeploymentRevision(name, generation) => {
                (Key::Deployment(name.clone()), *generation)
            }
            _ => return,
        };
        let Some(archived) = decode::<Stored<serde_json::Value>>(after) else { return };
        let meta = archived.meta;
        let (live, spec) = (live.to_string(), digest(&archived.spec));
        let is_known = self.checker.documents.was(&live, &meta.uid, meta.generation, spec);
        if meta.generation != generation || !is_known {
            self.violated(format!("archived: {key} holds {meta:?}, which {live} never was"));
        }
    }

    /// The replica that leads, by the store.
    pub(crate) fn leader(&self) -> Option<usize> {
        let holder: Option<serde_json::Value> = decode(self.store.mvcc.get(LEADER_KEY));
        holder?["id"].as_str()?.strip_prefix('r')?.parse().ok()
    }

    /// The generation that is stored of what the status `key` speaks of.
    fn generation_of(&self, key: &Key) -> Option<u64> {
        let spec = match key {
            Key::DeploymentStatus(name) => Key::Deployment(name.clone()),
            Key::PackageStatus(name) => Key::Package(name.clone()),
            _ => return None,
        };
        Some(self.shown(&spec.to_string())?.meta.generation)
    }

    /// What is said of one incarnation never speaks of an older generation than before.
    fn check_monotonic(
        &mut self,
        key: &Key,
        before: Option<(String, u64)>,
        after: Option<(String, u64)>,
    ) {
        if let (Some((old_uid, old)), Some((uid, new))) = (before, after)
            && old_uid == uid
            && new < old
            && !self.checker.is_blind
            && !(self.checker.was_restored && self.generation_of(key) == Some(new))
        {
            self.violated(format!("monotonic: {key} goes back from generation {old} to {new}"));
        }
    }

    /// A spec goes only after its deletion was asked for, and its generation only grows.
    fn check_spec(&mut self, key: &str, (before, after): &(Option<Meta>, Option<Meta>)) {
        match (before, after) {
            (Some(before), None) if !before.is_deleting() => {
                self.violated(format!(
                    "nothing accepted is forgotten: {key} generation {} is removed and nobody \
                     asked for it",
                    before.generation
                ));
            }
            (Some(before), Some(after)) => {
                let is_replaced = before.uid != after.uid;
                if after.generation < before.generation
                    || (is_replaced && !before.is_deleting())
                    || (before.is_deleting() && !after.is_deleting() && !is_replaced)
                {
                    self.violated(format!("{key} goes back: {before:?} to {after:?}"));
                }
            }
            _ => (),
        }
    }

    /// A deployment goes from the store only when nothing of it is left anywhere.
    fn check_removed(&mut self, name: &DeploymentKey) {
        if self.checker.is_blind {
            return;
        }
        let state = &self.store.mvcc;
        let mut left = Vec::new();
        for cluster in self.crms.keys() {
            let unit = Key::Unit(cluster.clone(), name.clone()).to_string();
            if state.get(&unit).is_some() {
                left.push(unit);
            }
        }
        let planned = self.checker.planned.remove(name).unwrap_or_default();
        for (cluster, id) in planned.keys() {
            let record = Key::Record(cluster.clone(), id.clone()).to_string();
            let stored: Option<StoredRecord> = decode(state.get(&record));
            // One that was restored from a backup brings records back at any moment, even between
            // the plan and its transaction: they are orphans. So is one whose creation landed late,
            // after it had been written again and removed.
            if stored.is_some_and(|stored| stored.managed)
                && self.keeps_contract(cluster)
                && !self.checker.landed_late.contains(&record)
            {
                left.push(record);
            }
            let is_held =
                self.crms.get(cluster).is_some_and(|crm| crm.held.records.contains_key(id));
            if is_held && self.keeps_contract(cluster) {
                left.push(format!("{id} on {cluster}"));
            }
        }
        if !left.is_empty() {
            self.violated(format!("it never forgets: {name} is removed, and left are {left:?}"));
        }
        self.checker.removed.extend(planned.into_keys());
    }

    /// A unit goes from the store only when its cluster does not hold it; it is complete.
    fn check_unit(
        &mut self,
        cluster: &ClusterName,
        deployment: &DeploymentKey,
        before: Option<StoredUnit>,
        after: Option<StoredUnit>,
    ) {
        self.note_pause(cluster, before.as_ref(), after.as_ref());
        if let Some(after) = &after {
            let planned = self.checker.planned.entry(deployment.clone()).or_default();
            let highest = planned.entry((cluster.clone(), after.unit.id.clone())).or_default();
            *highest = after.unit.generation.max(*highest);
            if let Some(before) = &before
                && before.unit.generation > after.unit.generation
            {
                self.violated(format!("the unit of {deployment} on {cluster} goes back"));
            }
            if before.is_none() {
                self.check_placed(cluster, deployment, after);
            }
        }
        let left = before
            .filter(|before| after.as_ref().is_none_or(|after| after.unit.id != before.unit.id));
        let Some(left) = left else { return };
        let id = &left.unit.id;
        let is_held = self.crms.get(cluster).is_some_and(|crm| crm.held.records.contains_key(id));
        if is_held && self.keeps_contract(cluster) && !self.checker.is_blind {
            self.violated(format!(
                "it never forgets: the unit {id} goes from the store, and {cluster} holds it"
            ));
        }
    }

    /// RUNNING is said of the generation that ran, on a cluster that we hear from: the wanted one,
    /// unless the cluster refuses that.
    fn check_status(&mut self, name: &DeploymentKey, status: &DeploymentStatus) {
        for part in &status.clusters {
            if part.condition != RunCondition::Running {
                continue;
            }
            let observed = part.observed_generation.unwrap_or_default();
            let is_refused =
                matches!(part.reason.as_str(), "Refused" | "ReconcileFailed" | "TermTooOld");
            if observed != part.generation && !is_refused {
                self.violated(format!(
                    "RUNNING is said of {name} on {} at generation {observed}, want {}, for {}",
                    part.cluster, part.generation, part.reason
                ));
            }
            let what = (part.cluster.clone(), part.unit_id.clone(), observed);
            let place = (part.cluster.clone(), part.unit_id.clone());
            let taken = self.checker.taken_blindly.get(&place);
            let went_back = taken.is_some_and(|(highest, last)| last < highest);
            // A CRM that reports no generations does not tell which one runs.
            let has_run = match part.observed_generation {
                Some(_) => self.checker.ran.contains(&what),
                None => self
                    .checker
                    .ran
                    .iter()
                    .any(|(cluster, id, _)| (cluster, id) == (&part.cluster, &part.unit_id)),
            };
            if !has_run && !went_back {
                self.violated(format!(
                    "RUNNING is said of {name} on {} generation {observed}, which never ran",
                    part.cluster
                ));
            }
            let since = self.checker.disconnected.get(&part.cluster);
            let is_long = since.is_some_and(|since| self.now - since > UNKNOWN_AFTER);
            if is_long && !self.checker.is_blind {
                self.violated(format!(
                    "RUNNING is said of {name} on {}, which has not been heard from since {:?}",
                    part.cluster, since
                ));
            }
        }
    }

    /// No status says RUNNING of a cluster that has been unknown for long, while somebody leads and
    /// can write: what nobody can write down, no status can say.
    pub(crate) fn check_unknown(&mut self) {
        let leads = self.store.mvcc.get(super::replica::LEADER_KEY).is_some();
        if !leads || !self.spoilt.is_empty() || self.weather.is_rough(self.now) {
            self.checker.disturbed_at = self.now;
        }
        let calm_since = self.checker.disturbed_at;
        let clusters: Vec<_> = self
            .checker
            .disconnected
            .iter()
            .filter(|(_, since)| self.now - calm_since.max(**since) > UNWRITTEN_FOR)
            .map(|(cluster, _)| cluster.clone())
            .collect();
        if clusters.is_empty() || self.checker.is_blind {
            return;
        }
        for (name, status) in self.stored::<DeploymentStatus>("status/deployments/") {
            let running = status.clusters.iter().find(|part| {
                part.condition == RunCondition::Running && clusters.contains(&part.cluster)
            });
            if let Some(part) = running {
                self.violated(format!(
                    "{name} is still said to be RUNNING on {}, which is not heard from",
                    part.cluster
                ));
            }
        }
    }

    /// Everything that is stored under `prefix` and can be read, by the rest of its key.
    pub(crate) fn stored<T: DeserializeOwned>(&self, prefix: &str) -> BTreeMap<String, T> {
        let Ok(page) = self.store.mvcc.list(prefix, None, 10_000, None) else {
            return BTreeMap::new();
        };
        page.items
            .into_iter()
            .filter_map(|item| {
                let value = serde_json::from_slice(&item.value).ok()?;
                Some((item.key.strip_prefix(prefix)?.to_owned(), value))
            })
            .collect()
    }

    /// Checks a unit that a CRM has taken.
    pub(crate) fn check_taken(
        &mut self,
        cluster: &ClusterName,
        term: u64,
        unit: &DeploymentUnit,
        is_new: bool,
    ) {
        self.check_term(cluster, term);
        if is_new {
            self.made(cluster, &unit.deployment_key).n_created += 1;
        }
        let place = (cluster.clone(), unit.id.clone());
        if unit.target_env != *cluster {
            self.violated(format!("{} is for {} and came to {cluster}", unit.id, unit.target_env));
        }
        if !self.crms.get(cluster).is_some_and(|crm| crm.has(features::GENERATIONS)) {
            let taken = self.checker.taken_blindly.entry(place.clone()).or_default();
            *taken = (taken.0.max(unit.generation), unit.generation);
        }
        if !self.keeps_contract(cluster) {
            return;
        }
        let forgotten = self.checker.forgotten.get(&place).copied().unwrap_or_default();
        let is_sure = !self.checker.is_blind && unit.generation > forgotten;
        if is_new && is_sure && self.checker.removed.contains(&place) {
            self.violated(format!(
                "a removed deployment is made again: {} of {} on {cluster}",
                unit.id, unit.deployment_key
            ));
        }
        let taken = self.checker.taken.insert(place, unit.generation);
        if taken.is_some_and(|taken| taken > unit.generation) {
            self.violated(format!("{cluster} went back to {} of {}", unit.generation, unit.id));
        }
    }

    /// Checks a deletion that a CRM has begun.
    pub(crate) fn check_deleted(
        &mut self,
        cluster: &ClusterName,
        term: u64,
        record: &DeploymentRecord,
    ) {
        self.check_term(cluster, term);
        self.made(cluster, &record.deployment_key).n_deleted += 1;
        if record.owner != OWNER {
            self.violated(format!("the stranger {} on {cluster} is deleted", record.id));
        }
        let is_sure = self.keeps_contract(cluster) && !self.checker.is_blind;
        if is_sure && !self.checker.was_restored && self.is_wanted(cluster, record) {
            self.violated(format!(
                "what is wanted is not deleted: {} generation {} on {cluster}",
                record.id, record.generation
            ));
        }
    }

    /// Whether the stored unit is this very generation, and is to be there: then nobody can have
    /// asked for the deletion of it or of a newer one.
    fn is_wanted(&self, cluster: &ClusterName, record: &DeploymentRecord) -> bool {
        let key = Key::Unit(cluster.clone(), record.deployment_key.clone()).to_string();
        let unit: Option<StoredUnit> = decode(self.store.mvcc.get(&key));
        unit.is_some_and(|stored| {
            let StoredUnit { unit, desired, .. } = stored;
            unit.id == record.id
                && unit.generation == record.generation
                && desired == Desired::Present
        })
    }

    fn check_term(&mut self, cluster: &ClusterName, term: u64) {
        let has_terms = self.crms.get(cluster).is_some_and(|crm| crm.has(features::TERMS));
        let seen = self.checker.terms.entry(cluster.clone()).or_default();
        let is_stale = has_terms && term < *seen;
        let was = std::mem::replace(seen, term.max(*seen));
        if is_stale {
            self.violated(format!("{cluster} did what term {term} asked after term {was}"));
        }
    }
}
