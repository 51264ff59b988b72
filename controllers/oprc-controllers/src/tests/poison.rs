//! A reconcile that panics each time is told where users look, and makes no hot loop.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Page, Revision, Store, Txn, Watch, keys::Key, memory::MemoryStore,
};
use oprc_models::{
    condition::{Condition, Truth, find},
    record::RunCondition,
};
use parking_lot::Mutex;
use tokio::time::{Duration, sleep};

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

/// A store that panics when it is to write one of these keys, so many times for each.
#[derive(Default)]
struct Poisoned {
    store: MemoryStore,
    keys: Mutex<Vec<(&'static str, usize)>>,
    n_panics: AtomicUsize,
}

impl Poisoned {
    fn poison(&self, key: &'static str, times: usize) {
        *self.keys.lock() = vec![(key, times)];
        self.n_panics.store(0, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Poisoned {
    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        {
            let mut keys = self.keys.lock();
            let is_written = |key: &str| txn.writes.iter().any(|write| write.key == key);
            let poison = keys.iter_mut().find(|(key, left)| *left > 0 && is_written(key));
            if let Some((key, left)) = poison {
                *left -= 1;
                self.n_panics.fetch_add(1, Ordering::Relaxed);
                panic!("no. {left} at {key}");
            }
        }
        self.store.txn(txn).await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.store.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.store.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.store.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.store.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.store.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.revoke_lease(lease).await
    }
}

fn of_deployment(world: &World) -> Option<Condition> {
    find(&world.status("shop.cart")?.conditions, "ReconcileFailed").cloned()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_reconcile_panics_says_so_until_it_does_not() {
    let east = SimulatedCrm::new("east", ALL);
    let store = Arc::new(Poisoned::default());
    let world = World::start_on(store.clone(), std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    // From its first reconcile on, before anything else was said of it.
    store.poison("units/east/shop.cart", 20);
    world.put_deployment("u1", 1, &["east"]).await;
    world.put_many("u2", 1, "healthy", &["east"]).await;
    world.eventually(60, "told", |world| of_deployment(world).is_some()).await;
    let told = of_deployment(&world).unwrap();
    assert_eq!(
        (told.status, &*told.reason, told.observed_generation),
        (Truth::True, "Panicked", 1)
    );
    assert!(told.message.contains("at units/east/shop.cart"), "{}", told.message);
    assert_eq!(world.status("shop.cart").unwrap().condition, RunCondition::Pending);
    world.running("healthy", 1).await;

    // What it panics with is another each time, and yet it is told once; it slows down like any
    // other failure.
    let before = (world.store.head().await.unwrap(), store.n_panics.load(Ordering::Relaxed));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.store.head().await.unwrap(), before.0, "told once");
    let n_panics = store.n_panics.load(Ordering::Relaxed);
    assert!(n_panics > before.1, "it goes on trying");
    assert!(n_panics <= 18, "it slows down: {n_panics} panics");

    world.eventually(3600, "healed", |world| of_deployment(world).is_none()).await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_and_a_cluster_say_so_too() {
    let east = SimulatedCrm::new("east", ALL);
    let store = Arc::new(Poisoned::default());
    let world = World::start_on(store.clone(), std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let listening = {
        let said = Arc::clone(&said);
        world.cache.subscribe(Arc::new(move |_, state| {
            let package = state.package_statuses.get("shop").map(|it| it.value.conditions.clone());
            let cluster = state.cluster_statuses.get("east").map(|it| it.value.conditions.clone());
            for (kind, conditions) in [("package", package), ("cluster", cluster)] {
                let conditions = conditions.unwrap_or_default();
                if let Some(condition) = find(&conditions, "ReconcileFailed") {
                    said.lock().push((kind, condition.reason.clone()));
                }
            }
        }))
    };
    store.poison("status/packages/shop", 1);
    world.put_package(2, "shop:2").await;
    sleep(Duration::from_secs(60)).await;
    store.poison("status/clusters/east", 1);
    east.set_dead(true);
    sleep(Duration::from_secs(60)).await;
    drop(listening);
    let mut said = std::mem::take(&mut *said.lock());
    said.dedup();
    let want = [("package", "Panicked".to_owned()), ("cluster", "Panicked".to_owned())];
    assert_eq!(said, want);
    let state = world.cache.read();
    for conditions in [
        &state.package_statuses["shop"].value.conditions,
        &state.cluster_statuses["east"].value.conditions,
    ] {
        assert_eq!(find(conditions, "ReconcileFailed"), None, "it is not said for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_whose_call_panics_is_told_of_its_cluster() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    east.inner.lock().poison = Some("shop.cart".to_owned());
    world.put_deployment("u1", 1, &["east", "west"]).await;
    world.put_many("u2", 1, "healthy", &["east"]).await;
    let part = |world: &World| {
        let status = world.status("shop.cart")?;
        status.clusters.iter().find(|part| part.cluster.as_str() == "east").cloned()
    };
    let is_told = |world: &World| part(world).is_some_and(|part| part.reason == "ReconcileFailed");
    world.eventually(60, "told", is_told).await;
    let told = part(&world).unwrap();
    assert_eq!(told.condition, RunCondition::Down);
    assert_eq!(told.message.unwrap(), "the reconcile panicked: cannot write shop.cart");
    let ready = world.status("shop.cart").unwrap().conditions[0].clone();
    assert_eq!((&*ready.r#type, &*ready.reason), ("Ready", "ReconcileFailed"));
    world.running("healthy", 1).await;
    assert_eq!(west.inner.lock().records.len(), 1, "the other cluster has its unit");

    // It is written down once, whatever the tries.
    sleep(Duration::from_secs(30)).await;
    let key = Key::Record("east".parse().unwrap(), part(&world).unwrap().unit_id).to_string();
    let before = world.store.get(&key).await.unwrap().unwrap().mod_revision;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.store.get(&key).await.unwrap().unwrap().mod_revision, before);

    east.inner.lock().poison = None;
    world.eventually(120, "healed", |world| !is_told(world)).await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
}
