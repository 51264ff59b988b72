//! The store of one process: everything in memory, and each transaction in a file before anybody
//! hears of it.
//!
//! Invariants:
//! - a transaction that was acknowledged, read or watched survives a power cut;
//! - a damaged or foreign file is never written to; one process at a time has a file open;
//! - what watches can be told of the past is the same after a restart, but for keys under leases;
//! - leases, and the keys under them, end with the process: whoever held them is gone;
//! - on a full disk, transactions that add nothing (deletions, elections, changes of a status) still
//!   succeed, as long as the reserve lasts.

mod disk;
mod medium;
mod private;
mod reserve;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::Path, sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

pub use self::{disk::OpenError, private::make_folder};
use self::{
    disk::{Contents, Disk},
    writer::{Command, What, Writer},
};
use crate::{
    Error, KeyValue, LeaseId, Page, Revision, Store, Txn, Watch,
    local::{Expire, Shared},
    mvcc::{Mvcc, Options},
};

/// How many commands wait for the writer at most; who comes later waits to be let in.
const MAX_QUEUED: usize = 1024;

/// How long a call may take. A disk that needs longer for a sync is not coming back.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a watch waits before it asks again to end leases.
const RETRY: Duration = Duration::from_secs(1);

/// How many transactions shared a sync.
const BATCH_METRIC: &str = "oprc_pm_store_sync_batch_transactions";

/// Describes the metrics of this backend.
pub(crate) fn describe_metrics() {
    metrics::describe_histogram!(
        BATCH_METRIC,
        "Transactions that shared one sync of the store file."
    );
}

/// The store of one process. Clones share it; the file is closed with the last.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Drop for Open {
    /// Waits for the writer, for one sync at most, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.shared.close();
        self.commands = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer has panicked");
        }
    }
}

impl EmbeddedStore {
    /// Opens the file at `path`, or makes a new one where there is none. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; the file is then as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let (disk, contents) = Disk::open(path.as_ref())?;
        let Contents { revision, key_values, past } = contents;
        let mvcc = Mvcc::restore(Options::default(), revision, key_values, past);
        Self::over(disk, mvcc)
            .map_err(|source| OpenError::Io { path: path.as_ref().to_owned(), source })
    }

    fn over(disk: Disk, mvcc: Mvcc) -> Result<Self, std::io::Error> {
        let shared = Arc::new(Shared::new(mvcc));
        let writer =
            Writer { shared: Arc::clone(&shared), disk, doubtful: None, is_failing: false };
        let (commands, queue) = mpsc::channel(MAX_QUEUED);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))?;
        let open = Open { shared, commands: Some(commands), writer: Some(writer) };
        Ok(Self { open: Arc::new(open) })
    }

    /// Forgets what was before `revision`, as etcd does when it is compacted.
    pub fn compact(&self, revision: Revision) {
        self.open.shared.write(|mvcc| mvcc.compact(revision));
    }

    async fn ask(&self, what: What) -> Result<Revision, Error> {
        match &self.open.commands {
            Some(commands) => ask(commands, what).await,
            None => Err(closed()),
        }
    }

    /// Ends what has run out before a read may see it. When the disk does not let it, the read goes
    /// on: it then shows keys that nobody keeps alive.
    async fn expire(&self) {
        if self.open.shared.has_expired(Instant::now())
            && let Err(err) = self.ask(What::Expire).await
        {
            tracing::warn!(error = %err, "ending leases failed");
        }
    }
}

/// Hands `what` to the writer and waits for its answer.
async fn ask(commands: &mpsc::Sender<Command>, what: What) -> Result<Revision, Error> {
    let (answer, answered) = oneshot::channel();
    let Ok(slot) = timeout(TIMEOUT, commands.reserve()).await else {
        return Err(Error::Unavailable { source: "the disk is too slow".into() });
    };
    slot.map_err(|_| closed())?.send(Command { what, now: Instant::now(), answer });
    match timeout(TIMEOUT, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::MaybeDone { source: "the writer is gone".into() }),
        Err(_) => Err(Error::MaybeDone { source: "the disk did not answer in time".into() }),
    }
}

fn closed() -> Error {
    Error::Unavailable { source: "the store was closed".into() }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.expire().await;
        Ok(self.open.shared.get(key))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.expire().await;
        self.open.shared.list(prefix, after, limit, at)
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.ask(What::Txn(txn)).await
    }

    /// Writes to the file only after a write has failed: in a quiet, healthy store it costs nothing.
    async fn probe(&self) -> Result<(), Error> {
        self.ask(What::Probe).await.map(drop)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        // Weak, since a watch must not keep the file open.
        let commands = self.open.commands.as_ref().map(mpsc::Sender::downgrade);
        let expire: Expire = Arc::new(move || {
            let commands = commands.as_ref().and_then(mpsc::WeakSender::upgrade);
            async move {
                if let Some(commands) = commands
                    && let Err(err) = ask(&commands, What::Expire).await
                {
                    tracing::warn!(error = %err, "ending leases failed");
                    sleep(RETRY).await;
                }
            }
            .boxed()
        });
        self.open.shared.watch(prefix, from, expire)
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.expire().await;
        Ok(self.open.shared.read(Mvcc::revision))
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        Ok(self.open.shared.write(|mvcc| mvcc.grant_lease(ttl_secs, Instant::now())))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.open.shared.write(|mvcc| mvcc.keep_alive(lease, Instant::now()))
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.ask(What::EndLease(lease)).await.map(|_| ())
    }
}
