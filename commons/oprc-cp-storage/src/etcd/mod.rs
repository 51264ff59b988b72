//! The store in etcd, for production.
//!
//! Invariants:
//! - every call ends within the configured time;
//! - a write is sent a second time only when it is certain that the first was not carried out;
//! - every transaction that writes also writes the key `head`, so that its revision is the newest of
//!   ours (etcd's own revision also moves for other people's keys).
//!
//! Calls and watches have a connection each: a watch that is not read must not use up the window of
//! the connection that calls go by.

mod endpoints;
mod failure;
mod keys;
mod options;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, GetResponse, ResponseHeader};

pub use self::options::{EtcdOptions, Password, Secret};
use self::{
    endpoints::{Endpoints, Repeat},
    failure::{About, Failure},
    keys::Keys,
};
use crate::{
    Error, HEAD_KEY, KeyValue, LeaseId, MAX_PAGE_ITEMS, Page, Revision, Store, Txn, Watch, limits,
};

/// The most bytes of one answer; a page that is larger is asked for again, half as long.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The store in etcd. Clones share their connections.
#[derive(Clone)]
pub struct EtcdStore {
    inner: Arc<Inner>,
}

/// What the store and its watches share.
struct Inner {
    keys: Keys,
    calls: Endpoints,
    watches: Endpoints,
    timeout: Duration,
    /// The most writes and checks of one transaction.
    max_txn_ops: usize,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("keys", &self.inner.keys).finish_non_exhaustive()
    }
}

impl EtcdStore {
    /// Connects to the member that first answers a read, so that a mistake is reported now.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no member answers; [`Error::Refused`] when the options are wrong;
    /// [`Error::Unauthorized`] when the user or its password are.
    pub async fn connect(options: EtcdOptions) -> Result<Self, Error> {
        if options.endpoints.is_empty() {
            return Err(Error::Refused { reason: "no endpoint is configured".to_owned() });
        }
        let inner = Inner {
            keys: Keys::new(&options.key_prefix),
            calls: Endpoints::new(&options),
            watches: Endpoints::new(&options),
            timeout: options.timeout,
            max_txn_ops: options.max_txn_ops.saturating_sub(limits::RESERVED_TXN_OPS),
        };
        let store = Self { inner: Arc::new(inner) };
        store.choose_member().await?;
        Ok(store)
    }

    /// Asks all members side by side: a silent one must not delay the start.
    async fn choose_member(&self) -> Result<(), Error> {
        let key = self.inner.keys.full(HEAD_KEY);
        let read = |client: Client| {
            let key = key.clone();
            let options = GetOptions::new().with_keys_only();
            async move { client.kv_client().get(key, Some(options)).await.map(drop) }
        };
        let first = self.inner.calls.first_to_answer(read).await.map_err(Failure::into_error)?;
        self.inner.calls.prefer(first);
        self.inner.watches.prefer(first);
        Ok(())
    }

    /// Makes etcd forget what was before `revision`, of all its keys, for good.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] when it has done so already, or `revision` lies ahead;
    /// [`Error::Unavailable`], [`Error::Refused`].
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let call = |client: Client| async move {
            client.kv_client().compact(to_i64(revision), None).await
        };
        let compacted = self.inner.calls.call(Repeat::Safe, About::revision(revision), call).await;
        compacted.map(|_| ()).map_err(Failure::into_error)
    }

    async fn range(
        &self,
        key: String,
        options: GetOptions,
        about: About,
    ) -> Result<GetResponse, Failure> {
        let call = |client: Client| {
            let mut client = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
            let (key, options) = (key.clone(), options.clone());
            async move { client.get(key, Some(options)).await }
        };
        self.inner.calls.call(Repeat::Safe, about, call).await
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn max_txn_ops(&self) -> usize {
        self.inner.max_txn_ops
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let response = self.range(self.inner.keys.full(key), GetOptions::new(), About::NOTHING);
        let response = response.await.map_err(Failure::into_error)?;
        Ok(response.kvs().first().map(|kv| to_key_value(key.to_owned(), kv)))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let keys = &self.inner.keys;
        let start = match after {
            Some(after) if after >= prefix => format!("{}\0", keys.full(after)),
            Some(_) | None => keys.full(prefix),
        };
        let end = keys.end_of(prefix);
        if start.as_bytes() >= end.as_slice() {
            let revision = match at {
                Some(revision) => revision,
                None => self.head().await?,
            };
            return Ok(Page { items: Vec::new(), revision, has_more: false });
        }
        let mut limit = limit.clamp(1, MAX_PAGE_ITEMS);
        let response = loop {
            let mut options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
            if let Some(revision) = at {
                options = options.with_revision(to_i64(revision));
            }
            let about = About::revision(at.unwrap_or_default());
            match self.range(start.clone(), options, about).await {
                Err(Failure::TooLarge(_)) if limit > 1 => limit /= 2,
                answer => break answer.map_err(Failure::into_error)?,
            }
        };
        let is_ours = |key: &String| key != HEAD_KEY;
        let items = response
            .kvs()
            .iter()
            .filter_map(|kv| keys.relative(kv.key()).filter(is_ours).map(|key| (key, kv)))
            .map(|(key, kv)| to_key_value(key, kv))
            .collect();
        let revision = at.unwrap_or_else(|| revision_of(response.header()));
        Ok(Page { items, revision, has_more: response.more() })
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        limits::validate(&txn, self.inner.max_txn_ops)?;
        let request = transaction::request(&self.inner.keys, &txn);
        let about = About::lease(transaction::first_lease(&txn));
        let repeat = if txn.writes.is_empty() { Repeat::Safe } else { Repeat::Unsafe };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.kv_client().txn(request).await }
        };
        let response = self.inner.calls.call(repeat, about, call).await;
        let response = response.map_err(|failure| match repeat {
            Repeat::Safe => failure.into_error(),
            Repeat::Unsafe => failure.into_write_error(),
        })?;
        if !response.succeeded() {
            return Err(Error::Conflict { keys: transaction::failing_keys(&txn, &response) });
        }
        Ok(revision_of(response.header()))
    }

    /// A transaction whose condition never holds: it needs a quorum, the permission to write and room,
    /// and makes no revision.
    async fn probe(&self) -> Result<(), Error> {
        let request = transaction::never(&self.inner.keys);
        let call = |client: Client| {
            let request = request.clone();
            async move { client.kv_client().txn(request).await }
        };
        let response = self.inner.calls.call(Repeat::Safe, About::NOTHING, call).await;
        response.map(|_| ()).map_err(Failure::into_error)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        watch::watch(Arc::clone(&self.inner), prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        let options = GetOptions::new().with_keys_only();
        let response = self.range(self.inner.keys.full(HEAD_KEY), options, About::NOTHING);
        let response = response.await.map_err(Failure::into_error)?;
        Ok(response.kvs().first().map_or(Revision(0), |kv| to_revision(kv.mod_revision())))
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        let call = |client: Client| async move {
            client.lease_client().grant(i64::from(ttl_secs.max(1)), None).await
        };
        let response = self.inner.calls.call(Repeat::Unsafe, About::NOTHING, call).await;
        Ok(LeaseId(response.map_err(Failure::into_write_error)?.id()))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let call = |client: Client| async move { client.lease_client().keep_alive(lease.0).await };
        let kept = self.inner.calls.call(Repeat::Safe, About::lease(lease), call).await;
        kept.map(|_| ()).map_err(Failure::into_error)
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        let call = |client: Client| async move { client.lease_client().revoke(lease.0).await };
        match self.inner.calls.call(Repeat::Safe, About::lease(lease), call).await {
            Ok(_) | Err(Failure::Final(Error::LeaseGone(_))) => Ok(()),
            Err(failure) => Err(failure.into_write_error()),
        }
    }
}

fn revision_of(header: Option<&ResponseHeader>) -> Revision {
    to_revision(header.map_or(0, ResponseHeader::revision))
}

/// etcd's revisions are never negative.
fn to_revision(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0))
}

fn to_i64(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn to_key_value(key: String, kv: &etcd_client::KeyValue) -> KeyValue {
    KeyValue {
        key,
        value: kv.value().to_vec().into(),
        create_revision: to_revision(kv.create_revision()),
        mod_revision: to_revision(kv.mod_revision()),
    }
}
