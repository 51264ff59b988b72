//! What the backends of one process share: reads, and watches without buffers.
//!
//! A watch owns no queue: it is a cursor into the log of [`Mvcc`], woken by a counter. So a slow
//! watcher costs nothing, and one that falls behind the log ends with [`Error::Compacted`].

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture, stream};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{Error, KeyValue, Page, Revision, Watch, WatchBatch, mvcc::Mvcc};

/// The most transactions that one batch of a watch tells of.
const MAX_BATCH_TXNS: usize = 256;

/// The state and the bell that is rung when it has changed.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) mvcc: Mvcc,
    is_closed: bool,
}

/// Ends the leases that have run out, durably if the backend is, before the future is done.
pub(crate) type Expire = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Shared {
    pub(crate) fn new(mvcc: Mvcc) -> Self {
        let state = Mutex::new(State { mvcc, is_closed: false });
        Self { state, changed: watch::Sender::new(()) }
    }

    /// Runs `read` on the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Mvcc) -> T) -> T {
        read(&self.state.lock().mvcc)
    }

    /// Runs `write` on the state and wakes the watches.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Mvcc) -> T) -> T {
        let answer = write(&mut self.state.lock().mvcc);
        self.changed.send_replace(());
        answer
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.send_replace(());
    }

    /// Whether a lease has run out that is still there.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.read(|mvcc| mvcc.next_expiry().is_some_and(|expiry| expiry <= now))
    }

    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        self.read(|mvcc| mvcc.get(key).map(|item| item.key_value.clone()))
    }

    pub(crate) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.read(|mvcc| mvcc.list(prefix, after, limit, at))
    }

    /// The changes under `prefix` from `from` on. Leases that run out meanwhile end by `expire`.
    pub(crate) fn watch(
        self: &Arc<Self>,
        prefix: &str,
        from: Revision,
        expire: Expire,
    ) -> Result<Watch, Error> {
        let next = from.max(Revision(1));
        self.read(|mvcc| mvcc.changes(prefix, next, 1))?;
        let cursor = Cursor {
            bell: self.changed.subscribe(),
            shared: Arc::clone(self),
            prefix: prefix.to_owned(),
            next,
            expire,
        };
        let batches = stream::unfold(Some(cursor), |cursor| async {
            let mut cursor = cursor?;
            match cursor.batch().await {
                Ok(batch) => Some((Ok(batch), Some(cursor))),
                Err(err) => Some((Err(err), None)),
            }
        });
        Ok(Box::pin(batches))
    }
}

/// A watch: where it is in the log.
struct Cursor {
    shared: Arc<Shared>,
    bell: watch::Receiver<()>,
    prefix: String,
    next: Revision,
    expire: Expire,
}

impl Cursor {
    /// The next changes, as soon as there are any.
    async fn batch(&mut self) -> Result<WatchBatch, Error> {
        loop {
            self.bell.mark_unchanged();
            let expiry = {
                let state = self.shared.state.lock();
                if state.is_closed {
                    return Err(Error::Unavailable { source: "the store was closed".into() });
                }
                if let Some(batch) = state.mvcc.changes(&self.prefix, self.next, MAX_BATCH_TXNS)? {
                    self.next = batch.revision.next();
                    return Ok(batch);
                }
                state.mvcc.next_expiry()
            };
            let expired = async {
                match expiry {
                    Some(expiry) => sleep_until(expiry).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.bell.changed() => {
                    assert!(changed.is_ok(), "the bell lives as long as `shared`");
                }
                () = expired => (self.expire)().boxed().await,
            }
        }
    }
}
