//! What a push would do: which fields differ, and what each cluster would do about it, as the
//! controllers would plan it.
//!
//! It writes nothing, and holds the cache for a few deployments at a time.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use oprc_controller_runtime::cache::{Cache, State};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    canonical::Canonical,
    cluster::ClusterStatus,
    deployment::OClassDeployment,
    difference::{self, Difference},
    meta::{Generation, Stored, Timestamp},
    names::{ClusterName, DeploymentKey, PackageName},
    package::OPackage,
    unit::Desired,
    version::PackageVersion,
};
use oprc_planning::{
    deployment::{Input, Lookup},
    place::{Candidate, Clusters},
    resolve::Packages,
};
use serde::Serialize;
use serde_json::Value;

use super::plan::Plan;
use crate::{
    auth::Authority,
    writes::{
        Error,
        archive::Former,
        draft::{Draft, Spec},
    },
};

/// Deployments planned in one look at the cache.
const CHUNK: usize = 16;

/// Deployments that are planned, at most; of more, the rest is left out.
const MAX_PLANNED: usize = 20_000;

/// Fields that differ, of all documents.
const MAX_CHANGES: usize = 20_000;

/// What one cluster would do: deployments, by what becomes of their units there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterChanges {
    /// Units that are new there.
    pub created: Vec<DeploymentKey>,
    /// Units that become another generation.
    pub replaced: Vec<DeploymentKey>,
    /// Units that go.
    pub removed: Vec<DeploymentKey>,
}

/// What a push would do to the clusters.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// By cluster; those that would do nothing are left out.
    pub clusters: BTreeMap<ClusterName, ClusterChanges>,
    /// Whether there were more deployments than are planned.
    pub is_cut: bool,
}

/// What differs in the documents that are replaced, by key.
pub(super) fn differences(plan: &Plan<'_>) -> Result<BTreeMap<Key, Difference>, Error> {
    let mut differences = BTreeMap::new();
    let mut n_changes = 0;
    let mut add = |key: Key, old: &Value, new: &Value| {
        let mut found = difference::between(old, new);
        let left = MAX_CHANGES - n_changes;
        if found.changes.len() > left {
            found.changes.truncate(left);
            found.is_cut = true;
        }
        n_changes += found.changes.len();
        differences.insert(key, found);
    };
    // Versions beside what their packages are, which are replaced.
    for publication in plan.publications() {
        let Some(old) = &publication.replaces else { continue };
        let new = &publication.stored.spec;
        let key = Key::Package(new.name.clone());
        add(key, &without_defaults(old)?, &without_defaults(new)?);
    }
    for draft in plan.drafts().filter(|draft| !draft.meta.is_deleting()) {
        let (old, new) = match (&draft.former, &draft.spec) {
            (Some(Former::Package(old)), Spec::Package(new)) => {
                (without_defaults(&old.spec)?, without_defaults(*new)?)
            }
            (Some(Former::Deployment(old)), Spec::Deployment(new)) => {
                (without_defaults(&old.spec)?, without_defaults(*new)?)
            }
            // No push replaces a document by what is stored.
            _ => continue,
        };
        add(draft.key.clone(), &old, &new);
    }
    Ok(differences)
}

/// `spec` as JSON. Defaults that are written out are no difference.
fn without_defaults<T: Canonical + Serialize>(spec: &T) -> Result<Value, serde_json::Error> {
    let mut spec = spec.clone();
    spec.drop_defaults();
    serde_json::to_value(&spec)
}

/// The documents as the push would leave them.
struct After {
    packages: BTreeMap<PackageName, Stored<OPackage>>,
    deployments: BTreeMap<DeploymentKey, Stored<OClassDeployment>>,
    /// Versions that are published beside what their packages are.
    published: BTreeMap<PackageName, OPackage>,
}

impl After {
    fn of(plan: &Plan<'_>) -> Self {
        let published = plan.published().map(|it| (it.spec.name.clone(), it.spec.clone()));
        let published = published.collect();
        let (packages, deployments) = (BTreeMap::new(), BTreeMap::new());
        let mut after = Self { packages, deployments, published };
        for draft in plan.drafts() {
            after.add(draft);
        }
        after
    }

    fn add(&mut self, draft: &Draft<'_>) {
        let meta = draft.meta.clone();
        match &draft.spec {
            Spec::Package(spec) => self.package(Stored { meta, spec: (*spec).clone() }),
            Spec::StoredPackage(stored) => self.package(Stored { meta, spec: stored.spec.clone() }),
            Spec::Deployment(spec) => self.deployment(Stored { meta, spec: (*spec).clone() }),
            Spec::StoredDeployment(stored) => {
                self.deployment(Stored { meta, spec: stored.spec.clone() });
            }
            Spec::Excluding(spec) => self.deployment(Stored { meta, spec: (**spec).clone() }),
            Spec::StoredCluster(_) | Spec::RoleBinding(_) | Spec::StoredRoleBinding(_) => {}
        }
    }

    fn package(&mut self, stored: Stored<OPackage>) {
        self.packages.insert(stored.spec.name.clone(), stored);
    }

    fn deployment(&mut self, stored: Stored<OClassDeployment>) {
        self.deployments.insert(stored.spec.key.clone(), stored);
    }

    /// The deployments that are worth a look: those that change, and those of packages that do, as
    /// far as `authority` may know of them.
    fn affected(&self, state: &State, authority: Authority<'_>) -> BTreeSet<DeploymentKey> {
        let packages = self.packages.keys().chain(self.published.keys());
        let of_packages = packages.flat_map(|name| {
            let dependants = state.dependants_of_package(name).iter();
            let by_versions = state.needed_by_versions(name).map(|(dependant, _)| dependant);
            let names = dependants.chain(by_versions).chain([name]);
            let names = names.filter(|name| authority.sees(name));
            names.flat_map(|name| state.deployments_of_package(name))
        });
        self.deployments.keys().chain(of_packages).cloned().collect()
    }
}

/// The settings of this Package Manager that planning depends on.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The configured name of the installation.
    pub owner: &'a str,
    /// The cluster that automatic placement prefers.
    pub default_cluster: Option<&'a ClusterName>,
}

/// What the clusters would do about `plan`.
pub(super) async fn effects(
    cache: &Cache,
    plan: &Plan<'_>,
    site: Site<'_>,
    now: Timestamp,
) -> Effects {
    let after = After::of(plan);
    let (affected, mut candidates) = {
        let state = cache.read();
        (after.affected(&state, plan.push.by.authority), candidates(&state))
    };
    let mut effects = Effects { is_cut: affected.len() > MAX_PLANNED, ..Effects::default() };
    let affected: Vec<DeploymentKey> = affected.into_iter().take(MAX_PLANNED).collect();
    for chunk in affected.chunks(CHUNK) {
        {
            let state = cache.read();
            for key in chunk {
                one(&state, &after, key, (site, now), &mut candidates, &mut effects.clusters);
            }
        }
        tokio::task::yield_now().await;
    }
    effects
}

/// Adds what clusters would do about the deployment `key`.
fn one(
    state: &State,
    after: &After,
    key: &DeploymentKey,
    (site, now): (Site<'_>, Timestamp),
    candidates: &mut BTreeMap<ClusterName, usize>,
    clusters: &mut BTreeMap<ClusterName, ClusterChanges>,
) {
    let units: BTreeMap<_, _> = state
        .units_of_deployment(key)
        .map(|(cluster, entry)| (cluster.clone(), entry.value.unpack()))
        .collect();
    let records: BTreeMap<_, _> = state
        .records_of_deployment(key)
        .filter_map(|(cluster, id)| {
            let entry = state.record(cluster, id)?;
            entry.value.managed.then(|| ((cluster.clone(), id.clone()), &*entry.value))
        })
        .collect();
    let owner = state
        .installation
        .as_ref()
        .map_or_else(|| site.owner.to_owned(), |entry| entry.value.owner(site.owner));
    let stored = || state.deployments.get(key).map(|entry| &*entry.value);
    let input = Input {
        spec: after.deployments.get(key).or_else(stored),
        units: &units,
        records: &records,
        status: state.deployment_statuses.get(key).map(|entry| &*entry.value),
        owner: &owner,
        now,
    };
    let view = View { state, after, candidates, default_cluster: site.default_cluster };
    let plan = oprc_planning::deployment::plan(&input, &view);
    for (cluster, unit) in plan.units {
        let before = units.get(&cluster);
        if before.is_some_and(|before| before.unit == unit.unit) {
            // A mark on it, of a pause that begins or ends: nothing that the cluster does.
            continue;
        }
        let before = before.map(|unit| unit.desired);
        match (before, unit.desired) {
            (Some(Desired::Present), Desired::Present) => {
                clusters.entry(cluster).or_default().replaced.push(key.clone());
            }
            (None | Some(Desired::Absent), Desired::Present) => {
                // As it will be when the next one looks for a place.
                candidates.entry(cluster.clone()).and_modify(|n_units| *n_units += 1);
                clusters.entry(cluster).or_default().created.push(key.clone());
            }
            (Some(Desired::Present), Desired::Absent) => {
                clusters.entry(cluster).or_default().removed.push(key.clone());
            }
            (None | Some(Desired::Absent), Desired::Absent) => {}
        }
    }
}

/// The clusters that are fit for a new unit, and how many they are to hold.
fn candidates(state: &State) -> BTreeMap<ClusterName, usize> {
    let statuses = state.cluster_statuses.iter();
    statuses
        .filter(|(name, entry)| entry.value.is_placeable() && is_registered(state, name))
        .map(|(name, _)| (name.clone(), state.units_of_cluster(name).len()))
        .collect()
}

fn is_registered(state: &State, cluster: &ClusterName) -> bool {
    // One that cannot be read is there all the same, as for the deployment controller.
    state.clusters.contains_key(cluster)
        || state.unreadable.contains_key(&Key::Cluster(cluster.clone()))
}

/// What the planner may look up: the cache, and over it the push.
struct View<'a, 'c> {
    state: &'a State,
    after: &'a After,
    candidates: &'c BTreeMap<ClusterName, usize>,
    default_cluster: Option<&'c ClusterName>,
}

impl<'a> View<'a, '_> {
    fn stored_package(&self, name: &PackageName) -> Option<&'a Stored<OPackage>> {
        let stored = || self.state.packages.get(name).map(|entry| &*entry.value);
        self.after.packages.get(name).or_else(stored)
    }
}

impl<'a> Packages<'a> for View<'a, '_> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.stored_package(name).map(|stored| &stored.spec)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let uid = |stored: &Stored<OPackage>| stored.meta.uid.clone();
        let before = self.state.packages.get(name).map(|entry| uid(&entry.value));
        let after = self.after.packages.get(name);
        // A new incarnation begins without the versions of the last.
        let goes_on = after.is_none_or(|after| before.is_none_or(|before| before == uid(after)));
        let mut versions = if goes_on { self.state.versions(name) } else { Vec::new() };
        let after = after.map(|after| &after.spec);
        for new in after.into_iter().chain(self.after.published.get(name)) {
            versions.extend(PackageVersion::of(new).filter(|new| !versions.contains(new)));
        }
        versions
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        let after = self.after.packages.get(name).map(|after| &after.spec);
        let new = after.into_iter().chain(self.after.published.get(name));
        let mut new = new.filter(|new| PackageVersion::of(new).as_ref() == Some(version));
        new.next().map(Cow::Borrowed).or_else(|| self.state.version(name, version))
    }
}

impl<'a> Lookup<'a> for View<'a, '_> {
    fn package_generation(&self, name: &PackageName) -> Option<Generation> {
        self.stored_package(name).map(|stored| stored.meta.generation)
    }

    // Units of a preview are shown and not sent.
    fn package_correlation(&self, _: &PackageName) -> Option<String> {
        None
    }

    fn cluster_status(&self, cluster: &ClusterName) -> Option<&'a ClusterStatus> {
        self.state.cluster_statuses.get(cluster).map(|entry| &*entry.value)
    }
}

impl Clusters for View<'_, '_> {
    fn is_registered(&self, cluster: &ClusterName) -> bool {
        is_registered(self.state, cluster)
    }

    fn is_configured(&self, cluster: &ClusterName) -> bool {
        self.cluster_status(cluster).is_none_or(ClusterStatus::is_configured)
    }

    fn default_cluster(&self) -> Option<&ClusterName> {
        self.default_cluster
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidates = self.candidates.iter();
        candidates
            .map(|(cluster, n_units)| Candidate { cluster: cluster.clone(), n_units: *n_units })
            .collect()
    }
}
