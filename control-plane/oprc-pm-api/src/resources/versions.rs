//! `/api/v1/packages/{name}?version=` and `…/versions`: what is published of a package.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use axum::extract::{Path, State as Shared};
use http::StatusCode;
use oprc_controller_runtime::cache::State;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    names::PackageName,
    role,
    version::{PackageVersion, Published, StoredVersion, Wanted, named},
};
use serde::Serialize;

use super::missing;
use crate::{
    call::{Answer, App, Call, Consistency, SharedApp, consistency, name, tagged},
    error::ApiError,
    splice::Object,
};

/// What is published of `name` under `version`, if that is there.
fn published(
    state: &State,
    name: &PackageName,
    version: &PackageVersion,
    in_use: &BTreeSet<PackageVersion>,
) -> Option<(StoredVersion, Published)> {
    let live = state.packages.get(name)?;
    let is_current = PackageVersion::of(&live.value.spec).as_ref() == Some(version);
    let stored = if is_current {
        StoredVersion::of(&live.value)
    } else {
        state.archived_version(name, &live.value.meta.uid, version)?.value.unpack()
    };
    let published = Published {
        version: version.to_string(),
        created_at: stored.created_at,
        content_hash: stored.content_hash.clone(),
        current: is_current,
        in_use: is_current || in_use.contains(version),
    };
    Some((stored, published))
}

/// `GET /packages/{name}?version=`: what is published under a version.
pub(super) async fn get(
    app: &App,
    call: Call,
    name: &PackageName,
    version: &str,
    consistency: Consistency,
) -> Answer {
    let wanted = Wanted::parse(version).map_err(|reason| {
        ApiError::bad_request("invalid_parameter", format!("version: {reason}"))
    })?;
    call.by.grants().require(role::Verb::Get, role::Kind::Package, name)?;
    let is_stale = app.settle(consistency).await?;
    let (stored, published) = {
        let state = app.cache.read();
        if !state.packages.contains_key(name) {
            return Err(missing(&state, &Key::Package(name.clone()), "package", name.as_str()));
        }
        let versions = state.versions(name);
        let in_use = state.versions_in_use(name);
        let found = wanted.of(&versions);
        let found = found.and_then(|found| published(&state, name, found, &in_use));
        found.ok_or_else(|| {
            let there = named(&versions);
            let detail = format!("no version {version:?} of package {name} is published; {there}");
            ApiError::new(StatusCode::NOT_FOUND, "version_not_found", detail)
        })?
    };
    tagged(&call.headers, &tag(&published)?, is_stale, |buffer| {
        let mut object = Object::new(buffer);
        object.members(&stored.spec)?;
        object.field("published", &published)?;
        object.end();
        Ok(())
    })
}

/// `GET /packages/{name}/versions`: the highest first.
pub(crate) async fn list(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    params.finish()?;
    let name: PackageName = name(&path_name)?;
    call.by.grants().require(role::Verb::Get, role::Kind::Package, &name)?;
    let is_stale = app.settle(consistency).await?;
    let items: Vec<Published> = {
        let state = app.cache.read();
        if !state.packages.contains_key(&name) {
            return Err(missing(&state, &Key::Package(name.clone()), "package", name.as_str()));
        }
        let versions = state.versions(&name);
        let in_use = state.versions_in_use(&name);
        let rows = versions.iter().rev();
        let rows = rows.filter_map(|version| published(&state, &name, version, &in_use));
        rows.map(|(_, row)| row).collect()
    };
    tagged(&call.headers, &tag(&items)?, is_stale, |buffer| {
        let mut object = Object::new(buffer);
        object.field("items", &items)?;
        object.end();
        Ok(())
    })
}

/// The entity tag of what is told.
fn tag(told: &impl Serialize) -> Result<String, serde_json::Error> {
    // Always the same for the same: `DefaultHasher::new` has no random state.
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(told)?.hash(&mut hasher);
    Ok(format!("\"{:016x}\"", hasher.finish()))
}
