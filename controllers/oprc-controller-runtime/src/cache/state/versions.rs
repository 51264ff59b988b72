//! Which keys the state shows, and of which revisions: to be compared with pages of the store.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::Bound,
};

use oprc_cp_storage::{KeyValue, Page, Revision, keys::Key};
use oprc_models::names::ClusterName;

use super::{Entry, State, none};

/// Keys that are listed together: a family, or what it has of one cluster. Within one, the order of
/// the store is that of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Part {
    Clusters,
    Packages,
    Deployments,
    RoleBindings,
    Bundles,
    Pushes,
    PackageStatuses,
    DeploymentStatuses,
    ClusterStatuses,
    PackageVersions,
    Units(ClusterName),
    Records(ClusterName),
}

impl Part {
    /// What its keys begin with.
    pub(in crate::cache) fn prefix(&self) -> String {
        match self {
            Self::Clusters => "clusters/".to_owned(),
            Self::Packages => "packages/".to_owned(),
            Self::Deployments => "deployments/".to_owned(),
            Self::RoleBindings => "role-bindings/".to_owned(),
            Self::Bundles => "bundles/".to_owned(),
            Self::Pushes => "pushes/".to_owned(),
            Self::PackageStatuses => "status/packages/".to_owned(),
            Self::DeploymentStatuses => "status/deployments/".to_owned(),
            Self::ClusterStatuses => "status/clusters/".to_owned(),
            Self::PackageVersions => "package-versions/".to_owned(),
            Self::Units(cluster) => format!("units/{cluster}/"),
            Self::Records(cluster) => format!("records/{cluster}/"),
        }
    }
}

/// How the state differs from a page of the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Differences {
    /// A key of which a change was missed, if there is one.
    pub(in crate::cache) missed: Option<String>,
    /// Keys that the page has and the state has not: they were removed since, or missed.
    pub(in crate::cache) unsure: Vec<KeyValue>,
}

impl State {
    /// The parts of everything there is.
    pub(in crate::cache) fn parts(&self) -> Vec<Part> {
        let families = [
            Part::Clusters,
            Part::Packages,
            Part::Deployments,
            Part::RoleBindings,
            Part::Bundles,
            Part::Pushes,
            Part::PackageStatuses,
            Part::DeploymentStatuses,
            Part::ClusterStatuses,
            Part::PackageVersions,
        ];
        let clusters: BTreeSet<&ClusterName> = self
            .clusters
            .keys()
            .chain(self.units_of_cluster.keys())
            .chain(self.records.keys())
            .collect();
        let of_clusters = clusters
            .into_iter()
            .flat_map(|cluster| [Part::Units(cluster.clone()), Part::Records(cluster.clone())]);
        families.into_iter().chain(of_clusters).collect()
    }

    /// How it differs from `page` of `part`, which begins after `after`. It is as of the page's
    /// revision or later.
    pub(in crate::cache) fn differences_from(
        &self,
        part: &Part,
        after: Option<&str>,
        page: &Page,
    ) -> Differences {
        let until = page.items.last().filter(|_| page.has_more).map(|item| item.key.as_str());
        self.compared(self.shown_of(part, after, until), &page.items, page.revision)
    }

    /// How it differs in `key` alone from `page`, which has it if the store does. Elections are not
    /// compared: nothing rests on how they are shown here.
    pub(in crate::cache) fn difference_of(&self, key: &str, page: &Page) -> Differences {
        let Ok(parsed) = key.parse::<Key>() else { return Differences::default() };
        if matches!(parsed, Key::Leader(_)) {
            return Differences::default();
        }
        // With an intent, it is shown at another revision than its key has, or not at all.
        let intent = self.intent(&parsed).map(|intent| intent.stored.mod_revision);
        let shown = intent.or_else(|| self.shown_at(&parsed)).map(|at| (key.to_owned(), at));
        let items = page.items.iter().filter(|item| item.key == key);
        self.compared(shown.into_iter().collect(), items, page.revision)
    }

    /// How what is `shown` differs from what is listed.
    fn compared<'a>(
        &self,
        mut shown: BTreeMap<String, Revision>,
        listed: impl IntoIterator<Item = &'a KeyValue>,
        at: Revision,
    ) -> Differences {
        let mut found = Differences::default();
        for item in listed {
            match shown.remove(&item.key) {
                Some(shown) if shown < item.mod_revision => found.missed = Some(item.key.clone()),
                Some(_) => (),
                None if self.is_kept_apart(&item.key) => (),
                None => found.unsure.push(item.clone()),
            }
        }
        let removed = shown.into_iter().find(|(_, revision)| *revision <= at);
        found.missed = found.missed.or(removed.map(|(key, _)| key));
        found
    }

    /// Whether `key` is of no known family, or cannot be read.
    fn is_kept_apart(&self, key: &str) -> bool {
        key.parse::<Key>().map_or(true, |key| self.unreadable.contains_key(&key))
    }

    /// The revision at which `key` became what is shown of it; none: nothing is, or it is an election.
    pub(super) fn shown_at(&self, key: &Key) -> Option<Revision> {
        match key {
            Key::Package(name) => self.packages.get(name).map(revision),
            Key::Deployment(key) => self.deployments.get(key).map(revision),
            Key::Cluster(name) => self.clusters.get(name).map(revision),
            Key::Unit(cluster, key) => self.unit(cluster, key).map(revision),
            Key::Record(cluster, id) => self.record(cluster, id).map(revision),
            Key::PackageStatus(name) => self.package_statuses.get(name).map(revision),
            Key::DeploymentStatus(key) => self.deployment_statuses.get(key).map(revision),
            Key::ClusterStatus(name) => self.cluster_statuses.get(name).map(revision),
            Key::PackageRevision(name, number) => {
                self.package_revisions.get(name)?.get(number).copied()
            }
            Key::DeploymentRevision(key, number) => {
                self.deployment_revisions.get(key)?.get(number).copied()
            }
            Key::PackageVersion(name, version) => {
                self.package_versions.get(name)?.get(version).map(revision)
            }
            Key::Bundle(name) => self.bundles.get(name).map(revision),
            Key::Push(id) => self.pushes.get(id).map(revision),
            Key::RoleBinding(name) => self.role_bindings.get(name).map(revision),
            Key::Events(about) => self.events.get(about).map(revision),
            Key::Installation => self.installation.as_ref().map(revision),
            Key::Leader(_) => None,
        }
    }

    /// The keys of `part` after `after` and up to `until`, and the revisions of their last writes.
    fn shown_of(
        &self,
        part: &Part,
        after: Option<&str>,
        until: Option<&str>,
    ) -> BTreeMap<String, Revision> {
        let prefix = part.prefix();
        let name =
            |key: Option<&str>| key.and_then(|key| key.strip_prefix(&prefix)).map(str::to_owned);
        let range = Names { prefix: &prefix, after: name(after), until: name(until) };
        let nothing = BTreeMap::new();
        let mut versions = match part {
            Part::Clusters => range.of(&self.clusters),
            Part::Packages => range.of(&self.packages),
            Part::Deployments => range.of(&self.deployments),
            Part::RoleBindings => range.of(&self.role_bindings),
            Part::Bundles => range.of(&self.bundles),
            Part::Pushes => range.of(&self.pushes),
            Part::PackageStatuses => range.of(&self.package_statuses),
            Part::DeploymentStatuses => range.of(&self.deployment_statuses),
            Part::ClusterStatuses => range.of(&self.cluster_statuses),
            Part::Records(cluster) => range.of(self.records.get(cluster).unwrap_or(&nothing)),
            Part::PackageVersions => self.published_within(after, until),
            Part::Units(cluster) => {
                let units = self.units_of_cluster.get(cluster).unwrap_or(none());
                let units = units.range::<str, _>(range.bounds());
                let units = units.filter_map(|key| Some((key, self.unit(cluster, key)?.revision)));
                units.map(|(key, revision)| (format!("{prefix}{key}"), revision)).collect()
            }
        };
        // They are shown at other revisions than their keys have, or not at all.
        let intents = self.intents.stored(&prefix);
        let intents = intents.filter(|(key, _)| {
            after.is_none_or(|after| *key > after) && until.is_none_or(|until| *key <= until)
        });
        versions.extend(intents.map(|(key, revision)| (key.to_owned(), revision)));
        versions
    }
}

fn revision<T>(entry: &Entry<T>) -> Revision {
    entry.revision
}

/// A range of names, and what stands before them in keys.
struct Names<'a> {
    prefix: &'a str,
    after: Option<String>,
    until: Option<String>,
}

impl Names<'_> {
    fn bounds(&self) -> (Bound<&str>, Bound<&str>) {
        let (after, until) = (self.after.as_deref(), self.until.as_deref());
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        (after, until.map_or(Bound::Unbounded, Bound::Included))
    }

    fn of<K, T>(&self, map: &BTreeMap<K, Entry<T>>) -> BTreeMap<String, Revision>
    where
        K: Borrow<str> + Ord + Display,
    {
        let entries = map.range::<str, _>(self.bounds());
        entries.map(|(name, entry)| (format!("{}{name}", self.prefix), entry.revision)).collect()
    }
}
