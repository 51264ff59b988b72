//! Events for callers who may not see every package.
//!
//! The list goes by package, through those that the caller may see, as other lists do; the events of
//! clusters come last. What is told of a deployment that is gone is not in it: whose it was cannot be
//! told.

use std::{
    hash::{DefaultHasher, Hash},
    ops::Bound,
};

use http::HeaderMap;
use oprc_controller_runtime::cache::{Entry, State};
use oprc_models::{
    event::{About, StoredEvents},
    names::{ClusterName, DeploymentKey, PackageName},
    role::{Kind, Verb},
};

use super::{EventRow, by_reason, write};
use crate::{
    auth::Grants,
    call::{Answer, App},
    list::{self, Chunk},
};

/// Whether the caller may see events about this.
pub(super) fn is_seen(state: &State, grants: &Grants, about: &About) -> bool {
    match about {
        About::Package(name) => grants.sees(name),
        About::Deployment(key) => {
            let found = state.deployments.get(key);
            let package = found.map(|entry| &entry.value.spec.package_name);
            package.map_or_else(|| grants.sees_all(), |package| grants.sees(package))
        }
        About::Cluster(_) => grants.require_somewhere(Verb::Get, Kind::Cluster).is_ok(),
    }
}

/// Something there is, with the package that decides who sees it.
#[derive(Clone, Copy)]
enum Thing<'s> {
    Package(&'s PackageName),
    Deployment(&'s PackageName, &'s DeploymentKey),
    Cluster(&'s ClusterName),
}

impl Thing<'_> {
    fn place(self, reason: &str) -> Place {
        let (package, about) = match self {
            Self::Package(name) => (name.as_str(), About::Package(name.clone())),
            Self::Deployment(package, key) => (package.as_str(), About::Deployment(key.clone())),
            Self::Cluster(name) => ("", About::Cluster(name.clone())),
        };
        Place { about, package: package.to_owned(), reason: reason.to_owned() }
    }
}

/// A place in the list.
struct Place {
    about: About,
    /// Empty: of no package.
    package: String,
    reason: String,
}

impl Place {
    fn names(&self) -> Vec<&str> {
        vec![self.about.kind(), &self.package, self.about.name(), &self.reason]
    }
}

/// An event, and where it stands.
struct Seen {
    package: String,
    row: EventRow,
}

impl list::Item for Seen {
    fn names(&self) -> Vec<&str> {
        let mut names = self.row.names();
        names.insert(1, &self.package);
        names
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        self.package.hash(hasher);
        self.row.hash_into(hasher);
    }
}

/// `GET /events`, for a caller who may see some packages.
pub(super) async fn list_seen(
    app: &App,
    request: &list::Request,
    grants: &Grants,
    headers: &HeaderMap,
) -> Answer {
    let after = request.after::<4>()?.and_then(|[kind, package, name, reason]| {
        Some(Place { about: About::new(&kind, &name)?, package, reason })
    });
    let chunk = |state: &State, after: Option<&Place>, limit, items: &mut Vec<Seen>| {
        chunk(state, grants, after, limit, items)
    };
    // Which package an unreadable value is of cannot be told.
    let page = list::page(app, request, after, Place::names, |_| false, chunk);
    page.await?.answer(headers, |buffer, seen| write(buffer, &seen.row))
}

fn chunk(
    state: &State,
    grants: &Grants,
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<Seen>,
) -> Chunk<Place> {
    type One<'s> = (Thing<'s>, Option<(&'s Entry<StoredEvents>, usize, &'s str)>);
    let entries = things(state, grants, after).flat_map(|thing| {
        let begun = after.filter(|after| thing.place("").about == after.about);
        let entry = state.events.get(&thing.place("").about);
        let events = entry.into_iter().flat_map(move |entry| {
            let after = begun.map(|after| after.reason.as_str());
            let events = by_reason(&entry.value, grants, after).into_iter();
            events.map(move |(index, reason)| (thing, Some((entry, index, reason))))
        });
        // One of which nothing is told counts too: looking costs.
        std::iter::once((thing, None)).filter(move |_| begun.is_none()).chain(events)
    });
    let place = |(thing, event): One<'_>| thing.place(event.map_or("", |(_, _, reason)| reason));
    list::take(entries, place, items, limit, |(thing, event): One<'_>| {
        let (entry, index, _) = event?;
        let Place { about, package, .. } = thing.place("");
        Some(Seen { package, row: EventRow::new(about, entry, index) })
    })
}

/// What the caller may see, from where `after` is.
fn things<'s>(
    state: &'s State,
    grants: &Grants,
    after: Option<&Place>,
) -> impl Iterator<Item = Thing<'s>> {
    let begun = after.map(|after| &after.about);
    let of_package = after.and_then(|after| after.package.parse::<PackageName>().ok());
    let from = of_package.as_ref().map_or(Bound::Unbounded, Bound::Included);
    let is_in_packages = matches!(begun, None | Some(About::Package(_)));
    let packages = is_in_packages.then(|| grants.visible(&state.packages, from));
    let from = if is_in_packages { Bound::Unbounded } else { from };
    let is_before_clusters = !matches!(begun, Some(About::Cluster(_)));
    let in_packages =
        is_before_clusters.then(|| grants.visible(state.deployments_by_package(), from));
    let first = match begun {
        Some(About::Deployment(key)) => of_package.map(|package| (package, key.clone())),
        _ => None,
    };
    let deployments = in_packages.into_iter().flatten().flat_map(move |(package, keys)| {
        let begun = first.as_ref().filter(|(begun, _)| begun == package).map(|(_, key)| key);
        let from = begun.map_or(Bound::Unbounded, Bound::Included);
        let keys = keys.range::<DeploymentKey, _>((from, Bound::Unbounded));
        keys.map(move |key| Thing::Deployment(package, key))
    });
    let sees_clusters = grants.require_somewhere(Verb::Get, Kind::Cluster).is_ok();
    let from = match begun {
        Some(About::Cluster(name)) => Bound::Included(name),
        _ => Bound::Unbounded,
    };
    let clusters =
        sees_clusters.then(|| state.clusters.range::<ClusterName, _>((from, Bound::Unbounded)));
    let clusters = clusters.into_iter().flatten().map(|(name, _)| Thing::Cluster(name));
    let packages = packages.into_iter().flatten().map(|(name, _)| Thing::Package(name));
    packages.chain(deployments).chain(clusters)
}
