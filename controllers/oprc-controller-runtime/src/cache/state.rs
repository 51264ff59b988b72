//! What the store holds, typed, with the indexes that the controllers and the API look things up
//! by. No IO.
//!
//! Invariant: it is a function of what is stored, and of nothing that was stored before; but for what
//! a watch must have lost.

mod archive;
mod bundles;
mod changed;
mod counts;
mod differences;
mod health;
mod intents;
mod packed;
mod published;
mod roles;
mod search;
mod stored;
mod versions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use oprc_cp_storage::{Change, KeyValue, Revision, health::WriteHealth, keys::Key};
use oprc_models::{
    bundle::Bundle,
    cluster::{ClusterSpec, ClusterStatus},
    deployment::OClassDeployment,
    event::{About, StoredEvents},
    installation::Installation,
    meta::Stored,
    names::{BindingName, BundleName, ClusterName, DeploymentKey, PackageName, PushId, UnitId},
    package::OPackage,
    push::PushRecord,
    record::StoredRecord,
    role::RoleBinding,
    status::{DeploymentStatus, PackageStatus},
    version::PackageVersion,
};

pub(super) use self::versions::{Differences, Part};
pub use self::{
    archive::Archive,
    changed::Changed,
    counts::StatusCounts,
    intents::Intent,
    published::PackedVersion,
    search::{Candidates, Criterion},
};
use self::{
    packed::PackedUnit,
    published::Needs,
    stored::{decode, dependencies, read, remove_from, set},
};

/// One object and the revision of its last write, which a compare-and-swap needs.
#[derive(Debug)]
pub struct Entry<T> {
    /// The object.
    pub value: Arc<T>,
    /// The revision at which it became what it is: that of its last write. Of a document with an
    /// intent it is another than its key's ([`State::revision_in_store`]), so that a write by
    /// whoever does not know of intents conflicts.
    pub revision: Revision,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), revision: self.revision }
    }
}

/// Everything the store holds, at one revision.
#[derive(Debug, Default)]
pub struct State {
    /// Packages.
    pub packages: BTreeMap<PackageName, Entry<Stored<OPackage>>>,
    /// Deployments.
    pub deployments: BTreeMap<DeploymentKey, Entry<Stored<OClassDeployment>>>,
    /// Registrations.
    pub clusters: BTreeMap<ClusterName, Entry<Stored<ClusterSpec>>>,
    /// Units, by deployment and cluster.
    pub units: BTreeMap<(DeploymentKey, ClusterName), Entry<PackedUnit>>,
    /// Records, by cluster and unit.
    pub records: BTreeMap<ClusterName, BTreeMap<UnitId, Entry<StoredRecord>>>,
    /// Statuses of packages.
    pub package_statuses: BTreeMap<PackageName, Entry<PackageStatus>>,
    /// Statuses of deployments.
    pub deployment_statuses: BTreeMap<DeploymentKey, Entry<DeploymentStatus>>,
    /// Statuses of clusters.
    pub cluster_statuses: BTreeMap<ClusterName, Entry<ClusterStatus>>,
    /// What packages were: which generations are archived, and the revisions of those writes. The
    /// documents themselves are read from the store when someone asks.
    pub package_revisions: Archive<PackageName>,
    /// What deployments were; as of packages.
    pub deployment_revisions: Archive<DeploymentKey>,
    /// What is published under versions that are not what their packages are now. Those of an earlier
    /// incarnation of a package count no more, see [`State::version`].
    pub package_versions: BTreeMap<PackageName, BTreeMap<PackageVersion, Entry<PackedVersion>>>,
    /// Bundles.
    pub bundles: BTreeMap<BundleName, Entry<Bundle>>,
    /// Pushes of several transactions that are not done with.
    pub pushes: BTreeMap<PushId, Entry<PushRecord>>,
    /// Who may do what.
    pub role_bindings: BTreeMap<BindingName, Entry<Stored<RoleBinding>>>,
    /// Events, by what they are about.
    pub events: BTreeMap<About, Entry<StoredEvents>>,
    /// The installation; none until the first leader has made it.
    pub installation: Option<Entry<Installation>>,
    /// The elections that have a leader: who it is, as it wrote itself down.
    pub leaders: BTreeMap<String, Bytes>,
    /// Keys whose value cannot be read, and why. They are there: nothing may be concluded from
    /// their absence elsewhere, and nothing may overwrite them.
    pub unreadable: BTreeMap<Key, String>,

    pub(super) writes: Arc<WriteHealth>,
    /// Revision of this state, set when changes are applied.
    pub(super) revision: Revision,
    status_counts: StatusCounts,
    units_of_cluster: BTreeMap<ClusterName, BTreeSet<DeploymentKey>>,
    place_of_unit: BTreeMap<UnitId, (ClusterName, DeploymentKey)>,
    records_of_deployment: BTreeSet<(DeploymentKey, ClusterName, UnitId)>,
    deployments_of_package: BTreeMap<PackageName, BTreeSet<DeploymentKey>>,
    owned_by_package: BTreeMap<PackageName, BTreeSet<DeploymentKey>>,
    dependants_of_package: BTreeMap<PackageName, BTreeSet<PackageName>>,
    needs_of_versions: Needs,
    owned_by_bundle: bundles::Owned,
    intents: intents::Intents,
    /// Pushes whose intents a watch has told of, and not of them: it has lost that, so their fate is
    /// not known.
    unknown_pushes: BTreeSet<PushId>,
    bindings_of: roles::Index,
    /// Packages by label and tag.
    package_postings: search::Postings<PackageName>,
    /// Deployments by label, target and run state.
    deployment_postings: search::Postings<DeploymentKey>,
}

/// An empty set, for look-ups that find nothing.
fn none<T>() -> &'static BTreeSet<T> {
    const { &BTreeSet::new() } // Without elements it has no allocation.
}

impl State {
    /// The deployments that have a unit on `cluster`.
    #[must_use]
    pub fn units_of_cluster(&self, cluster: &ClusterName) -> &BTreeSet<DeploymentKey> {
        self.units_of_cluster.get(cluster).unwrap_or(none())
    }

    /// How many units there are.
    pub(super) fn n_units(&self) -> usize {
        self.place_of_unit.len()
    }

    /// The cluster and the deployment of the unit `id`.
    #[must_use]
    pub fn place_of_unit(&self, id: &UnitId) -> Option<&(ClusterName, DeploymentKey)> {
        self.place_of_unit.get(id)
    }

    /// The unit of `deployment` on `cluster`.
    #[must_use]
    pub fn unit(
        &self,
        cluster: &ClusterName,
        deployment: &DeploymentKey,
    ) -> Option<&Entry<PackedUnit>> {
        self.units.get(&(deployment.clone(), cluster.clone()))
    }

    /// The units of `deployment`, by cluster.
    pub fn units_of_deployment(
        &self,
        deployment: &DeploymentKey,
    ) -> impl Iterator<Item = (&ClusterName, &Entry<PackedUnit>)> {
        self.units
            .range((deployment.clone(), ClusterName::least())..)
            .take_while(move |((of, _), _)| of == deployment)
            .map(|((_, cluster), entry)| (cluster, entry))
    }

    /// The record of unit `id` on `cluster`.
    #[must_use]
    pub fn record(&self, cluster: &ClusterName, id: &UnitId) -> Option<&Entry<StoredRecord>> {
        self.records.get(cluster)?.get(id)
    }

    /// The records of `deployment`, by cluster and unit.
    pub fn records_of_deployment(
        &self,
        deployment: &DeploymentKey,
    ) -> impl Iterator<Item = (&ClusterName, &UnitId)> {
        self.records_of_deployment
            .range((deployment.clone(), ClusterName::least(), UnitId::least())..)
            .take_while(move |(of, _, _)| of == deployment)
            .map(|(_, cluster, id)| (cluster, id))
    }

    /// The deployments of classes of `package`.
    #[must_use]
    pub fn deployments_of_package(&self, package: &PackageName) -> &BTreeSet<DeploymentKey> {
        self.deployments_of_package.get(package).unwrap_or(none())
    }

    /// The deployments of classes of each package that has some.
    #[must_use]
    pub fn deployments_by_package(&self) -> &BTreeMap<PackageName, BTreeSet<DeploymentKey>> {
        &self.deployments_of_package
    }

    /// The deployments that `package` declared inline.
    #[must_use]
    pub fn owned_by_package(&self, package: &PackageName) -> &BTreeSet<DeploymentKey> {
        self.owned_by_package.get(package).unwrap_or(none())
    }

    /// The packages that name `package` among their dependencies.
    #[must_use]
    pub fn dependants_of_package(&self, package: &PackageName) -> &BTreeSet<PackageName> {
        self.dependants_of_package.get(package).unwrap_or(none())
    }

    /// The revision that this is the state of.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many objects there are, statuses and elections aside.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len() + self.deployments.len() + self.clusters.len()
    }

    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one change; answers what changed: nothing for a key of no known family.
    pub(super) fn apply(&mut self, change: Change) -> Vec<Changed> {
        let (key, stored) = match change {
            Change::Put(stored) => (stored.key.parse(), Some(stored)),
            Change::Delete { key, .. } => (key.parse(), None),
        };
        key.map(|key| self.take(key, stored)).unwrap_or_default()
    }

    /// Takes what is `stored` under `key` now; answers what changed, of a push also the documents
    /// that are another thing by it.
    #[expect(clippy::needless_pass_by_value, reason = "it is what is kept")]
    pub(super) fn take(&mut self, key: Key, stored: Option<KeyValue>) -> Vec<Changed> {
        let changed = self.put(&key, stored.as_ref());
        match &key {
            Key::Push(push) => [changed].into_iter().chain(self.settle(push)).collect(),
            _ => vec![changed],
        }
    }

    /// Takes what is stored under `key`, or that nothing is.
    fn put(&mut self, key: &Key, stored: Option<&KeyValue>) -> Changed {
        let mut flaw = None;
        let changed = self.set(key, stored, &mut flaw);
        match flaw {
            Some(reason) => {
                tracing::error!(key = %key, error = reason, "stored value cannot be read; left alone");
                self.unreadable.insert(key.clone(), reason);
            }
            None => {
                self.unreadable.remove(key);
            }
        }
        changed
    }

    /// Puts what is stored under `key` in its map, or takes it from there: also where it cannot be
    /// read (`flaw` then says why), since what it was is no longer what is stored.
    fn set(&mut self, key: &Key, stored: Option<&KeyValue>, flaw: &mut Option<String>) -> Changed {
        match key {
            Key::Package(name) => {
                let shown = self.shown(key, stored, flaw);
                self.set_package(name, shown)
            }
            Key::Deployment(name) => {
                let shown = self.shown(key, stored, flaw);
                self.set_deployment(name, shown)
            }
            Key::Unit(cluster, deployment) => {
                self.set_unit(cluster, deployment, read(stored, flaw, PackedUnit::new))
            }
            Key::Record(cluster, id) => self.set_record(cluster, id, decode(stored, flaw)),
            Key::Cluster(name) => {
                set(&mut self.clusters, name, decode(stored, flaw));
                Changed::Cluster(name.clone())
            }
            Key::PackageStatus(name) => {
                set(&mut self.package_statuses, name, decode(stored, flaw));
                Changed::PackageStatus(name.clone())
            }
            Key::DeploymentStatus(name) => self.set_deployment_status(name, decode(stored, flaw)),
            Key::ClusterStatus(name) => self.set_cluster_status(name, decode(stored, flaw)),
            Key::PackageRevision(name, generation) => {
                archive::set(&mut self.package_revisions, name, *generation, stored);
                Changed::PackageRevision(name.clone())
            }
            Key::DeploymentRevision(key, generation) => {
                archive::set(&mut self.deployment_revisions, key, *generation, stored);
                Changed::DeploymentRevision(key.clone())
            }
            Key::PackageVersion(name, version) => {
                self.set_version(name, version, read(stored, flaw, PackedVersion::new));
                Changed::PackageVersion(name.clone())
            }
            Key::Bundle(name) => {
                set(&mut self.bundles, name, decode(stored, flaw));
                Changed::Bundle(name.clone())
            }
            Key::Push(id) => {
                set(&mut self.pushes, id, decode(stored, flaw));
                Changed::Push(id.clone())
            }
            Key::RoleBinding(name) => {
                self.set_role_binding(name, decode(stored, flaw));
                Changed::RoleBinding(name.clone())
            }
            Key::Events(about) => {
                set(&mut self.events, about, decode(stored, flaw));
                Changed::Events(about.clone())
            }
            Key::Installation => {
                self.installation = decode(stored, flaw);
                Changed::Installation
            }
            Key::Leader(election) => {
                let _ = match stored {
                    Some(stored) => self.leaders.insert(election.clone(), stored.value.clone()),
                    None => self.leaders.remove(election),
                };
                Changed::Leader(election.clone())
            }
        }
    }

    fn set_package(&mut self, name: &PackageName, new: Option<Entry<Stored<OPackage>>>) -> Changed {
        let mut neighbours = BTreeSet::new();
        let old = set(&mut self.packages, name, new);
        self.index_package(name, old.as_ref());
        if let Some(old) = old {
            for dependency in dependencies(&old.value.spec) {
                remove_from(&mut self.dependants_of_package, &dependency, name);
                neighbours.insert(dependency);
            }
            bundles::disown(
                &mut self.owned_by_bundle,
                &old.value.meta,
                &Key::Package(name.clone()),
            );
        }
        if let Some(new) = self.packages.get(name) {
            bundles::own(&mut self.owned_by_bundle, &new.value.meta, Key::Package(name.clone()));
            for dependency in dependencies(&new.value.spec) {
                let dependants = self.dependants_of_package.entry(dependency.clone()).or_default();
                dependants.insert(name.clone());
                neighbours.insert(dependency);
            }
        }
        Changed::Package(name.clone(), neighbours)
    }

    fn set_deployment(
        &mut self,
        key: &DeploymentKey,
        new: Option<Entry<Stored<OClassDeployment>>>,
    ) -> Changed {
        let mut packages = BTreeSet::new();
        let run_state = self.run_state(key);
        let old = set(&mut self.deployments, key, new);
        self.index_deployment(key, old.as_ref());
        self.index_run_state(key, run_state);
        if let Some(old) = old {
            let package = &old.value.spec.package_name;
            remove_from(&mut self.deployments_of_package, package, key);
            if let Some(owner) = &old.value.meta.owner {
                remove_from(&mut self.owned_by_package, owner, key);
            }
            packages.insert(package.clone());
            bundles::disown(
                &mut self.owned_by_bundle,
                &old.value.meta,
                &Key::Deployment(key.clone()),
            );
        }
        if let Some(new) = self.deployments.get(key) {
            bundles::own(&mut self.owned_by_bundle, &new.value.meta, Key::Deployment(key.clone()));
            let package = &new.value.spec.package_name;
            self.deployments_of_package.entry(package.clone()).or_default().insert(key.clone());
            if let Some(owner) = &new.value.meta.owner {
                self.owned_by_package.entry(owner.clone()).or_default().insert(key.clone());
            }
            packages.insert(package.clone());
        }
        Changed::Deployment(key.clone(), packages)
    }

    fn set_unit(
        &mut self,
        cluster: &ClusterName,
        deployment: &DeploymentKey,
        new: Option<Entry<PackedUnit>>,
    ) -> Changed {
        let new_id = new.as_ref().map(|entry| entry.value.id.clone());
        let old = set(&mut self.units, &(deployment.clone(), cluster.clone()), new);
        let place = (cluster.clone(), deployment.clone());
        if let Some(old) = old {
            // Unless the id is another unit's by now.
            let id = &old.value.id;
            if self.place_of_unit.get(id) == Some(&place) {
                self.place_of_unit.remove(id);
            }
        }
        if let Some(id) = new_id {
            self.units_of_cluster.entry(cluster.clone()).or_default().insert(deployment.clone());
            self.place_of_unit.insert(id, place);
        } else {
            remove_from(&mut self.units_of_cluster, cluster, deployment);
        }
        Changed::Unit(cluster.clone(), deployment.clone())
    }

    fn set_record(
        &mut self,
        cluster: &ClusterName,
        id: &UnitId,
        new: Option<Entry<StoredRecord>>,
    ) -> Changed {
        let new_key = new.as_ref().map(|entry| entry.value.deployment_key.clone());
        let of_cluster = self.records.entry(cluster.clone()).or_default();
        let old = set(of_cluster, id, new);
        if of_cluster.is_empty() {
            self.records.remove(cluster);
        }
        let place = |key: &DeploymentKey| (key.clone(), cluster.clone(), id.clone());
        let mut deployments = BTreeSet::new();
        if let Some(old) = old {
            let key = &old.value.deployment_key;
            self.records_of_deployment.remove(&place(key));
            deployments.insert(key.clone());
        }
        if let Some(new) = new_key {
            self.records_of_deployment.insert(place(&new));
            deployments.insert(new);
        }
        Changed::Record(cluster.clone(), id.clone(), deployments)
    }
}

#[cfg(test)]
mod tests;
