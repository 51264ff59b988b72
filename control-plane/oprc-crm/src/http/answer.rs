//! Answers: JSON, and failures as problem documents.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use oprc_cp_storage::Error as StoreError;
use oprc_models::{
    crm::codes,
    problem::{PROBLEM_JSON, Problem, Violation},
};
use oprc_observability::Report;
use serde::Serialize;

use crate::Error;

/// Seconds after which a failure that may pass is worth another try.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// Why a request got no answer. What is told to the caller is decided here and nowhere else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the CRM said.
    #[error(transparent)]
    Crm(#[from] Error),
    /// Something is wrong with the query or with a header.
    #[error("the request is not valid")]
    Request(Vec<Violation>),
    /// The body is too large.
    #[error("the body is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The body did not come in time.
    #[error("the body did not come in time")]
    BodyTimeout,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The body is not JSON by its own account.
    #[error("want a body of type application/json")]
    MediaType,
    /// No such route.
    #[error("no such resource")]
    NoRoute,
    /// No such method on this route.
    #[error("this resource has no such method")]
    NoMethod,
    /// The token is missing or wrong.
    #[error("want a valid bearer token")]
    Unauthorized,
    /// There are as many watches as there may be.
    #[error("there are too many watches")]
    TooManyWatches,
    /// The answer took too long.
    #[error("the answer took too long; the call may or may not have been carried out")]
    Timeout,
    /// The CRM cannot answer now.
    #[error("not ready")]
    NotReady,
}

impl Failure {
    /// The status, and the stable code to branch on.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Crm(err) => kind_of(err),
            Self::Request(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            Self::NoMethod => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::TooManyWatches => (StatusCode::SERVICE_UNAVAILABLE, "too_many_watches"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        }
    }

    fn problem(&self) -> (StatusCode, &'static str, Problem) {
        let (status, code) = self.kind();
        let mut problem = Problem {
            r#type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
            ..Problem::default()
        };
        match self {
            Self::Request(errors) | Self::Crm(Error::InvalidUnit(errors)) => {
                problem.errors.clone_from(errors);
            }
            Self::Crm(err @ Error::WrongCluster { .. }) => {
                problem.errors.push(Violation::new("/target_env", err.to_string()));
            }
            Self::Crm(
                Error::StaleGeneration { current, .. } | Error::GenerationConflict { current },
            ) => problem.current_generation = Some(*current),
            Self::Crm(Error::StaleTerm { current, .. }) => problem.current_term = Some(*current),
            _ => {}
        }
        (status, code, problem)
    }
}

/// The status and the code of what the CRM said.
fn kind_of(err: &Error) -> (StatusCode, &'static str) {
    match err {
        Error::InvalidUnit(_) => (StatusCode::BAD_REQUEST, codes::INVALID_UNIT),
        Error::WrongCluster { .. } => (StatusCode::BAD_REQUEST, "wrong_cluster"),
        Error::StaleGeneration { .. } => (StatusCode::CONFLICT, codes::STALE_GENERATION),
        Error::GenerationConflict { .. } => (StatusCode::CONFLICT, "generation_conflict"),
        Error::StaleTerm { .. } => (StatusCode::CONFLICT, codes::STALE_TERM),
        Error::ImplausibleTerm { .. } => (StatusCode::BAD_REQUEST, "implausible_term"),
        Error::TooManyOwners { .. } => (StatusCode::FORBIDDEN, "too_many_owners"),
        Error::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Error::Expired { .. } => (StatusCode::GONE, "revision_expired"),
        Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Error::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
        Error::Store(StoreError::Refused { .. } | StoreError::Unauthorized { .. }) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "store_refused")
        }
        Error::Store(StoreError::Full { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "store_full"),
        Error::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
    }
}

/// A problem that [`super::around`] writes, once it knows the correlation id.
#[derive(Clone)]
pub(crate) struct Unwritten {
    problem: Problem,
    pub(crate) code: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, problem) = self.problem();
        if status.is_server_error() {
            tracing::warn!(code, error = %Report(&self), "request failed");
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Unwritten { problem, code });
        response
    }
}

/// Writes the problem that `response` holds, if it holds one; answers its code.
pub(crate) fn write_problem(response: &mut Response, correlation_id: &str) -> Option<&'static str> {
    let Unwritten { mut problem, code } = response.extensions_mut().remove()?;
    problem.correlation_id = Some(correlation_id.to_owned());
    // Plain text and numbers: writing them as JSON cannot fail.
    let json = serde_json::to_vec(&problem).unwrap_or_default();
    *response.body_mut() = Body::from(json);
    let problem_json = HeaderValue::from_static(PROBLEM_JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
    Some(code)
}

/// An answer of `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Failure> {
    let json = serde_json::to_vec(value)
        .map_err(|source| Error::Damaged { key: "the answer".to_owned(), source })?;
    Ok(raw_json(status, json))
}

/// An answer that is JSON already.
pub(crate) fn raw_json(status: StatusCode, json: impl Into<Body>) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, content_type, json.into()).into_response()
}
