//! What every request passes on its way in and out: correlation id, admission, deadline, panics,
//! metrics, the access log, and the rendering of refusals.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use metrics::{counter, gauge, histogram};
use oprc_models::problem::{PROBLEM_JSON, Problem};
use tokio::time::Instant;

use crate::{
    Limits,
    call::{App, CorrelationId},
    door::{audit, caller::ClientAddress, clipped},
    error::ApiError,
    share::{Admission, Full, Holder, Resource},
};

const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// The longest correlation id that is taken, in bytes.
const MAX_CORRELATION_BYTES: usize = 128;

/// Routes that no limit applies to.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Kinds of request that are admitted apart, so that a flood of one starves no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Write,
    Read,
    List,
    /// Probes of liveness and readiness: always let in, since they say whether the rest is well.
    Probe,
}

/// Requests of each kind that are under way.
#[derive(Debug)]
pub(crate) struct Lanes {
    writes: Arc<Resource>,
    reads: Arc<Resource>,
    lists: Arc<Resource>,
}

impl Lanes {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            writes: Resource::new("writes", limits.max_writes),
            reads: Resource::new("reads", limits.max_reads),
            lists: Resource::new("lists", limits.max_lists),
        }
    }

    /// Lets a request in, unless there are too many of its kind, or too many from its address.
    fn enter(&self, lane: Lane, extensions: &Extensions) -> Result<Admission, Full> {
        let resource = match lane {
            Lane::Probe => return Ok(Admission::default()),
            Lane::Write => &self.writes,
            Lane::Read => &self.reads,
            Lane::List => &self.lists,
        };
        let admission = Admission::default();
        // Authentication comes later, and counts the subject.
        admission.add(resource.take(Holder::address(extensions))?);
        Ok(admission)
    }
}

/// Counts a request that is under way, until dropped: also when its caller has gone.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        gauge!("oprc_pm_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("oprc_pm_http_requests_in_flight").decrement(1.0);
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!("oprc_pm_http_requests_total", "Requests answered");
    metrics::describe_histogram!(
        "oprc_pm_http_request_duration_seconds",
        metrics::Unit::Seconds,
        "From the request's head to the answer's"
    );
    metrics::describe_gauge!("oprc_pm_http_requests_in_flight", "Requests under way");
    metrics::describe_counter!("oprc_pm_http_panics_total", "Requests that ended in a panic");
}

/// The outermost layer.
pub(crate) async fn front(
    State((app, lanes)): State<(Arc<App>, Arc<Lanes>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let _in_flight = InFlight::begin();
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let lane = lane(request.method(), matched.as_ref());
    let path = clipped(request.uri().path()).to_owned();
    let id =
        correlation_id(request.headers()).unwrap_or_else(|| CorrelationId((app.new_uid)().into()));
    request.extensions_mut().insert(id.clone());
    if let Some(address) = ClientAddress::of(&request, &app.door.trusted_proxies) {
        request.extensions_mut().insert(address);
    }
    let begun = match (&app.audit, &matched) {
        (Some(audit), Some(route)) if lane == Lane::Write => {
            audit.begin(&mut request, method, route, &id)
        }
        _ => Ok(None),
    };

    let (response, told) = match (begun, lanes.enter(lane, request.extensions())) {
        (Err(refusal), _) => (refusal.into_response(), None),
        (Ok(told), Ok(admission)) => {
            request.extensions_mut().insert(admission.clone());
            let response = guarded(next.run(request), &app.limits, &id).await;
            // Work that goes on without its request has a copy.
            drop(admission);
            (response, told)
        }
        (Ok(told), Err(full)) => (full.into_refusal(), told),
    };

    let response = rendered(response, &id, told);
    let status = response.status();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    observe(method, route, status, started);
    let micros = started.elapsed().as_micros();
    let id = &*id.0;
    if status.is_server_error() {
        tracing::warn!(
            method,
            path,
            status = status.as_u16(),
            micros,
            correlation_id = id,
            "request failed"
        );
    } else if lane == Lane::Write && !is_counted_only(status) {
        tracing::info!(
            method,
            path,
            status = status.as_u16(),
            micros,
            correlation_id = id,
            "request"
        );
    } else {
        tracing::debug!(
            method,
            path,
            status = status.as_u16(),
            micros,
            correlation_id = id,
            "request"
        );
    }
    response
}

/// The method as a label: of a closed set, whatever was sent.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The kind of a request.
pub(crate) fn lane(method: &Method, matched: Option<&MatchedPath>) -> Lane {
    let Some(route) = matched.map(MatchedPath::as_str) else { return Lane::Read };
    if PROBES.contains(&route) {
        Lane::Probe
    } else if !route.starts_with("/api/") {
        Lane::Read
    } else if method != Method::GET && method != Method::HEAD {
        Lane::Write
    } else if route.contains('{') {
        Lane::Read
    } else {
        Lane::List
    }
}

/// Runs a handler under the deadline, and answers for it when it panics.
async fn guarded(
    handler: impl Future<Output = Response>,
    limits: &Limits,
    id: &CorrelationId,
) -> Response {
    // What a handler leaves behind when it unwinds: the cache's lock does not poison and guards
    // reads alone; the store's transactions land or do not.
    let caught = AssertUnwindSafe(handler).catch_unwind();
    match tokio::time::timeout(limits.request_timeout, caught).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let panic = text.unwrap_or("no text");
            tracing::error!(panic, correlation_id = &*id.0, "a request panicked");
            counter!("oprc_pm_http_panics_total").increment(1);
            let detail = "an unexpected error; the log has more under this correlation id";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
        Err(_) => {
            let secs = limits.request_timeout.as_secs();
            let detail = format!("not done within {secs} s; a write may have landed");
            ApiError::unavailable("timeout", detail).into_response()
        }
    }
}

/// `true` for refusals that a flood of requests makes: metrics count them, and a line for each at
/// `info` would let any caller fill the log.
fn is_counted_only(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED)
}

/// The caller's id, if it can be logged and sent on as it is.
fn correlation_id(headers: &HeaderMap) -> Option<CorrelationId> {
    let text = headers.get(&CORRELATION)?.to_str().ok()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    let is_valid = (1..=MAX_CORRELATION_BYTES).contains(&text.len()) && text.bytes().all(is_plain);
    is_valid.then(|| CorrelationId(text.into()))
}

/// The response with its correlation id; a refusal, whoever made it, as a problem document; and told
/// to the audit log.
fn rendered(mut response: Response, id: &CorrelationId, told: Option<audit::Entry>) -> Response {
    let status = response.status();
    let mut code = None;
    if status.is_client_error() || status.is_server_error() {
        let carried = response.extensions_mut().remove::<Box<Problem>>();
        let is_body_kept = carried.is_none()
            && response
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|t| t == "application/json");
        if !is_body_kept {
            let mut problem = carried.unwrap_or_else(|| Box::new(generic(status)));
            problem.correlation_id = Some(id.0.to_string());
            code = Some(problem.code.clone());
            let text = serde_json::to_vec(&*problem).unwrap_or_default();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
            headers.remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(text);
        }
    }
    if let Some(told) = told {
        told.end(&response, code.as_deref());
    }
    response.headers_mut().extend(HeaderValue::from_str(&id.0).ok().map(|id| (CORRELATION, id)));
    response
}

/// The problem of a refusal that the router or an extractor made.
fn generic(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("route_not_found", "there is no such route; /docs lists them"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", "the route does not take this method; Allow names those it does")
        }
        StatusCode::BAD_REQUEST => ("invalid_request", "the path cannot be read"),
        _ => ("refused", ""),
    };
    Problem {
        r#type: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        code: code.to_owned(),
        ..Problem::default()
    }
}

fn observe(method: &'static str, route: &str, status: StatusCode, started: Instant) {
    let route = route.to_owned();
    let status = status.as_str().to_owned();
    counter!("oprc_pm_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("oprc_pm_http_request_duration_seconds", "method" => method, "route" => route)
        .record(started.elapsed().as_secs_f64());
}
