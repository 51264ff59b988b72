//! Lists for callers who may not see every package.
//!
//! They go by package, then by key, and only through packages that the caller may see. So a page
//! costs what it shows however much is hidden, and neither its length nor its `continue` tells of
//! what is.

use std::{
    hash::{DefaultHasher, Hash},
    ops::Bound,
};

use oprc_controller_runtime::cache::State;
use oprc_cp_storage::keys::Key;
use oprc_models::names::{ClusterName, DeploymentKey, PackageName, UnitId};

use crate::{
    auth::Grants,
    error::ApiError,
    list::{self, Chunk, Item, Request},
};

/// An item, and the package that decides who sees it: the first part of its place.
pub(super) struct Of<T> {
    package: PackageName,
    pub(super) item: T,
}

impl<T: Item> Item for Of<T> {
    fn names(&self) -> Vec<&str> {
        let mut names = vec![self.package.as_str()];
        names.extend(self.item.names());
        names
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        self.package.hash(hasher);
        self.item.hash_into(hasher);
    }
}

/// A deployment's place in a list by package.
pub(super) type Place = (PackageName, DeploymentKey);

/// The place after which the page begins.
pub(super) fn after(request: &Request) -> Result<Option<Place>, ApiError> {
    Ok(request.after::<2>()?.and_then(|[package, key]| {
        Some((package.parse::<PackageName>().ok()?, key.parse::<DeploymentKey>().ok()?))
    }))
}

/// The names of a place.
pub(super) fn names((package, key): &Place) -> Vec<&str> {
    vec![package.as_str(), key.as_str()]
}

/// Takes the next chunk of deployments: of `package`, or of every package that the caller may see.
///
/// Without the indexes of [`State::search_deployments`]: they would lead through what is hidden.
pub(super) fn deployments<T>(
    state: &State,
    grants: &Grants,
    package: Option<&PackageName>,
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<Of<T>>,
    pick: impl Fn(&State, &DeploymentKey) -> Option<T>,
) -> Chunk<Place> {
    let begin = package.or(after.map(|(package, _)| package));
    let begin = begin.map_or(Bound::Unbounded, Bound::Included);
    let packages = grants.visible(state.deployments_by_package(), begin);
    let packages = packages.take_while(|(name, _)| package.is_none_or(|package| *name == package));
    let entries = packages.flat_map(|(package, keys)| {
        let after = after.filter(|(begun, _)| begun == package).map(|(_, key)| key);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        keys.range::<DeploymentKey, _>((from, Bound::Unbounded)).map(move |key| (package, key))
    });
    let place = |(package, key): (&PackageName, &DeploymentKey)| (package.clone(), key.clone());
    list::take(entries, place, items, limit, |(package, key)| {
        let item = pick(state, key)?;
        Some(Of { package: package.clone(), item })
    })
}

/// A record's place in a list by package.
pub(super) type RecordPlace = (PackageName, DeploymentKey, ClusterName, UnitId);

/// The place after which the page of records begins.
pub(super) fn after_record(request: &Request) -> Result<Option<RecordPlace>, ApiError> {
    Ok(request.after::<4>()?.and_then(|[package, key, cluster, id]| {
        let (package, key) = (package.parse().ok()?, key.parse().ok()?);
        Some((package, key, cluster.parse().ok()?, id.parse().ok()?))
    }))
}

/// The names of a record's place.
pub(super) fn record_names((package, key, cluster, id): &RecordPlace) -> Vec<&str> {
    vec![package.as_str(), key.as_str(), cluster.as_str(), id.as_str()]
}

/// A record, in a list by package and deployment.
pub(super) struct OfDeployment<T> {
    pub(super) package: PackageName,
    pub(super) deployment: DeploymentKey,
    pub(super) item: T,
}

impl<T: Item> Item for OfDeployment<T> {
    fn names(&self) -> Vec<&str> {
        let mut names = vec![self.package.as_str(), self.deployment.as_str()];
        names.extend(self.item.names());
        names
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (&self.package, &self.deployment).hash(hasher);
        self.item.hash_into(hasher);
    }
}

/// Takes the next chunk of records.
pub(super) fn records<T>(
    state: &State,
    grants: &Grants,
    after: Option<&RecordPlace>,
    limit: usize,
    items: &mut Vec<OfDeployment<T>>,
    pick: impl Fn(&State, &ClusterName, &UnitId) -> Option<T>,
) -> Chunk<RecordPlace> {
    let begin = after.map_or(Bound::Unbounded, |(package, ..)| Bound::Included(package));
    let packages = grants.visible(state.deployments_by_package(), begin);
    let entries = packages.flat_map(|(package, keys)| {
        let begun = after.filter(|(begun, ..)| begun == package);
        let from = begun.map_or(Bound::Unbounded, |(_, key, ..)| Bound::Included(key));
        let keys = keys.range::<DeploymentKey, _>((from, Bound::Unbounded));
        keys.flat_map(move |key| {
            let begun = begun.filter(|(_, begun, ..)| begun == key);
            state
                .records_of_deployment(key)
                .filter(move |place| begun.is_none_or(|(_, _, cluster, id)| *place > (cluster, id)))
                .map(move |(cluster, id)| (package, key, cluster, id))
        })
    });
    type Entry<'s> = (&'s PackageName, &'s DeploymentKey, &'s ClusterName, &'s UnitId);
    let place = |(package, key, cluster, id): Entry<'_>| {
        (package.clone(), key.clone(), cluster.clone(), id.clone())
    };
    list::take(entries, place, items, limit, |(package, key, cluster, id)| {
        let item = pick(state, cluster, id)?;
        Some(OfDeployment { package: package.clone(), deployment: key.clone(), item })
    })
}

/// Whether a key that cannot be read may be named to the caller: which package it is of cannot be
/// told, unless it is the package's own.
pub(super) fn may_name(grants: &Grants, key: &Key) -> bool {
    match key {
        Key::Package(name) => grants.sees(name),
        _ => grants.sees_all(),
    }
}
