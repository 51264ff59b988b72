//! What a CRM's answer means.
//!
//! Nothing here trusts an answer: bodies have a limit, texts are clipped, and what does not fit the
//! contract is [`CallError::Unanswered`].

use std::time::Duration;

use bytes::Bytes;
use oprc_models::nulls::NullIsAbsent;
use reqwest::{
    StatusCode,
    header::{self, HeaderMap},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{BoxError, CallError};

/// The longest message that is taken from an answer, in characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 1024;

/// The most values in one body. A value takes up to a hundred bytes of memory for two bytes of
/// JSON, so the limit of a body's length alone would let 16 MiB grow to half a gigabyte.
const MAX_VALUES: usize = 1_000_000;

/// Why an answer is none, or did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the answer has status {status}: {message}")]
    Status { status: u16, message: String },
    #[error("the answer has more than {limit_bytes} bytes")]
    TooLong { limit_bytes: usize },
    #[error("the answer has more than {MAX_VALUES} values")]
    TooMany,
    #[error("the answer is not what the contract says: {0}")]
    Garbage(String),
    #[error("after a call that may have been carried out, another endpoint refused")]
    RefusedAfterAll(#[source] BoxError),
    #[error("the request cannot be made")]
    Request(#[source] BoxError),
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
}

impl Cause {
    pub(crate) fn unanswered(self) -> CallError {
        CallError::Unanswered { source: self.into() }
    }

    pub(crate) fn garbage(what: &str) -> CallError {
        Self::Garbage(clip(what)).unanswered()
    }
}

/// An answer, its body read as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The document of a success; the error that the answer stands for otherwise.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        if self.status.is_success() { parse(&self.body) } else { Err(self.refusal()) }
    }

    /// Whether it may speak for a CRM: its body is empty or JSON, not a proxy's page of text.
    pub(crate) fn is_contractual(&self) -> bool {
        self.body.is_empty() || serde_json::from_slice::<Value>(&self.body).is_ok()
    }

    /// The error that an answer other than a success stands for.
    pub(crate) fn refusal(&self) -> CallError {
        let status = self.status.as_u16();
        let Told { code, message, current_generation, current_term } = self.told();
        match status {
            401 => CallError::Unauthorized { message },
            // A server or proxy that got tired of waiting, whatever it has passed on by then.
            408 => Cause::Status { status, message }.unanswered(),
            409 => CallError::Stale {
                code: code.unwrap_or_else(|| "conflict".to_owned()),
                message,
                current_generation,
                current_term,
            },
            429 | 503 => CallError::Busy { retry_after: self.retry_after(), status },
            400..=499 => CallError::Refused { status, code, message },
            _ => Cause::Status { status, message }.unanswered(),
        }
    }

    /// `Retry-After`, capped. A date is compared with the answer's own `Date`: no clock of ours.
    fn retry_after(&self) -> Option<Duration> {
        let text = |name| self.headers.get(name)?.to_str().ok().map(str::trim);
        let given = text(header::RETRY_AFTER)?;
        let is_number = !given.is_empty() && given.bytes().all(|b| b.is_ascii_digit());
        let wait = if is_number {
            // A number too large for u64 is a long time too.
            Duration::from_secs(given.parse().unwrap_or(u64::MAX))
        } else {
            let date = |text: &str| httpdate::parse_http_date(text).ok();
            let then = date(given)?;
            let now = text(header::DATE).and_then(date);
            now.map_or(Duration::MAX, |now| then.duration_since(now).unwrap_or_default())
        };
        Some(wait.min(CallError::MAX_RETRY_AFTER))
    }

    /// What a problem document says; of another body, what of it is readable.
    fn told(&self) -> Told {
        let reason = self.status.canonical_reason().unwrap_or("no reason given");
        let Ok(Value::Object(problem)) = serde_json::from_slice(&self.body) else {
            let text = clip(&String::from_utf8_lossy(&self.body));
            let message = match self.headers.get(header::LOCATION) {
                Some(to) => format!("redirected to {to:?}, which is not followed"),
                None if text.is_empty() || text.starts_with('<') => reason.to_owned(),
                None => text,
            };
            return Told { message: clip(&message), ..Told::default() };
        };
        let text =
            |name: &str| problem.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let said = ["detail", "message", "error", "title"].into_iter().find_map(text);
        let mut message = said.unwrap_or(reason).to_owned();
        for violation in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |name| violation.get(name).and_then(Value::as_str).unwrap_or_default();
            message += &format!("; {}: {}", part("pointer"), part("message"));
        }
        Told {
            code: text("code").map(clip),
            message: clip(&message),
            current_generation: problem.get("current_generation").and_then(Value::as_u64),
            current_term: problem.get("current_term").and_then(Value::as_u64),
        }
    }
}

/// What an error's body says.
#[derive(Default)]
struct Told {
    code: Option<String>,
    message: String,
    current_generation: Option<u64>,
    current_term: Option<u64>,
}

/// `body` as a document; fields that are `null` count as absent.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    check_size(body)?;
    serde_json::from_slice(body).or_else(|err| {
        // Of a body that is no JSON at all, the first error says more.
        let err = match serde_json::from_slice(body).map(NullIsAbsent) {
            Ok(document) => match document.read() {
                Ok(read) => return Ok(read),
                Err(err) => err,
            },
            Err(_) => err,
        };
        Err(Cause::garbage(&err.to_string()))
    })
}

/// `body` as a document whose fields are `null` only where the type has a null: no copy is made.
pub(crate) fn parse_strictly<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    check_size(body)?;
    serde_json::from_slice(body).map_err(|err| Cause::garbage(&err.to_string()))
}

fn check_size(body: &[u8]) -> Result<(), CallError> {
    if body.iter().filter(|&&byte| byte == b',').nth(MAX_VALUES).is_some() {
        return Err(Cause::TooMany.unanswered());
    }
    Ok(())
}

/// The beginning of `text`, on one line: fit for a status, a log and a terminal.
fn clip(text: &str) -> String {
    clipped(text, MAX_MESSAGE_CHARS)
}

/// The first `max` characters of `text`, on one line.
pub(crate) fn clipped(text: &str, max: usize) -> String {
    let line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(max).collect()
}

#[cfg(test)]
mod tests;
