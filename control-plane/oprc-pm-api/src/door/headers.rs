//! Headers that make a browser careful with an answer, whatever is in it.
//!
//! An answer that says something of its own (a page that needs scripts, a document that may be kept)
//! keeps it.

use std::future::{Ready, ready};

use axum::{extract::State, response::Response};
use http::{HeaderName, HeaderValue, header};

/// What every answer says unless it says otherwise.
const HEADERS: [(HeaderName, &str); 5] = [
    // It is what its type says, and nothing that its text looks like.
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Nothing is loaded because of it, and no page shows it in a frame.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    // What one caller may see another may not.
    (header::CACHE_CONTROL, "no-store"),
];

/// A year, as the lists of browsers want it; of this host alone.
const STRICT_TRANSPORT: &str = "max-age=31536000";

/// Adds them.
pub(crate) fn secure(State(is_encrypted): State<bool>, mut response: Response) -> Ready<Response> {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_encrypted {
        headers
            .insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT_TRANSPORT));
    }
    ready(response)
}
