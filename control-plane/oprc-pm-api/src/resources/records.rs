//! `/api/v1/deployment-records`: what clusters say that they hold.

use std::hash::{DefaultHasher, Hash};

use axum::extract::{Path, State as Shared};
use http::HeaderMap;
use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    names::{ClusterName, DeploymentKey, PackageName, UnitId},
    record::StoredRecord,
};

use super::{following, visible, watch};
use crate::{
    auth::Grants,
    call::{Answer, App, Call, SharedApp, consistency, name, tagged},
    error::ApiError,
    list::{self, Chunk},
    splice::Object,
};

/// A record, and whether it may be out of date.
pub(crate) struct RecordRow {
    entry: Entry<StoredRecord>,
    /// Nobody leads, or the cluster is not heard from.
    is_stale: bool,
}

impl list::Item for RecordRow {
    fn names(&self) -> Vec<&str> {
        vec![self.entry.value.cluster.as_str(), self.entry.value.id.as_str()]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (&self.entry.value.id, self.entry.revision, self.is_stale).hash(hasher);
    }
}

/// Whether what `cluster` last said may be out of date.
pub(crate) fn is_silent(state: &State, cluster: &ClusterName) -> bool {
    let status = state.cluster_statuses.get(cluster);
    state.are_statuses_stale() || !status.is_some_and(|status| status.value.is_connected())
}

/// The record as it was at some revision.
pub(crate) fn shown(record: &Entry<StoredRecord>, is_stale: bool) -> RecordRow {
    RecordRow { entry: record.clone(), is_stale }
}

/// Whether it is of this cluster and of this deployment, where one is asked for.
pub(crate) fn passes(
    record: &StoredRecord,
    cluster: Option<&ClusterName>,
    deployment: Option<&DeploymentKey>,
) -> bool {
    cluster.is_none_or(|cluster| record.cluster == *cluster)
        && deployment.is_none_or(|deployment| record.deployment_key == *deployment)
}

pub(crate) fn write(buffer: &mut Vec<u8>, row: &RecordRow) -> Result<(), serde_json::Error> {
    let mut object = Object::new(buffer);
    object.members(&*row.entry.value)?;
    object.field("stale", &row.is_stale)?;
    object.end();
    Ok(())
}

/// `GET /deployment-records/{id}`.
pub(crate) async fn get(Shared(app): SharedApp, Path(id): Path<String>, call: Call) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    let cluster = params.get::<ClusterName>("cluster")?;
    params.finish()?;
    let id: UnitId = name(&id)?;
    let is_stale = app.settle(consistency).await?;
    let mut row = find(&app.cache.read(), call.by.grants(), &id, cluster.as_ref())?;
    row.is_stale |= is_stale.0;
    let tag = crate::etag::document(row.entry.revision, None, row.is_stale);
    tagged(&call.headers, &tag, is_stale, |buffer| write(buffer, &row))
}

/// The record of `id`: on `cluster`, or on the first cluster that has one. What the caller may not
/// see is not there.
fn find(
    state: &State,
    grants: &Grants,
    id: &UnitId,
    cluster: Option<&ClusterName>,
) -> Result<RecordRow, ApiError> {
    let mut clusters =
        state.records.keys().filter(|there| cluster.is_none_or(|asked| asked == *there));
    let found = clusters.find_map(|cluster| Some((cluster, state.record(cluster, id)?)));
    let found = found.filter(|(_, entry)| is_seen(state, grants, &entry.value));
    if let Some((cluster, entry)) = found {
        let is_stale = is_silent(state, cluster);
        return Ok(RecordRow { entry: entry.clone(), is_stale });
    }
    let mut unreadable = state.unreadable.iter().filter(|_| grants.sees_all());
    match unreadable.find(|(key, _)| matches!(key, Key::Record(_, record) if record == id)) {
        Some((key, reason)) => Err(ApiError::unreadable(&key.to_string(), reason)),
        None => Err(ApiError::not_found("record", id.as_str())),
    }
}

/// Returns `true` if the caller may see `record`, whose deployment is of `package` (`None`: it is
/// gone, and its package with it).
///
/// A deployment can move to another package before its clusters have carried that out. Until then
/// the record tells of both packages, so the caller must see both.
pub(crate) fn may_see(
    grants: &Grants,
    record: &StoredRecord,
    package: Option<&PackageName>,
) -> bool {
    let Some(package) = package else { return grants.sees_all() };
    let held = record.record.as_ref().map(|record| &record.package_name);
    let refused = record.refusal.as_ref().and_then(|refusal| refusal.package_name.as_ref());
    [Some(package), held, refused].into_iter().flatten().all(|package| grants.sees(package))
}

/// As [`may_see`], by the deployment as it is now.
fn is_seen(state: &State, grants: &Grants, record: &StoredRecord) -> bool {
    let deployment = state.deployments.get(&record.deployment_key);
    may_see(grants, record, deployment.map(|entry| &entry.value.spec.package_name))
}

/// A place in the list.
type Place = (ClusterName, UnitId);

/// `GET /deployment-records`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let cluster = params.get::<ClusterName>("cluster")?;
    let deployment = params.get::<DeploymentKey>("deployment_key")?;
    if let Some(request) = watch::Request::of_list(&mut params, &call.headers)? {
        params.finish()?;
        let filter = watch::Filter::Records(cluster, deployment);
        return watch::open(app, &request, watch::Selection::new(call.by, filter)).await;
    }
    let grants = call.by.grants();
    let sees_all = grants.sees_all();
    let filter = ("records", &cluster, &deployment, sees_all);
    let request = list::Request::new(&mut params, &filter)?;
    params.finish()?;
    if !sees_all && deployment.is_none() {
        return list_visible(&app, &request, cluster.as_ref(), grants, &call.headers).await;
    }
    let after = request.after::<2>()?.and_then(|[cluster, id]| {
        Some((cluster.parse::<ClusterName>().ok()?, id.parse::<UnitId>().ok()?))
    });
    let page = list::page(
        &app,
        &request,
        after,
        |(cluster, id): &Place| vec![cluster.as_str(), id.as_str()],
        |key| matches!(key, Key::Record(..)) && visible::may_name(grants, key),
        |state, after, limit, items| match &deployment {
            Some(deployment) => {
                let of = (deployment, cluster.as_ref());
                of_deployment(state, grants, of, after, limit, items)
            }
            None => of_clusters(state, cluster.as_ref(), after, limit, items),
        },
    );
    page.await?.answer(&call.headers, write)
}

/// As [`list`], for a caller who may see some packages.
async fn list_visible(
    app: &App,
    request: &list::Request,
    cluster: Option<&ClusterName>,
    grants: &Grants,
    headers: &HeaderMap,
) -> Answer {
    let page = list::page(
        app,
        request,
        visible::after_record(request)?,
        visible::record_names,
        |key| matches!(key, Key::Record(..)) && visible::may_name(grants, key),
        |state, after, limit, items| {
            visible::records(state, grants, after, limit, items, |state, there, id| {
                let entry = state.record(there, id)?.clone();
                let is_wanted = cluster.is_none_or(|cluster| cluster == there)
                    && is_seen(state, grants, &entry.value);
                is_wanted.then(|| RecordRow { entry, is_stale: is_silent(state, there) })
            })
        },
    );
    page.await?.answer(headers, |buffer, row| write(buffer, &row.item))
}

fn of_deployment(
    state: &State,
    grants: &Grants,
    (deployment, cluster): (&DeploymentKey, Option<&ClusterName>),
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<RecordRow>,
) -> Chunk<Place> {
    let places = state.records_of_deployment(deployment);
    let is_after =
        |place: &(&ClusterName, &UnitId)| after.is_none_or(|(cluster, id)| *place > (cluster, id));
    let place = |(there, id): (&ClusterName, &UnitId)| (there.clone(), id.clone());
    list::take(places.filter(is_after), place, items, limit, |(there, id)| {
        let entry = state.record(there, id)?.clone();
        let is_wanted =
            cluster.is_none_or(|cluster| cluster == there) && is_seen(state, grants, &entry.value);
        is_wanted.then(|| RecordRow { entry, is_stale: is_silent(state, there) })
    })
}

/// Cluster by cluster, so that the first one after the place is found without a scan.
fn of_clusters(
    state: &State,
    cluster: Option<&ClusterName>,
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<RecordRow>,
) -> Chunk<Place> {
    let begun = after.map(|(cluster, _)| cluster);
    let clusters = state.records.iter();
    let clusters = clusters.filter(|(there, _)| {
        cluster.is_none_or(|cluster| cluster == *there) && begun.is_none_or(|begun| *there >= begun)
    });
    let entries = clusters.flat_map(|(there, records)| {
        let after = after.filter(|(cluster, _)| cluster == there).map(|(_, id)| id);
        following(records, after).map(move |(id, entry)| (there, id, entry))
    });
    list::take(
        entries,
        |(there, id, _)| (there.clone(), id.clone()),
        items,
        limit,
        |entry| {
            let (there, _, entry) = entry;
            Some(RecordRow { entry: entry.clone(), is_stale: is_silent(state, there) })
        },
    )
}
