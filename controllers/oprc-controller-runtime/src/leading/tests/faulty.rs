//! A store that fails as it is told to.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Page, Revision, Store, Txn, Watch, memory::MemoryStore,
};
use parking_lot::Mutex;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// It answers nothing, nor does anything.
    Hangs,
    /// It cannot be reached, and says so.
    Unavailable,
    /// Transactions land, and their answers are lost.
    LosesAnswers,
    /// Transactions are lost, and nobody knows.
    LosesTxns,
    /// Keep-alives are answered, and nothing is kept alive.
    FakesKeepAlives,
    /// Watches deliver nothing.
    IsDeaf,
    /// The two above at once: only a read tells the truth.
    FakesKeepAlivesAndIsDeaf,
    /// Leases run out between the transaction and the next call.
    RevokesAfterTxn,
    /// Writes are refused for the credentials. Leases are kept alive all the same, as by etcd.
    RefusesWrites,
    /// Writes find no room.
    IsFull,
}

#[derive(Clone, Default)]
pub(super) struct Faulty {
    pub(super) inner: MemoryStore,
    fault: Arc<Mutex<Fault>>,
    n_calls: Arc<Mutex<usize>>,
}

impl Faulty {
    /// Another way to the same contents, with faults of its own.
    pub(super) fn beside(&self) -> Self {
        Self { inner: self.inner.clone(), ..Self::default() }
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    pub(super) fn n_calls(&self) -> usize {
        *self.n_calls.lock()
    }

    /// The fault, after what it does to every call.
    async fn fault(&self) -> Result<Fault, Error> {
        *self.n_calls.lock() += 1;
        let fault = *self.fault.lock();
        match fault {
            Fault::Hangs => pending().await,
            Fault::Unavailable => Err(Error::Unavailable { source: "told to be".into() }),
            fault => Ok(fault),
        }
    }
}

fn maybe<T>() -> Result<T, Error> {
    Err(Error::MaybeDone { source: "told to be".into() })
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.fault().await?;
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.fault().await?;
        self.inner.list(prefix, after, limit, at).await
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        match self.fault().await? {
            Fault::LosesAnswers => {
                self.inner.txn(txn).await?;
                maybe()
            }
            Fault::LosesTxns => maybe(),
            Fault::RefusesWrites => Err(Error::Unauthorized { reason: "told to".to_owned() }),
            Fault::IsFull => Err(Error::Full { source: "told to be".into() }),
            Fault::RevokesAfterTxn => {
                let leases = txn.writes.iter().filter_map(|write| match write.op {
                    oprc_cp_storage::Op::PutLeased(_, lease) => Some(lease),
                    _ => None,
                });
                let leases: Vec<LeaseId> = leases.collect();
                let revision = self.inner.txn(txn).await?;
                for lease in leases {
                    self.inner.revoke_lease(lease).await?;
                }
                Ok(revision)
            }
            _ => self.inner.txn(txn).await,
        }
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        match self.fault().await? {
            Fault::IsDeaf | Fault::FakesKeepAlivesAndIsDeaf => Ok(stream::pending().boxed()),
            _ => self.inner.watch(prefix, from).await,
        }
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.fault().await?;
        self.inner.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.fault().await?;
        self.inner.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        match self.fault().await? {
            Fault::FakesKeepAlives | Fault::FakesKeepAlivesAndIsDeaf => Ok(()),
            _ => self.inner.keep_alive(lease).await,
        }
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.fault().await?;
        self.inner.revoke_lease(lease).await
    }
}
