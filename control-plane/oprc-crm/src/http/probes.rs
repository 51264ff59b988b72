//! The cluster's health, and the probes and metrics of this process.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{App, answer, answer::Failure, query};
use crate::metric;

/// How the cluster is, and what is known of the owner that asks.
pub(crate) async fn health(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if !app.crm.is_ready().await {
        return Err(Failure::NotReady);
    }
    let owner = query::owner(&headers)?;
    let mut health = app.crm.health();
    if let Some(owner) = &owner {
        health.caller = Some(app.crm.known(owner).await?);
    }
    if let Some(fence) = query::fence(&headers)? {
        app.crm.heard(&fence.owner);
    }
    answer::json(StatusCode::OK, &health)
}

/// Whether the process runs.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// Whether the process can answer.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Failure> {
    if app.crm.is_ready().await { Ok("ok") } else { Err(Failure::NotReady) }
}

/// The metrics, where the process keeps any.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let render = app.render_metrics.as_ref().ok_or(Failure::NoRoute)?;
    metric::count_units(&app.crm.feed);
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, text)], render()).into_response())
}
