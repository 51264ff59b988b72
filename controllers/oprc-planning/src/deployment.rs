//! The deployment planner: which units there are to be, and what to tell the user.
//!
//! The plan holds every unit that is to be written, complete. A unit that was ever written stays
//! until its cluster's agent has removed it: here it is only ever marked absent.

mod summary;

use std::collections::{BTreeMap, BTreeSet};

use oprc_models::{
    cluster::{ClusterStatus, TERM_TOO_OLD},
    condition::{Condition, Truth, carry_transitions},
    deployment::OClassDeployment,
    meta::{Generation, Stored, Timestamp},
    names::PackageName,
    names::{ClusterName, UnitId},
    record::{RunCondition, StoredRecord},
    status::{ClusterPart, DeploymentStatus},
    unit::{DeploymentUnit, Desired, StoredUnit},
};

use crate::{
    build::{Template, Unresolved},
    deployment::summary::Summary,
    health,
    place::{Clusters, Placement, place},
    resolve::Packages,
};

/// What the planner looks at, all of it about one deployment.
pub struct Input<'a> {
    /// Its spec; `None`: there is none.
    pub spec: Option<&'a Stored<OClassDeployment>>,
    /// Its units, by cluster.
    pub units: &'a BTreeMap<ClusterName, StoredUnit>,
    /// Its records: what clusters hold, and what they refused.
    pub records: &'a BTreeMap<(ClusterName, UnitId), &'a StoredRecord>,
    /// What was said before.
    pub status: Option<&'a DeploymentStatus>,
    /// Who we are towards CRMs.
    pub owner: &'a str,
    /// Now, for people to read.
    pub now: Timestamp,
}

/// What the planner may look up.
pub trait Lookup<'a>: Packages<'a> + Clusters {
    /// The generation of a package's spec.
    fn package_generation(&self, name: &PackageName) -> Option<Generation>;
    /// Returns the correlation id of the request that last wrote the package.
    fn package_correlation(&self, name: &PackageName) -> Option<String>;
    /// What is known of a cluster.
    fn cluster_status(&self, cluster: &ClusterName) -> Option<&'a ClusterStatus>;
}

/// What is to be done about one deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Units to write, by cluster.
    pub units: BTreeMap<ClusterName, StoredUnit>,
    /// The status to write, where it differs from what was said before.
    pub status: Option<DeploymentStatus>,
    /// Whether nothing is left, so that the spec (if there is one) and the status go.
    pub is_finished: bool,
    /// Whether it waits for a cluster to come or to change; carried out by nobody.
    pub awaits_cluster: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.status.is_none() && !self.is_finished
    }
}

/// What is to be done about one deployment.
#[must_use]
pub fn plan<'a>(input: &Input<'a>, lookup: &impl Lookup<'a>) -> Plan {
    let generation = next_unit_generation(input);
    let wanted = input.spec.filter(|spec| !spec.meta.is_deleting());
    let target = wanted.map(|spec| Target::of(spec, input, lookup));
    let changes = changes(input, target.as_ref(), generation);
    // A deletion is no change that can wait: it is asked for by hand, after the pause.
    let is_paused = wanted.is_some_and(|spec| spec.meta.paused_at.is_some());
    let is_held_back = is_paused && !changes.is_empty();
    let mut units = marked(input, if is_paused { BTreeMap::new() } else { changes }, is_paused);
    if let Some(spec) = input.spec {
        let correlation_id = correlation(spec, input, lookup);
        for unit in units.values_mut() {
            unit.correlation_id.clone_from(&correlation_id);
        }
    }

    let is_gone = wanted.is_none()
        && input.units.is_empty()
        && !input.records.values().any(|record| record.managed);
    let Some(spec) = input.spec else {
        let is_finished = is_gone && input.status.is_some();
        return Plan { units, status: None, is_finished, awaits_cluster: false };
    };
    // The status says so first, and what is removed is that status: a snapshot that brings a unit
    // back in the meantime brings back an older one.
    let is_finished = is_gone && input.status.is_none_or(|status| status.clusters.is_empty());
    let told = Told { target: target.as_ref(), writes: &units, is_held_back };
    let status = status(spec, input, lookup, &told);
    let status = Some(status).filter(|status| !is_finished && Some(status) != input.status);
    let awaits_cluster = target.is_some_and(|target| target.awaits_cluster());
    Plan { units, status, is_finished, awaits_cluster }
}

/// Returns the correlation id of the write that the units change for: that of the deployment, unless
/// its status shows that only the package is newer than what was planned on.
fn correlation<'a>(
    spec: &Stored<OClassDeployment>,
    input: &Input<'a>,
    lookup: &impl Lookup<'a>,
) -> Option<String> {
    let package = &spec.spec.package_name;
    let before = input.status.filter(|status| {
        status.uid == spec.meta.uid && status.observed_generation == spec.meta.generation
    });
    let is_of_package = before.is_some_and(|before| {
        !spec.meta.is_deleting()
            && before.observed_package_generation < lookup.package_generation(package)
    });
    let of_package = is_of_package.then(|| lookup.package_correlation(package));
    of_package.unwrap_or_else(|| spec.meta.correlation_id.clone())
}

/// The units that `changes` write, and those there are besides, where they are not marked as paused
/// as they are to be.
fn marked(
    input: &Input<'_>,
    mut changes: BTreeMap<ClusterName, StoredUnit>,
    paused: bool,
) -> BTreeMap<ClusterName, StoredUnit> {
    for unit in changes.values_mut() {
        unit.paused = paused;
    }
    for (cluster, unit) in input.units.iter().filter(|(_, unit)| unit.paused != paused) {
        let marked = || StoredUnit { paused, ..unit.clone() };
        changes.entry(cluster.clone()).or_insert_with(marked);
    }
    changes
}

/// The units that are to become others.
fn changes(
    input: &Input<'_>,
    target: Option<&Target<'_>>,
    generation: u64,
) -> BTreeMap<ClusterName, StoredUnit> {
    let mut units = BTreeMap::new();
    for (cluster, unit) in input.units {
        let keep = target.is_some_and(|target| target.keeps(cluster, unit));
        let is_to_go = match unit.desired {
            Desired::Present => !keep,
            // The CRM takes no deletion of so old a generation.
            Desired::Absent => is_refused_as_old(input, cluster, unit),
        };
        if is_to_go && generation > unit.unit.generation {
            let mut absent = (*unit).clone();
            absent.desired = Desired::Absent;
            absent.unit.generation = generation;
            units.insert(cluster.clone(), absent);
        }
        // What does not resolve stays as it is; but its cluster may be ahead of it all the same.
        let is_kept = keep && unit.desired == Desired::Present;
        let is_fixed = target.is_some_and(|target| {
            target.template.is_err() && target.placement.clusters.contains(cluster)
        });
        if is_kept && is_fixed && is_behind(input, cluster, unit) {
            let mut again = (*unit).clone();
            again.unit.generation = generation;
            units.insert(cluster.clone(), again);
        }
    }
    if let Some(Target { spec, placement, template: Ok(template) }) = target {
        for cluster in &placement.clusters {
            let mut unit = template.unit(cluster, input.owner, generation, input.now);
            if let Some(before) = input.units.get(cluster) {
                keep_hash(&mut unit, &before.unit);
            }
            let unit = StoredUnit {
                desired: Desired::Present,
                deployment_uid: spec.meta.uid.clone(),
                paused: false,
                correlation_id: None,
                unit,
            };
            if needs_write(input, cluster, &unit) || is_to_adopt(input, cluster, &unit) {
                units.insert(cluster.clone(), unit);
            }
        }
    }
    units
}

/// Where a wanted deployment is to be, and what of.
struct Target<'a> {
    spec: &'a Stored<OClassDeployment>,
    placement: Placement,
    template: Result<Template<'a>, Unresolved>,
}

impl<'a> Target<'a> {
    fn of(spec: &'a Stored<OClassDeployment>, input: &Input<'a>, lookup: &impl Lookup<'a>) -> Self {
        let is_current = |unit: &StoredUnit| {
            unit.desired == Desired::Present && unit.deployment_uid == spec.meta.uid
        };
        let current = input.units.iter().filter(|(_, unit)| is_current(unit));
        let current: BTreeSet<_> = current.map(|(cluster, _)| cluster.clone()).collect();
        Self {
            placement: place(&spec.spec, &current, lookup),
            template: Template::resolve(spec, lookup),
            spec,
        }
    }

    fn awaits_cluster(&self) -> bool {
        self.placement.is_unplaceable || !self.placement.rejected.is_empty()
    }

    /// Returns how many clusters are to run it: registered or not, with a unit or not yet.
    fn n_wanted(&self) -> usize {
        if self.spec.spec.target_envs.is_empty() {
            // Automatic placement chooses one.
            return 1;
        }
        self.placement.clusters.len() + self.placement.rejected.len()
    }

    /// Whether the unit on `cluster` stays: it is of this incarnation and class, and its cluster is
    /// wanted.
    ///
    /// A cluster that was asked for and is not registered (any more) is still wanted.
    fn keeps(&self, cluster: &ClusterName, unit: &StoredUnit) -> bool {
        let is_wanted = self.placement.clusters.contains(cluster)
            || self.placement.rejected.contains_key(cluster);
        let Stored { meta, spec } = self.spec;
        let id = UnitId::derive(spec.class_key.as_str(), &meta.uid, cluster);
        is_wanted && unit.deployment_uid == meta.uid && unit.unit.id == id
    }
}

/// Keeps the hash of `before` if both ask for the same: older versions hashed lists in their order.
fn keep_hash(unit: &mut DeploymentUnit, before: &DeploymentUnit) {
    if unit.spec_hash != before.spec_hash && unit.has_same_content(before) {
        unit.spec_hash.clone_from(&before.spec_hash);
    }
}

/// Whether `unit` has to be written: it is new, it differs, or its cluster is ahead of it.
fn needs_write(input: &Input<'_>, cluster: &ClusterName, unit: &StoredUnit) -> bool {
    let Some(before) = input.units.get(cluster) else { return true };
    if before.deployment_uid != unit.deployment_uid || before.unit.id != unit.unit.id {
        // The old incarnation, or what there was of another class, has to be gone first: the two
        // never run together on a cluster, and what was sent there is not forgotten.
        return false;
    }
    before.desired == Desired::Absent
        || before.unit.spec_hash != unit.unit.spec_hash
        || is_behind(input, cluster, before)
}

/// Returns `true` if the unit is from before its owner had an installation id: it is sent once more,
/// in the name of the installation. That restarts nothing, so a pause does not hold it back as a
/// change; it is done when the pause ends.
fn is_to_adopt(input: &Input<'_>, cluster: &ClusterName, unit: &StoredUnit) -> bool {
    let is_paused = input.spec.is_some_and(|spec| spec.meta.paused_at.is_some());
    let before = input.units.get(cluster);
    !is_paused
        && before.is_some_and(|before| {
            before.unit.id == unit.unit.id
                && before.deployment_uid == unit.deployment_uid
                && before.unit.owner != unit.unit.owner
        })
}

/// Whether the cluster is ahead of the unit, or has had another of its generation.
fn is_behind(input: &Input<'_>, cluster: &ClusterName, before: &StoredUnit) -> bool {
    let record = input.records.get(&(cluster.clone(), before.unit.id.clone()));
    let held = record.and_then(|record| record.record.as_ref());
    let held = held.filter(|held| is_believable(held.generation));
    // Either happens after our store or the CRM's was restored from a backup.
    let is_ahead = held.is_some_and(|held| held.generation > before.unit.generation);
    let is_other = held.is_some_and(|held| {
        held.generation == before.unit.generation
            && !held.spec_hash.is_empty()
            && held.spec_hash != before.unit.spec_hash
    });
    is_ahead || is_other || is_refused_as_old(input, cluster, before)
}

/// Whether the CRM refused the unit since it has had this generation or a newer one already.
fn is_refused_as_old(input: &Input<'_>, cluster: &ClusterName, unit: &StoredUnit) -> bool {
    let record = input.records.get(&(cluster.clone(), unit.unit.id.clone()));
    let refused = record.and_then(|record| record.refusal.as_ref()?.current_generation);
    refused.is_some_and(|current| is_believable(current) && current >= unit.unit.generation)
}

/// Whether a CRM can have had this generation from us. Generations grow one by one, so none comes
/// near this in any time; and a CRM that makes them up must not use up the numbers of the others.
fn is_believable(generation: u64) -> bool {
    generation < 1 << 53
}

/// A generation above all that were given out for this deployment or are held anywhere.
fn next_unit_generation(input: &Input<'_>) -> u64 {
    let given = input.status.map_or(0, |status| status.unit_generation);
    let units = input.units.values().map(|unit| unit.unit.generation);
    let records = input.records.values().flat_map(|stored| {
        let held = stored.record.as_ref().map(|record| record.generation);
        let refused = stored.refusal.as_ref().and_then(|refusal| refusal.current_generation);
        held.into_iter().chain(refused).filter(|generation| is_believable(*generation))
    });
    units.chain(records).fold(given, u64::max).saturating_add(1)
}

/// The plan's part that the status is made of.
struct Told<'a> {
    target: Option<&'a Target<'a>>,
    /// The units that are written now.
    writes: &'a BTreeMap<ClusterName, StoredUnit>,
    /// `true` if it is paused, and would be changed otherwise.
    is_held_back: bool,
}

fn status<'a>(
    spec: &Stored<OClassDeployment>,
    input: &Input<'a>,
    lookup: &impl Lookup<'a>,
    told: &Told<'_>,
) -> DeploymentStatus {
    let mut units: BTreeMap<&ClusterName, &StoredUnit> = input.units.iter().collect();
    units.extend(told.writes.iter());
    let mut parts = Vec::new();
    let mut refused = Vec::new();
    for (cluster, unit) in units {
        let record = input.records.get(&(cluster.clone(), unit.unit.id.clone())).copied();
        let status = lookup.cluster_status(cluster);
        let part = health::part(cluster, unit, record, status);
        if status.is_some_and(ClusterStatus::is_connected)
            && let Some(refusal) = health::current_refusal(unit, record)
        {
            refused.push((parts.len(), health::describe(refusal).0));
        } else if part.reason == TERM_TOO_OLD {
            refused.push((parts.len(), TERM_TOO_OLD));
        }
        parts.push(without_former(part, &spec.spec.package_name, unit, record));
    }
    let summary = Summary::new(told, &parts, &refused);
    let condition = summary.condition;
    let (running_clusters, wanted_clusters) = summary.counts();
    let resolved = told.target.and_then(|target| target.template.as_ref().ok());
    let before = input.status.filter(|status| status.uid == spec.meta.uid);
    let given = input.status.map_or(0, |status| status.unit_generation);
    let written = told.writes.values().map(|unit| unit.unit.generation);
    let mut conditions = summary.conditions(spec.meta.generation, input.now);
    conditions.extend(paused(spec, input.now));
    DeploymentStatus {
        uid: spec.meta.uid.clone(),
        condition,
        observed_generation: spec.meta.generation,
        package_version: resolved.and_then(Template::package_version).map(str::to_owned),
        observed_package_generation: lookup.package_generation(&spec.spec.package_name),
        conditions: carry_transitions(
            before.map_or(&[], |before| before.conditions.as_slice()),
            conditions,
        ),
        clusters: parts,
        running_clusters: Some(running_clusters),
        wanted_clusters: Some(wanted_clusters),
        unit_generation: written.fold(given, u64::max),
    }
}

/// `part` without what the cluster says of a former package of the deployment: a caller who sees the
/// present one may not see that.
fn without_former(
    mut part: ClusterPart,
    package: &PackageName,
    unit: &StoredUnit,
    record: Option<&StoredRecord>,
) -> ClusterPart {
    let held = record.and_then(|record| record.record.as_ref()).map(|held| &held.package_name);
    let refused = record.and_then(|record| record.refusal.as_ref()?.package_name.as_ref());
    let packages = [Some(&unit.unit.package_name), held, refused];
    if packages.into_iter().flatten().all(|it| it == package) {
        return part;
    }
    part.functions.clear();
    if part.condition != RunCondition::Unknown {
        part.message = Some("holds a unit of the deployment's former package".to_owned());
    }
    part
}

/// That it is paused, if it is.
fn paused(spec: &Stored<OClassDeployment>, now: Timestamp) -> Option<Condition> {
    let since = spec.meta.paused_at.filter(|_| !spec.meta.is_deleting())?;
    let message = format!("since {since}: nothing is sent to any cluster");
    let generation = spec.meta.generation;
    Some(Condition::new("Paused", Truth::True, "Paused", message, generation, now))
}

#[cfg(test)]
mod tests;
