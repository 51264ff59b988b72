//! How far the cache must be for a read to be linearizable.

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::{Error, Revision, SharedStore};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Behind, Cache};

/// Reads that may wait for one answer of the store. More are told that it is out of reach.
const MAX_WAITING: usize = 65_536;

/// Linearizable reads from the cache.
///
/// One quorum read of the store's head serves all readers that were waiting when it was sent; those
/// that come while it is under way wait for the next, since its answer may be older than they are.
#[derive(Clone)]
pub struct Freshness {
    cache: Arc<Cache>,
    waiting: mpsc::Sender<oneshot::Sender<Answer>>,
    patience: Duration,
}

/// The store's head, or why it is not known.
type Answer = Result<Revision, Stale>;

/// Why the cache cannot be shown to be fresh.
#[derive(Debug, thiserror::Error)]
pub enum Stale {
    /// The store did not say how far it is.
    #[error("the store is out of reach")]
    OutOfReach,
    /// The store refuses the credentials.
    #[error("the store refuses our credentials")]
    Unauthorized,
    /// The cache did not get there in time.
    #[error(transparent)]
    Behind(#[from] Behind),
}

impl Freshness {
    /// Freshness of `cache`, and the task that asks `store` on its behalf until `stop`. A reader
    /// waits for `patience` at most, twice: for the store's answer and for the cache.
    pub fn new(
        cache: Arc<Cache>,
        store: SharedStore,
        patience: Duration,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (waiting, inbox) = mpsc::channel(MAX_WAITING);
        (Self { cache, waiting, patience }, ask(store, inbox, stop))
    }

    /// Waits until the cache shows everything that was written before this call.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the store does not answer or the cache lags.
    pub async fn wait(&self) -> Result<(), Stale> {
        let (sender, answer) = oneshot::channel();
        self.waiting.try_send(sender).map_err(|_| Stale::OutOfReach)?;
        let answer = tokio::time::timeout(self.patience, answer).await;
        let Ok(Ok(head)) = answer else { return Err(Stale::OutOfReach) };
        let head = head?;
        Ok(self.cache.wait_for(head, self.patience).await?)
    }
}

async fn ask(
    store: SharedStore,
    mut inbox: mpsc::Receiver<oneshot::Sender<Answer>>,
    stop: CancellationToken,
) {
    let mut waiters = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            n_waiters = inbox.recv_many(&mut waiters, MAX_WAITING) => if n_waiters == 0 { return },
        }
        match store.head().await {
            Ok(head) => waiters.drain(..).for_each(|waiter| {
                // A reader that has gone needs no answer.
                let _ = waiter.send(Ok(head));
            }),
            Err(Error::Unauthorized { .. }) => waiters.drain(..).for_each(|waiter| {
                let _ = waiter.send(Err(Stale::Unauthorized));
            }),
            Err(error) => {
                tracing::debug!(error = %error, "head of the store is not known");
                waiters.clear();
            }
        }
    }
}
