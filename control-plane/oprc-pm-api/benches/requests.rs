//! What the API costs: a read beside a handler that does nothing, a create beside the bare
//! transaction. The store is in memory, so that it is our own part that is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt;
use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::{Op, Precondition, Store, Txn, Write, memory::MemoryStore};
use oprc_models::meta::Timestamp;
use oprc_pm_api::{ApiState, Door, Limits, router};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Requests at once.
const CLIENTS: u64 = 64;

const PACKAGE: &str = r#"{"name":"NAME","version":"1.0.0","classes":[{"key":"Cart",
"function_bindings":[{"name":"add","function_key":"add"}]}],"functions":[{"key":"add",
"provision_config":{"container_image":"shop/add:1","cpu_request":"250m"}}]}"#;

async fn api() -> (Arc<MemoryStore>, Router) {
    let store = Arc::new(MemoryStore::default());
    let cache = Cache::new(store.clone());
    let stop = CancellationToken::new();
    let patience = Duration::from_secs(5);
    let (freshness, asking) =
        Freshness::new(Arc::clone(&cache), store.clone(), patience, stop.clone());
    tokio::spawn(asking);
    let keeping = Arc::clone(&cache);
    tokio::spawn(async move { keeping.run(stop).await });
    cache.filled().await;
    let uids = AtomicU64::new(0);
    let state = ApiState {
        store: store.clone(),
        cache,
        owner: "oprc-pm".into(),
        freshness,
        now: Arc::new(|| Timestamp::UNIX_EPOCH),
        new_uid: Arc::new(move || uids.fetch_add(1, Ordering::Relaxed).to_string()),
        access: oprc_pm_api::auth::Access::Open,
        limits: Limits::default(),
        metrics: None,
        readiness: Arc::new(Vec::new),
        default_cluster: None,
        stopping: CancellationToken::new(),
        door: Door::default(),
    };
    (store, router(state))
}

async fn send(router: &Router, method: Method, path: &str, body: String) -> usize {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json").body(Body::from(body));
    let response = router.clone().oneshot(request.expect("a request")).await;
    let response = response.expect("a router never fails");
    assert!(response.status().is_success(), "{:?}", response.status());
    response.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or_default()
}

fn requests(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (store, api) = runtime.block_on(api());
    let seed = PACKAGE.replace("NAME", "shop");
    runtime.block_on(send(&api, Method::POST, "/api/v1/packages", seed));
    let trivial = Router::new().route("/x/{name}", get(|| async { "x".repeat(600) }));
    let mut group = criterion.benchmark_group("64 clients");
    group.throughput(Throughput::Elements(CLIENTS)).sample_size(20);

    for (name, router, path) in [
        ("a handler that does nothing", &trivial, "/x/shop"),
        ("get, cached", &api, "/api/v1/packages/shop?consistency=cached"),
        ("get, linearizable", &api, "/api/v1/packages/shop"),
    ] {
        let one = || send(router, Method::GET, path, String::new());
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(join_all((0..CLIENTS).map(|_| one()))));
        });
    }

    let next = AtomicU64::new(0);
    let bare = || async {
        let key = format!("deployments/bare{}", next.fetch_add(1, Ordering::Relaxed));
        let op = Op::Put(vec![b'x'; 600].into());
        let write = Write { key, precondition: Precondition::Absent, op };
        store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await
    };
    group.bench_function("a bare transaction", |bencher| {
        bencher.iter(|| runtime.block_on(join_all((0..CLIENTS).map(|_| bare()))));
    });
    let create = || {
        let name = format!("p{}", next.fetch_add(1, Ordering::Relaxed));
        send(&api, Method::POST, "/api/v1/packages", PACKAGE.replace("NAME", &name))
    };
    group.bench_function("create", |bencher| {
        bencher.iter(|| runtime.block_on(join_all((0..CLIENTS).map(|_| create()))));
    });
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
