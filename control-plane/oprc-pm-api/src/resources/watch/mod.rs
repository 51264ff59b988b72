//! `/api/v1/watch`, and `?watch=true` on lists: what changes, as server-sent events.
//!
//! All of it comes from the cache's feed: a watcher costs the store nothing but one look, shared with
//! other readers, when it begins. It is no request under way, neither in the lanes nor to the
//! deadline: those end with the head of the answer.

mod frame;
mod initial;
mod selection;
mod watcher;

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use oprc_controller_runtime::cache::feed::{Cursor, Mark};

pub(crate) use self::selection::{Filter, Selection};
use self::watcher::Watcher;
use crate::{
    call::{Answer, App, Call, Consistency, SharedApp, consistency},
    error::ApiError,
    params::Params,
};

const WATCHERS: &str = "oprc_pm_watchers";
const EVENTS: &str = "oprc_pm_watch_events_total";
const CUT: &str = "oprc_pm_watchers_cut_total";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Has proxies that know it pass on each event when it comes.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) fn describe_metrics() {
    metrics::describe_gauge!(WATCHERS, "Watches that are open");
    metrics::describe_counter!(EVENTS, "Events sent to watches");
    metrics::describe_counter!(CUT, "Watches ended since they fell behind what is kept");
}

/// Where a watch begins.
pub(crate) struct Request {
    /// After this; `None`: with the initial state.
    since: Option<Mark>,
    consistency: Consistency,
}

impl Request {
    /// The watch that a list was asked for, if it was.
    pub(crate) fn of_list(
        params: &mut Params,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, ApiError> {
        if params.flag("watch")? { Self::new(params, headers).map(Some) } else { Ok(None) }
    }

    fn new(params: &mut Params, headers: &HeaderMap) -> Result<Self, ApiError> {
        let since = params.get::<Mark>("since")?;
        // Wins: a client that resumes by itself repeats the request as it was first made.
        let resumed = headers.get(&LAST_EVENT_ID).filter(|id| !id.is_empty());
        let resumed = resumed.map(|id| {
            let parsed = id.to_str().ok().and_then(|id| id.parse::<Mark>().ok());
            parsed.ok_or_else(|| {
                let detail = "Last-Event-ID: want the id of an event of a watch";
                ApiError::bad_request("invalid_header", detail)
            })
        });
        let since = resumed.transpose()?.or(since);
        Ok(Self { since, consistency: consistency(params)? })
    }
}

/// `GET /watch`.
pub(crate) async fn watch(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let filter = Filter::of_kinds(&mut params)?;
    let request = Request::new(&mut params, &call.headers)?;
    params.finish()?;
    open(app, &request, Selection::new(call.by, filter)).await
}

/// Opens a watch.
pub(crate) async fn open(app: Arc<App>, request: &Request, selection: Selection) -> Answer {
    if app.stopping.is_cancelled() {
        return Err(ApiError::unavailable("stopping", "this server is about to end"));
    }
    let share = app.watchers.take(selection.by().holders().to_vec());
    let share = share.map_err(|full| full.into_error("too_many_watches"))?;
    app.settle(request.consistency).await?;
    let cursor = match request.since {
        None => app.cache.feed().end(),
        Some(mark) => resume(&app, mark, request.consistency)?,
    };
    let watcher = Watcher::new(app, selection, cursor, request.since.is_none(), share);
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    let response: Response = (headers, Body::from_stream(events)).into_response();
    Ok(response)
}

/// The place after `mark`, or why there is none.
fn resume(app: &App, mark: Mark, consistency: Consistency) -> Result<Cursor, ApiError> {
    app.cache.feed().after(mark).map_err(|_| {
        let is_ahead = mark > app.cache.feed().end().mark;
        if is_ahead && consistency == Consistency::Cached {
            let detail = format!("revision {mark} is not known here yet");
            return ApiError::unavailable("unavailable", detail);
        }
        let why = if is_ahead {
            "lies ahead of what is stored: it is another store's, or this one was restored"
        } else {
            "is older than what is kept of the past"
        };
        let detail = format!("revision {mark} {why}; list again, and watch from there");
        ApiError::new(StatusCode::GONE, "revision_too_old", detail)
    })
}
