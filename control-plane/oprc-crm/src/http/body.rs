//! Reading a body: bounded in size and in time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::timeout;

use super::answer::Failure;

/// The largest body.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// How much of a body that is too large is still read and dropped, so that a caller who writes it
/// all before reading gets to see the answer.
const MAX_DRAINED_BYTES: usize = 4 << 20;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The JSON text of a request.
pub(crate) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    if !is_json(headers) {
        return Err(Failure::MediaType);
    }
    let too_large = Failure::TooLarge { max_bytes: MAX_BODY_BYTES };
    if body.size_hint().lower() > (MAX_BODY_BYTES + MAX_DRAINED_BYTES) as u64 {
        return Err(too_large);
    }
    match timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large),
        Ok(Err(axum::Error { .. })) => Err(Failure::BodyBroken),
        Err(_) => Err(Failure::BodyTimeout),
    }
}

/// All of `body`; `None` when it is larger than it may be.
async fn collect(mut body: Body) -> Result<Option<Bytes>, axum::Error> {
    let (mut collected, mut n_bytes) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        n_bytes += bytes.len();
        if n_bytes <= MAX_BODY_BYTES {
            collected.extend_from_slice(&bytes);
        } else if n_bytes > MAX_BODY_BYTES + MAX_DRAINED_BYTES {
            break;
        } else {
            collected = BytesMut::new();
        }
    }
    Ok((n_bytes <= MAX_BODY_BYTES).then(|| collected.freeze()))
}

/// Whether the body is JSON by its own account.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}
