//! `/api/v1/deployment-records`: what is held, in pages, one by one, and as it changes.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    App, answer,
    answer::Failure,
    deployments::parse_id,
    query::{Asked, Parameters},
    watch,
};
use crate::listing;

/// A page of records, or the watch of them.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let query = parameters.records()?;
    match query.asked {
        Asked::Watch(from) => watch::open(&app, query.filter, from).await,
        Asked::Page(limit, from) => {
            let page = listing::page(&app.crm, &query.filter, limit, from).await?;
            Ok(answer::raw_json(StatusCode::OK, page))
        }
    }
}

/// One record, with its running instances.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    answer::json(StatusCode::OK, &app.crm.record(&parse_id(&id)?).await?)
}
