//! Heads of requests: what hyper accepts and RFC 9110 and RFC 9112 do not.
//!
//! A request that two servers read differently is how requests are smuggled past the first of them,
//! so an ambiguous head is refused, and its connection is closed.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header, uri::Authority,
    },
};

/// The most bytes of a request's head: its request line, and its header lines with a space after
/// each colon.
pub(crate) const MAX_BYTES: usize = 32 * 1024;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    detail: &'static str,
}

impl Refusal {
    const fn bad(detail: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail }
    }

    /// The answer, after which the connection is closed.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{}\n", self.detail)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Checks the head of `request`.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    if n_bytes(request) > MAX_BYTES {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal { status, detail: "the head of the request is larger than 32 KiB" });
    }
    check_host(request.version(), request.headers())?;
    check_transfer(request.version(), request.headers())
}

fn n_bytes<B>(request: &Request<B>) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = request.method().as_str().len()
        + authority
        + uri.path_and_query().map_or(0, |path| path.as_str().len())
        + "  HTTP/1.1\r\n".len();
    let headers = request.headers().iter();
    line + headers
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS)
        .sum::<usize>()
}

/// RFC 9112, 3.2: a request of HTTP/1.1 names its host, once, and no request names it twice or
/// with an invalid value.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        let is_needed = version >= Version::HTTP_11;
        return if is_needed { Err(Refusal::bad("want a Host header")) } else { Ok(()) };
    };
    if values.next().is_some() {
        return Err(Refusal::bad("want one Host header, not several"));
    }
    // An empty one is that of a target without an authority.
    let is_valid = value.is_empty()
        || value.to_str().is_ok_and(|text| {
            text.parse::<Authority>().is_ok_and(|authority| {
                !authority.as_str().contains('@') && authority.as_str() == text
            })
        });
    if is_valid { Ok(()) } else { Err(Refusal::bad("want a valid Host header")) }
}

/// RFC 9112, 6.1 and 6.3: `chunked` is the one transfer coding that is known here, and a length
/// beside it is an attempt to have the body read in two ways.
fn check_transfer(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter().peekable();
    if codings.peek().is_none() {
        return Ok(());
    }
    if version < Version::HTTP_11 {
        return Err(Refusal::bad("want no Transfer-Encoding in a request of version 1.0"));
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::bad("want Transfer-Encoding or Content-Length, not both"));
    }
    let mut n_codings = 0;
    for value in codings {
        let text = value.to_str().unwrap_or_default();
        for coding in text.split(',').map(str::trim) {
            n_codings += 1;
            if !coding.eq_ignore_ascii_case("chunked") {
                let detail = "want no Transfer-Encoding but chunked";
                return Err(Refusal { status: StatusCode::NOT_IMPLEMENTED, detail });
            }
        }
    }
    if n_codings == 1 { Ok(()) } else { Err(Refusal::bad("want chunked once")) }
}

#[cfg(test)]
mod tests;
