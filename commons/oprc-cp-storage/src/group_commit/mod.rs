//! Transactions that arrive together go to the store as one.
//!
//! For etcd, 64 small transactions merged into one cost about a sixth of the 64. A lone transaction
//! goes at once: there is no timer. While merged ones are in flight others wait, and go together next.
//!
//! Invariants:
//! - only transactions that do not depend on each other's order share one, or are in flight together;
//! - each caller gets the result its transaction would have had alone: when the merged one conflicts,
//!   those that own a failing key hear so, and the others go again;
//! - a caller that goes away disturbs nobody: what it asked for and was not sent yet is not sent.

mod batch;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, error, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use self::batch::{Batch, Footprint, merge, own_keys};
use crate::{
    BoxError, Error, KeyValue, LeaseId, MAX_TXN_OPS, Page, Revision, Store, Txn, Watch, limits,
};

const MERGED_METRIC: &str = "oprc_pm_store_merged_transactions";

/// Describes the metrics of this module.
pub(crate) fn describe_metrics() {
    metrics::describe_histogram!(MERGED_METRIC, "Transactions that went to the store as one.");
}

/// How much may be merged.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most writes and checks of a merged transaction; no more than the store takes.
    pub max_ops: usize,
    /// The most bytes of a merged transaction. A larger single one goes alone.
    pub max_bytes: usize,
    /// The most merged transactions in flight.
    pub max_in_flight: usize,
    /// The most transactions that wait; who comes later waits to be let in.
    pub max_queued: usize,
    /// How long to wait to be let in.
    pub timeout: Duration,
}

impl Default for Options {
    /// One in flight: measured best for throughput and for latency alike (decision 0013). What waits
    /// meanwhile goes together, and etcd syncs one large transaction faster than two halves.
    fn default() -> Self {
        Self {
            max_ops: MAX_TXN_OPS,
            max_bytes: 1 << 20,
            max_in_flight: 1,
            max_queued: 4096,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A store that merges transactions. Everything else goes straight to the store beneath.
#[derive(Debug)]
pub struct GroupCommit<S> {
    inner: Arc<Inner<S>>,
}

impl<S> Clone for GroupCommit<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

#[derive(Debug)]
struct Inner<S> {
    store: S,
    options: Options,
    room: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Request>,
    flights: Vec<(u64, Footprint)>,
    n_flights: u64,
}

/// A transaction and who wants it.
#[derive(Debug)]
struct Request {
    txn: Txn,
    /// Goes by itself: the store's answer to the merged one did not say whose fault it was.
    is_alone: bool,
    answer: oneshot::Sender<Result<Revision, Error>>,
    _room: OwnedSemaphorePermit,
}

impl<S: Store> GroupCommit<S> {
    /// Merges what goes to `store`.
    #[must_use]
    pub fn new(store: S, options: Options) -> Self {
        let options = Options { max_ops: options.max_ops.min(store.max_txn_ops()), ..options };
        let inner = Inner {
            store,
            options,
            room: Arc::new(Semaphore::new(options.max_queued.max(1))),
            state: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl<S: Store> Inner<S> {
    /// Sends what can be sent now.
    fn dispatch(self: &Arc<Self>) {
        let mut flights = Vec::new();
        {
            let mut state = self.state.lock();
            while state.flights.len() < self.options.max_in_flight.max(1) {
                let (members, footprint) = state.next_batch(&self.options);
                if members.is_empty() {
                    break;
                }
                state.n_flights += 1;
                let id = state.n_flights;
                state.flights.push((id, footprint));
                flights.push((Flight { inner: Arc::clone(self), id }, members));
            }
        }
        for (flight, members) in flights {
            metrics::histogram!(MERGED_METRIC).record(members.len() as f64);
            // Not the caller's task: it may go away, and the others' transactions with it. And not
            // under the lock: a runtime that shuts down drops the task here.
            tokio::spawn(flight.fly(members));
        }
    }

    fn requeue(&self, again: Vec<Request>) {
        let mut state = self.state.lock();
        for request in again.into_iter().rev() {
            state.queue.push_front(request);
        }
    }
}

/// A merged transaction on its way. However it ends, its keys are free again.
struct Flight<S: Store> {
    inner: Arc<Inner<S>>,
    id: u64,
}

impl<S: Store> Flight<S> {
    async fn fly(self, members: Vec<Request>) {
        let merged = merge(members.iter().map(|request| &request.txn));
        let answer = self.inner.store.txn(merged).await;
        self.inner.requeue(conclude(answer, members));
        let inner = Arc::clone(&self.inner);
        drop(self);
        inner.dispatch();
    }
}

impl<S: Store> Drop for Flight<S> {
    fn drop(&mut self) {
        self.inner.state.lock().flights.retain(|(id, _)| *id != self.id);
        if std::thread::panicking() {
            // The store's panic ended this one; those that wait must not wait for ever.
            self.inner.dispatch();
        }
    }
}

impl State {
    /// The oldest transactions that can go together now; they leave the queue.
    fn next_batch(&mut self, options: &Options) -> (Vec<Request>, Footprint) {
        let mut batch = Batch::default();
        let mut members: Vec<Request> = Vec::new();
        let mut left = VecDeque::with_capacity(self.queue.len());
        // What stays behind is not overtaken by what depends on it.
        let mut behind = Footprint::default();
        let mut is_full = false;
        for request in self.queue.drain(..) {
            if request.answer.is_closed() {
                continue;
            }
            if is_full {
                left.push_back(request);
                continue;
            }
            let in_flight = self.flights.iter().map(|(_, footprint)| footprint);
            let is_free = in_flight
                .chain([&behind, &batch.footprint])
                .all(|other| other.is_apart_from(&request.txn))
                && (!request.is_alone || members.is_empty());
            if is_free && batch.take(&request.txn, options.max_ops, options.max_bytes) {
                is_full = request.is_alone;
                members.push(request);
                continue;
            }
            // What is free but has no room ends the batch, so that the small do not pass the large.
            is_full = is_free;
            behind.add(&request.txn);
            left.push_back(request);
        }
        self.queue = left;
        (members, batch.footprint)
    }
}

/// Answers `members` by the answer to their merged transaction. Returns those that go again.
fn conclude(answer: Result<Revision, Error>, mut members: Vec<Request>) -> Vec<Request> {
    let err = match answer {
        Ok(revision) => {
            for member in members {
                member.answer(Ok(revision));
            }
            return Vec::new();
        }
        Err(err) => err,
    };
    if members.len() == 1
        && let Some(member) = members.pop()
    {
        member.answer(Err(err));
        return Vec::new();
    }
    match err {
        Error::Conflict { keys } => {
            let mut again = Vec::new();
            for member in members {
                let keys = own_keys(&member.txn, &keys);
                match keys.is_empty() {
                    true => again.push(member),
                    false => member.answer(Err(Error::Conflict { keys })),
                }
            }
            again
        }
        // Somebody's lease is gone, or somebody's key may not be written: nothing was done.
        Error::LeaseGone(_) | Error::Refused { .. } | Error::Unauthorized { .. } => {
            members.iter_mut().for_each(|member| member.is_alone = true);
            members
        }
        Error::Unavailable { source } => {
            tell_all(members, source, |source| Error::Unavailable { source })
        }
        Error::MaybeDone { source } => {
            tell_all(members, source, |source| Error::MaybeDone { source })
        }
        Error::Full { source } => tell_all(members, source, |source| Error::Full { source }),
        Error::Compacted { asked } => {
            for member in members {
                member.answer(Err(Error::Compacted { asked }));
            }
            Vec::new()
        }
    }
}

fn tell_all(
    members: Vec<Request>,
    source: BoxError,
    error: impl Fn(BoxError) -> Error,
) -> Vec<Request> {
    let source: Arc<dyn error::Error + Send + Sync> = source.into();
    for member in members {
        member.answer(Err(error(Box::new(SharedCause(Arc::clone(&source))))));
    }
    Vec::new()
}

impl Request {
    fn answer(self, answer: Result<Revision, Error>) {
        // Whoever has gone away does not hear it.
        let _ = self.answer.send(answer);
    }
}

/// A cause that several errors have in common.
struct SharedCause(Arc<dyn error::Error + Send + Sync>);

impl fmt::Debug for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl error::Error for SharedCause {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source()
    }
}

#[async_trait]
impl<S: Store> Store for GroupCommit<S> {
    fn max_txn_ops(&self) -> usize {
        self.inner.store.max_txn_ops()
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        limits::validate(&txn, self.max_txn_ops())?;
        if txn.writes.is_empty() {
            return self.inner.store.txn(txn).await;
        }
        let room = Arc::clone(&self.inner.room).acquire_owned();
        let Ok(Ok(room)) = timeout(self.inner.options.timeout, room).await else {
            return Err(Error::Unavailable { source: "too many transactions wait".into() });
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { txn, is_alone: false, answer, _room: room };
        self.inner.state.lock().queue.push_back(request);
        self.inner.dispatch();
        answered.await.unwrap_or_else(|_| {
            Err(Error::MaybeDone { source: "the transaction was abandoned".into() })
        })
    }

    /// Goes alone: its precondition fails, and would make a merged transaction fail.
    async fn probe(&self) -> Result<(), Error> {
        self.inner.store.probe().await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.inner.store.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.inner.store.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.inner.store.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.inner.store.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.inner.store.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner.store.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner.store.revoke_lease(lease).await
    }
}
