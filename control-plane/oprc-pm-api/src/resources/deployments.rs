//! `/api/v1/deployments`.

use axum::extract::{Path, State as Shared};
use http::HeaderMap;
use oprc_controller_runtime::cache::{Criterion, Entry, State, feed::Documented};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    deployment::OClassDeployment,
    document,
    meta::Stored,
    names::{BundleName, ClusterName, DeploymentKey, Key as ClassKey, PackageName},
    record::RunCondition,
    status::DeploymentStatus,
};

use super::{
    Labels, Row, following, holds, missing,
    pushed::{Pushed, check_name},
    visible, watch,
};
use crate::{
    answer,
    auth::Grants,
    call::{Answer, App, Call, SharedApp, consistency, name, tagged},
    error::ApiError,
    etag,
    list::{self, Chunk},
    params::Params,
    splice::Object,
    writes::{Removal, Verb},
};

/// A deployment as it is answered.
pub(crate) type DeploymentRow = Row<OClassDeployment, DeploymentStatus>;

/// `POST /deployments`.
pub(crate) async fn create(Shared(app): SharedApp, call: Call) -> Answer {
    push(&app, call, None, Verb::Create).await
}

/// `PUT /deployments/{key}`.
pub(crate) async fn replace(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    push(&app, call, Some(name(&path_key)?), Verb::Apply).await
}

async fn push(app: &App, call: Call, path_key: Option<DeploymentKey>, verb: Verb) -> Answer {
    let pushed = Pushed::read(app, call, document::deployment_node).await?;
    let spec = &pushed.document;
    pushed.by.intends(&Key::Deployment(spec.key.clone()));
    check_name(path_key.as_ref(), &spec.key, "/key")?;
    let written = app.writes.put_deployment(&pushed.push(spec, verb)).await?;
    answer::written(&written, pushed.warnings, &format!("/api/v1/deployments/{}", spec.key))
}

/// `DELETE /deployments/{key}`: everywhere, or with `cluster` from that one alone. With `force`,
/// without waiting for the clusters (for `cluster` alone) any longer.
pub(crate) async fn delete(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let cluster = params.get::<ClusterName>("cluster")?;
    let is_forced = params.flag("force")?;
    let is_dry_run = params.flag("dry_run")?;
    params.finish()?;
    let key = name(&path_key)?;
    let conditions = etag::conditions(&call.headers)?;
    let removal = Removal { conditions: &conditions, by: call.by.provenance(), is_dry_run };
    if is_forced {
        let written = app.writes.force_deployment(&key, cluster.as_ref(), &removal).await?;
        return answer::removed(&written, is_dry_run);
    }
    let written = match cluster {
        None => app.writes.delete_deployment(&key, &removal).await?,
        Some(cluster) => app.writes.exclude_cluster(&key, &cluster, &removal).await?,
    };
    let mut response = answer::removed(&written, is_dry_run)?;
    if !is_dry_run {
        // Whether it was asked for now or before: the removal itself is still to come.
        *response.status_mut() = http::StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// `GET /deployments/{key}`.
pub(crate) async fn get(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    params.finish()?;
    let key: DeploymentKey = name(&path_key)?;
    let is_stale = app.settle(consistency).await?;
    let mut row = find(&app.cache.read(), call.by.grants(), &key)?;
    row.is_stale |= is_stale.0;
    tagged(&call.headers, &row.tag(), is_stale, |buffer| write(buffer, &row))
}

/// The deployment, or why there is none. What the caller may not see is not there.
pub(crate) fn find(
    state: &State,
    grants: &Grants,
    key: &DeploymentKey,
) -> Result<DeploymentRow, ApiError> {
    let entry = state.deployments.get(key);
    match entry.filter(|entry| grants.sees(&entry.value.spec.package_name)) {
        Some(entry) => Ok(row(state, key, entry)),
        None if !grants.sees_all() => Err(ApiError::not_found("deployment", key.as_str())),
        None => Err(missing(state, &Key::Deployment(key.clone()), "deployment", key.as_str())),
    }
}

fn row(
    state: &State,
    key: &DeploymentKey,
    entry: &Entry<Stored<OClassDeployment>>,
) -> DeploymentRow {
    let status = status(state, key, entry);
    Row { entry: entry.clone(), status: status.cloned(), is_stale: state.are_statuses_stale() }
}

/// The deployment as it was at some revision.
pub(crate) fn shown(
    deployment: &Documented<OClassDeployment, DeploymentStatus>,
    is_stale: bool,
) -> DeploymentRow {
    let entry = deployment.entry.clone();
    let status = deployment.status.as_ref().filter(|status| status.value.is_of(&entry.value.meta));
    Row { status: status.cloned(), entry, is_stale }
}

fn status<'s>(
    state: &'s State,
    key: &DeploymentKey,
    entry: &Entry<Stored<OClassDeployment>>,
) -> Option<&'s Entry<DeploymentStatus>> {
    let status = state.deployment_statuses.get(key);
    status.filter(|status| status.value.is_of(&entry.value.meta))
}

/// The status of a deployment that no controller has looked at yet.
pub(crate) fn pending(row: &DeploymentRow) -> DeploymentStatus {
    DeploymentStatus { uid: row.entry.value.meta.uid.clone(), ..DeploymentStatus::default() }
}

pub(crate) fn write(buffer: &mut Vec<u8>, row: &DeploymentRow) -> Result<(), serde_json::Error> {
    let Stored { meta, spec } = &*row.entry.value;
    let mut object = Object::new(buffer);
    object.members(spec)?;
    answer::meta(&mut object, meta, row.entry.revision)?;
    match &row.status {
        Some(status) => answer::status(&mut object, &*status.value, row.is_stale)?,
        None => answer::status(&mut object, &pending(row), row.is_stale)?,
    }
    object.end();
    Ok(())
}

/// What a list is narrowed down to.
#[derive(Hash)]
pub(crate) struct Filter {
    package: Option<PackageName>,
    class: Option<ClassKey>,
    target: Option<ClusterName>,
    condition: Option<RunCondition>,
    part: Option<String>,
    bundle: Option<BundleName>,
    labels: Labels,
}

/// The words of `condition`.
const CONDITIONS: [(&str, RunCondition); 6] = [
    ("PENDING", RunCondition::Pending),
    ("DEPLOYING", RunCondition::Deploying),
    ("RUNNING", RunCondition::Running),
    ("DOWN", RunCondition::Down),
    ("DELETED", RunCondition::Deleted),
    ("UNKNOWN", RunCondition::Unknown),
];

impl Filter {
    fn new(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            package: params.get("package_name")?,
            class: params.get("class_key")?,
            target: params.get("target_env")?,
            condition: params.word("condition", &CONDITIONS)?,
            part: params.text("name")?,
            bundle: params.get("bundle")?,
            labels: Labels::new(params)?,
        })
    }

    /// What an index knows of it, the narrowest first.
    fn criteria(&self) -> Vec<Criterion> {
        let package = self.package.iter().cloned().map(Criterion::Package);
        let bundle = self.bundle.iter().cloned().map(Criterion::Bundle);
        let target = self.target.iter().cloned().map(Criterion::Cluster);
        let condition = self.condition.iter().copied().map(Criterion::RunState);
        let shared = package.chain(bundle).chain(condition);
        shared.chain(self.labels.criteria()).chain(target).collect()
    }

    fn pick(&self, state: &State, key: &DeploymentKey) -> Option<DeploymentRow> {
        let entry = state.deployments.get(key)?;
        let is_placed = |cluster: &ClusterName| state.unit(cluster, key).is_some();
        let is_wanted = self.passes(&entry.value, is_placed, || state.run_state(key));
        is_wanted.then(|| row(state, key, entry))
    }

    fn passes(
        &self,
        deployment: &Stored<OClassDeployment>,
        is_placed: impl Fn(&ClusterName) -> bool,
        condition: impl Fn() -> Option<RunCondition>,
    ) -> bool {
        let Stored { meta, spec } = deployment;
        self.package.as_ref().is_none_or(|package| spec.package_name == *package)
            && self.class.as_ref().is_none_or(|class| spec.class_key == *class)
            && self.bundle.as_ref().is_none_or(|bundle| meta.bundle.as_ref() == Some(bundle))
            && holds(spec.key.as_str(), self.part.as_ref())
            && self.labels.match_all(&spec.labels)
            && self
                .target
                .as_ref()
                .is_none_or(|target| spec.target_envs.contains(target) || is_placed(target))
            && self.condition.is_none_or(|wanted| condition().unwrap_or_default() == wanted)
    }

    /// As for a list, by what the deployment says alone: where it is, its status knows.
    pub(crate) fn passes_row(&self, row: &DeploymentRow) -> bool {
        let status = || row.status.as_ref().map(|status| &status.value);
        let is_placed = |cluster: &ClusterName| {
            let mut parts = status().into_iter().flat_map(|status| &status.clusters);
            parts.any(|part| part.cluster == *cluster)
        };
        let condition = || status().map(|status| status.condition);
        self.passes(&row.entry.value, is_placed, condition)
    }

    /// The one package that it asks for, if it does.
    pub(crate) fn package(&self) -> Option<&PackageName> {
        self.package.as_ref()
    }

    /// Takes the next chunk, by the indexes that know something of it.
    fn chunk(
        &self,
        criteria: &[Criterion],
        state: &State,
        after: Option<&DeploymentKey>,
        limit: usize,
        items: &mut Vec<DeploymentRow>,
    ) -> Chunk<DeploymentKey> {
        let pick = |key: &DeploymentKey| self.pick(state, key);
        match state.search_deployments(criteria, after) {
            Some(found) => list::take(found, DeploymentKey::clone, items, limit, pick),
            None => {
                let keys = following(&state.deployments, after).map(|(key, _)| key);
                list::take(keys, DeploymentKey::clone, items, limit, pick)
            }
        }
    }
}

/// `GET /deployments`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let filter = Filter::new(&mut params)?;
    if let Some(request) = watch::Request::of_list(&mut params, &call.headers)? {
        params.finish()?;
        let selection = watch::Selection::new(call.by, watch::Filter::Deployments(filter));
        return watch::open(app, &request, selection).await;
    }
    let grants = call.by.grants();
    let sees_all = grants.sees_all();
    let request = list::Request::new(&mut params, &("deployments", &filter, sees_all))?;
    params.finish()?;
    if !sees_all {
        return list_visible(&app, &request, &filter, grants, &call.headers).await;
    }
    let criteria = filter.criteria();
    let page = list::page(
        &app,
        &request,
        request.after_name::<DeploymentKey>()?,
        |key| vec![key.as_str()],
        |key| matches!(key, Key::Deployment(_)),
        |state, after, limit, items| filter.chunk(&criteria, state, after, limit, items),
    );
    page.await?.answer(&call.headers, write)
}

/// As [`list`], for a caller who may see some packages.
async fn list_visible(
    app: &App,
    request: &list::Request,
    filter: &Filter,
    grants: &Grants,
    headers: &HeaderMap,
) -> Answer {
    let package = filter.package();
    let page = list::page(
        app,
        request,
        visible::after(request)?,
        visible::names,
        |key| matches!(key, Key::Deployment(_)) && visible::may_name(grants, key),
        |state, after, limit, items| {
            visible::deployments(state, grants, package, after, limit, items, |state, key| {
                filter.pick(state, key)
            })
        },
    );
    page.await?.answer(headers, |buffer, row| write(buffer, &row.item))
}
