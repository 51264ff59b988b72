//! An open watch: the bytes of a CRM's answer, as events.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::stream::{StreamExt as _, try_unfold};
use oprc_models::crm::RecordEvent;
use reqwest::{Response, header};
use tokio::time::{Instant, timeout_at};

use crate::{
    CallError, Watch,
    answer::Cause,
    records,
    sse::{MAX_EVENT_BYTES, Parser, TooLong},
};

/// How long a stream may say nothing at all, comments included, before it is taken for dead.
///
/// Why 45 s: servers send a comment every 15 to 30 s to keep proxies from cutting the stream.
const MAX_SILENCE: Duration = Duration::from_secs(45);

/// How long a stream may bring comments and neither event nor bookmark: its connection lives, what
/// feeds it may not.
const MAX_WITHOUT_EVENT: Duration = Duration::from_secs(5 * 60);

struct Stream {
    response: Response,
    parser: Parser,
    owner: Arc<str>,
    /// Events that have come and were not asked for yet: those of one read of the socket.
    ready: VecDeque<Vec<u8>>,
    last_bytes: Instant,
    last_event: Instant,
}

/// The events of `response`.
pub(crate) fn events(response: Response, owner: Arc<str>) -> Result<Watch, CallError> {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
        return Err(Cause::garbage("not a stream of server-sent events"));
    }
    let now = Instant::now();
    let stream = Stream {
        response,
        parser: Parser::default(),
        owner,
        ready: VecDeque::new(),
        last_bytes: now,
        last_event: now,
    };
    let next = |mut stream: Stream| async move {
        let event = stream.next().await?;
        Ok::<_, CallError>(event.map(|event| (event, stream)))
    };
    Ok(try_unfold(stream, next).boxed())
}

impl Stream {
    /// The next event; none when the CRM ended the stream.
    async fn next(&mut self) -> Result<Option<RecordEvent>, CallError> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return records::event(&data, &self.owner).map(Some);
            }
            let dead_at = (self.last_bytes + MAX_SILENCE).min(self.last_event + MAX_WITHOUT_EVENT);
            let chunk = match timeout_at(dead_at, self.response.chunk()).await {
                Err(_) => return Err(Cause::Timeout(dead_at - self.last_event).unanswered()),
                Ok(Err(err)) => return Err(Cause::Connection(err.without_url()).unanswered()),
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(chunk))) => chunk,
            };
            self.last_bytes = Instant::now();
            let ready = &mut self.ready;
            self.parser
                .push(&chunk, |data| ready.push_back(data))
                .map_err(|TooLong| Cause::TooLong { limit_bytes: MAX_EVENT_BYTES }.unanswered())?;
            if !self.ready.is_empty() {
                self.last_event = self.last_bytes;
            }
        }
    }
}
