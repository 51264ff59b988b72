//! `/api/v1/deployments`: taking units, removing them, saying how one is.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use oprc_models::{
    crm::DeploymentResponse, names::UnitId, problem::Violation, record::RunCondition,
};

use super::{App, answer, answer::Failure, body, query, query::Parameters};
use crate::{
    Error,
    crm::{Change, Deleted},
    unit,
};

/// Takes the unit in the body: creates it or brings what is held up to date.
pub(crate) async fn apply(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let fence = query::fence(&headers)?;
    let body = body::read_json(&headers, body).await?;
    let unit = unit::parse(&body).map_err(Error::InvalidUnit)?;
    if let Some(fence) = fence.as_ref().filter(|fence| fence.owner != unit.owner) {
        // Else a term of one owner would fence the units of another.
        let message = format!("is not {}, who calls", fence.owner);
        return Err(Error::InvalidUnit(vec![Violation::new("/owner", message)]).into());
    }

    let applied = app.crm.apply(fence.as_ref(), &unit).await?;

    let (status, message) = match applied.change {
        Change::Created => (StatusCode::CREATED, "created"),
        Change::Updated => (StatusCode::OK, "updated"),
        Change::Unchanged => (StatusCode::OK, "already so"),
    };
    if applied.change != Change::Unchanged {
        let deployment = unit.deployment_key.as_str();
        tracing::info!(unit = %unit.id, deployment, generation = unit.generation, "unit taken");
    }
    let response = DeploymentResponse {
        id: unit.id,
        status: applied.condition,
        message: Some(message.to_owned()),
    };
    let mut answer = answer::json(status, &response)?;
    if applied.change == Change::Created
        && let Ok(location) = HeaderValue::from_str(&format!("/api/v1/deployments/{}", response.id))
    {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// How one unit is.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    answer::json(StatusCode::OK, &app.crm.status(&parse_id(&id)?).await?)
}

/// Begins to remove a unit.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let fence = query::fence(&headers)?;
    let generation = parameters.generation()?;
    let id = parse_id(&id)?;

    let deleted = app.crm.delete(fence.as_ref(), &id, generation).await?;

    match deleted {
        Deleted::Gone => Err(Error::NotFound.into()),
        Deleted::Begun => {
            tracing::info!(unit = %id, generation, "unit to be removed");
            let status = RunCondition::Deleted;
            let message = Some("deletion has begun".to_owned());
            answer::json(StatusCode::ACCEPTED, &DeploymentResponse { id, status, message })
        }
    }
}

/// An id of a path. Nothing is ever held for what is none.
pub(crate) fn parse_id(text: &str) -> Result<UnitId, Failure> {
    text.parse().map_err(|_| Error::NotFound.into())
}
