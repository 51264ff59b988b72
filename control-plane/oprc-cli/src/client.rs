//! The Package Manager's REST interface, as the command line uses it.
//!
//! Every call has a timeout, every answer a limit, every retry a bound. Redirects are not
//! followed: a token must not travel to a place that the user did not name.

mod retry;

use std::{path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use oprc_models::problem::Problem;
use reqwest::{
    Certificate, Method, StatusCode, Url,
    header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION},
};
use serde_json::Value;

use crate::error::Error;

/// How long connecting may take. Far links need a second or two; more means that nobody is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one call may take. The server answers from its cache and store; its own bounds are
/// well below this.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes: a page of [`PAGE`] documents is far below it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Items asked for in one page of a list.
const PAGE: usize = 500;

/// The most items of a list that are taken into memory.
const MAX_ITEMS: usize = 100_000;

/// Where the server is, and how to speak to it.
#[derive(Clone, Default)]
pub(crate) struct Endpoint {
    /// Base URL.
    pub(crate) server: String,
    /// Bearer token.
    pub(crate) token: Option<String>,
    /// PEM file with the authorities to trust beside the system's.
    pub(crate) ca_cert: Option<PathBuf>,
    /// Whether to take any certificate.
    pub(crate) skip_verify: bool,
}

/// A client of one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// One call.
pub(crate) struct Call<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Bytes>,
    etag: Option<&'a str>,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: &[], body: None, etag: None }
    }

    /// A read of `path`, below `/api/v1`.
    pub(crate) fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// A write of `document`, in YAML, to `path`.
    pub(crate) fn put(path: &'a [&'a str], document: &str) -> Self {
        Self { body: Some(document.to_owned().into()), ..Self::new(Method::PUT, path) }
    }

    /// A request to delete `path`.
    pub(crate) fn delete(path: &'a [&'a str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// With a query.
    pub(crate) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    /// Answered by [`Answer::is_unchanged`] where what is there still has this entity tag.
    pub(crate) fn unless(self, etag: Option<&'a str>) -> Self {
        Self { etag, ..self }
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    /// Its entity tag.
    pub(crate) etag: Option<String>,
    /// Its document; null where there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Whether what was read is as it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }

    /// Whether what was written is new.
    pub(crate) fn is_created(&self) -> bool {
        self.status == StatusCode::CREATED
    }
}

impl Client {
    /// A client of `endpoint`. Connects to nothing yet.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let base = parse_server(&endpoint.server)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error says that another thread was first, with the same provider.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("oprc/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(endpoint.token.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .tls_danger_accept_invalid_certs(endpoint.skip_verify);
        if is_loopback(&base) {
            builder = builder.no_proxy(); // A proxy's own loopback is not ours.
        }
        if let Some(path) = &endpoint.ca_cert {
            let what = || format!("cannot read the CA certificate {}", path.display());
            let pem =
                std::fs::read(path).map_err(|source| Error::Local { what: what(), source })?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|_| Error::usage(format!("{}: no PEM certificates", what())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|err| Error::usage(format!("cannot use TLS: {err}")))?;
        Ok(Self { http, base })
    }

    /// The server's URL, for people.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Makes `call`, about `subject`.
    ///
    /// A busy server is asked again, and so is one whose answer was lost: every call here may be
    /// repeated.
    pub(crate) async fn call(&self, subject: &str, call: Call<'_>) -> Result<Answer, Error> {
        let mut retries = retry::Retries::default();
        loop {
            let (failure, retry_after) = match self.call_once(subject, &call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match retries.pause(&failure, retry_after) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    /// The items of the list at `path`, in the server's order, over all pages; at most `limit`.
    pub(crate) async fn list(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, Error> {
        let list = self.list_unless(path, query, limit, None).await?;
        Ok(list.map(|(items, _)| items).unwrap_or_default())
    }

    /// As [`Client::list`], with the entity tag of a list that is one page; none where it is still
    /// `etag`.
    pub(crate) async fn list_unless(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: Option<usize>,
        etag: Option<&str>,
    ) -> Result<Option<(Vec<Value>, Option<String>)>, Error> {
        let limit = limit.unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        let subject = path.join("/");
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = PAGE.min(limit - items.len()).to_string();
            let mut query: Vec<(&str, &str)> =
                query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            query.push(("limit", &page));
            query.extend(next.as_deref().map(|next| ("continue", next)));

            let call = Call::get(path).query(&query).unless(etag.filter(|_| next.is_none()));
            let mut answer = self.call(&subject, call).await?;
            if answer.is_unchanged() {
                return Ok(None);
            }
            let Some(Value::Array(page)) = answer.body.get_mut("items").map(Value::take) else {
                return Err(self.odd("a list without items"));
            };
            items.extend(page);
            items.truncate(limit);
            let more = answer.body.get("continue").and_then(Value::as_str).map(str::to_owned);
            if items.len() == limit || more.is_none() {
                // A page's tag speaks of that page: only a list of one page can be asked for by it.
                let etag = answer.etag.filter(|_| next.is_none());
                return Ok(Some((items, etag)));
            }
            if more == next {
                return Err(self.odd("a page that continues with itself"));
            }
            next = more;
        }
    }

    async fn call_once(
        &self,
        subject: &str,
        call: &Call<'_>,
    ) -> Result<Answer, (Error, Option<Duration>)> {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/yaml").body(body.clone());
        }
        if let Some(etag) = call.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let lost = |source: reqwest::Error| (self.lost(source), None);
        let mut response = request.send().await.map_err(lost)?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err((self.odd("more than 64 MiB; ask for less with --limit"), None));
            }
            bytes.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let body =
                if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
            let body = body.map_err(|_| (self.odd("a body that is not JSON"), None))?;
            let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            return Ok(Answer { status, etag, body });
        }
        if let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) {
            let to = String::from_utf8_lossy(location.as_bytes());
            return Err((self.odd(&format!("a redirect to {to}; name that as the server")), None));
        }
        let problem = Box::new(problem(status, &bytes));
        let retry_after = retry::retry_after(headers);
        Err((Error::Refused { subject: subject.to_owned(), problem }, retry_after))
    }

    fn url(&self, call: &Call<'_>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        url
    }

    fn lost(&self, source: reqwest::Error) -> Error {
        let (server, source) = (self.server().to_owned(), source.without_url());
        if source.is_connect() {
            Error::Unreachable { server, source }
        } else {
            Error::Unanswered { server, source }
        }
    }

    /// The server's answer is odd in this way.
    pub(crate) fn odd(&self, what: &str) -> Error {
        Error::Answer { server: self.server().to_owned(), what: what.to_owned() }
    }
}

/// The problem that an answer tells of; made up from the status where it tells none.
fn problem(status: StatusCode, body: &[u8]) -> Problem {
    let told = serde_json::from_slice::<Problem>(body).unwrap_or_default();
    let title = if told.title.is_empty() {
        status.canonical_reason().unwrap_or("refused").to_owned()
    } else {
        told.title
    };
    Problem { status: status.as_u16(), title, ..told }
}

/// The server's base URL: http or https, with a host, without credentials.
pub(crate) fn parse_server(server: &str) -> Result<Url, Error> {
    let want = "want a URL such as https://pm.example.org";
    // What has an `@` may hold a password, however wrong the rest of it is.
    let shown = if server.contains('@') { "…" } else { server };
    let mut url = Url::parse(server)
        .map_err(|err| Error::usage(format!("server {shown:?}: {err}; {want}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::usage(format!("server {shown:?}: {want}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage("the server's URL holds credentials; give a token instead"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn headers(token: Option<&str>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers
        .insert("accept", HeaderValue::from_static("application/json, application/problem+json"));
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::usage("the token has characters that no token has"))?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
