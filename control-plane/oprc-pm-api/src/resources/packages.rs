//! `/api/v1/packages`.

use std::ops::Bound;

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::{Criterion, Entry, State, feed::Documented};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    deployment::OClassDeployment,
    document::{self, PackageDocument},
    meta::Stored,
    names::{BundleName, PackageName},
    package::OPackage,
    problem::Violation,
    role,
    status::PackageStatus,
};

use super::{
    Labels, Row, holds, missing,
    pushed::{Pushed, check_name},
    versions, visible, watch, words,
};
use crate::{
    answer,
    call::{Answer, App, Call, SharedApp, consistency, name, tagged},
    error::ApiError,
    etag, list,
    params::Params,
    splice::Object,
    writes::{Conditions, Dependants, Removal, Verb},
};

/// A package as it is answered.
pub(crate) type PackageRow = Row<OPackage, PackageStatus>;

/// `POST /packages`.
pub(crate) async fn create(Shared(app): SharedApp, call: Call) -> Answer {
    push(&app, call, None, Verb::Create).await
}

/// `PUT /packages/{name}`, and the older `POST` of it.
pub(crate) async fn replace(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    push(&app, call, Some(name(&path_name)?), Verb::Apply).await
}

async fn push(app: &App, call: Call, path_name: Option<PackageName>, verb: Verb) -> Answer {
    let pushed = Pushed::read(app, call, document::package_node).await?;
    let spec = match &pushed.document {
        PackageDocument::Package(spec) => spec,
        PackageDocument::Deployments(list) => {
            return push_list(app, &pushed, list, path_name.as_ref(), verb).await;
        }
    };
    pushed.by.intends(&Key::Package(spec.name.clone()));
    check_name(path_name.as_ref(), &spec.name, "/name")?;
    let written = app.writes.put_package(&pushed.push(spec, verb)).await?;
    answer::written(&written, pushed.warnings, &format!("/api/v1/packages/{}", spec.name))
}

/// Takes `list`, which came in the place of a package, as if each deployment in it had been pushed by
/// itself, all of them or none.
async fn push_list(
    app: &App,
    pushed: &Pushed<PackageDocument>,
    list: &[OClassDeployment],
    path_name: Option<&PackageName>,
    verb: Verb,
) -> Answer {
    for deployment in list {
        pushed.by.intends(&Key::Deployment(deployment.key.clone()));
    }
    let Conditions { if_match, if_none_match, .. } = &pushed.conditions;
    if if_match.is_some() || if_none_match.is_some() {
        let detail = "this is a list of deployments: conditions go with one document";
        return Err(ApiError::bad_request("invalid_header", detail));
    }
    let foreign = list.iter().enumerate().filter_map(|(index, deployment)| {
        let wanted = path_name.filter(|wanted| **wanted != deployment.package_name)?;
        let message = format!("want {wanted}, as the path says, not {}", deployment.package_name);
        Some(Violation::new(format!("/deployments/{index}/package_name"), message))
    });
    let foreign: Vec<Violation> = foreign.collect();
    if !foreign.is_empty() {
        let detail = "a list of deployments of other packages than the path says";
        return Err(ApiError::bad_request("name_mismatch", detail).with_errors(foreign));
    }
    let pushes = list.iter().map(|spec| pushed.push(spec, verb));
    let written = app.writes.put_deployments(&pushes.collect::<Vec<_>>()).await?;
    answer::all_written(&written, &pushed.warnings)
}

/// `DELETE /packages/{name}`.
pub(crate) async fn delete(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let is_cascade = params.flag("cascade")?;
    let is_dry_run = params.flag("dry_run")?;
    params.finish()?;
    let dependants = if is_cascade { Dependants::Cascade } else { Dependants::Refuse };
    let conditions = etag::conditions(&call.headers)?;
    let removal = Removal { conditions: &conditions, by: call.by.provenance(), is_dry_run };
    let written = app.writes.delete_package(&name(&path_name)?, dependants, &removal).await?;
    answer::removed(&written, is_dry_run)
}

/// `GET /packages/{name}`.
pub(crate) async fn get(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    let version = params.text("version")?;
    params.finish()?;
    let name: PackageName = name(&path_name)?;
    if let Some(version) = version {
        return versions::get(&app, call, &name, &version, consistency).await;
    }
    call.by.grants().require(role::Verb::Get, role::Kind::Package, &name)?;
    let is_stale = app.settle(consistency).await?;
    let found = {
        let state = app.cache.read();
        let entry = state.packages.get(&name);
        entry
            .map(|entry| row(&state, &name, entry))
            .ok_or_else(|| missing(&state, &Key::Package(name.clone()), "package", name.as_str()))
    };
    let mut row = found?;
    row.is_stale |= is_stale.0;
    tagged(&call.headers, &row.tag(), is_stale, |buffer| write(buffer, &row))
}

fn row(state: &State, name: &PackageName, entry: &Entry<Stored<OPackage>>) -> PackageRow {
    let status = state.package_statuses.get(name).cloned();
    shown(&Documented { entry: entry.clone(), status }, state.are_statuses_stale())
}

/// The package as it was at some revision.
pub(crate) fn shown(package: &Documented<OPackage, PackageStatus>, is_stale: bool) -> PackageRow {
    let entry = package.entry.clone();
    let status = package.status.as_ref();
    let status = status.filter(|status| status.value.uid == entry.value.meta.uid).cloned();
    Row { entry, status, is_stale }
}

pub(crate) fn write(buffer: &mut Vec<u8>, row: &PackageRow) -> Result<(), serde_json::Error> {
    let Stored { meta, spec } = &*row.entry.value;
    let mut object = Object::new(buffer);
    object.members(spec)?;
    answer::meta(&mut object, meta, row.entry.revision)?;
    match &row.status {
        Some(status) => answer::status(&mut object, &*status.value, row.is_stale)?,
        None => {
            let status = PackageStatus { uid: meta.uid.clone(), ..PackageStatus::default() };
            answer::status(&mut object, &status, row.is_stale)?;
        }
    }
    object.end();
    Ok(())
}

/// What a list is narrowed down to.
#[derive(Hash)]
pub(crate) struct Filter {
    part: Option<String>,
    tags: Vec<String>,
    labels: Labels,
    bundle: Option<BundleName>,
}

impl Filter {
    fn new(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            part: params.text("name")?,
            tags: words(params, "tag")?,
            labels: Labels::new(params)?,
            bundle: params.get("bundle")?,
        })
    }

    /// What an index knows of it, the narrowest first.
    fn criteria(&self) -> Vec<Criterion> {
        let bundle = self.bundle.iter().cloned().map(Criterion::Bundle);
        let tags = self.tags.iter().cloned().map(Criterion::Tag);
        bundle.chain(self.labels.criteria()).chain(tags).collect()
    }

    pub(crate) fn passes(&self, package: &Stored<OPackage>) -> bool {
        let Stored { meta, spec } = package;
        holds(spec.name.as_str(), self.part.as_ref())
            && self.bundle.as_ref().is_none_or(|bundle| meta.bundle.as_ref() == Some(bundle))
            && self.tags.iter().all(|tag| spec.metadata.tags.contains(tag))
            && self.labels.match_all(&spec.labels)
    }
}

/// `GET /packages`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let filter = Filter::new(&mut params)?;
    if let Some(request) = watch::Request::of_list(&mut params, &call.headers)? {
        params.finish()?;
        let selection = watch::Selection::new(call.by, watch::Filter::Packages(filter));
        return watch::open(app, &request, selection).await;
    }
    let request = list::Request::new(&mut params, &("packages", &filter))?;
    params.finish()?;
    let pick = |state: &State, (name, entry): (&PackageName, &Entry<Stored<OPackage>>)| {
        filter.passes(&entry.value).then(|| row(state, name, entry))
    };
    let grants = call.by.grants();
    let criteria = filter.criteria();
    let page = list::page(
        &app,
        &request,
        request.after_name::<PackageName>()?,
        |name| vec![name.as_str()],
        |key| matches!(key, Key::Package(_)) && visible::may_name(grants, key),
        |state, after, limit, items| {
            // An index would lead a caller who may see little through all that they may not.
            let found =
                if grants.sees_all() { state.search_packages(&criteria, after) } else { None };
            if let Some(found) = found {
                return list::take(found, PackageName::clone, items, limit, |name| {
                    pick(state, state.packages.get_key_value(name)?)
                });
            }
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let entries = grants.visible(&state.packages, after);
            list::take(entries, |(name, _)| name.clone(), items, limit, |entry| pick(state, entry))
        },
    );
    page.await?.answer(&call.headers, write)
}
