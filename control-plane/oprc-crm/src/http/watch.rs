//! The watch of the records as server-sent events.
//!
//! A watch owns no queue: it is a cursor into the [feed](crate::feed) that moves when the client
//! reads. It ends when the client falls behind, when the server stops, or with the connection.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Duration, Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{App, answer::Failure};
use crate::{
    Error,
    crm::Crm,
    feed::{self, Lost, Mark},
    listing::Filter,
    metric,
};

/// About the most bytes of events given to a connection at once.
const MAX_CHUNK_BYTES: usize = 64 << 10;

/// Opens a watch of what happens after `from`, or from now on.
pub(crate) async fn open(
    app: &App,
    filter: Filter,
    from: Option<Mark>,
) -> Result<Response, Failure> {
    let permit = Arc::clone(&app.watches).try_acquire_owned();
    let permit = permit.map_err(|_| Failure::TooManyWatches)?;
    let head = app.crm.store.head().await.map_err(Error::from)?;
    let mark = from.unwrap_or(Mark::end_of(head));
    // From the future: a revision of another life of this CRM, whose store was lost.
    if mark < app.crm.feed.forgotten() || mark.revision() > head {
        return Err(Error::Expired { asked: mark.0 }.into());
    }
    let cursor = Cursor {
        bell: app.crm.feed.subscribe(),
        crm: Arc::clone(&app.crm),
        filter,
        mark,
        bookmark_interval: app.bookmark_interval,
        bookmark_due: Instant::now() + app.bookmark_interval,
        stop: app.stop.clone(),
        _permit: permit,
        _open: metric::OpenWatch::new(),
    };
    let frames = stream::unfold(cursor, |mut cursor| async {
        let frames = cursor.frames().await?;
        Some((Ok::<_, Infallible>(Bytes::from(frames)), cursor))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// Where a client is.
struct Cursor {
    crm: Arc<Crm>,
    bell: watch::Receiver<()>,
    filter: Filter,
    mark: Mark,
    bookmark_interval: Duration,
    bookmark_due: Instant,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _open: metric::OpenWatch,
}

impl Cursor {
    /// The next events, as soon as there are any, or a bookmark; `None` at the end.
    async fn frames(&mut self) -> Option<Vec<u8>> {
        loop {
            self.bell.mark_unchanged();
            let taken = match self.crm.feed.take(&self.filter, self.mark, MAX_CHUNK_BYTES) {
                Ok(taken) => taken,
                Err(Lost) => {
                    metric::watch_cut();
                    tracing::info!(revision = self.mark.0, "a watch fell behind and was cut off");
                    return None;
                }
            };
            self.mark = taken.mark;
            if !taken.frames.is_empty() {
                return Some(taken.frames);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                changed = self.bell.changed() => changed.ok()?,
                () = sleep_until(self.bookmark_due) => {
                    self.bookmark_due = Instant::now() + self.bookmark_interval;
                    return Some(feed::bookmark(self.mark));
                }
            }
        }
    }
}
