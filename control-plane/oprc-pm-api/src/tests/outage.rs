//! Writes that fail while reads go on: statuses are stale, and the replica is not ready.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{
    observed::placed,
    world::{Fault, World, package},
};

/// Everything with a status, and where its mark is.
const SHOWN: [(&str, &str); 6] = [
    ("packages/shop", "/status/stale"),
    ("deployments/d", "/status/stale"),
    ("deployment-status/d", "/stale"),
    ("deployment-records/cart-d-east", "/stale"),
    ("clusters/east", "/status/stale"),
    ("clusters/east/health", "/stale"),
];

/// The lists of the same.
const LISTED: [(&str, &str); 5] = [
    ("packages", "/status/stale"),
    ("deployments", "/status/stale"),
    ("deployment-records?cluster=east", "/stale"),
    ("clusters?name=east", "/status/stale"),
    ("clusters/health?name=east", "/stale"),
];

fn is_marked(value: &Value, mark: &str) -> bool {
    value.pointer(mark).and_then(Value::as_bool).unwrap_or(false)
}

/// Checks the marks of all kinds; `query` is added to each path.
async fn check_marks(world: &World, query: &str, want: bool) {
    for (path, mark) in SHOWN {
        let shown = world.get(&format!("/api/v1/{path}?{query}")).await.is(200);
        assert_eq!(is_marked(&shown.json(), mark), want, "{path}?{query}: {}", shown.json());
    }
    let health = world.get(&format!("/api/v1/clusters/east/health?{query}")).await.json();
    assert_eq!(health["status"], if want { "UNKNOWN" } else { "HEALTHY" });
}

async fn check_lists(world: &World, want: bool) {
    for (path, mark) in LISTED {
        let list = world.get(&format!("/api/v1/{path}")).await.is(200).json();
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{path}");
        assert!(items.iter().all(|item| is_marked(item, mark) == want), "{path}: {list}");
    }
}

async fn reasons(world: &World, status: u16) -> Value {
    world.get("/readyz").await.is(status).json()["reasons"].clone()
}

#[tokio::test(start_paused = true)]
async fn statuses_are_stale_while_writes_fail_for_any_reason() {
    for (fault, reason) in [
        (Fault::Full, "writes fail: the store is full"),
        (Fault::Unauthorized, "writes fail: the store refuses our credentials"),
        (Fault::Lost, "writes fail: the store does not take writes"),
        (Fault::MaybeDone, "writes fail: the store does not take writes"),
    ] {
        let world = World::new().await;
        world.put("/api/v1/packages/shop", package("shop")).await.is(201);
        placed(&world).await;
        world.lead().await;
        check_marks(&world, "", false).await;
        check_lists(&world, false).await;
        let before = world.get("/api/v1/deployments/d").await;
        assert_eq!(reasons(&world, 200).await, json!([]));

        *world.store.fault.lock() = Some(fault);
        let refused = world.post("/api/v1/packages", package("late")).await;
        assert!(refused.status.is_server_error(), "{refused:?}");
        // Linearizable reads: the store answers them, and what it holds may be out of date.
        check_marks(&world, "", true).await;
        check_marks(&world, "consistency=cached", true).await;
        check_lists(&world, true).await;
        let during = world.get("/api/v1/deployments/d").await;
        assert_ne!(before.etag(), during.etag(), "who has the unmarked one is told");
        assert_eq!(reasons(&world, 503).await, json!([reason]));
        let cached = world.get("/api/v1/deployments/d?consistency=cached").await;
        assert_eq!(cached.header("oprc-stale"), "true");

        world.post("/api/v1/packages", package("later")).await.is(201);
        check_marks(&world, "", false).await;
        check_lists(&world, false).await;
        assert_eq!(reasons(&world, 200).await, json!([]));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_have_a_code_of_their_own() {
    let world = World::new().await;
    placed(&world).await;
    world.store.is_unauthorized.store(true, Ordering::SeqCst);
    for reply in [
        world.post("/api/v1/packages", package("late")).await,
        world.delete("/api/v1/deployments/d").await,
        world.get("/api/v1/deployments/d").await,
        world.get("/api/v1/deployments").await,
    ] {
        assert_eq!(reply.header("retry-after"), "1");
        reply.refused(503, "store_unauthorized");
    }
    let cached = world.get("/api/v1/deployments/d?consistency=cached").await.is(200);
    assert_eq!(cached.header("oprc-stale"), "true");
    assert_eq!(
        reasons(&world, 503).await,
        json!(["writes fail: the store refuses our credentials"])
    );
}

/// A cache that lost its watch marks single objects as it marks lists.
#[tokio::test(start_paused = true)]
async fn single_objects_are_marked_while_the_cache_is_not_live() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    placed(&world).await;
    world.lead().await;
    // A linearizable read waits until the cache knows of the leader.
    check_marks(&world, "", false).await;
    check_marks(&world, "consistency=cached", false).await;
    world.store.is_lost.store(true, Ordering::SeqCst);
    world.store.watch_ends.notify_waiters();
    while world.cache.position().is_live {
        tokio::task::yield_now().await;
    }
    check_marks(&world, "consistency=cached", true).await;
}
