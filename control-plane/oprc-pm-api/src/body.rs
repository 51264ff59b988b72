//! Bodies: how much is taken, in which format, and what is in them.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use oprc_models::{
    document::{Format, Parsed},
    problem::Violation,
};

use crate::{
    call::{App, Call},
    error::ApiError,
    share::{Admission, Holder, Share},
};

/// What is thrown away of a body that is too large, in bytes: eight times what is taken.
const MAX_DISCARDED_BYTES: usize = 8 << 20;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// A body in memory, and what its request holds.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// What it is written in.
    pub(crate) format: Format,
    /// The callers that it counts for.
    pub(crate) holders: Vec<Holder>,
    _admission: Admission,
    /// Its part of [`Limits::max_bytes`].
    _share: Share,
}

/// Takes the body of `call`, of at most `max_bytes`. What has arrived counts towards what bodies
/// may take in memory; what was announced does not.
pub(crate) async fn read(
    app: &App,
    call: &mut Call,
    max_bytes: usize,
) -> Result<Received, ApiError> {
    let format = format(&call.headers)?;
    let too_large = || {
        let detail = format!("the body is larger than {max_bytes} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let (headers, body) = (&call.headers, &mut call.body);
    let (holders, admission) = (call.by.holders().to_vec(), call.admission.clone());
    // Refused before any of it is kept, where its size is told.
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if told.and_then(|text| text.parse().ok()).is_some_and(|n: usize| n > max_bytes) {
        discard(headers, body).await;
        return Err(too_large());
    }
    let mut share = app.bytes.share(holders.clone());
    let taken = async {
        let mut bytes = BytesMut::new();
        let mut limited = Limited::new(&mut *body, max_bytes);
        while let Some(frame) = limited.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Failure::TooLarge
                } else {
                    Failure::Refused(ApiError::bad_request("invalid_body", "the body broke off"))
                }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let grown = share.grow(data.len());
            grown.map_err(|full| Failure::Refused(full.into_error("too_many_requests")))?;
            bytes.extend_from_slice(&data);
        }
        Ok::<_, Failure>(bytes.freeze())
    };
    match tokio::time::timeout(app.limits.body_timeout, taken).await {
        Ok(Ok(bytes)) => {
            Ok(Received { bytes, format, holders, _admission: admission, _share: share })
        }
        Ok(Err(Failure::TooLarge)) => {
            discard(headers, body).await;
            Err(too_large())
        }
        Ok(Err(Failure::Refused(refusal))) => Err(refusal),
        Err(_) => Err(late(app.limits.body_timeout)),
    }
}

#[cfg(test)]
impl Received {
    /// A body of `n` spaces from `holders`, whose request holds `admission`.
    pub(crate) fn spaces(n: usize, holders: Vec<Holder>, admission: Admission) -> Self {
        let bytes = Bytes::from(vec![b' '; n]);
        let share = crate::share::Resource::new("bytes", n).share(holders.clone());
        Self { bytes, format: Format::Yaml, holders, _admission: admission, _share: share }
    }
}

/// Why a body was not taken.
enum Failure {
    TooLarge,
    Refused(ApiError),
}

/// Reads on for a while, and keeps nothing: a connection that is closed on a client which is still
/// sending is reset, and the answer is lost with it (RFC 9112, 9.6). Not where the client waits to be
/// told to go on.
async fn discard(headers: &HeaderMap, body: &mut Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut rest = Limited::new(body, MAX_DISCARDED_BYTES);
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    // However it ends, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

fn late(waited: Duration) -> ApiError {
    let detail = format!("the body did not arrive within {} s", waited.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// The format of the body; JSON unless it says.
fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let refused = |detail: &str| {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    };
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(refused("want a body without Content-Encoding"));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Format::Json) };
    let text = value.to_str().unwrap_or_default();
    let charset = text.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    if charset.any(|(_, set)| !set.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(refused("want UTF-8 text"));
    }
    Format::from_media_type(text).ok_or_else(|| {
        refused("want Content-Type application/json, application/yaml, text/yaml or text/x-yaml")
    })
}

/// What was parsed, unless it is to be strict and there is something to say of it.
pub(crate) fn accept<T>(
    parsed: Result<Parsed<T>, Vec<Violation>>,
    is_strict: bool,
) -> Result<Parsed<T>, ApiError> {
    match parsed {
        Ok(parsed) if is_strict && !parsed.warnings.is_empty() => {
            Err(ApiError::invalid_document(parsed.warnings))
        }
        Ok(parsed) => Ok(parsed),
        Err(violations) => Err(ApiError::invalid_document(violations)),
    }
}
