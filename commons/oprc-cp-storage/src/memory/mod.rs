//! The store in memory: for tests, and for a Package Manager that may forget.
//!
//! Leases need no task: reads end those that have run out before they look, and watches wait for the
//! next expiry. So it works under a paused clock, and there is nothing to shut down.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::time::Instant;

use crate::{
    Error, KeyValue, LeaseId, Page, Revision, Store, Txn, Watch,
    local::{Expire, Shared},
    mvcc::{Mvcc, Options, Pending},
};

/// The store in memory. Clones share their contents.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { shared: Arc::new(Shared::new(Mvcc::new(options))) }
    }

    /// Forgets what was before `revision`, as etcd does when it is compacted.
    pub fn compact(&self, revision: Revision) {
        self.shared.write(|mvcc| mvcc.compact(revision));
    }

    /// Decides with `decide` and publishes at once.
    fn commit<T>(&self, decide: impl FnOnce(&Mvcc, &mut Pending, Instant) -> T) -> T {
        commit(&self.shared, decide)
    }

    fn expire(&self) {
        if self.shared.has_expired(Instant::now()) {
            self.commit(|_, _, _| ());
        }
    }
}

/// Ends what has run out, then runs `decide`, and publishes both.
fn commit<T>(shared: &Shared, decide: impl FnOnce(&Mvcc, &mut Pending, Instant) -> T) -> T {
    let now = Instant::now();
    shared.write(|mvcc| {
        let mut pending = Pending::default();
        pending.expire(mvcc, now);
        let answer = decide(mvcc, &mut pending, now);
        mvcc.publish(pending);
        answer
    })
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.expire();
        Ok(self.shared.get(key))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.expire();
        self.shared.list(prefix, after, limit, at)
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.commit(|mvcc, pending, now| pending.txn(mvcc, txn, now))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        let shared = Arc::clone(&self.shared);
        let expire: Expire = Arc::new(move || {
            commit(&shared, |_, _, _| ());
            std::future::ready(()).boxed()
        });
        self.shared.watch(prefix, from, expire)
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.expire();
        Ok(self.shared.read(Mvcc::revision))
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        // Watches must hear of the new expiry, so this is a write like another.
        Ok(self.shared.write(|mvcc| mvcc.grant_lease(ttl_secs, Instant::now())))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.expire();
        self.shared.write(|mvcc| mvcc.keep_alive(lease, Instant::now()))
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.commit(|mvcc, pending, _| pending.end_lease(mvcc, lease));
        Ok(())
    }
}
