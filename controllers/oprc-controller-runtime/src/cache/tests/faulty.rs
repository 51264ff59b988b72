//! A store in memory whose faults are switched on and off.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Op, Page, Precondition, Revision, Store, Txn, Watch, Write,
    memory::MemoryStore,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{sync::watch, time::sleep};

#[derive(Clone, Copy, Default)]
struct Faults {
    /// Nothing answers, and running watches break. Writes by tests go on.
    is_down: bool,
    /// A watch tells nothing until this ends; it breaks when it begins or ends.
    is_silent: bool,
    is_always_compacted: bool,
    /// Watches lack all changes, and say nothing of it.
    is_losing: bool,
    head_delay: Duration,
    /// How often the store was replaced.
    n_restored: u32,
}

pub(super) struct FaultyStore {
    store: Mutex<MemoryStore>,
    faults: watch::Sender<Faults>,
    n_lists: AtomicUsize,
    n_heads: AtomicUsize,
    /// Before which page of a listing what is put.
    before_page: Mutex<Option<(usize, Vec<String>)>>,
}

impl Default for FaultyStore {
    fn default() -> Self {
        Self {
            store: Mutex::default(),
            faults: watch::Sender::new(Faults::default()),
            n_lists: AtomicUsize::new(0),
            n_heads: AtomicUsize::new(0),
            before_page: Mutex::default(),
        }
    }
}

fn package(name: &str) -> Bytes {
    let time = "1970-01-01T00:00:00Z";
    let meta = json!({"uid": "u", "generation": 1, "created_at": time, "updated_at": time});
    Bytes::from(json!({"meta": meta, "spec": {"name": name}}).to_string())
}

impl FaultyStore {
    fn inner(&self) -> MemoryStore {
        self.store.lock().clone()
    }

    async fn write(&self, names: &[&str], op: impl Fn(&str) -> Op) {
        let mut writes = Vec::new();
        for name in names {
            let key = format!("packages/{name}");
            let before = self.inner().get(&key).await.unwrap();
            let precondition =
                before.map_or(Precondition::Absent, |before| Precondition::At(before.mod_revision));
            writes.push(Write { key, precondition, op: op(name) });
        }
        self.inner().txn(Txn { checks: Vec::new(), writes }).await.unwrap();
    }

    /// Writes a package, faults or not.
    pub(super) async fn put(&self, name: &str) {
        self.put_together(&[name]).await;
    }

    /// Writes packages in one transaction.
    pub(super) async fn put_together(&self, names: &[&str]) {
        self.write(names, |name| Op::Put(package(name))).await;
    }

    pub(super) async fn put_garbage(&self, name: &str) {
        self.write(&[name], |_| Op::Put(Bytes::from_static(b"\xff{"))).await;
    }

    pub(super) async fn delete(&self, name: &str) {
        self.write(&[name], |_| Op::Delete).await;
    }

    pub(super) async fn compact(&self) {
        let head = self.inner().head().await.unwrap();
        self.inner().compact(head.next());
    }

    /// An empty store takes the place of this one, as after a restore.
    pub(super) fn restore_empty(&self) {
        *self.store.lock() = MemoryStore::default();
        self.faults.send_modify(|faults| faults.n_restored += 1);
    }

    pub(super) fn put_before_page(&self, page: usize, names: &[&str]) {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        *self.before_page.lock() = Some((page, names));
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.faults.send_modify(|faults| faults.is_down = is_down);
    }

    pub(super) fn set_silent(&self, is_silent: bool) {
        self.faults.send_modify(|faults| faults.is_silent = is_silent);
    }

    pub(super) fn set_always_compacted(&self, is_always_compacted: bool) {
        self.faults.send_modify(|faults| faults.is_always_compacted = is_always_compacted);
    }

    pub(super) fn set_losing(&self, is_losing: bool) {
        self.faults.send_modify(|faults| faults.is_losing = is_losing);
    }

    pub(super) fn set_head_delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.head_delay = delay);
    }

    /// Listings that were begun.
    pub(super) fn n_lists(&self) -> usize {
        self.n_lists.load(Relaxed)
    }

    pub(super) fn n_heads(&self) -> usize {
        self.n_heads.load(Relaxed)
    }

    fn check(&self) -> Result<Faults, Error> {
        let faults = *self.faults.borrow();
        if faults.is_down {
            return Err(Error::Unavailable { source: "down".into() });
        }
        Ok(faults)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.check()?;
        self.inner().get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.check()?;
        if after.is_none() {
            self.n_lists.fetch_add(1, Relaxed);
        } else {
            let due = self.before_page.lock().take_if(|(page, _)| *page == 1);
            for name in due.into_iter().flat_map(|(_, names)| names) {
                self.put(&name).await;
            }
        }
        self.inner().list(prefix, after, limit, at).await
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.check()?;
        self.inner().txn(txn).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        let faults = self.check()?;
        // As etcd's: one that begins after the next revision would skip changes.
        let newest = self.inner().head().await?;
        if faults.is_always_compacted || from > newest.next() {
            return Err(Error::Compacted { asked: from });
        }
        let inner = self.inner().watch(prefix, from).await?;
        let inner = if faults.is_silent { stream::pending().boxed() } else { inner };
        let losses = self.faults.subscribe();
        let inner = inner.map_ok(move |mut batch| {
            if losses.borrow().is_losing {
                batch.changes.clear();
            }
            batch
        });
        let mut changed = self.faults.subscribe();
        changed.mark_unchanged();
        let watching = move |faults: &Faults, now: &Faults| {
            (faults.is_down, faults.is_silent, faults.is_always_compacted, faults.n_restored)
                == (now.is_down, now.is_silent, now.is_always_compacted, now.n_restored)
        };
        let broken = async move {
            // An error would mean that the store is gone.
            let _ = changed.wait_for(|now| !watching(&faults, now)).await;
            Err(Error::Unavailable { source: "reset".into() })
        };
        let broken = stream::once(broken).chain(stream::pending());
        Ok(stream::select(inner, broken).boxed())
    }

    async fn head(&self) -> Result<Revision, Error> {
        let faults = self.check()?;
        self.n_heads.fetch_add(1, Relaxed);
        let head = self.inner().head().await;
        sleep(faults.head_delay).await;
        head
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.inner().grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner().keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner().revoke_lease(lease).await
    }
}
