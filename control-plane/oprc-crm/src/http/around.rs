//! What happens around every request: correlation id, token, deadline, metrics, problem documents.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use oprc_models::crm::CORRELATION_HEADER;
use oprc_observability::CorrelationId;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::{App, answer, answer::Failure};
use crate::metric;

/// The longest that an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers `request` with `next`, and sees to what every answer has.
pub(crate) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let correlation_id = correlation_id(request.headers());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());

    let span = tracing::info_span!("request", %correlation_id, method, route);
    let answering = answer(&app, request, next).instrument(span);
    let mut response = match timeout(ANSWER_TIMEOUT, answering).await {
        Ok(response) => response,
        Err(_) => Failure::Timeout.into_response(),
    };

    if let Some(code) = answer::write_problem(&mut response, correlation_id.as_str()) {
        metric::problem(code);
    }
    if let Ok(value) = HeaderValue::from_str(correlation_id.as_str()) {
        response.headers_mut().insert(CORRELATION_HEADER, value);
    }
    metric::answered(route, method, response.status().as_u16(), began.elapsed());
    response
}

async fn answer(app: &App, request: Request<Body>, next: Next) -> Response {
    if request.uri().path().starts_with("/api/") && !is_authorized(app, request.headers()) {
        return Failure::Unauthorized.into_response();
    }
    next.run(request).await
}

fn is_authorized(app: &App, headers: &HeaderMap) -> bool {
    let Some(tokens) = &app.tokens else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && tokens.accept(token.trim())
    })
}

fn correlation_id(headers: &HeaderMap) -> CorrelationId {
    CorrelationId::from_header(headers.get(CORRELATION_HEADER).map(HeaderValue::as_bytes))
}

/// The method as a label: callers may send any word.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}
