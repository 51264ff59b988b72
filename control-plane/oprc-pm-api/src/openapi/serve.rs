//! `/`, `/openapi.json`, `/docs`, `/schemas/{kind}.json`: made when first asked for, and kept.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use oprc_models::schema;
use serde_json::Value;

use super::{Described, description, operations, page, routes::Routes};
use crate::{
    call::{Answer, json},
    error::ApiError,
};

/// What all routes are, once they are known.
#[derive(Default)]
pub(super) struct Told {
    routes: OnceLock<Vec<Described>>,
    description: OnceLock<Bytes>,
    page: OnceLock<Bytes>,
}

impl Told {
    /// These are all routes.
    pub(super) fn fill(&self, routes: Vec<Described>) {
        assert!(self.routes.set(routes).is_ok(), "the routes are collected once");
    }

    fn value(&self) -> Value {
        description(self.routes.get().map(Vec::as_slice).unwrap_or_default())
    }

    fn description(&self) -> Bytes {
        self.description.get_or_init(|| self.value().to_string().into()).clone()
    }

    fn page(&self) -> Bytes {
        self.page.get_or_init(|| page::render(&self.value()).into()).clone()
    }
}

/// The routes that tell of all, and what they tell of it.
pub(super) fn routes() -> (Routes, Arc<Told>) {
    let told: Arc<Told> = Arc::default();
    let (for_description, for_page) = (Arc::clone(&told), Arc::clone(&told));
    let routes = Routes::default()
        .get(
            "/openapi.json",
            || async move { json(StatusCode::OK, for_description.description().into()) },
            operations::openapi,
        )
        .get("/", || async { to_docs() }, operations::index)
        .get("/docs", || async move { html(for_page.page()) }, operations::docs)
        .get("/schemas/{file}", document_schema, operations::schema);
    (routes, told)
}

/// Leads people who open the server's URL to the page. Relative, for proxies that add a prefix.
fn to_docs() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("docs"))]).into_response()
}

/// A page that loads nothing and runs nothing: its style is in it, and that is all it may use.
fn html(page: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'",
            ),
        ),
    ];
    (headers, page).into_response()
}

/// `GET /schemas/{kind}.json`.
async fn document_schema(Path(file): Path<String>) -> Answer {
    let name = file.strip_suffix(".json");
    let kind = schema::KINDS.iter().find(|(known, _)| name == Some(*known));
    let Some((_, make)) = kind else {
        return Err(ApiError::not_found("schema", &file.chars().take(80).collect::<String>()));
    };
    let mut response = json(StatusCode::OK, make().to_string().into());
    let media_type = HeaderValue::from_static("application/schema+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}
