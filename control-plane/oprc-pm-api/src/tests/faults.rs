//! The store lost, full, silent; values that cannot be read; many writers; too many requests.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use http::Method;
use oprc_cp_storage::keys::Key;
use serde_json::json;

use super::world::{Fault, FaultyStore, World, deployment, name, package, with};
use crate::Limits;

/// From now on nothing reaches the store.
fn lose(world: &World) {
    world.store.is_lost.store(true, Ordering::SeqCst);
}

#[tokio::test(start_paused = true)]
async fn without_the_store() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.get("/api/v1/packages/shop").await.is(200);
    lose(&world);
    for path in ["packages/shop", "packages", "deployments", "deployment-records", "clusters"] {
        let reply = world.get(&format!("/api/v1/{path}")).await;
        assert_eq!(reply.header("retry-after"), "1");
        reply.refused(503, "unavailable");
        world.get(&format!("/api/v1/{path}?consistency=cached")).await.is(200);
    }
    let changed = with(package("shop"), "version", json!("2.0.0"));
    for reply in [
        world.put("/api/v1/packages/shop", changed).await,
        world.put("/api/v1/packages/shop", package("shop")).await,
        world.post("/api/v1/deployments", deployment("d", "shop")).await,
        world.delete("/api/v1/packages/shop").await,
    ] {
        assert_eq!(reply.header("retry-after"), "1");
        reply.refused(503, "unavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_not_begun() {
    let store: Arc<FaultyStore> = Arc::default();
    store.is_lost.store(true, Ordering::SeqCst);
    let world = World::over(store, Limits::default());
    world.get("/api/v1/packages").await.refused(503, "not_ready");
    world.get("/api/v1/packages?consistency=cached").await.refused(503, "not_ready");
    world.post("/api/v1/packages", package("shop")).await.refused(503, "not_ready");
    let ready = world.get("/readyz").await.is(503).json();
    assert_eq!(ready["ready"], false);
    assert_eq!(ready["reasons"].as_array().unwrap().len(), 1);
    world.get("/livez").await.is(200);

    world.store.is_lost.store(false, Ordering::SeqCst);
    world.cache.filled().await;
    world.post("/api/v1/packages", package("shop")).await.is(201);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_broke_is_told() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.get("/api/v1/packages/shop").await.is(200);
    lose(&world);
    world.store.watch_ends.notify_waiters();
    while world.cache.position().is_live {
        tokio::task::yield_now().await;
    }
    let reply = world.get("/api/v1/packages/shop?consistency=cached").await.is(200);
    assert_eq!(reply.header("oprc-stale"), "true");
    let list = world.get("/api/v1/packages?consistency=cached").await.is(200);
    assert_eq!(list.json()["stale"], true);
    let ready = world.get("/readyz").await.is(503).json();
    assert_eq!(ready["reasons"], json!(["the store is out of reach"]));
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_write() {
    let world = World::new().await;
    for (n, (fault, status, code)) in [
        (Fault::Lost, 503, "unavailable"),
        (Fault::Full, 507, "store_full"),
        (Fault::MaybeDone, 503, "maybe_done"),
    ]
    .into_iter()
    .enumerate()
    {
        let document = package(&format!("p{n}"));
        *world.store.fault.lock() = Some(fault);
        world.post("/api/v1/packages", document.clone()).await.refused(status, code);
        // The same again: whether it landed or not, it succeeds.
        let again = world.post("/api/v1/packages", document).await;
        assert_eq!(again.status, if fault == Fault::MaybeDone { 200 } else { 201 });
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_reported_and_left_alone() {
    let world = World::new().await;
    world.put("/api/v1/packages/good", package("good")).await.is(201);
    world.put("/api/v1/deployments/good", deployment("good", "good")).await.is(201);
    world.store_bytes(&Key::Package(name("bad")), b"{".to_vec()).await;
    world.store_bytes(&Key::Deployment(name("bad")), b"{\"spec\":1}".to_vec()).await;
    let before = world.revision().await;
    for kind in ["packages", "deployments"] {
        let path = format!("/api/v1/{kind}/bad");
        world.get(&path).await.refused(500, "unreadable_object");
        world.delete(&path).await.refused(409, "unreadable_object");
        let list = world.get(&format!("/api/v1/{kind}")).await.is(200).json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert!(list["warnings"][0].as_str().unwrap().contains(&format!("{kind}/bad")));
    }
    world.put("/api/v1/packages/bad", package("bad")).await.refused(409, "unreadable_object");
    world
        .post("/api/v1/deployments", deployment("bad", "good"))
        .await
        .refused(409, "unreadable_object");
    let inline = json!([{ "key": "bad", "class_key": "Cart" }]);
    let declares = with(package("good"), "deployments", inline);
    world.put("/api/v1/packages/good", declares).await.refused(409, "unreadable_object");
    assert_eq!(world.revision().await, before);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_writers_of_one_key() {
    let world = World::new().await;
    let path = "/api/v1/packages/shop";
    world.put(path, package("shop")).await.is(201);
    let writers = (0..64).map(|n| {
        let changed = with(package("shop"), "version", json!(format!("1.0.{}", n + 1)));
        world.put(path, changed)
    });
    let mut generations: Vec<u64> = Vec::new();
    for reply in join_all(writers).await {
        if reply.status == 200 {
            generations.push(reply.json()["meta"]["generation"].as_u64().unwrap());
        } else {
            reply.refused(409, "conflict");
        }
    }
    // Every accepted change is a generation of its own: no update was lost.
    generations.sort_unstable();
    let expected: Vec<u64> = (2..).take(generations.len()).collect();
    assert_eq!(generations, expected);
    assert_eq!(generations.len(), 64, "in one process the losers take turns");
    let n_txns = world.store.n_txns.load(Ordering::SeqCst);
    assert!(n_txns < 64 * 4, "{n_txns} transactions for 64 writes");
}

#[tokio::test(start_paused = true)]
async fn two_conditional_writers_and_one_wins() {
    let store: Arc<FaultyStore> = Arc::default();
    let [one, two] = [(); 2].map(|()| World::over(store.clone(), Limits::default()));
    one.cache.filled().await;
    two.cache.filled().await;
    let path = "/api/v1/packages/shop";
    for n in 0..20 {
        let current =
            one.put(path, with(package("shop"), "version", json!(format!("1.{n}.0")))).await;
        let tag = [("if-match", current.etag())];
        let next = |who: &str| with(package("shop"), "version", json!(format!("1.{n}.{who}")));
        let (a, b) =
            tokio::join!(one.put_if(path, next("1"), &tag), two.put_if(path, next("2"), &tag));
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
    }
}

/// Decisions of a replica whose cache is behind land only if they are right all the same.
#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_loses_nothing() {
    let store: Arc<FaultyStore> = Arc::default();
    let [one, two] = [(); 2].map(|()| World::over(store.clone(), Limits::default()));
    one.cache.filled().await;
    two.cache.filled().await;
    let path = "/api/v1/packages/shop";
    let inline = json!([{ "key": "a", "class_key": "Cart" }]);
    for n in 1..20 {
        // No await between the two answers lets the second replica's cache run first.
        let declares = with(package("shop"), "deployments", inline.clone());
        one.put(path, with(declares, "version", json!(format!("1.{n}.0")))).await;
        let without = with(package("shop"), "version", json!(format!("1.{n}.1")));
        two.put(path, without).await.is(200);
        assert!(one.meta("deployments/a").await.unwrap().is_deleting());
        let same = one.put(path, package("shop")).await.is(200).json();
        assert_eq!(two.get(path).await.json()["meta"]["generation"], same["meta"]["generation"]);
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_at_once_are_told_to_come_back() {
    let limits = Limits { max_lists: 0, max_writes: 0, ..Limits::default() };
    let world = World::with_limits(limits).await;
    for reply in
        [world.get("/api/v1/packages").await, world.post("/api/v1/packages", package("p")).await]
    {
        assert_eq!(reply.header("retry-after"), "1");
        reply.refused(429, "too_many_requests");
    }
    // Who reads one thing, and who asks how it is, is served.
    world.get("/api/v1/packages/p").await.refused(404, "not_found");
    world.get("/readyz").await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come() {
    let world = World::new().await;
    let never = axum::body::Body::from_stream(futures::stream::pending::<
        Result<bytes::Bytes, std::io::Error>,
    >());
    let reply = world.call(Method::PUT, "/api/v1/packages/shop", &[], never).await;
    reply.refused(408, "request_timeout");

    let limits = Limits { request_timeout: Duration::from_secs(1), ..Limits::default() };
    let world = World::with_limits(limits).await;
    let never = axum::body::Body::from_stream(futures::stream::pending::<
        Result<bytes::Bytes, std::io::Error>,
    >());
    let reply = world.call(Method::PUT, "/api/v1/packages/shop", &[], never).await;
    reply.refused(503, "timeout");
    let broken = futures::stream::iter([Ok("{"), Err(std::io::Error::other("reset"))]);
    let broken = axum::body::Body::from_stream(broken);
    world
        .call(Method::PUT, "/api/v1/packages/shop", &[], broken)
        .await
        .refused(400, "invalid_body");
}
