//! The door: what stands between callers and the routes, whoever they are.
//!
//! From the outside in: security headers, CORS, then [`crate::front`] (which audits writes), the
//! rate of the address, what browsers may send ([`site`]), authentication, the rate of the subject. All of it is off by default but
//! the headers.

pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod headers;
pub(crate) mod rate;
pub(crate) mod site;

use axum::Router;
use http::{HeaderName, HeaderValue, Method, header};
use ipnet::IpNet;
use oprc_observability::Lines;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use self::rate::{Rate, Rates};

/// How long a browser may remember what it was allowed.
const CORS_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// What the door asks and tells.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How much one caller may ask for.
    pub rates: Rates,
    /// Where writes are told; `None`: nowhere.
    pub audit: Option<Lines>,
    /// Origins whose pages may call from a browser.
    pub allowed_origins: Vec<HeaderValue>,
    /// Hosts that are served without authentication besides this machine as such, in lower case;
    /// `*`: every host.
    pub allowed_hosts: Vec<String>,
    /// Whether connections are encrypted, so that browsers are to insist on it.
    pub is_encrypted: bool,
}

impl Door {
    /// Returns `true` if requests for `host` are served without authentication.
    fn allows_host(&self, host: &str) -> bool {
        let hosts = &self.allowed_hosts;
        hosts.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(host))
    }
}

/// `router` behind what concerns browsers alone.
pub(crate) fn for_browsers(mut router: Router, door: &Door) -> Router {
    if !door.allowed_origins.is_empty() {
        router = router.layer(cors(door.allowed_origins.clone()));
    }
    router.layer(axum::middleware::map_response_with_state(door.is_encrypted, headers::secure))
}

/// What pages of other origins may do. No cookies are involved: who calls is in `Authorization`,
/// which a page must have been given.
fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    let named = |names: &[&'static str]| -> Vec<HeaderName> {
        names.iter().map(|name| HeaderName::from_static(name)).collect()
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-correlation-id"),
        ])
        .expose_headers(named(&[
            "etag",
            "location",
            "oprc-stale",
            "retry-after",
            "x-correlation-id",
        ]))
        .max_age(CORS_MAX_AGE)
}

/// The longest text of a caller that a log or an audit line repeats, in bytes.
const MAX_TEXT_BYTES: usize = 253;

/// The part of `text` that a log or an audit line repeats.
pub(crate) fn clipped(text: &str) -> &str {
    beginning(text, MAX_TEXT_BYTES)
}

/// The beginning of `text`, of at most `max` bytes and whole characters.
fn beginning(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

pub(crate) fn describe_metrics() {
    rate::describe_metrics();
}
