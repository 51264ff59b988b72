//! What must hold in the end: each cluster holds exactly what is desired, the store holds no
//! left-overs, and the statuses say so.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use oprc_models::{
    cluster::ClusterStatus,
    condition,
    deployment::OClassDeployment,
    meta::Stored,
    names::{ClusterName, PackageName, UnitId},
    package::OPackage,
    push::PushRecord,
    record::{DeploymentRecord, RunCondition, StoredRecord},
    status::{DeploymentStatus, PackageStatus},
    unit::{Desired, StoredUnit},
    version::{PackageVersion, StoredVersion},
};
use oprc_planning::{build::Template, resolve::Packages};

use super::{
    replica::{HISTORY_LIMIT, OWNER},
    world::World,
};

/// How many orphans of a cluster are deleted whatever their share.
const FEW_ORPHANS: usize = 5;

/// What the store holds, decoded.
struct Stock {
    packages: BTreeMap<String, Stored<OPackage>>,
    deployments: BTreeMap<String, Stored<OClassDeployment>>,
    units: BTreeMap<String, StoredUnit>,
    records: BTreeMap<String, StoredRecord>,
    statuses: BTreeMap<String, DeploymentStatus>,
    package_statuses: BTreeMap<String, PackageStatus>,
    clusters: BTreeMap<String, ClusterStatus>,
    /// What is published beside what packages are, by `{name}/{version}`.
    versions: BTreeMap<String, StoredVersion>,
}

impl Stock {
    /// What the incarnation of the package that is there published beside what it is.
    fn archived<'s>(
        &'s self,
        name: &PackageName,
    ) -> impl Iterator<Item = (PackageVersion, &'s StoredVersion)> {
        let uid = self.packages.get(name.as_str()).map(|stored| stored.meta.uid.as_str());
        let prefix = format!("{name}/");
        self.versions.iter().filter_map(move |(key, stored)| {
            let version = key.strip_prefix(&prefix)?.parse().ok()?;
            (Some(stored.uid.as_str()) == uid).then_some((version, stored))
        })
    }
}

impl<'a> Packages<'a> for &'a Stock {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.packages.get(name.as_str()).map(|stored| &stored.spec)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let archived = self.archived(name).map(|(version, _)| version);
        let own = self.package(name).and_then(PackageVersion::of);
        archived.chain(own).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        let own =
            self.package(name).filter(|own| PackageVersion::of(own).as_ref() == Some(version));
        own.map(Cow::Borrowed).or_else(|| {
            let found = self.archived(name).find(|(archived, _)| archived == version);
            found.map(|(_, stored)| Cow::Borrowed(&stored.spec))
        })
    }
}

/// What a deployment is to be.
struct Wanted<'a> {
    /// The clusters it may be on, all of them registered.
    clusters: BTreeSet<&'a ClusterName>,
    /// Whether it is to be on one of them, rather than on all.
    is_one: bool,
    /// What its units are made from; none: it does not resolve.
    template: Option<Template<'a>>,
    /// Whether a cluster that was asked for is not there.
    is_short: bool,
}

impl World {
    /// What is not as it should be, in the end; empty: it has converged.
    pub(crate) fn differences(&self) -> Vec<String> {
        let stock = Stock {
            packages: self.stored("packages/"),
            deployments: self.stored("deployments/"),
            units: self.stored("units/"),
            records: self.stored("records/"),
            statuses: self.stored("status/deployments/"),
            package_statuses: self.stored("status/packages/"),
            clusters: self.stored("status/clusters/"),
            versions: self.stored("package-versions/"),
        };
        let mut found = Vec::new();
        self.compare_clusters(&stock, &mut found);
        self.compare_revisions(&stock, &mut found);
        self.compare_deployments(&stock, &mut found);
        stock.compare_left_overs(&mut found);
        for (key, push) in self.intents() {
            found.push(format!("{key} has an intent of {push}"));
        }
        let pushes: BTreeMap<String, PushRecord> = self.stored("pushes/");
        found.extend(pushes.keys().map(|push| format!("push {push} is not done with")));
        stock.compare_packages(&mut found);
        found
    }

    /// Each cluster holds the stored units, at their generation and hash, and nothing else of ours;
    /// and the stored records say so.
    fn compare_clusters(&self, stock: &Stock, found: &mut Vec<String>) {
        for (cluster, crm) in &self.crms {
            let prefix = format!("{cluster}/");
            let of_cluster = |key: &str| key.starts_with(&prefix);
            let units: BTreeMap<&UnitId, &StoredUnit> = stock
                .units
                .iter()
                .filter(|(key, _)| of_cluster(key))
                .map(|(_, unit)| (&unit.unit.id, unit))
                .collect();
            let ours: BTreeMap<&UnitId, &DeploymentRecord> =
                crm.held.records.iter().filter(|(_, record)| record.owner == OWNER).collect();
            // What is paused is left alone, whatever its cluster holds of it.
            for (id, unit) in units.iter().filter(|(_, unit)| !unit.paused) {
                match ours.get(id) {
                    None => found.push(format!("{cluster} does not hold {id}")),
                    Some(record) => {
                        let is_same = record.generation == unit.unit.generation
                            && record.spec_hash == unit.unit.spec_hash;
                        if !is_same || record.status.condition != RunCondition::Running {
                            found.push(format!(
                                "{cluster} holds {id} generation {} {:?}, want {} {:?}",
                                record.generation,
                                record.status.condition,
                                unit.unit.generation,
                                unit.desired,
                            ));
                        }
                    }
                }
            }
            let orphans: Vec<_> = ours.keys().filter(|id| !units.contains_key(**id)).collect();
            // So many that the store was emptied, more likely than not, stay until they are less.
            let is_many = orphans.len() > FEW_ORPHANS && orphans.len() * 2 > ours.len();
            let is_held = is_many && stock.holds_orphans(cluster);
            if !orphans.is_empty() && !is_held {
                found.push(format!("{cluster} holds {orphans:?}, which are not desired"));
            }
            let status = stock.clusters.get(cluster.as_str());
            if let Some(refused) = status.and_then(ClusterStatus::refused_term) {
                found.push(format!("{cluster} is said to refuse the term: {refused}"));
            }
            for id in crm.strangers.iter().filter(|id| !crm.held.records.contains_key(*id)) {
                found.push(format!("{cluster} has lost the stranger {id}"));
            }
            let recorded: BTreeSet<&UnitId> = stock
                .records
                .iter()
                .filter(|(key, _)| of_cluster(key))
                .map(|(_, record)| record)
                // That a generation was refused of what is paused is kept until it is sent again.
                .filter(|it| {
                    it.record.is_some() || units.get(&it.id).is_none_or(|unit| !unit.paused)
                })
                .map(|record| &record.id)
                .collect();
            let held: BTreeSet<&UnitId> = crm.held.records.keys().collect();
            if recorded != held {
                found.push(format!("records of {cluster} are {recorded:?}, it holds {held:?}"));
            }
            if !stock.clusters.get(cluster.as_str()).is_some_and(ClusterStatus::is_connected) {
                found.push(format!("{cluster} is not said to be connected"));
            }
        }
    }

    /// Of what is there, no more revisions are kept than there are to be; of what is gone, none.
    /// What a watch has lost of them no second look finds.
    fn compare_revisions(&self, stock: &Stock, found: &mut Vec<String>) {
        if self.checker.is_blind {
            return;
        }
        let archived: BTreeMap<String, serde_json::Value> = self.stored("package-revisions/");
        let packages = archived.into_keys().map(|key| format!("packages/{key}"));
        let archived: BTreeMap<String, serde_json::Value> = self.stored("deployment-revisions/");
        let deployments = archived.into_keys().map(|key| format!("deployments/{key}"));
        let mut n_archived: BTreeMap<String, usize> = BTreeMap::new();
        for key in packages.chain(deployments) {
            let document = key.rsplit_once('/').map(|(document, _)| document.to_owned());
            *n_archived.entry(document.unwrap_or_default()).or_default() += 1;
        }
        for (document, n) in n_archived {
            let is_there = match document.split_once('/') {
                Some(("packages", name)) => stock.packages.contains_key(name),
                Some((_, key)) => stock.deployments.contains_key(key),
                None => false,
            };
            let limit = if is_there { HISTORY_LIMIT } else { 0 };
            if n > limit {
                found.push(format!("{n} revisions of {document}, want at most {limit}"));
            }
        }
    }

    fn wanted<'a>(&'a self, stock: &'a Stock, spec: &'a Stored<OClassDeployment>) -> Wanted<'a> {
        let is_registered = |cluster: &&ClusterName| self.crms.contains_key(*cluster);
        let is_excluded = |cluster: &ClusterName| spec.spec.excluded_envs.contains(cluster);
        let asked = if spec.spec.target_envs.is_empty() {
            &spec.spec.available_envs
        } else {
            &spec.spec.target_envs
        };
        let mut clusters: BTreeSet<&ClusterName> = asked.iter().filter(is_registered).collect();
        if asked.is_empty() {
            clusters = self.crms.keys().collect();
        }
        clusters.retain(|cluster| !is_excluded(cluster));
        let missing = asked.iter().any(|it| !is_excluded(it) && !self.crms.contains_key(it));
        Wanted {
            clusters,
            is_one: spec.spec.target_envs.is_empty(),
            template: Template::resolve(spec, &stock).ok(),
            is_short: missing && !spec.spec.target_envs.is_empty(),
        }
    }

    fn compare_deployments(&self, stock: &Stock, found: &mut Vec<String>) {
        for (name, spec) in &stock.deployments {
            if spec.meta.is_deleting() {
                // What is left of an incarnation that the store has lost is waited for as well.
                if self.crms.keys().any(|cluster| stock.holds_orphans(cluster)) {
                    continue;
                }
                found.push(format!("{name} is still being deleted"));
                continue;
            }
            let is_paused = spec.meta.paused_at.is_some();
            let wanted = self.wanted(stock, spec);
            let suffix = format!("/{name}");
            let units: Vec<&StoredUnit> = stock
                .units
                .iter()
                .filter(|(key, _)| key.ends_with(&suffix))
                .map(|(_, unit)| unit)
                .collect();
            if units.iter().any(|unit| unit.paused != is_paused) {
                found.push(format!("not all units of {name} are marked: paused {is_paused}"));
            }
            if !is_paused {
                wanted.compare_units(name, spec, &units, found);
            }
            let Some(status) = stock.statuses.get(name) else {
                found.push(format!("{name} has no status"));
                continue;
            };
            if status.observed_generation != spec.meta.generation || status.uid != spec.meta.uid {
                found.push(format!(
                    "the status of {name} speaks of generation {}, want {}",
                    status.observed_generation, spec.meta.generation
                ));
            }
            let is_running = status.condition == RunCondition::Running;
            let is_well = wanted.template.is_some() && !units.is_empty() && !wanted.is_short;
            if is_paused != condition::find(&status.conditions, "Paused").is_some() {
                found.push(format!("the status of {name} does not say: paused {is_paused}"));
            }
            if is_well && !is_running && !is_paused {
                found.push(format!("the status of {name} is {:?}", status.condition));
            }
            if units.is_empty() && is_running {
                found.push(format!("{name} is said to be RUNNING and is nowhere"));
            }
            if status.clusters.len() != units.len() {
                found.push(format!("the status of {name} has {} parts", status.clusters.len()));
            }
        }
    }
}

impl Wanted<'_> {
    /// The units are those that a fresh push of the spec would lead to.
    fn compare_units(
        &self,
        name: &str,
        spec: &Stored<OClassDeployment>,
        units: &[&StoredUnit],
        found: &mut Vec<String>,
    ) {
        for unit in units {
            let cluster = &unit.unit.target_env;
            if unit.desired != Desired::Present {
                found.push(format!("the unit of {name} on {cluster} is on its way out"));
                continue;
            }
            if unit.deployment_uid != spec.meta.uid || !self.clusters.contains(cluster) {
                found.push(format!("{name} is not to be on {cluster}"));
            }
            let generation = unit.unit.generation;
            let fresh = self
                .template
                .as_ref()
                .map(|template| template.unit(cluster, OWNER, generation, unit.unit.created_at));
            if fresh.is_some_and(|fresh| {
                fresh.spec_hash != unit.unit.spec_hash || fresh.id != unit.unit.id
            }) {
                found.push(format!("the unit of {name} on {cluster} is not what is asked for"));
            }
        }
        // What does not resolve stays as it is.
        let want = match (&self.template, self.is_one) {
            (None, _) => return,
            (Some(_), true) => self.clusters.len().min(1),
            (Some(_), false) => self.clusters.len(),
        };
        if units.len() != want {
            found.push(format!("{name} has {} units, want {want}", units.len()));
        }
    }
}

impl Stock {
    /// Whether it is said that the orphans of `cluster` are too many to be deleted.
    fn holds_orphans(&self, cluster: &ClusterName) -> bool {
        let status = self.clusters.get(cluster.as_str());
        status.is_some_and(|it| condition::find(&it.conditions, "OrphansHeld").is_some())
    }

    /// Nothing is stored of what is not there.
    fn compare_left_overs(&self, found: &mut Vec<String>) {
        for key in self.statuses.keys().filter(|key| !self.deployments.contains_key(*key)) {
            found.push(format!("there is a status of {key}, which is not there"));
        }
        for (key, unit) in &self.units {
            if !self.deployments.contains_key(unit.unit.deployment_key.as_str()) {
                found.push(format!("there is a unit {key} of what is not there"));
            }
        }
    }

    fn compare_packages(&self, found: &mut Vec<String>) {
        for (name, package) in &self.packages {
            let is_used = self.deployments.values().any(|it| it.spec.package_name.as_str() == name)
                || self.packages.iter().any(|(other, it)| {
                    let depends = |text: &String| text == name;
                    other != name && it.spec.dependencies.iter().any(depends)
                });
            if package.meta.is_deleting() && !is_used {
                found.push(format!("package {name} is still being deleted"));
            }
            let status = self.package_statuses.get(name);
            let is_said = status.is_some_and(|status| {
                status.uid == package.meta.uid
                    && status.observed_generation == package.meta.generation
            });
            if !is_said {
                found.push(format!("the status of package {name} is behind"));
            }
        }
        for name in self.package_statuses.keys().filter(|it| !self.packages.contains_key(*it)) {
            found.push(format!("there is a status of package {name}, which is not there"));
        }
    }
}
