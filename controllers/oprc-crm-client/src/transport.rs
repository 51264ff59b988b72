//! From a connection to an answer: bodies within their limits, and what a broken connection means.

use std::{error::Error, io, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use rustls::AlertDescription;
use tokio::time::{Instant, timeout_at};

use crate::{
    CallError,
    answer::{Answer, Cause},
};

/// How much of a body is read that only explains the status, in bytes, and for how long. The
/// status stands even if this is not all, or never comes.
const MAX_EXPLANATION_BYTES: usize = 64 * 1024;
const MAX_EXPLANATION_TIME: Duration = Duration::from_secs(2);

/// What is wanted of a success.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// The body, whole.
    Document { limit_bytes: usize },
    /// The status says it all.
    Status,
    /// The body as it comes.
    Stream,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Reply {
    Whole(Answer),
    /// A success, its body not begun.
    Stream(Response),
}

/// Reads `response` as far as is `wanted`, or, of an error, as far as it explains itself.
pub(crate) async fn read(
    mut response: Response,
    wanted: Wanted,
    deadline: Instant,
) -> Result<Reply, CallError> {
    let status = response.status();
    let body = match wanted {
        Wanted::Stream if status.is_success() => return Ok(Reply::Stream(response)),
        Wanted::Document { limit_bytes } if status.is_success() => {
            document(&mut response, limit_bytes, deadline).await?
        }
        Wanted::Document { .. } | Wanted::Status | Wanted::Stream => {
            explanation(&mut response, deadline).await
        }
    };
    let headers = response.headers().clone();
    Ok(Reply::Whole(Answer { status, headers, body }))
}

async fn document(
    response: &mut Response,
    limit_bytes: usize,
    deadline: Instant,
) -> Result<Bytes, CallError> {
    let too_long = || Cause::TooLong { limit_bytes }.unanswered();
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |length| length > limit_bytes) {
        return Err(too_long());
    }
    let began = Instant::now();
    let mut body = BytesMut::new();
    loop {
        let chunk = match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(body.freeze()),
            Ok(Err(err)) => return Err(Cause::Connection(err.without_url()).unanswered()),
            Err(_) => return Err(Cause::Timeout(began.elapsed()).unanswered()),
        };
        if body.len() + chunk.len() > limit_bytes {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
}

async fn explanation(response: &mut Response, deadline: Instant) -> Bytes {
    let deadline = deadline.min(Instant::now() + MAX_EXPLANATION_TIME);
    let mut body = BytesMut::new();
    while let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await {
        let room = MAX_EXPLANATION_BYTES - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() == MAX_EXPLANATION_BYTES {
            break;
        }
    }
    body.freeze()
}

/// What a request that got no answer means.
pub(crate) fn failure(err: reqwest::Error) -> CallError {
    if let Some(alert) = certificate_alert(&err) {
        let message = format!("the client certificate was turned down: {alert:?}");
        return CallError::Unauthorized { message };
    }
    let is_unsent = err.is_connect() || err.is_builder();
    let cause = Cause::Connection(err.without_url());
    if is_unsent { CallError::Unreachable { source: cause.into() } } else { cause.unanswered() }
}

/// The TLS alert by which the other side turned our certificate down, or the lack of one. It comes
/// before any request is looked at.
fn certificate_alert(err: &reqwest::Error) -> Option<AlertDescription> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(err);
    while let Some(err) = cause {
        // An I/O error is transparent: it hides the error that it was made of from `source`.
        let inner = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| err.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls
            && matches!(
                alert,
                AlertDescription::NoCertificate
                    | AlertDescription::BadCertificate
                    | AlertDescription::UnsupportedCertificate
                    | AlertDescription::CertificateRevoked
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::UnknownCA
                    | AlertDescription::AccessDenied
                    | AlertDescription::CertificateRequired
                    // Of an authority that has the right name and the wrong key.
                    | AlertDescription::DecryptError
            )
        {
            return Some(*alert);
        }
        cause = err.source();
    }
    None
}
