//! Writes that land long after their caller gave up.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Op, Page, Revision, Store, Txn, Watch, memory::MemoryStore,
};
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

/// How late units are written.
const LATE: Duration = Duration::from_secs(3);

/// A store that says of each write of units that it may have landed, and lets it land later.
#[derive(Default)]
struct LateUnits(MemoryStore);

#[async_trait]
impl Store for LateUnits {
    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        let is_unit_put = |key: &str, op: &Op| key.starts_with("units/") && *op != Op::Delete;
        if !txn.writes.iter().any(|write| is_unit_put(&write.key, &write.op)) {
            return self.0.txn(txn).await;
        }
        let store = self.0.clone();
        tokio::spawn(async move {
            sleep(LATE).await;
            let _ = store.txn(txn).await;
        });
        Err(Error::MaybeDone { source: "the connection was reset".into() })
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.0.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.0.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.0.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.0.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.0.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.0.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.0.revoke_lease(lease).await
    }
}

#[tokio::test(start_paused = true)]
async fn units_that_are_written_late_do_not_outlive_their_spec() {
    let east = SimulatedCrm::new("east", ALL);
    let store = Arc::new(LateUnits::default());
    let world = World::start_on(store, std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    sleep(LATE / 2).await;
    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    world.quiet().await;
    assert!(east.inner.lock().effects.is_empty(), "{:?}", east.inner.lock().effects);
}

#[tokio::test(start_paused = true)]
async fn units_that_are_written_late_come_to_run() {
    let east = SimulatedCrm::new("east", ALL);
    let store = Arc::new(LateUnits::default());
    let world = World::start_on(store, std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);
}
