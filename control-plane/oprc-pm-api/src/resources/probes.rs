//! `/healthz`, `/livez`, `/readyz`, `/metrics`.

use axum::{
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::{
    call::{Answer, SharedApp, json},
    error::ApiError,
};

/// `GET /livez`, `/healthz`: the process answers. Nothing else, so that no restart is caused by
/// what a restart cannot help.
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

/// `GET /readyz`: whether requests should be sent here, and if not, every reason why.
pub(crate) async fn ready(Shared(app): SharedApp) -> Answer {
    let position = app.cache.position();
    let mut reasons = Vec::new();
    if position.revision.is_none() {
        reasons.push("the cache has not been filled yet".to_owned());
    } else if !position.is_live {
        reasons.push("the store is out of reach".to_owned());
    }
    if let Some(outage) = app.cache.writes().outage() {
        reasons.push(format!("writes fail: {}", outage.reason));
    }
    reasons.extend((app.readiness)());
    let is_ready = reasons.is_empty();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": is_ready, "reasons": reasons });
    Ok(json(status, serde_json::to_vec(&body)?))
}

/// `GET /metrics`, in Prometheus' text format.
pub(crate) async fn metrics(Shared(app): SharedApp) -> Answer {
    let Some(render) = &app.metrics else {
        let detail = "this process renders no metrics";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "route_not_found", detail));
    };
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((headers, render()).into_response())
}
