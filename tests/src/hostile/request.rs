//! Whole requests.

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};

use super::world::within;

/// Takes the bytes for a request: method and target in the first line, headers up to an empty line,
/// then the body. It is answered, never with an error of ours, and a refusal says why in the form of
/// a problem document.
pub fn request(input: &[u8]) {
    let Some((method, request)) = parse(input) else { return };
    within(async |world| {
        let answer = world.send(request).await;
        check(&method, &answer);
    });
}

fn parse(input: &[u8]) -> Option<(Method, Request<Body>)> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest.get(..end)?;
        rest = rest.get(end + 1..)?;
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(first.get(..space)?).ok()?;
    let mut request = Request::builder().method(method.clone()).uri(first.get(space + 1..)?);
    while let Some(header) = line().filter(|line| !line.is_empty()) {
        let colon = header.iter().position(|byte| *byte == b':')?;
        request = request.header(header.get(..colon)?, header.get(colon + 1..)?.trim_ascii());
    }
    // What a server hands on has a path.
    let request = request.body(Body::from(rest.to_vec())).ok()?;
    request.uri().path().starts_with('/').then_some((method, request))
}

fn check(method: &Method, answer: &Response<Vec<u8>>) {
    let status = answer.status();
    let text = String::from_utf8_lossy(answer.body());
    assert!(!status.is_server_error() || is_unreadable(status, &text), "{status}: {text}");
    assert!(answer.headers().contains_key("x-correlation-id"), "{status} without its id");
    if status.is_client_error() && method != Method::HEAD {
        let media_type = answer.headers().get("content-type").map(http::HeaderValue::as_bytes);
        assert_eq!(media_type, Some(&b"application/problem+json"[..]), "{status}: {text}");
        let problem: serde_json::Value =
            serde_json::from_slice(answer.body()).expect("a problem document is JSON");
        let is_told = problem["code"].as_str().is_some_and(|code| !code.is_empty());
        assert!(is_told && problem["status"] == status.as_u16(), "{problem}");
    }
}

/// Whether the answer is that a stored value cannot be read, the one such error that input can ask
/// for.
pub(super) fn is_unreadable(status: StatusCode, text: &str) -> bool {
    status == StatusCode::INTERNAL_SERVER_ERROR && text.contains("\"unreadable_object\"")
}
