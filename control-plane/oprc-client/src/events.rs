//! The server's events: what changes, as it happens.

use std::time::Duration;

use bytes::BytesMut;
use oprc_models::view::Page;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    call::Call,
    client::{CALL_TIMEOUT, Client},
    error::Error,
    retry,
};

/// How long the server may be silent. It sends a bookmark more often than that, unless it is
/// configured not to; then the watch is resumed, with nothing lost.
const MAX_SILENCE: Duration = Duration::from_secs(120);

/// As long as a watch may take: for ever, as far as a timer goes.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The longest event, in bytes: a document has at most a few.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, or `ERROR`.
    pub what: String,
    /// Where to resume after it; none in the initial state.
    pub id: Option<String>,
    /// More of it: `kind`, `key`, `revision`, `object`.
    pub data: Value,
}

/// An open watch.
pub struct Events<'a> {
    client: &'a Client,
    response: reqwest::Response,
    buffer: BytesMut,
    /// How far the buffer is known to hold no end of an event.
    n_searched: usize,
}

impl<'a, T: DeserializeOwned> Call<'a, Page<T>> {
    /// Watches what the list holds: what is after the event `last_id`, or all there is and then what
    /// changes. `None`: this server cannot tell.
    ///
    /// # Errors
    ///
    /// See [`Error`]; refused with 410, the server no longer knows what was after `last_id`.
    pub async fn watch(self, last_id: Option<&str>) -> Result<Option<Events<'a>>, Error> {
        let subject = self.subject();
        let call = self.query("watch", "true");
        let client = call.client();
        let mut request = client.request(&call).timeout(FOR_EVER);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let Ok(answered) = timeout(CALL_TIMEOUT, request.send()).await else {
            return Err(client.odd("nothing, for a long time"));
        };
        let response = answered.map_err(|source| client.lost(source))?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let is_stream =
            media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        match response.status() {
            StatusCode::OK if is_stream => {
                let buffer = BytesMut::new();
                Ok(Some(Events { client, response, buffer, n_searched: 0 }))
            }
            StatusCode::OK => Ok(None),
            status => {
                let retry_after = retry::retry_after(response.headers());
                let body = timeout(CALL_TIMEOUT, response.bytes()).await;
                let body = body.ok().and_then(Result::ok).unwrap_or_default();
                let refused = client.refused(subject, status, &body);
                if refused.problem().is_some_and(|problem| problem.code == "unknown_parameter") {
                    return Ok(None); // An older server.
                }
                if let Some(pause) = retry_after {
                    tokio::time::sleep(pause.min(CALL_TIMEOUT)).await;
                }
                Err(refused)
            }
        }
    }
}

impl Events<'_> {
    /// The next event; `None` where the watch ended, or was silent for too long: it can be resumed.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(frame) = self.frame() {
                let event = parse(&frame);
                return event.map(Some).ok_or_else(|| self.client.odd("an event that is none"));
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(self.client.odd("an event without an end"));
            }
            match timeout(MAX_SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => return Ok(None),
                Ok(Err(source)) => return Err(self.client.lost(source)),
            }
        }
    }

    /// Takes one event's text from the buffer, if it is there to its end.
    fn frame(&mut self) -> Option<BytesMut> {
        let fresh = self.buffer.get(self.n_searched..).unwrap_or_default();
        match fresh.windows(2).position(|two| two == b"\n\n") {
            Some(end) => {
                let end = self.n_searched + end + 2;
                self.n_searched = 0;
                Some(self.buffer.split_to(end))
            }
            None => {
                self.n_searched = self.buffer.len().saturating_sub(1);
                None
            }
        }
    }
}

/// Reads one event; `None` where it is none of ours.
fn parse(frame: &[u8]) -> Option<Event> {
    let frame = std::str::from_utf8(frame).ok()?;
    let field = |name: &str| {
        let mut lines = frame.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(field, _)| *field == name)?;
        Some(value.strip_prefix(' ').unwrap_or(value))
    };
    let what = field("event")?.to_owned();
    let id = field("id").map(str::to_owned);
    let data = serde_json::from_str(field("data")?).ok()?;
    Some(Event { what, id, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read() {
        let event = parse(b"event: ADDED\nid: 7.1\ndata: {\"a\":\"b: c\"}\n\n").unwrap();
        let want = Event {
            what: "ADDED".to_owned(),
            id: Some("7.1".to_owned()),
            data: json!({ "a": "b: c" }),
        };
        assert_eq!(event, want);
        for wrong in ["", "data: {}", "event: ADDED", "event: ADDED\ndata: {"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
