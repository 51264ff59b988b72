//! A replica of the API over a store in memory, for one thread.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, Response};
use http_body_util::BodyExt;
use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::{
    Op, Precondition, Revision, Store, Txn, Write, keys::Key, memory::MemoryStore,
};
use oprc_models::meta::Timestamp;
use oprc_pm_api::{ApiState, Door, Limits, router};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Inputs after which a world is thrown away, with what was accepted into it.
const LIFE: u32 = 500;

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The store, its cache and the API over it.
pub(super) struct World {
    store: Arc<MemoryStore>,
    cache: Arc<Cache>,
    router: Router,
    stop: CancellationToken,
}

thread_local! {
    static WORLD: RefCell<Option<(Runtime, World, u32)>> = const { RefCell::new(None) };
}

/// Does something in this thread's world.
pub(super) fn within(act: impl AsyncFnOnce(&World)) {
    WORLD.with_borrow_mut(|slot| {
        let (runtime, world, n_left) = slot.get_or_insert_with(|| {
            let runtime =
                Builder::new_current_thread().enable_all().build().expect("threads can be had");
            let world = runtime.block_on(World::new());
            (runtime, world, LIFE)
        });
        let acted = async { tokio::time::timeout(PATIENCE, act(world)).await };
        runtime.block_on(acted).expect("it hangs");
        *n_left -= 1;
        if *n_left == 0 {
            *slot = None;
        }
    });
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let stop = CancellationToken::new();
        let cache = Cache::new(store.clone());
        let (freshness, asking) =
            Freshness::new(Arc::clone(&cache), store.clone(), PATIENCE, stop.clone());
        tokio::spawn(asking);
        let (keeping, until) = (Arc::clone(&cache), stop.clone());
        tokio::spawn(async move { keeping.run(until).await });
        let n_uids = AtomicU64::new(0);
        let state = ApiState {
            store: store.clone(),
            cache: Arc::clone(&cache),
            owner: "oprc-pm".into(),
            freshness,
            now: Arc::new(|| Timestamp::UNIX_EPOCH),
            new_uid: Arc::new(move || format!("uid-{}", n_uids.fetch_add(1, Ordering::Relaxed))),
            access: oprc_pm_api::auth::Access::Open,
            // An answer is taken in whole, and a watch's has no end.
            limits: Limits { max_watches: 0, ..Limits::default() },
            metrics: None,
            readiness: Arc::new(Vec::new),
            default_cluster: None,
            stopping: stop.clone(),
            door: Door::default(),
        };
        cache.filled().await;
        Self { store, cache, router: router(state), stop }
    }

    /// What the API answers.
    pub(super) async fn send(&self, request: Request<Body>) -> Response<Vec<u8>> {
        let answer = self.router.clone().oneshot(request).await;
        let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
        let body = body.collect().await.expect("an answer that was made here is whole");
        Response::from_parts(parts, body.to_bytes().into())
    }

    /// What the API answers to a GET.
    pub(super) async fn get(&self, path: &str) -> Response<Vec<u8>> {
        let request = Request::get(path).body(Body::empty()).expect("paths here are well-formed");
        self.send(request).await
    }

    /// Has `key` hold `value`, or nothing, and the cache know it.
    pub(super) async fn put(&self, key: &Key, value: Option<&[u8]>) {
        let key = key.to_string();
        let there = self.store.get(&key).await.expect("memory answers");
        let precondition =
            there.as_ref().map_or(Precondition::Absent, |it| Precondition::At(it.mod_revision));
        let op = match value {
            Some(value) => Op::Put(value.to_vec().into()),
            None if there.is_some() => Op::Delete,
            None => return,
        };
        let txn = Txn { checks: Vec::new(), writes: vec![Write { key, precondition, op }] };
        let revision: Revision = self.store.txn(txn).await.expect("nobody else writes");
        self.cache.wait_for(revision, PATIENCE).await.expect("the cache follows");
    }
}
