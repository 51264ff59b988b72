//! The HTTP side: one client of one server.

use std::time::Duration;

use bytes::BytesMut;
use oprc_models::problem::Problem;
use reqwest::{
    Certificate, Response, StatusCode, Url,
    header::{
        CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION,
    },
};
use serde::de::DeserializeOwned;

use crate::{
    call::{Answer, Call},
    endpoint::{Endpoint, is_loopback, parse_server},
    error::Error,
    retry,
};

/// How long connecting may take. Far links need a second or two; more means that nobody is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one call may take. The server answers from its cache and store; its own bounds are
/// well below this.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes: a page of [`PAGE`] documents is far below it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Says that an answer may be behind the store.
const STALE: HeaderName = HeaderName::from_static("oprc-stale");

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// A failure, and how long the server asked to be left alone after it.
type Failed = (Error, Option<Duration>);

impl Client {
    /// A client of `endpoint`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] and [`Error::Certificate`].
    pub fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let base = parse_server(&endpoint.server)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error says that another thread was first, with the same provider.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("oprc-client/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(endpoint.token.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .tls_danger_accept_invalid_certs(endpoint.skip_verify);
        if is_loopback(&base) {
            builder = builder.no_proxy(); // A proxy's own loopback is not ours.
        }
        if let Some(path) = &endpoint.ca_cert {
            let pem = std::fs::read(path)
                .map_err(|source| Error::Certificate { path: path.clone(), source })?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| {
                let path = path.display();
                Error::configuration(format!("the CA certificate {path}: no PEM certificates"))
            })?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|err| Error::configuration(format!("cannot use TLS: {err}")))?;
        Ok(Self { http, base })
    }

    /// The server's URL, for people.
    #[must_use]
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Makes `call`; none where what is there is as the caller knows it.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        call: &Call<'_, T>,
    ) -> Result<Option<Answer<T>>, Error> {
        let mut retries = retry::Retries::default();
        loop {
            let (failure, retry_after) = match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match retries.pause(&failure, retry_after) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    async fn send_once<T: DeserializeOwned>(
        &self,
        call: &Call<'_, T>,
    ) -> Result<Option<Answer<T>>, Failed> {
        let mut request = self.request(call);
        if let Some(body) = &call.body {
            // JSON is YAML, too.
            request = request.header(CONTENT_TYPE, "application/yaml").body(body.clone());
        }
        for (name, etag) in [(IF_MATCH, call.if_match), (IF_NONE_MATCH, call.if_none_match)] {
            if let Some(etag) = etag {
                request = request.header(name, etag);
            }
        }
        let mut response = request.send().await.map_err(|source| (self.lost(source), None))?;
        let bytes = self.body(&mut response).await.map_err(|failure| (failure, None))?;
        let (status, headers) = (response.status(), response.headers());
        if status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        if status.is_success() {
            let body = self.read(&bytes).map_err(|failure| (failure, None))?;
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            return Ok(Some(Answer {
                body,
                etag: text(ETAG).map(str::to_owned),
                is_created: status == StatusCode::CREATED,
                is_stale: text(STALE) == Some("true"),
            }));
        }
        if let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) {
            let to = String::from_utf8_lossy(location.as_bytes());
            return Err((self.odd(&format!("a redirect to {to}; name that as the server")), None));
        }
        Err((self.refused(call.subject(), status, &bytes), retry::retry_after(headers)))
    }

    /// The failure of an answer with this status and body.
    ///
    /// A refusal without a code is not a Package Manager's. A proxy may say that the server is away or
    /// busy; anything else, most of all 404, comes from another program, and says nothing about the
    /// subject.
    pub(crate) fn refused(&self, subject: String, status: StatusCode, body: &[u8]) -> Error {
        let mut problem = Box::new(problem(status, body));
        let is_plain_http = self.base.scheme() == "http" && status == StatusCode::BAD_REQUEST;
        if is_plain_http && speaks_tls(body) {
            return self.wrong_scheme();
        }
        if !problem.code.is_empty() {
            return Error::Refused { subject, problem };
        }
        let is_by_proxy = matches!(problem.status, 429 | 502..=504);
        if is_by_proxy {
            problem.detail = format!("{} from {}", problem.title, self.server());
            return Error::Refused { subject, problem };
        }
        self.odd(&format!("{status} without a code; another program seems to listen there"))
    }

    /// The request of `call`, without body and conditions.
    pub(crate) fn request<T>(&self, call: &Call<'_, T>) -> reqwest::RequestBuilder {
        self.http.request(call.operation.method.clone(), self.url(call))
    }

    /// The body, up to a limit.
    async fn body(&self, response: &mut Response) -> Result<BytesMut, Error> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.lost(source))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.odd("more than 64 MiB; ask for less with a smaller limit"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Error> {
        let bytes = if bytes.is_empty() { b"null" } else { bytes };
        serde_json::from_slice(bytes).map_err(|err| {
            if err.is_data() {
                self.odd(&format!("a body of another shape: {err}"))
            } else {
                self.odd("a body that is not JSON")
            }
        })
    }

    pub(crate) fn url<T>(&self, call: &Call<'_, T>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.operation.segments(&call.names));
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    pub(crate) fn lost(&self, source: reqwest::Error) -> Error {
        if is_other_scheme(&source) {
            return self.wrong_scheme();
        }
        let (server, source) = (self.server().to_owned(), source.without_url());
        if source.is_connect() {
            Error::Unreachable { server, source }
        } else {
            Error::Unanswered { server, source }
        }
    }

    /// The failure that the URL should have the other scheme.
    fn wrong_scheme(&self) -> Error {
        let server = self.server().to_owned();
        let other = match server.split_once("://") {
            Some(("https", rest)) => format!("http://{rest}"),
            Some((_, rest)) => format!("https://{rest}"),
            None => server.clone(),
        };
        Error::Scheme { server, other }
    }

    /// The failure that the server's answer is odd in this way: for callers that read more from an
    /// answer than its type says.
    #[must_use]
    pub fn odd(&self, what: &str) -> Error {
        Error::Answer { server: self.server().to_owned(), what: what.to_owned() }
    }
}

/// Whether a 400 says that the port wants TLS. Servers have no common form for it: ours says `https`,
/// as do nginx, Apache and Go.
fn speaks_tls(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    !text.trim_start().starts_with('{') && (text.contains("https") || text.contains("ssl"))
}

/// Texts of libraries that say that one side speaks TLS and the other does not: the answer begins with
/// no TLS record, or with no HTTP. The libraries that make them are not ours to name, and a test holds
/// the texts.
const OTHER_SCHEME: [&str; 2] =
    ["corrupt message of type InvalidContentType", "invalid HTTP version parsed"];

fn is_other_scheme(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if OTHER_SCHEME.iter().any(|known| text.contains(known)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The problem that an answer tells of; made up from the status where it tells none.
pub(crate) fn problem(status: StatusCode, body: &[u8]) -> Problem {
    let told = serde_json::from_slice::<Problem>(body).unwrap_or_default();
    let title = if told.title.is_empty() {
        status.canonical_reason().unwrap_or("refused").to_owned()
    } else {
        told.title
    };
    Problem { status: status.as_u16(), title, ..told }
}

pub(crate) fn headers(token: Option<&str>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers
        .insert("accept", HeaderValue::from_static("application/json, application/problem+json"));
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::configuration("the token has characters that no token has"))?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    Ok(headers)
}
