//! `/api/v1/clusters`: registrations and their health.

use std::collections::BTreeMap;

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::{Entry, State, feed::Documented};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    cluster::{BreakerState, ClusterSpec, ClusterStatus, Connectivity},
    meta::{Stored, Timestamp},
    names::ClusterName,
};
use serde::Serialize;

use super::{Row, following, holds, missing, watch};
use crate::{
    answer,
    call::{Answer, App, Call, SharedApp, consistency, name, tagged},
    error::ApiError,
    etag, list,
    params::Params,
    splice::Object,
    writes::Removal,
};

/// A registration as it is answered.
pub(crate) type ClusterRow = Row<ClusterSpec, ClusterStatus>;
/// How a row becomes text.
type Write = fn(&App, &mut Vec<u8>, &ClusterRow) -> Result<(), serde_json::Error>;

fn row(state: &State, name: &ClusterName, entry: &Entry<Stored<ClusterSpec>>) -> ClusterRow {
    let status = state.cluster_statuses.get(name).cloned();
    Row { entry: entry.clone(), status, is_stale: state.are_statuses_stale() }
}

/// The cluster as it was at some revision.
pub(crate) fn shown(
    cluster: &Documented<ClusterSpec, ClusterStatus>,
    is_stale: bool,
) -> ClusterRow {
    Row { entry: cluster.entry.clone(), status: cluster.status.clone(), is_stale }
}

/// Whether its name holds `part`.
pub(crate) fn passes(spec: &ClusterSpec, part: Option<&String>) -> bool {
    holds(spec.name.as_str(), part)
}

pub(crate) fn write(
    app: &App,
    buffer: &mut Vec<u8>,
    row: &ClusterRow,
) -> Result<(), serde_json::Error> {
    let Stored { meta, spec } = &*row.entry.value;
    let mut object = Object::new(buffer);
    object.members(spec)?;
    if app.default_cluster.as_ref() == Some(&spec.name) {
        object.field("default", &true)?;
    }
    answer::meta(&mut object, meta, row.entry.revision)?;
    let unknown = ClusterStatus::default();
    let status = row.status.as_ref().map_or(&unknown, |status| &*status.value);
    answer::status(&mut object, &*status.shown(row.is_stale), row.is_stale)?;
    object.end();
    Ok(())
}

/// What we make of a cluster, before what it says of itself.
#[derive(Serialize)]
struct Health<'a> {
    connectivity: Connectivity,
    breaker: BreakerState,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    unmanaged_records: u64,
    /// Nobody leads, or the cluster is not heard from: the rest is what it last said.
    stale: bool,
}

/// What a cluster says of itself. What it does not say is left out.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    crm_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_nodes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<&'a serde_json::Value>,
    labels: &'a BTreeMap<String, String>,
    features: &'a [String],
}

/// Writes the health of one cluster. `status` is the one that `GET /clusters/{name}` shows.
fn write_health(_: &App, buffer: &mut Vec<u8>, row: &ClusterRow) -> Result<(), serde_json::Error> {
    let unknown = ClusterStatus::default();
    let status = row.status.as_ref().map_or(&unknown, |status| &*status.value);
    let is_stale = row.is_stale || !status.is_connected();
    let mut object = Object::new(buffer);
    object.field("cluster_name", &row.entry.value.spec.name)?;
    let shown = status.shown(row.is_stale);
    object.field("status", &shown.current_health())?;
    object.members(&Health {
        connectivity: status.connectivity,
        breaker: status.breaker,
        message: status.message.as_deref(),
        since: status.since,
        unmanaged_records: status.unmanaged_records,
        stale: is_stale,
    })?;
    if let Some(health) = &status.health {
        object.members(&Said {
            crm_version: health.crm_version.as_deref(),
            node_count: health.node_count,
            ready_nodes: health.ready_nodes,
            availability: health.availability,
            capacity: health.capacity.as_ref(),
            labels: &health.labels,
            features: &health.features,
        })?;
    }
    object.end();
    Ok(())
}

/// `GET /clusters/{name}`.
pub(crate) async fn get(app: SharedApp, path: Path<String>, call: Call) -> Answer {
    one(app, path, call, write).await
}

/// `GET /clusters/{name}/health`.
pub(crate) async fn health(app: SharedApp, path: Path<String>, call: Call) -> Answer {
    one(app, path, call, write_health).await
}

async fn one(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
    write: Write,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    params.finish()?;
    let name: ClusterName = name(&path_name)?;
    let is_stale = app.settle(consistency).await?;
    let mut row = find(&app.cache.read(), &name)?;
    row.is_stale |= is_stale.0;
    tagged(&call.headers, &row.tag(), is_stale, |buffer| write(&app, buffer, &row))
}

fn find(state: &State, name: &ClusterName) -> Result<ClusterRow, ApiError> {
    let entry = state.clusters.get(name).map(|entry| row(state, name, entry));
    entry.ok_or_else(|| missing(state, &Key::Cluster(name.clone()), "cluster", name.as_str()))
}

/// `GET /clusters`.
pub(crate) async fn list(app: SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    if let Some(request) = watch::Request::of_list(&mut params, &call.headers)? {
        let filter = watch::Filter::Clusters(params.text("name")?);
        params.finish()?;
        return watch::open(app.0, &request, watch::Selection::new(call.by, filter)).await;
    }
    all(app, call, params, "clusters", write).await
}

/// `GET /clusters/health`.
pub(crate) async fn list_health(app: SharedApp, call: Call) -> Answer {
    let params = call.params()?;
    all(app, call, params, "clusters/health", write_health).await
}

async fn all(
    Shared(app): SharedApp,
    call: Call,
    mut params: Params,
    what: &str,
    write: Write,
) -> Answer {
    let part = params.text("name")?;
    let request = list::Request::new(&mut params, &(what, &part))?;
    params.finish()?;
    let page = list::page(
        &app,
        &request,
        request.after_name::<ClusterName>()?,
        |name| vec![name.as_str()],
        |key| matches!(key, Key::Cluster(_)),
        |state, after, limit, items| {
            let entries = following(&state.clusters, after);
            list::take(
                entries,
                |(name, _)| name.clone(),
                items,
                limit,
                |(name, entry)| {
                    passes(&entry.value.spec, part.as_ref()).then(|| row(state, name, entry))
                },
            )
        },
    );
    page.await?.answer(&call.headers, |buffer, row| write(&app, buffer, row))
}

/// `DELETE /clusters/{name}`; with `force`, of one that is not connected, whatever it holds.
pub(crate) async fn delete(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let is_forced = params.flag("force")?;
    let is_dry_run = params.flag("dry_run")?;
    params.finish()?;
    let conditions = etag::conditions(&call.headers)?;
    let removal = Removal { conditions: &conditions, by: call.by.provenance(), is_dry_run };
    let name = name(&path_name)?;
    let written = if is_forced {
        app.writes.force_cluster(&name, &removal).await?
    } else {
        app.writes.delete_cluster(&name, &removal).await?
    };
    answer::removed(&written, is_dry_run)
}
