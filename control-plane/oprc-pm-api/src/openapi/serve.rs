//! `/`, `/openapi.json`, `/docs`, `/schemas/{kind}.json`: made when first asked for, and kept.
//!
//! Every answer shares the kept bytes, so a client that does not read its answer costs the buffer of
//! its socket and no copy of the text.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Body,
    extract::Path,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oprc_models::schema;
use serde_json::Value;

use super::{Described, description, operations, page, routes::Routes};
use crate::{call::Answer, error::ApiError, etag};

/// A text that never changes while the process runs.
struct Kept {
    media_type: &'static str,
    plain: Bytes,
    gzip: Option<Bytes>,
    /// Its entity tag; that of the compressed form is another.
    tag: String,
}

impl Kept {
    fn new(media_type: &'static str, text: String) -> Self {
        let tag = blake3::hash(text.as_bytes()).to_hex();
        let tag = tag.get(..32).unwrap_or(&tag).to_owned();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(text.as_bytes());
        // Writing to memory does not fail; if it did, there would be no compressed form.
        let gzip = written.and_then(|()| encoder.finish()).ok().map(Bytes::from);
        Self { media_type, plain: text.into(), gzip, tag }
    }

    /// The answer to a request with `headers`.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| accepts_gzip(headers));
        let tag = match gzip {
            Some(_) => format!("\"{}-gzip\"", self.tag),
            None => format!("\"{}\"", self.tag),
        };
        let mut response = if etag::is_known(headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Body::from(gzip.unwrap_or(&self.plain).clone()).into_response();
            let media_type = HeaderValue::from_static(self.media_type);
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            if gzip.is_some() {
                let gzip = HeaderValue::from_static("gzip");
                response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            }
            response
        };
        let headers = response.headers_mut();
        headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (header::ETAG, tag)));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

/// `true` if `Accept-Encoding` names gzip, or any coding, and does not exclude it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let codings: Vec<&str> = codings.collect();
    let weight = |wanted: &str| {
        codings.iter().find_map(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
            is_it.then_some(weight.unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight: f32| weight > 0.0)
}

/// What all routes are, once they are known.
#[derive(Default)]
pub(super) struct Told {
    routes: OnceLock<Vec<Described>>,
    description: OnceLock<Kept>,
    page: OnceLock<Kept>,
    schemas: OnceLock<BTreeMap<&'static str, Kept>>,
}

impl Told {
    /// These are all routes.
    pub(super) fn fill(&self, routes: Vec<Described>) {
        assert!(self.routes.set(routes).is_ok(), "the routes are collected once");
    }

    fn value(&self) -> Value {
        description(self.routes.get().map(Vec::as_slice).unwrap_or_default())
    }

    fn description(&self) -> &Kept {
        self.description.get_or_init(|| Kept::new("application/json", self.value().to_string()))
    }

    fn page(&self) -> &Kept {
        self.page.get_or_init(|| Kept::new("text/html; charset=utf-8", page::render(&self.value())))
    }

    fn schema(&self, file: &str) -> Option<&Kept> {
        let schemas = self.schemas.get_or_init(|| {
            let kept =
                |make: &fn() -> Value| Kept::new("application/schema+json", make().to_string());
            schema::KINDS.iter().map(|(name, make)| (*name, kept(make))).collect()
        });
        schemas.get(file.strip_suffix(".json")?)
    }
}

/// The routes that tell of all, and what they tell of it.
pub(super) fn routes() -> (Routes, Arc<Told>) {
    let told: Arc<Told> = Arc::default();
    let [for_description, for_page, for_schemas] = std::array::from_fn(|_| Arc::clone(&told));
    let routes = Routes::default()
        .get(
            "/openapi.json",
            |headers: HeaderMap| async move { for_description.description().answer(&headers) },
            operations::openapi,
        )
        .get("/", || async { to_docs() }, operations::index)
        .get(
            "/docs",
            |headers: HeaderMap| async move { html(for_page.page().answer(&headers)) },
            operations::docs,
        )
        .get(
            "/schemas/{file}",
            |Path(file): Path<String>, headers: HeaderMap| async move {
                document_schema(&for_schemas, &file, &headers)
            },
            operations::schema,
        );
    (routes, told)
}

/// Leads people who open the server's URL to the page. Relative, for proxies that add a prefix.
fn to_docs() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("docs"))]).into_response()
}

/// A page that loads nothing and runs nothing: its style is in it, and that is all it may use.
fn html(mut page: Response) -> Response {
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    );
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    page
}

/// `GET /schemas/{kind}.json`.
fn document_schema(told: &Told, file: &str, headers: &HeaderMap) -> Answer {
    match told.schema(file) {
        Some(schema) => Ok(schema.answer(headers)),
        None => Err(ApiError::not_found("schema", &file.chars().take(80).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    /// Answers that nobody reads hold no copy of the text.
    #[tokio::test]
    async fn answers_share_the_kept_bytes() {
        let kept = Kept::new("text/plain", "x".repeat(100_000));
        for (request, bytes) in [
            (HeaderMap::new(), &kept.plain),
            (headers(header::ACCEPT_ENCODING, "gzip"), kept.gzip.as_ref().unwrap()),
        ] {
            for _ in 0..3 {
                let body = kept.answer(&request).into_body();
                let sent = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                assert_eq!(sent.as_ptr(), bytes.as_ptr());
            }
        }
        assert!(kept.gzip.unwrap().len() < 1_000);
    }

    #[test]
    fn known_texts_are_not_sent_again() {
        let kept = Kept::new("text/plain", "text".to_owned());
        let tag = kept.answer(&HeaderMap::new()).headers()[header::ETAG].clone();
        let known = kept.answer(&headers(header::IF_NONE_MATCH, tag.to_str().unwrap()));
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(known.headers()[header::ETAG], tag);
        let other = kept.answer(&headers(header::IF_NONE_MATCH, "\"other\""));
        assert_eq!(other.status(), StatusCode::OK);
        let gzip = kept.answer(&headers(header::ACCEPT_ENCODING, "br, gzip;q=0.5"));
        assert_eq!(gzip.headers()[header::CONTENT_ENCODING], "gzip");
        assert_ne!(gzip.headers()[header::ETAG], tag, "another form has another tag");
    }

    #[test]
    fn gzip_is_sent_to_those_that_accept_it() {
        for (accepted, want) in [
            ("gzip", true),
            ("deflate, GZIP;q=1.0", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(
                accepts_gzip(&headers(header::ACCEPT_ENCODING, accepted)),
                want,
                "{accepted}"
            );
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
