//! Refusals: one type, one body.
//!
//! A handler returns an [`ApiError`]; it becomes a response that carries a [`Problem`], and
//! [`crate::front`] renders it, since only there the correlation id is known and only there the
//! router's own refusals (404, 405) pass by.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use oprc_controller_runtime::cache::Stale;
use oprc_models::problem::{Problem, Violation};

use crate::{auth::Missing, writes};

/// A refusal, not yet rendered.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<Violation>,
    retry_after_secs: Option<u32>,
}

/// When to come back after a refusal that the next moment may lift.
const RETRY_AFTER_SECS: u32 = 1;

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after_secs: None }
    }

    /// 400.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 400 with every violation.
    pub(crate) fn invalid_document(errors: Vec<Violation>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.message.clone(),
            _ => format!("{} violations", errors.len()),
        };
        Self::bad_request("invalid_document", detail).with_errors(errors)
    }

    /// 403.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404 of a document.
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {name:?}"))
    }

    /// 500 of a stored value that nobody can read.
    pub(crate) fn unreadable(key: &str, reason: &str) -> Self {
        let detail = format!("the stored value of {key} cannot be read: {reason}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_object", detail)
    }

    /// 503 that a retry may lift.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_retry()
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Violation>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn with_retry(self) -> Self {
        self.with_retry_after(RETRY_AFTER_SECS)
    }

    pub(crate) fn with_retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response.extensions_mut().insert(Box::new(Problem {
            r#type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code.to_owned(),
            errors: self.errors,
            correlation_id: None,
            current_generation: None,
            current_term: None,
        }));
        response
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(error = %error, "an answer cannot be written");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer cannot be written")
    }
}

impl From<Missing> for ApiError {
    fn from(missing: Missing) -> Self {
        Self::forbidden(missing.to_string())
    }
}

impl From<Stale> for ApiError {
    fn from(error: Stale) -> Self {
        let code = match error {
            Stale::Unauthorized => "store_unauthorized",
            Stale::OutOfReach | Stale::Behind(_) => "unavailable",
        };
        Self::unavailable(
            code,
            format!("{error}; `?consistency=cached` answers from what was last known"),
        )
    }
}

impl From<writes::Error> for ApiError {
    fn from(error: writes::Error) -> Self {
        use writes::Error as E;
        let detail = error.to_string();
        match error {
            E::Forbidden(missing) => missing.into(),
            E::NotYours { .. } => Self::forbidden(detail),
            E::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            E::AlreadyExists { .. } => Self::new(StatusCode::CONFLICT, "already_exists", detail),
            E::VersionExists { violations, .. } => {
                Self::new(StatusCode::CONFLICT, "version_exists", detail).with_errors(violations)
            }
            E::Owned { violations } => {
                Self::new(StatusCode::CONFLICT, "owned_by_other", detail).with_errors(violations)
            }
            E::HasDependants { dependants, .. } => {
                Self::new(StatusCode::CONFLICT, "has_dependants", detail).with_errors(dependants)
            }
            E::WouldEmpty { .. } => Self::new(StatusCode::CONFLICT, "bundle_emptied", detail),
            E::ForceRefused { .. } => Self::new(StatusCode::CONFLICT, "force_refused", detail),
            E::PreconditionFailed { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
            }
            E::Outdated { violations } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
                    .with_errors(violations)
            }
            E::Unreadable { .. } => Self::new(StatusCode::CONFLICT, "unreadable_object", detail),
            E::Invalid { violations } => Self::invalid_document(violations),
            E::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "transaction_too_large", detail)
            }
            E::Contended { .. } => Self::new(StatusCode::CONFLICT, "conflict", detail).with_retry(),
            E::NotReady => Self::unavailable("not_ready", detail),
            E::Stale(Stale::Unauthorized) | E::Unauthorized { .. } => {
                Self::unavailable("store_unauthorized", detail)
            }
            E::Stale(_) | E::Unavailable { .. } => Self::unavailable("unavailable", detail),
            E::MaybeDone { .. } => Self::unavailable("maybe_done", detail),
            E::Full { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", detail),
            E::Refused { .. } | E::Encode(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}
