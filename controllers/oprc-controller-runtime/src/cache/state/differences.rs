//! What differs between two states: what subscribers are told after a listing.

use std::collections::{BTreeMap, BTreeSet};

use oprc_cp_storage::keys::Key;
use oprc_models::names::{ClusterName, DeploymentKey, PackageName, UnitId};

use super::{Changed, Entry, State, archive, dependencies};

impl State {
    /// What differs from `before`: the same changes, each once, as applying what was written in
    /// between would have told (but for what was written and taken back).
    pub(in crate::cache) fn differences(&self, before: &Self) -> Vec<Changed> {
        let mut keys = BTreeSet::new();
        let mut add = |key| {
            keys.insert(key);
        };
        differing(&before.packages, &self.packages, |name| add(Key::Package(name)));
        differing(&before.deployments, &self.deployments, |key| add(Key::Deployment(key)));
        differing(&before.clusters, &self.clusters, |name| add(Key::Cluster(name)));
        differing(&before.role_bindings, &self.role_bindings, |name| add(Key::RoleBinding(name)));
        differing(&before.package_statuses, &self.package_statuses, |name| {
            add(Key::PackageStatus(name));
        });
        differing(&before.deployment_statuses, &self.deployment_statuses, |key| {
            add(Key::DeploymentStatus(key));
        });
        differing(&before.cluster_statuses, &self.cluster_statuses, |name| {
            add(Key::ClusterStatus(name));
        });
        differing(&before.events, &self.events, |about| add(Key::Events(about)));
        differing(&before.units, &self.units, |(deployment, cluster)| {
            add(Key::Unit(cluster, deployment));
        });
        archive::differing(&before.package_revisions, &self.package_revisions, |name, number| {
            add(Key::PackageRevision(name, number));
        });
        archive::differing(
            &before.deployment_revisions,
            &self.deployment_revisions,
            |key, number| add(Key::DeploymentRevision(key, number)),
        );
        let nothing = BTreeMap::new();
        for name in before.package_versions.keys().chain(self.package_versions.keys()) {
            let [old, new] =
                [before, self].map(|s| s.package_versions.get(name).unwrap_or(&nothing));
            differing(old, new, |version| add(Key::PackageVersion(name.clone(), version)));
        }
        let nothing = BTreeMap::new();
        for cluster in before.records.keys().chain(self.records.keys()) {
            let [old, new] = [before, self].map(|s| s.records.get(cluster).unwrap_or(&nothing));
            differing(old, new, |id| add(Key::Record(cluster.clone(), id)));
        }
        differing(&before.bundles, &self.bundles, |name| add(Key::Bundle(name)));
        differing(&before.pushes, &self.pushes, |id| add(Key::Push(id)));
        self.intents.differing(&before.intents).for_each(&mut add);
        let revision = |state: &Self| state.installation.as_ref().map(|entry| entry.revision);
        if revision(before) != revision(self) {
            add(Key::Installation);
        }
        for election in before.leaders.keys().chain(self.leaders.keys()) {
            if before.leaders.get(election) != self.leaders.get(election) {
                add(Key::Leader(election.clone()));
            }
        }
        for (old, new) in [(before, self), (self, before)] {
            let turned = old.unreadable.keys().filter(|key| !new.unreadable.contains_key(*key));
            turned.cloned().for_each(&mut add);
        }
        let mut changes: Vec<_> =
            keys.into_iter().map(|key| self.changed_since(before, key)).collect();
        // Several generations or versions of one document are one change.
        changes.dedup();
        changes
    }

    /// What is told of `key`, which differs from `before`.
    fn changed_since(&self, before: &Self, key: Key) -> Changed {
        match key {
            Key::Package(name) => {
                let neighbours = before.needs_of(&name).chain(self.needs_of(&name)).collect();
                Changed::Package(name, neighbours)
            }
            Key::Deployment(key) => {
                let states = [before, self].into_iter();
                let entries = states.filter_map(|state| state.deployments.get(&key));
                let packages = entries.map(|entry| entry.value.spec.package_name.clone()).collect();
                Changed::Deployment(key, packages)
            }
            Key::Record(cluster, id) => {
                let deployments = before.deployment_of(&cluster, &id);
                let deployments =
                    deployments.into_iter().chain(self.deployment_of(&cluster, &id)).collect();
                Changed::Record(cluster, id, deployments)
            }
            Key::Cluster(name) => Changed::Cluster(name),
            Key::Unit(cluster, deployment) => Changed::Unit(cluster, deployment),
            Key::PackageStatus(name) => Changed::PackageStatus(name),
            Key::DeploymentStatus(key) => Changed::DeploymentStatus(key),
            Key::ClusterStatus(name) => Changed::ClusterStatus(name),
            Key::PackageRevision(name, _) => Changed::PackageRevision(name),
            Key::DeploymentRevision(key, _) => Changed::DeploymentRevision(key),
            Key::PackageVersion(name, _) => Changed::PackageVersion(name),
            Key::Bundle(name) => Changed::Bundle(name),
            Key::Push(id) => Changed::Push(id),
            Key::RoleBinding(name) => Changed::RoleBinding(name),
            Key::Events(about) => Changed::Events(about),
            Key::Installation => Changed::Installation,
            Key::Leader(election) => Changed::Leader(election),
        }
    }

    fn needs_of(&self, name: &PackageName) -> impl Iterator<Item = PackageName> {
        self.packages.get(name).into_iter().flat_map(|entry| dependencies(&entry.value.spec))
    }

    fn deployment_of(&self, cluster: &ClusterName, id: &UnitId) -> Option<DeploymentKey> {
        self.record(cluster, id).map(|entry| entry.value.deployment_key.clone())
    }
}

/// Calls `found` with each key that is in one map only, or at another revision in the other.
fn differing<K: Ord + Clone, T>(
    before: &BTreeMap<K, Entry<T>>,
    after: &BTreeMap<K, Entry<T>>,
    mut found: impl FnMut(K),
) {
    for (key, entry) in after {
        if before.get(key).is_none_or(|old| old.revision != entry.revision) {
            found(key.clone());
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        found(key.clone());
    }
}
