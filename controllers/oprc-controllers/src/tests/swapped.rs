//! A store that goes back to its beginning, as one that was restored from a backup.

use async_trait::async_trait;
use futures::StreamExt;
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Op, Page, Precondition, Revision, Store, Txn, Watch, Write,
    memory::MemoryStore,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A store whose contents can be replaced by older ones.
pub(super) struct Swapped {
    store: Mutex<MemoryStore>,
    swapped: watch::Sender<()>,
}

impl Default for Swapped {
    fn default() -> Self {
        Self { store: Mutex::default(), swapped: watch::Sender::new(()) }
    }
}

impl Swapped {
    /// Loses all but the registrations of clusters, and begins to count revisions anew. Watches end.
    pub(super) async fn go_back(&self) {
        let kept = self.now().list("clusters/", None, 100, None).await.unwrap().items;
        let write = |item: KeyValue| Write {
            key: item.key,
            precondition: Precondition::Absent,
            op: Op::Put(item.value),
        };
        let older = MemoryStore::default();
        let writes = kept.into_iter().map(write).collect();
        older.txn(Txn { checks: Vec::new(), writes }).await.unwrap();
        *self.store.lock() = older;
        self.swapped.send_replace(());
    }

    fn now(&self) -> MemoryStore {
        self.store.lock().clone()
    }
}

#[async_trait]
impl Store for Swapped {
    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.now().txn(txn).await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.now().get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.now().list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        let mut swapped = self.swapped.subscribe();
        let changes = self.now().watch(prefix, from).await?;
        let until = async move {
            // The sender outlives the watch, or nothing changes any more.
            let _ = swapped.changed().await;
        };
        Ok(changes.take_until(Box::pin(until)).boxed())
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.now().head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.now().grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.now().keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.now().revoke_lease(lease).await
    }
}
