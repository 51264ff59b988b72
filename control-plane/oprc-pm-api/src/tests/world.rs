//! One replica of the API over a store that can be made to fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Op, Page, Precondition, Revision, Store, Txn, Watch, Write,
    health::{Measured, WriteHealth},
    keys::Key,
    memory::MemoryStore,
};
use oprc_models::meta::{Meta, Stored, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    ApiState, Door, Limits,
    auth::{Access, Guard},
    openapi::tests::check_answer,
    router,
};

/// How the next transactions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody answers, and nothing was written.
    Lost,
    /// It landed, and nobody answers.
    MaybeDone,
    /// There is no room.
    Full,
    /// The credentials are refused.
    Unauthorized,
    /// The deployments from this key on are gone, as in a store that was restored.
    Forgets(&'static str),
}

/// The store in memory, with faults.
#[derive(Default)]
pub(super) struct FaultyStore {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) fault: Mutex<Option<Fault>>,
    pub(super) is_lost: AtomicBool,
    /// Every call is refused for the credentials.
    pub(super) is_unauthorized: AtomicBool,
    pub(super) n_txns: AtomicU64,
    pub(super) n_calls: AtomicU64,
    /// Counted down with each transaction: the fault strikes the one that finds zero.
    pub(super) fault_in: AtomicU64,
    /// Whether the fault is the end of the process: it is cut off from then on.
    pub(super) is_fatal: AtomicBool,
    /// The most writes and checks of a transaction, where it is less than usual.
    pub(super) max_txn_ops: Option<usize>,
    /// Ends the watches.
    pub(super) watch_ends: Arc<Notify>,
}

fn unauthorized() -> Error {
    Error::Unauthorized { reason: "told to".to_owned() }
}

fn lost() -> Error {
    Error::Unavailable { source: "cut off".into() }
}

impl FaultyStore {
    /// How many calls there were, by whomever.
    pub(super) fn n_calls(&self) -> u64 {
        self.n_calls.load(Ordering::SeqCst)
    }

    fn reach(&self) -> Result<(), Error> {
        self.n_calls.fetch_add(1, Ordering::SeqCst);
        if self.is_unauthorized.load(Ordering::SeqCst) {
            return Err(unauthorized());
        }
        if self.is_lost.load(Ordering::SeqCst) { Err(lost()) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn max_txn_ops(&self) -> usize {
        self.max_txn_ops.unwrap_or_else(|| self.memory.max_txn_ops())
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.reach()?;
        self.memory.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.reach()?;
        self.memory.list(prefix, after, limit, at).await
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.reach()?;
        self.n_txns.fetch_add(1, Ordering::SeqCst);
        if txn.writes.len() + txn.checks.len() > self.max_txn_ops() {
            return Err(Error::Refused { reason: "too many operations".into() });
        }
        let is_due = self.fault_in.load(Ordering::SeqCst) == 0;
        self.fault_in.fetch_sub(u64::from(!is_due), Ordering::SeqCst);
        let fault = if is_due { self.fault.lock().take() } else { None };
        if fault.is_some() && self.is_fatal.load(Ordering::SeqCst) {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        match fault {
            Some(Fault::Lost) => Err(lost()),
            Some(Fault::Unauthorized) => Err(unauthorized()),
            Some(Fault::Full) => Err(Error::Full { source: "quota".into() }),
            Some(Fault::MaybeDone) => {
                self.memory.txn(txn).await?;
                Err(Error::MaybeDone { source: "timeout".into() })
            }
            Some(Fault::Forgets(from)) => {
                let page = self.memory.list("deployments/", Some(from), 10_000, None).await?;
                for item in page.items {
                    let precondition = Precondition::At(item.mod_revision);
                    let write = Write { key: item.key, precondition, op: Op::Delete };
                    self.memory.txn(Txn { checks: Vec::new(), writes: vec![write] }).await?;
                }
                self.memory.txn(txn).await
            }
            None => self.memory.txn(txn).await,
        }
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.reach()?;
        let ends = Arc::clone(&self.watch_ends);
        let ended = async move { ends.notified().await };
        Ok(self.memory.watch(prefix, from).await?.take_until(Box::pin(ended)).boxed())
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.reach()?;
        self.memory.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.reach()?;
        self.memory.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.reach()?;
        self.memory.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.reach()?;
        self.memory.revoke_lease(lease).await
    }
}

/// An answer, taken in whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn etag(&self) -> &str {
        self.header("etag")
    }

    /// A refusal must be a problem document with this status and code.
    #[track_caller]
    pub(super) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["correlation_id"], self.header("x-correlation-id"));
        assert_ne!(problem["title"], "");
        problem
    }

    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }
}

/// A store; replicas of the API are made over it.
pub(super) struct World {
    pub(super) store: Arc<FaultyStore>,
    pub(super) cache: Arc<Cache>,
    pub(super) router: Router,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Self {
        let world = Self::over(Arc::default(), limits);
        world.cache.filled().await;
        world
    }

    /// Ends this replica.
    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    pub(super) async fn with_readiness(
        readiness: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        let (limits, door) = (Limits::default(), Door::default());
        let world = Self::build(Arc::default(), limits, door, Arc::new(readiness));
        world.cache.filled().await;
        world
    }

    /// A replica over `store`, its cache perhaps not filled yet.
    pub(super) fn over(store: Arc<FaultyStore>, limits: Limits) -> Self {
        Self::build(store, limits, Door::default(), Arc::new(Vec::new))
    }

    pub(super) async fn with_door(limits: Limits, door: Door) -> Self {
        let world = Self::build(Arc::default(), limits, door, Arc::new(Vec::new));
        world.cache.filled().await;
        world
    }

    /// A replica whose callers have to say who they are.
    pub(super) async fn guarded(guard: Guard) -> Self {
        Self::guarded_with(guard, Limits::default()).await
    }

    pub(super) async fn guarded_with(guard: Guard, limits: Limits) -> Self {
        Self::guarded_by(guard, limits, Door::default()).await
    }

    pub(super) async fn guarded_by(guard: Guard, limits: Limits, door: Door) -> Self {
        let access = Access::Guarded(Arc::new(guard));
        let world = Self::with_access(Arc::default(), limits, door, Arc::new(Vec::new), access);
        world.cache.filled().await;
        world
    }

    fn build(
        store: Arc<FaultyStore>,
        limits: Limits,
        door: Door,
        readiness: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    ) -> Self {
        Self::with_access(store, limits, door, readiness, Access::Open)
    }

    fn with_access(
        store: Arc<FaultyStore>,
        limits: Limits,
        door: Door,
        readiness: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
        access: Access,
    ) -> Self {
        let stop = CancellationToken::new();
        let writes: Arc<WriteHealth> = Arc::default();
        let cache = Cache::with_health(store.clone(), 0, Arc::clone(&writes));
        let patience = Duration::from_secs(2);
        let (freshness, asking) =
            Freshness::new(Arc::clone(&cache), store.clone(), patience, stop.clone());
        tokio::spawn(asking);
        let keeping = Arc::clone(&cache);
        let until = stop.clone();
        tokio::spawn(async move { keeping.run(until).await });
        // Uids and times that no other replica of the test makes.
        static SECONDS: AtomicI64 = AtomicI64::new(1_700_000_000);
        static UIDS: AtomicU64 = AtomicU64::new(1);
        let state = ApiState {
            store: Arc::new(Measured::new(store.clone(), writes)),
            cache: Arc::clone(&cache),
            owner: "oprc-pm".into(),
            freshness,
            now: Arc::new(|| {
                Timestamp::from_second(SECONDS.fetch_add(1, Ordering::SeqCst)).unwrap()
            }),
            new_uid: Arc::new(|| format!("uid-{}", UIDS.fetch_add(1, Ordering::SeqCst))),
            access,
            limits,
            metrics: Some(Arc::new(|| "# metrics\n".to_owned())),
            readiness,
            default_cluster: Some("east".parse().unwrap()),
            stopping: stop.clone(),
            door,
        };
        Self { store, cache, router: router(state), stop }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        // Whatever is tested, the answer must be one that is described.
        check_answer(&method, &path, parts.status, &parts.headers, &body);
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], "").await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.call(Method::POST, path, &headers, body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Reply {
        self.put_if(path, body, &[]).await
    }

    pub(super) async fn put_if(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        self.call(Method::PUT, path, headers, body.to_string()).await
    }

    /// How many transactions were ever written.
    pub(super) async fn revision(&self) -> u64 {
        self.store.memory.head().await.unwrap().0
    }

    /// Writes `value` under `key`, whatever is there: the part of a controller.
    pub(super) async fn store(&self, key: &Key, value: &impl serde::Serialize) -> Revision {
        self.store_bytes(key, serde_json::to_vec(value).unwrap()).await
    }

    pub(super) async fn store_bytes(&self, key: &Key, value: Vec<u8>) -> Revision {
        self.write(key, Op::Put(value.into())).await
    }

    pub(super) async fn remove(&self, key: &Key) -> Revision {
        self.write(key, Op::Delete).await
    }

    async fn write(&self, key: &Key, op: Op) -> Revision {
        let found = self.store.memory.get(&key.to_string()).await.unwrap();
        let precondition =
            found.map_or(Precondition::Absent, |found| Precondition::At(found.mod_revision));
        let write = Write { key: key.to_string(), precondition, op };
        let txn = Txn { checks: Vec::new(), writes: vec![write] };
        self.store.memory.txn(txn).await.unwrap()
    }

    pub(super) async fn is_there(&self, key: &Key) -> bool {
        self.store.memory.get(&key.to_string()).await.unwrap().is_some()
    }

    /// Someone leads, so that statuses are kept.
    pub(super) async fn lead(&self) {
        self.store_bytes(&Key::Leader("controllers".to_owned()), b"replica-1".to_vec()).await;
    }

    /// The meta of a stored document.
    pub(super) async fn meta(&self, key: &str) -> Option<Meta> {
        let found = self.store.memory.get(key).await.unwrap()?;
        let stored: Stored<Value> = serde_json::from_slice(&found.value).unwrap();
        Some(stored.meta)
    }
}

pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A package with one class, `Cart`, and one function.
pub(super) fn package(name: &str) -> Value {
    serde_json::json!({
        "name": name,
        "version": "1.0.0",
        "classes": [{
            "key": "Cart",
            "function_bindings": [{ "name": "add", "function_key": "add" }],
        }],
        "functions": [{
            "key": "add",
            "provision_config": { "container_image": "shop/add:1" },
        }],
    })
}

/// A deployment of `Cart`.
pub(super) fn deployment(key: &str, package: &str) -> Value {
    serde_json::json!({ "key": key, "package_name": package, "class_key": "Cart" })
}

/// The registration of a cluster.
pub(super) fn cluster(name: &str) -> Value {
    serde_json::json!({
        "meta": {
            "uid": name, "generation": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
        "spec": { "name": name, "endpoints": ["http://crm"] },
    })
}

/// `value` with `field` set to `to`.
pub(super) fn with(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}
