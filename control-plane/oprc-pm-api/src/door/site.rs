//! Requests that a browser sends although its user did not mean them.
//!
//! A page of another site can make its visitor's browser send requests with whatever the browser
//! adds by itself: a client certificate, and the visitor's place in the network, which is all that a
//! server without authentication asks for. Two checks, both by headers that no page can set:
//! - a write that a browser sends for another site is refused, whatever its body
//!   ([`refuse_cross_site`]);
//! - without authentication, only requests for a known host are served ([`refuse_strange_host`]). A
//!   page of `evil.example` whose name was made to resolve to this server (DNS rebinding) is of the
//!   same site as the server in its browser's eyes, but its requests name that host.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority};
use oprc_models::document::Format;

use super::Door;
use crate::{
    auth::Access,
    call::App,
    error::ApiError,
    front::{Lane, lane},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The layer.
pub(crate) async fn from_here(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let refused = refuse_strange_host(&app, &request)
        .and_then(|()| refuse_cross_site(&app.door, &request))
        .and_then(|()| refuse_form(&request));
    match refused {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Refuses requests for another host where callers need not say who they are. Probes, and what
/// describes the interface, are answered under every name.
fn refuse_strange_host(app: &App, request: &Request) -> Result<(), ApiError> {
    let route = request.extensions().get::<MatchedPath>();
    let is_metrics = route.is_some_and(|route| route.as_str() == "/metrics");
    let is_open = lane(request.method(), route) == Lane::Probe && !is_metrics;
    if matches!(app.access, Access::Guarded(_)) || is_open {
        return Ok(());
    }
    let is_known = |host: &str| is_local(host) || app.door.allows_host(host);
    // A browser names the host in each request. A request that names none is not a browser's.
    let hosts = request.headers().get_all(header::HOST).iter();
    let hosts = hosts.map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    let target = request.uri().authority().cloned().map(Some);
    for authority in hosts.chain(target) {
        let authority: Option<Authority> = authority;
        if !authority.is_some_and(|authority| is_known(authority.host())) {
            let detail = "this server needs no authentication, so it answers to localhost alone; \
                          OPRC_PM_SERVER_ALLOWED_HOSTS names further hosts";
            let status = StatusCode::MISDIRECTED_REQUEST;
            return Err(ApiError::new(status, "misdirected_request", detail));
        }
    }
    Ok(())
}

/// Returns `true` for this machine as such: `localhost`, or a loopback address. No other machine's
/// name resolves to these.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Refuses a write that a browser sends for a page of another origin, unless that origin may call
/// (CORS). What sends neither header is no browser: all that are in use send `Origin` with every
/// such request.
fn refuse_cross_site(door: &Door, request: &Request) -> Result<(), ApiError> {
    if !is_write(request.method()) {
        return Ok(());
    }
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN);
    let is_allowed = origin.is_some_and(|origin| door.allowed_origins.contains(origin));
    // Of a header that is there twice, nothing is believed.
    let once = |name| headers.get_all(name).iter().count() == 1;
    let may = match (headers.get(&SEC_FETCH_SITE), origin) {
        (None, None) => true,
        _ if is_allowed && once(&header::ORIGIN) => true,
        (Some(site), _) => {
            once(&SEC_FETCH_SITE) && matches!(site.as_bytes(), b"same-origin" | b"none")
        }
        (None, Some(origin)) => once(&header::ORIGIN) && is_own_origin(headers, origin),
    };
    if may {
        return Ok(());
    }
    let detail = "a page of another origin may not write; OPRC_PM_CORS_ALLOWED_ORIGINS lists \
                  origins that may";
    Err(ApiError::new(StatusCode::FORBIDDEN, "cross_site_request", detail))
}

/// Returns `true` if `origin` is that of the host that the request is for.
fn is_own_origin(headers: &HeaderMap, origin: &HeaderValue) -> bool {
    let Some((scheme, origin)) = origin.to_str().ok().and_then(|text| text.split_once("://"))
    else {
        return false; // `null`, for one.
    };
    let default = if scheme == "https" { ":443" } else { ":80" };
    let plain = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| plain(host) == plain(origin))
}

/// Refuses a body that claims to be a form, or anything else that is not a document, also where no
/// body is wanted: forms are what pages can send to other sites.
fn refuse_form(request: &Request) -> Result<(), ApiError> {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return Ok(());
    }
    let types = request.headers().get_all(header::CONTENT_TYPE).iter();
    let mut types = types.map(|value| value.to_str().unwrap_or_default());
    if types.all(|text| Format::from_media_type(text).is_some()) {
        return Ok(());
    }
    let detail = "want Content-Type application/json, application/yaml, text/yaml or text/x-yaml";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}
