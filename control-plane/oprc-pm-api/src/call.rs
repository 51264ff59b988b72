//! What every handler is given, and what it answers with.

use std::{convert::Infallible, str::FromStr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::{SharedStore, keys::Key};
use oprc_models::names::{ClusterName, InvalidName};
use tokio_util::sync::CancellationToken;

use crate::{
    ApiState, Limits,
    auth::{Access, Authority, Caller, Granted, Grants, Identity},
    door::{
        Door,
        audit::{Audit, Notes},
        rate::Limiter,
    },
    error::ApiError,
    etag,
    params::Params,
    reading::Readers,
    share::{Admission, Holder, Resource},
    writes::{Provenance, Writes},
};

/// What the handlers stand on.
pub(crate) struct App {
    pub(crate) writes: Writes,
    /// For what the cache does not hold: what documents were.
    pub(crate) store: SharedStore,
    pub(crate) cache: Arc<Cache>,
    pub(crate) freshness: Freshness,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    /// Pushes of many documents whose body is here.
    pub(crate) pushes: Arc<Resource>,
    /// Bytes of bodies in memory.
    pub(crate) bytes: Arc<Resource>,
    pub(crate) readers: Readers,
    pub(crate) metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    pub(crate) readiness: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(crate) default_cluster: Option<ClusterName>,
    pub(crate) owner: Arc<str>,
    pub(crate) new_uid: crate::NewUid,
    /// Watches that are open.
    pub(crate) watchers: Arc<Resource>,
    pub(crate) stopping: CancellationToken,
    pub(crate) door: Door,
    pub(crate) audit: Option<Audit>,
    pub(crate) limiter: Limiter,
    pub(crate) now: crate::Clock,
}

/// The shared form that handlers take.
pub(crate) type SharedApp = axum::extract::State<Arc<App>>;

/// What a handler answers.
pub(crate) type Answer = Result<Response, ApiError>;

impl From<ApiState> for App {
    fn from(state: ApiState) -> Self {
        let ApiState { store, cache, freshness, now, new_uid, .. } = state;
        let audit = state.door.audit.clone().map(|lines| Audit::new(lines, Arc::clone(&now)));
        let (reading, from) = (Arc::clone(&store), Arc::clone(&cache));
        let clock = Arc::clone(&now);
        let writes = Writes::new(store, from, freshness.clone(), clock, Arc::clone(&new_uid));
        let writes = writes
            .keeping(state.limits.max_revisions)
            .with_version_policy(state.limits.version_policy);
        Self {
            writes,
            store: reading,
            cache,
            freshness,
            access: state.access,
            limits: state.limits,
            pushes: Resource::new("pushes", state.limits.max_pushes),
            bytes: Resource::new("bytes", state.limits.max_bytes),
            readers: Readers::default(),
            metrics: state.metrics,
            readiness: state.readiness,
            default_cluster: state.default_cluster,
            owner: state.owner,
            new_uid,
            watchers: Resource::new("watches", state.limits.max_watches),
            stopping: state.stopping,
            limiter: Limiter::new(&state.door.rates),
            door: state.door,
            audit,
            now,
        }
    }
}

/// How current an answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// It shows everything that was written before the request.
    Linearizable,
    /// It shows what is known here and now.
    Cached,
}

/// Whether what was read may be behind the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsStale(pub(crate) bool);

impl App {
    /// Waits until the cache is as current as `consistency` asks for.
    pub(crate) async fn settle(&self, consistency: Consistency) -> Result<IsStale, ApiError> {
        let position = self.cache.position();
        if position.revision.is_none() {
            let detail = "starting: what is stored has not been read yet";
            return Err(ApiError::unavailable("not_ready", detail));
        }
        match consistency {
            Consistency::Linearizable => {
                self.freshness.wait().await?;
                Ok(IsStale(false))
            }
            Consistency::Cached => {
                Ok(IsStale(!position.is_live || self.cache.writes().is_failing()))
            }
        }
    }
}

/// The request's correlation id; [`crate::front`] puts it among the extensions.
#[derive(Clone, Debug)]
pub(crate) struct CorrelationId(pub(crate) Arc<str>);

/// Who calls, where callers have to say who they are; among the extensions like the id.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) Arc<str>);

/// A request, its path aside.
pub(crate) struct Call {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) by: By,
    pub(crate) body: Body,
    /// What the request holds: kept by work that may outlast it.
    pub(crate) admission: Admission,
}

impl<S: Sync> FromRequest<S> for Call {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let admission = parts.extensions.remove::<Admission>().unwrap_or_default();
        let by = By {
            holders: Holder::of(&parts.extensions),
            correlation_id: parts.extensions.remove::<CorrelationId>(),
            subject: parts.extensions.remove::<Subject>(),
            notes: parts.extensions.remove::<Notes>(),
            caller: parts.extensions.remove::<Caller>().map(|caller| caller.0),
            // Without the layer that grants, nothing is granted.
            grants: parts.extensions.remove::<Granted>().map(|it| it.0).unwrap_or_default(),
        };
        Ok(Self { uri: parts.uri, headers: parts.headers, by, body, admission })
    }
}

impl Call {
    pub(crate) fn params(&self) -> Result<Params, ApiError> {
        Params::parse(&self.uri)
    }
}

/// Whose request it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct By {
    holders: Vec<Holder>,
    correlation_id: Option<CorrelationId>,
    subject: Option<Subject>,
    notes: Option<Notes>,
    caller: Option<Arc<Identity>>,
    grants: Arc<Grants>,
}

impl By {
    /// Has the audit log name `key`, whatever becomes of the request.
    pub(crate) fn intends(&self, key: &Key) {
        if let Some(notes) = &self.notes {
            notes.intends(key);
        }
    }

    /// The callers that share what the request holds.
    pub(crate) fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> Option<&Identity> {
        self.caller.as_deref()
    }

    /// What they may do.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What is stored of it with a write.
    pub(crate) fn provenance(&self) -> Provenance<'_> {
        Provenance {
            correlation_id: self.correlation_id.as_ref().map(|id| &*id.0),
            subject: self.subject.as_ref().map(|subject| &*subject.0),
            authority: Authority::Of(&self.grants),
            ..Provenance::default()
        }
    }
}

/// The `consistency` that is asked for.
pub(crate) fn consistency(params: &mut Params) -> Result<Consistency, ApiError> {
    let words = [("linearizable", Consistency::Linearizable), ("cached", Consistency::Cached)];
    Ok(params.word("consistency", &words)?.unwrap_or(Consistency::Linearizable))
}

/// A name out of the path.
pub(crate) fn name<T: FromStr<Err = InvalidName>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: InvalidName| {
        ApiError::bad_request("invalid_name", format!("in the path: {error}"))
    })
}

/// Marks an answer that may be behind the store.
pub(crate) const STALE_HEADER: http::HeaderName = http::HeaderName::from_static("oprc-stale");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A read's answer: 304 where the caller has it, else what `body` writes.
pub(crate) fn tagged(
    headers: &HeaderMap,
    tag: &str,
    is_stale: IsStale,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
) -> Answer {
    let mut response = if etag::is_known(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut buffer = Vec::with_capacity(2048);
        body(&mut buffer)?;
        json(StatusCode::OK, buffer)
    };
    let headers = response.headers_mut();
    headers.extend(etag::header_value(tag).map(|tag| (header::ETAG, tag)));
    // What is answered changes at any time: caches must ask again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if is_stale.0 {
        headers.insert(STALE_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}
