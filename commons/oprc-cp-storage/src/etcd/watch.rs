//! A watch on etcd: whole revisions, in order, none twice, none left out; and never silence.
//!
//! - Events of revisions that were delivered are dropped (etcd 3.4 can repeat them).
//! - A progress answer is a sign of life and nothing more: before etcd 3.4.25 it can claim a
//!   revision whose events have not been sent. The bookmark says what *we* delivered.
//! - etcd splits a revision over several messages only when asked to, and we do not ask.

use std::{sync::Arc, time::Duration};

use etcd_client::{EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use futures::stream;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::{
    Inner,
    endpoints::{Repeat, Used},
    failure::{About, Failure},
    to_i64, to_key_value, to_revision,
};
use crate::{Change, Error, HEAD_KEY, Revision, Watch, WatchBatch};

/// How often the stream is asked for a sign of life.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// How many questions may stay unanswered.
const MAX_UNANSWERED: u32 = 3;

/// The most bytes of one message. What does not fit is listed instead.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Starts the watch. See [`crate::Store::watch`].
pub(super) async fn watch(inner: Arc<Inner>, prefix: &str, from: Revision) -> Result<Watch, Error> {
    let from = from.max(Revision(1));
    // etcd waits in silence for a revision that lies ahead. Ours never do, unless the store was
    // restored from a backup; a linearizable read tells that from a member that lags.
    let now = current_revision(&inner).await?;
    if from > now.next() {
        return Err(Error::Compacted { asked: from });
    }
    // A token that has expired since the connection was made is told only after the start, and by
    // etcd 3.5.1 as a lack of permission. With a new connection there is a new token.
    let (used, stream) = match start(&inner, prefix, from).await {
        Err(Failure::TokenStale(_) | Failure::Unauthorized(_)) => start(&inner, prefix, from).await,
        started => started,
    }
    .map_err(Failure::into_error)?;
    let mut ask = interval(ASK_INTERVAL);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ask.reset();
    let delivered = Revision(from.0 - 1);
    let cursor = Cursor { inner, used, stream, delivered, ask, n_unanswered: 0 };
    let batches = stream::unfold(Some(cursor), |cursor| async {
        let mut cursor = cursor?;
        match cursor.batch().await {
            Ok(batch) => Some((Ok(batch), Some(cursor))),
            Err(err) => {
                cursor.inner.watches.give_up(cursor.used);
                Some((Err(err), None))
            }
        }
    });
    Ok(Box::pin(batches))
}

/// Opens the stream and waits until etcd says that the watch is there.
async fn start(
    inner: &Inner,
    prefix: &str,
    from: Revision,
) -> Result<(Used, WatchStream), Failure> {
    let (used, client) = inner.watches.client().await?;
    let options = WatchOptions::new()
        .with_range(inner.keys.end_of(prefix))
        .with_start_revision(to_i64(from))
        .with_progress_notify();
    let mut client = client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
    let started = async {
        let mut stream = client.watch(inner.keys.full(prefix), Some(options)).await?;
        let created = stream.message().await?;
        Ok((stream, created))
    };
    let failure = match timeout(inner.timeout, started).await {
        Ok(Ok((stream, Some(created)))) if !created.canceled() => return Ok((used, stream)),
        Ok(Ok((_, Some(canceled)))) => cancellation(&canceled, from),
        Ok(Ok((_, None))) => Failure::Unknown("etcd ended the watch at once".into()),
        Ok(Err(err)) => Failure::of(err, About::revision(from)),
        Err(_) => Failure::timeout(),
    };
    inner.watches.give_up(used);
    Err(failure)
}

/// Why etcd canceled the watch; `next` is the revision that would have been delivered next.
fn cancellation(response: &WatchResponse, next: Revision) -> Failure {
    let reason = response.cancel_reason();
    if response.compact_revision() > 0 {
        return Failure::Final(Error::Compacted { asked: next });
    }
    if reason.contains("auth token") {
        return Failure::TokenStale(reason.into());
    }
    // The first where authentication was switched on after the connection was made.
    if reason.contains("user name is empty") || reason.contains("permission denied") {
        return Failure::Unauthorized(reason.to_owned());
    }
    Failure::Unknown(format!("etcd ended the watch: {reason}").into())
}

/// The newest revision of the whole etcd.
async fn current_revision(inner: &Inner) -> Result<Revision, Error> {
    let key = inner.keys.full(HEAD_KEY);
    let call = |client: etcd_client::Client| {
        let key = key.clone();
        async move { client.kv_client().get(key, Some(GetOptions::new().with_count_only())).await }
    };
    let response = inner.calls.call(Repeat::Safe, About::NOTHING, call).await;
    let response = response.map_err(Failure::into_error)?;
    Ok(to_revision(response.header().map_or(0, etcd_client::ResponseHeader::revision)))
}

/// A watch: the stream and what it has delivered.
struct Cursor {
    inner: Arc<Inner>,
    used: Used,
    stream: WatchStream,
    delivered: Revision,
    ask: Interval,
    n_unanswered: u32,
}

impl Cursor {
    async fn batch(&mut self) -> Result<WatchBatch, Error> {
        let unavailable = |why: &str| Err(Error::Unavailable { source: why.into() });
        loop {
            let message = tokio::select! {
                biased;
                message = self.stream.message() => message,
                _ = self.ask.tick() => {
                    if self.n_unanswered >= MAX_UNANSWERED {
                        return unavailable("the watch is silent");
                    }
                    self.n_unanswered += 1;
                    let asked = self.stream.request_progress();
                    if !matches!(timeout(ASK_INTERVAL, asked).await, Ok(Ok(()))) {
                        return unavailable("the watch does not take questions");
                    }
                    continue;
                }
            };
            self.n_unanswered = 0;
            let response = match message {
                Ok(Some(response)) => response,
                Ok(None) => return unavailable("etcd ended the watch"),
                Err(err) => return Err(self.error_of(err)),
            };
            if response.canceled() {
                return Err(cancellation(&response, self.delivered.next()).into_error());
            }
            if let Some(batch) = self.take(&response) {
                return Ok(batch);
            }
        }
    }

    /// What is new in `response`; a bookmark when it has no events; `None` when it has only old ones.
    fn take(&mut self, response: &WatchResponse) -> Option<WatchBatch> {
        if response.events().is_empty() {
            return Some(WatchBatch { revision: self.delivered, changes: Vec::new() });
        }
        let mut newest = self.delivered;
        let mut changes = Vec::new();
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            let revision = to_revision(kv.mod_revision());
            if revision <= self.delivered {
                continue;
            }
            newest = newest.max(revision);
            match self.inner.keys.relative(kv.key()) {
                Some(key) if key != HEAD_KEY => changes.push(match event.event_type() {
                    EventType::Put => Change::Put(to_key_value(key, kv)),
                    EventType::Delete => Change::Delete { key, revision },
                }),
                Some(_) | None => (),
            }
        }
        let is_new = newest > self.delivered;
        self.delivered = newest;
        is_new.then_some(WatchBatch { revision: newest, changes })
    }

    fn error_of(&self, err: etcd_client::Error) -> Error {
        let asked = self.delivered.next();
        match Failure::of(err, About::revision(asked)) {
            // To watch again from here would fail again, for ever; a listing goes by pages.
            Failure::TooLarge(_) => Error::Compacted { asked },
            failure => failure.into_error(),
        }
    }
}
