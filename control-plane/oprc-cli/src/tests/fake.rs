//! A Package Manager in memory: as much of its REST interface as the command line uses.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use oprc_models::document::{self, Format, Kind, PackageDocument};
use serde_json::{Value, json};

/// A running server; it ends with the test's runtime.
pub(super) struct Fake {
    pub(super) url: String,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Documents by path, for example `packages/shop`.
    documents: BTreeMap<String, Value>,
    /// Answers to give instead, by method and path, in turn; the last one stays for reads.
    canned: BTreeMap<String, VecDeque<Canned>>,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Canned {
    status: StatusCode,
    retry_after: bool,
    body: Value,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let state = Arc::new(Mutex::new(Inner::default()));
        let app = Router::new().fallback(serve).with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// Has `path` answer with `document`.
    pub(super) fn put(&self, path: &str, document: Value) {
        self.state.lock().unwrap().documents.insert(path.to_owned(), document);
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().documents.get(path).cloned()
    }

    /// Has the next call `what`, for example `PUT packages/shop`, answered so.
    pub(super) fn answer(&self, what: &str, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).unwrap();
        let canned = Canned { status, retry_after: status == 503, body };
        self.state.lock().unwrap().canned.entry(what.to_owned()).or_default().push_back(canned);
    }

    /// The writes so far, or all requests that begin with `prefix`.
    pub(super) fn requests(&self, prefix: &str) -> Vec<String> {
        let requests = &self.state.lock().unwrap().requests;
        requests.iter().filter(|request| request.starts_with(prefix)).cloned().collect()
    }
}

async fn serve(State(state): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().strip_prefix("/api/v1/").unwrap_or("?").to_owned();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.requests.push(format!("{} {path}{query}", parts.method));
    if let Some(canned) = state.canned(&format!("{} {path}", parts.method)) {
        return canned.into_response();
    }
    match parts.method {
        Method::GET => state.read(&path, &query, &parts.headers),
        Method::PUT => state.write(&path, &parts.headers, &body),
        Method::POST if path == "apply" => state.apply(&query, &body),
        Method::DELETE => match state.documents.remove(&path) {
            Some(_) => (StatusCode::ACCEPTED, "{}").into_response(),
            None => not_found(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl IntoResponse for Canned {
    fn into_response(self) -> Response {
        if let Value::String(events) = &self.body
            && events.starts_with("event: ")
        {
            let events = events.clone();
            return ([("content-type", "text/event-stream")], events).into_response();
        }
        let mut response = (self.status, self.body.to_string()).into_response();
        if self.retry_after {
            response.headers_mut().insert("retry-after", "0".parse().unwrap());
        }
        response
    }
}

impl Inner {
    fn canned(&mut self, what: &str) -> Option<Canned> {
        let answers = self.canned.get_mut(what)?;
        if what.starts_with("GET") && answers.len() == 1 && answers[0].status.is_success() {
            return answers.front().cloned();
        }
        answers.pop_front()
    }

    fn read(&self, path: &str, query: &str, headers: &HeaderMap) -> Response {
        let body = if path.contains('/') {
            let Some(document) = self.documents.get(path) else { return not_found() };
            document.clone()
        } else {
            self.list(path, query)
        };
        let text = body.to_string();
        let etag = format!("\"{}\"", text.len());
        if headers.get("if-none-match").is_some_and(|known| known == etag.as_str()) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        ([("etag", etag)], text).into_response()
    }

    /// Pages of at most two.
    fn list(&self, path: &str, query: &str) -> Value {
        let prefix = format!("{path}/");
        let all: Vec<&Value> = self
            .documents
            .iter()
            .filter_map(|(key, value)| key.starts_with(&prefix).then_some(value))
            .collect();
        let after = query.split("continue=").nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let page: Vec<&Value> = all.iter().skip(after).take(2).copied().collect();
        let next = after + page.len();
        let mut list = json!({ "items": page, "revision": 1 });
        if next < all.len() {
            list["continue"] = next.to_string().into();
        }
        list
    }

    /// Stores a role binding.
    fn write(&mut self, path: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let media_type = headers["content-type"].to_str().unwrap();
        let format = Format::from_media_type(media_type).unwrap();
        let binding = document::role_binding(body, format).unwrap().value;
        let (is_new, mut stored) =
            self.store(path, serde_json::to_value(&binding).unwrap(), &Value::Null);
        stored["warnings"] = json!([{ "pointer": "/groups", "message": "not yet" }]);
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        (status, stored.to_string()).into_response()
    }

    /// Stores all documents of a push, inline deployments too, as their packages' own.
    fn apply(&mut self, query: &str, body: &Bytes) -> Response {
        let kept = query.contains("dry_run=true").then(|| self.documents.clone());
        let mut items = Vec::new();
        let nodes = document::pushed(body, Format::Yaml, 100, &document::never).unwrap();
        for (number, node) in nodes.into_iter().enumerate() {
            let at = format!("/{number}");
            if document::kind(&node) == Some(Kind::Deployment) {
                let deployment = document::deployment_node(node).unwrap().value;
                items.push(self.item(
                    &deployment,
                    "Deployment",
                    &deployment.key,
                    &Value::Null,
                    &at,
                ));
                continue;
            }
            let package = match document::package_node(node).unwrap().value {
                PackageDocument::Package(package) => package,
                PackageDocument::Deployments(_) => panic!("a list of deployments as a package"),
            };
            items.push(self.item(&package, "Package", &package.name, &Value::Null, &at));
            let owner = json!(package.name);
            for inline in &package.deployments {
                items.push(self.item(inline, "Deployment", &inline.key, &owner, &at));
            }
            let keys =
                package.deployments.iter().map(|inline| format!("deployments/{}", inline.key));
            let declared: Vec<String> = keys.collect();
            self.documents.retain(|path, document| {
                let is_released = document["meta"]["owner"] == owner && !declared.contains(path);
                if is_released {
                    let name = path.strip_prefix("deployments/").unwrap();
                    items.push(json!({ "kind": "Deployment", "name": name, "outcome": "deleted",
                        "generation": 1, "at": at }));
                }
                !is_released
            });
        }
        if let Some(kept) = kept {
            self.documents = kept;
        }
        let warnings = json!([{ "pointer": "/0/deployments", "message": "not yet" }]);
        json!({ "items": items, "warnings": warnings }).to_string().into_response()
    }

    /// Stores one of them, and says what became of it.
    fn item(
        &mut self,
        spec: &impl serde::Serialize,
        kind: &str,
        name: &impl std::fmt::Display,
        owner: &Value,
        at: &str,
    ) -> Value {
        let path = format!("{}s/{name}", kind.to_lowercase());
        let old = self.documents.get(&path).map(|before| before["meta"]["generation"].clone());
        let (is_new, stored) = self.store(&path, serde_json::to_value(spec).unwrap(), owner);
        let generation = stored["meta"]["generation"].clone();
        let outcome = match old {
            _ if is_new => "created",
            Some(old) if old == generation => "unchanged",
            _ => "replaced",
        };
        json!({ "kind": kind, "name": name.to_string(), "outcome": outcome,
            "generation": generation, "at": at })
    }

    fn store(&mut self, path: &str, mut spec: Value, owner: &Value) -> (bool, Value) {
        let before = self.documents.get(path);
        let old = before.map(|before| before["meta"]["generation"].as_u64().unwrap());
        let is_same = before.is_some_and(|before| {
            let mut before = before.clone();
            before.as_object_mut().unwrap().remove("meta");
            before == spec
        });
        let generation = old.unwrap_or_default() + u64::from(!is_same);
        spec["meta"] = json!({ "generation": generation, "owner": owner });
        self.documents.insert(path.to_owned(), spec.clone());
        (old.is_none(), spec)
    }
}

fn not_found() -> Response {
    let problem = json!({ "status": 404, "title": "Not Found", "code": "not_found",
        "detail": "there is no such thing", "correlation_id": "c-1" });
    (StatusCode::NOT_FOUND, problem.to_string()).into_response()
}
