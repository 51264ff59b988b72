//! `/api/v1/terms`: for operators, to see the terms of owners and to forget one. Not part of the
//! contract; no Package Manager calls it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;

use super::{App, answer, answer::Failure};

/// The highest term seen of each owner.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    answer::json(StatusCode::OK, &json!({ "items": app.crm.terms().await? }))
}

/// Forgets the term of one owner.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    Path(owner): Path<String>,
) -> Result<StatusCode, Failure> {
    app.crm.forget_term(&owner).await?;
    Ok(StatusCode::NO_CONTENT)
}
