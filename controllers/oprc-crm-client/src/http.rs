//! The contract over HTTP: the calls, on one of a CRM's endpoints.
//!
//! Every call of the contract is idempotent (by id and generation), so one that failed on an
//! endpoint is tried on the next. What the caller is told takes all attempts together: if one of
//! them may have been carried out, so may the call.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use oprc_models::{
    cluster::ClusterHealth,
    crm::{CORRELATION_HEADER, DeploymentResponse, OWNER_HEADER, TERM_HEADER},
    names::{ClusterName, UnitId},
    unit::DeploymentUnit,
};
use oprc_observability::Brief;
use reqwest::{
    Method, StatusCode, Url,
    header::{self, HeaderMap, HeaderValue},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{
    CallError, Caller, Crm, Deleted, Page, Watch,
    answer::{Answer, Cause},
    credentials::Credentials,
    health,
    metrics::{self, Measured},
    options::{CrmOptions, InvalidOptions},
    records,
    transport::{self, Reply},
    watch,
};

/// The longest body of a single document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// The longest body of a page of records, in bytes.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// The longest timeout that options can ask for; beyond it lies the end of the clock.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The CRM of one cluster, over HTTP.
#[derive(Debug)]
pub struct HttpCrm {
    cluster: ClusterName,
    endpoints: Vec<Url>,
    /// Index of the endpoint to try first: the one that last answered, or the one after it if it
    /// has failed since.
    first: AtomicUsize,
    credentials: Credentials,
    /// Room for `apply` and `delete`. Health and listings need none, so that a probe never waits
    /// behind the calls that are stuck.
    room: Semaphore,
    timeout: Duration,
}

/// What goes to whichever endpoint.
struct Request<'a> {
    /// A metric's label.
    call: &'static str,
    method: Method,
    /// Below the endpoint's base URL.
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    reply: transport::Wanted,
    is_change: bool,
}

impl Request<'_> {
    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

impl HttpCrm {
    /// A client of the CRM that `options` describe. Connects with the first call.
    ///
    /// # Errors
    ///
    /// See [`InvalidOptions`]. Files are not looked at yet: one cluster's missing certificate does
    /// not keep the others from starting.
    pub fn new(options: CrmOptions) -> Result<Self, InvalidOptions> {
        let endpoints = options.base_urls()?;
        let is_tls = endpoints.iter().any(|url| url.scheme() == "https");
        let room = options.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            cluster: options.cluster.clone(),
            endpoints,
            first: AtomicUsize::new(0),
            room: Semaphore::new(room),
            timeout: options.timeout.min(MAX_TIMEOUT),
            credentials: Credentials::new(options, is_tls),
        })
    }

    /// Carries out `request`, measured and in time; `read` says what a reply means.
    async fn call<T>(
        &self,
        request: &Request<'_>,
        read: impl Fn(Reply) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let measured = Measured::begin(&self.cluster, request.call);
        let deadline = Instant::now() + self.timeout;
        let result = match self.make_room(request, deadline).await {
            Ok(_room) => self.try_endpoints(request, deadline, read).await,
            Err(err) => Err(err),
        };
        if let Err(CallError::Unauthorized { .. }) = &result {
            self.credentials.doubt().await;
        }
        measured.end(&result);
        result
    }

    /// Room for a change. It waits for half of the time at most: a call that began with little left
    /// would be cut off, and leave unknown what it has done.
    async fn make_room(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, CallError> {
        if !request.is_change {
            return Ok(None);
        }
        match timeout_at(deadline - self.timeout / 2, self.room.acquire()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            // Never closed; and a call that did not begin can be made again.
            Ok(Err(_)) | Err(_) => Err(CallError::Busy { retry_after: None, status: 0 }),
        }
    }

    async fn try_endpoints<T>(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        read: impl Fn(Reply) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let first = self.first.load(Ordering::Relaxed);
        let in_turn = self.endpoints.iter().enumerate().cycle().skip(first);
        let mut failed: Option<CallError> = None;
        for (i, endpoint) in in_turn.take(self.endpoints.len()) {
            let err = match self.attempt(endpoint, request, deadline).await.and_then(&read) {
                Ok(value) => {
                    self.first.store(i, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(err) => err,
            };
            let may_have_been_done = failed.as_ref().is_some_and(CallError::may_have_been_done);
            if !is_endpoints_fault(&err) {
                self.first.store(i, Ordering::Relaxed);
                // The refusal speaks for this attempt, not for the one before. This endpoint is
                // the first from now on, so the next call hears the refusal itself.
                return Err(if request.is_change && may_have_been_done {
                    Cause::RefusedAfterAll(err.into()).unanswered()
                } else {
                    err
                });
            }
            self.first.store((i + 1) % self.endpoints.len(), Ordering::Relaxed);
            if err.may_have_been_done() || !may_have_been_done {
                failed = Some(err);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| Cause::Timeout(self.timeout).unanswered()))
    }

    async fn attempt(
        &self,
        endpoint: &Url,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let session = match timeout_at(deadline, self.credentials.session()).await {
            Ok(Ok(session)) => session,
            Ok(Err(err)) => {
                return Err(CallError::Unauthorized { message: Brief(&err).to_string() });
            }
            Err(_) => {
                let source = Cause::Timeout(self.timeout).into();
                return Err(CallError::Unreachable { source });
            }
        };
        let mut outgoing = session
            .client
            .request(request.method.clone(), request.url(endpoint))
            .headers(request.headers.clone());
        if let Some(authorization) = &session.authorization {
            outgoing = outgoing.header(header::AUTHORIZATION, authorization);
        }
        if let Some(body) = &request.body {
            outgoing = outgoing.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        match timeout_at(deadline, outgoing.send()).await {
            Ok(Ok(response)) => transport::read(response, request.reply, deadline).await,
            Ok(Err(err)) => Err(transport::failure(err)),
            Err(_) => Err(Cause::Timeout(self.timeout).unanswered()),
        }
    }
}

/// Whether another endpoint of the same CRM may do better.
fn is_endpoints_fault(err: &CallError) -> bool {
    matches!(err, CallError::Unreachable { .. }) || err.may_have_been_done()
}

/// The headers that say who is calling.
fn headers(caller: &Caller, accept: &'static str) -> Result<HeaderMap, CallError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    if let Some(term) = caller.term {
        headers.insert(TERM_HEADER, HeaderValue::from(term));
    }
    // Without its owner a call would escape the check of its term: better none.
    let owner = HeaderValue::from_bytes(caller.owner.as_bytes());
    let owner = owner
        .map_err(|err| CallError::Unreachable { source: Cause::Request(err.into()).into() })?;
    headers.insert(OWNER_HEADER, owner);
    let correlation_id = caller.correlation_id.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(correlation_id)) = correlation_id {
        headers.insert(CORRELATION_HEADER, correlation_id);
    }
    Ok(headers)
}

const JSON: &str = "application/json, application/problem+json";

/// A reply that was read whole. What was asked for whole never comes as a stream.
fn whole(reply: Reply) -> Result<Answer, CallError> {
    match reply {
        Reply::Whole(answer) => Ok(answer),
        Reply::Stream(_) => Err(Cause::garbage("a stream that was not asked for")),
    }
}

#[async_trait]
impl Crm for HttpCrm {
    async fn health(&self, caller: &Caller) -> Result<ClusterHealth, CallError> {
        let request = Request {
            call: "health",
            method: Method::GET,
            path: &["health"],
            query: Vec::new(),
            headers: headers(caller, JSON)?,
            body: None,
            reply: transport::Wanted::Document { limit_bytes: MAX_DOCUMENT_BYTES },
            is_change: false,
        };
        let read = |reply| health::health(&whole(reply)?);
        self.call(&request, read).await
    }

    async fn apply(
        &self,
        caller: &Caller,
        unit: &DeploymentUnit,
    ) -> Result<DeploymentResponse, CallError> {
        let body = serde_json::to_vec(unit)
            .map_err(|err| CallError::Unreachable { source: Cause::Request(err.into()).into() })?;
        let request = Request {
            call: "apply",
            method: Method::POST,
            path: &["deployments"],
            query: Vec::new(),
            headers: headers(caller, JSON)?,
            body: Some(body.into()),
            reply: transport::Wanted::Document { limit_bytes: MAX_DOCUMENT_BYTES },
            is_change: true,
        };
        let read = |reply| {
            let response: DeploymentResponse = whole(reply)?.document()?;
            if response.id != unit.id {
                return Err(Cause::garbage("the answer is about another unit"));
            }
            Ok(response)
        };
        self.call(&request, read).await
    }

    async fn delete(
        &self,
        caller: &Caller,
        id: &UnitId,
        generation: u64,
    ) -> Result<Deleted, CallError> {
        let request = Request {
            call: "delete",
            method: Method::DELETE,
            path: &["deployments", id.as_str()],
            query: vec![("generation", generation.to_string())],
            headers: headers(caller, JSON)?,
            body: None,
            reply: transport::Wanted::Status,
            is_change: true,
        };
        let read = |reply| {
            let answer = whole(reply)?;
            match answer.status {
                StatusCode::NO_CONTENT => Ok(Deleted::Gone),
                status if status.is_success() => Ok(Deleted::Begun),
                // A proxy's 404 says that it knows no CRM, not that the CRM knows no unit. Taken
                // for gone, the unit would be forgotten while it runs.
                StatusCode::NOT_FOUND if answer.is_contractual() => Ok(Deleted::Gone),
                StatusCode::NOT_FOUND => Err(Cause::garbage("a 404 that is not the CRM's own")),
                _ => Err(answer.refusal()),
            }
        };
        self.call(&request, read).await
    }

    async fn list(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, CallError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(after.map(|after| ("continue", after.to_owned())));
        let request = Request {
            call: "list",
            method: Method::GET,
            path: &["deployment-records"],
            query,
            headers: headers(caller, JSON)?,
            body: None,
            reply: transport::Wanted::Document { limit_bytes: MAX_PAGE_BYTES },
            is_change: false,
        };
        let read = |reply| {
            let answer = whole(reply)?;
            if !answer.status.is_success() {
                return Err(answer.refusal());
            }
            let (page, n_skipped) = records::page(&answer.body, &caller.owner)?;
            if page.r#continue.is_some() && page.r#continue.as_deref() == after {
                return Err(Cause::garbage("a page that is to be continued where it began"));
            }
            if n_skipped > 0 {
                metrics::record_skipped(&self.cluster, n_skipped);
                let cluster = self.cluster.as_str();
                tracing::debug!(cluster, n_skipped, "skipped unreadable records of strangers");
            }
            Ok(page)
        };
        self.call(&request, read).await
    }

    async fn watch(&self, caller: &Caller, from: u64) -> Result<Watch, CallError> {
        let request = Request {
            call: "watch",
            method: Method::GET,
            path: &["deployment-records"],
            query: vec![("watch", "true".to_owned()), ("revision", from.to_string())],
            headers: headers(caller, "text/event-stream")?,
            body: None,
            reply: transport::Wanted::Stream,
            is_change: false,
        };
        let read = |reply| match reply {
            Reply::Stream(response) => watch::events(response, caller.owner.clone()),
            Reply::Whole(answer) if answer.status == StatusCode::GONE => Err(CallError::Gone),
            Reply::Whole(answer) => Err(answer.refusal()),
        };
        self.call(&request, read).await
    }
}

#[cfg(test)]
mod tests;
