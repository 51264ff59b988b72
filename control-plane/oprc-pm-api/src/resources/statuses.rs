//! `/api/v1/deployment-status/{id}`: by deployment key, or by the id of one of its units.

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::State;
use oprc_models::{
    meta::{Generation, Timestamp},
    names::{ClusterName, DeploymentKey, UnitId},
    status::{ClusterPart, DeploymentStatus},
};
use serde::Serialize;

use super::deployments::{DeploymentRow, find, pending};
use crate::{
    auth::Grants,
    call::{Answer, Call, SharedApp, consistency, tagged},
    error::ApiError,
    splice::Object,
};

/// What stands beside the status itself.
#[derive(Serialize)]
struct About<'a> {
    key: &'a DeploymentKey,
    generation: Generation,
    /// The package's newest; the status speaks of `observed_package_generation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    package_generation: Option<Generation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_requested_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// `GET /deployment-status/{id}`.
pub(crate) async fn get(Shared(app): SharedApp, Path(id): Path<String>, call: Call) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    let cluster = params.get::<ClusterName>("cluster")?;
    params.finish()?;
    let is_stale = app.settle(consistency).await?;
    let (row, unit_cluster, package) = {
        let state = app.cache.read();
        let (mut row, unit_cluster) = look_up(&state, call.by.grants(), &id)?;
        row.is_stale |= is_stale.0;
        let package = state.packages.get(&row.entry.value.spec.package_name);
        let package = package.map(|entry| entry.value.meta.generation);
        (row, unit_cluster, package)
    };
    if let (Some(asked), Some(of_unit)) = (&cluster, &unit_cluster)
        && asked != of_unit
    {
        return Err(ApiError::not_found("unit on this cluster", &id));
    }
    let part = cluster.or(unit_cluster).map(|cluster| part(&row, &cluster, &id)).transpose()?;
    tagged(&call.headers, &row.tag(), is_stale, |buffer| write(buffer, &row, package, part))
}

/// The deployment, and the cluster of the unit where the id is a unit's.
fn look_up(
    state: &State,
    grants: &Grants,
    id: &str,
) -> Result<(DeploymentRow, Option<ClusterName>), ApiError> {
    let key: DeploymentKey = crate::call::name(id)?;
    let missing = match find(state, grants, &key) {
        Ok(row) => return Ok((row, None)),
        Err(missing) => missing,
    };
    let unit = id.parse::<UnitId>().ok().and_then(|id| state.place_of_unit(&id));
    // Whatever it is, what is not found is told by the name that was asked for.
    let Some((cluster, deployment)) = unit else { return Err(missing) };
    match find(state, grants, deployment) {
        Err(_) if !grants.sees_all() => Err(missing),
        found => Ok((found?, Some(cluster.clone()))),
    }
}

/// What the status says of one cluster.
fn part(row: &DeploymentRow, cluster: &ClusterName, id: &str) -> Result<ClusterPart, ApiError> {
    let parts = row.status.iter().flat_map(|status| &status.value.clusters);
    let mut parts = parts.filter(|part| part.cluster == *cluster);
    let detail = || format!("{id} has nothing on {cluster}, or nobody has looked yet");
    parts
        .next()
        .cloned()
        .ok_or_else(|| ApiError::new(http::StatusCode::NOT_FOUND, "not_found", detail()))
}

fn write(
    buffer: &mut Vec<u8>,
    row: &DeploymentRow,
    package_generation: Option<Generation>,
    part: Option<ClusterPart>,
) -> Result<(), serde_json::Error> {
    let meta = &row.entry.value.meta;
    let about = About {
        key: &row.entry.value.spec.key,
        generation: meta.generation,
        package_generation,
        deletion_requested_at: meta.deletion_requested_at,
        stale: row.is_stale,
    };
    let mut object = Object::new(buffer);
    object.members(&about)?;
    match (&row.status, part) {
        (Some(status), None) => object.members(&*status.value)?,
        (Some(status), Some(part)) => {
            let condition = part.condition;
            let clusters = vec![part];
            let status = (*status.value).clone();
            object.members(&DeploymentStatus { condition, clusters, ..status })?;
        }
        (None, _) => object.members(&pending(row))?,
    }
    object.end();
    Ok(())
}
