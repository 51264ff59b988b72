//! What documents were: kept, listed, compared, and brought back.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use oprc_cp_storage::{Store, keys::Key};
use serde_json::{Value, json};

use super::world::{Fault, World, deployment, name, package, with};
use crate::Limits;

const PATH: &str = "/api/v1/deployments/shop.cart";

/// A deployment that is the `n`-th of its kind.
fn nth(n: usize) -> Value {
    with(deployment("shop.cart", "shop"), "labels", json!({ "n": n.to_string() }))
}

/// The generations that are listed, the newest first.
async fn generations(world: &World, path: &str) -> Vec<u64> {
    let list = world.get(&format!("{path}/revisions")).await.is(200).json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items[0]["current"], true, "{list}");
    assert!(items[1..].iter().all(|item| item["current"] == false), "{list}");
    items.iter().map(|item| item["generation"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_accepted_spec_is_kept() {
    let world = World::new().await;
    for kind in ["packages/shop", "deployments/shop.cart"] {
        let path = format!("/api/v1/{kind}");
        let document = |n: usize| match kind {
            "packages/shop" => with(package("shop"), "labels", json!({ "n": n.to_string() })),
            _ => nth(n),
        };
        for n in 1..=3 {
            let id = format!("push-{n}");
            let headers = [("x-correlation-id", id.as_str())];
            world.get(&path).await; // So that the cache has seen what was written before.
            let before = world.store.n_txns.load(Ordering::SeqCst);
            assert!(world.put_if(&path, document(n), &headers).await.status.is_success());
            let n_txns = world.store.n_txns.load(Ordering::SeqCst) - before;
            assert_eq!(n_txns, 1, "what was is archived with what replaces it");
        }
        // The same again, and what is refused, are no revisions.
        world.put(&path, document(3)).await.is(200);
        world
            .put_if(&path, document(4), &[("if-match", "\"1\"")])
            .await
            .refused(412, "precondition_failed");
        assert_eq!(generations(&world, &path).await, [3, 2, 1]);

        let list = world.get(&format!("{path}/revisions")).await.is(200);
        assert_eq!(list.json()["items"][1]["correlation_id"], "push-2");
        let headers = [("if-none-match", list.etag())];
        world.call(http::Method::GET, &format!("{path}/revisions"), &headers, "").await.is(304);

        for n in 1..=3 {
            let one = world.get(&format!("{path}/revisions/{n}")).await.is(200).json();
            assert_eq!(one["labels"]["n"], n.to_string());
            assert_eq!(one["meta"]["generation"], n);
            assert_eq!(one["meta"]["correlation_id"], format!("push-{n}"));
            assert_eq!(one["current"], n == 3);
        }
        let diff = world.get(&format!("{path}/revisions/1/diff/3")).await.is(200).json();
        let want = json!([{ "pointer": "/labels/n", "old": "1", "new": "3" }]);
        assert_eq!((&diff["from"], &diff["to"], &diff["changes"]), (&json!(1), &json!(3), &want));
        let same = world.get(&format!("{path}/revisions/2/diff/2")).await.is(200).json();
        assert_eq!(same["changes"], json!([]));

        let problem = world.get(&format!("{path}/revisions/9")).await;
        let problem = problem.refused(404, "revision_not_found");
        assert!(problem["detail"].as_str().unwrap().ends_with("there are 1, 2, 3"), "{problem}");
        world.get(&format!("{path}/revisions/x")).await.refused(400, "invalid_name");
        world.get(&format!("{path}/revisions/1/diff/9")).await.refused(404, "revision_not_found");
        world.get(&format!("{path}x/revisions")).await.refused(404, "not_found");
        world.get(&format!("{path}/revisions?a=b")).await.refused(400, "unknown_parameter");
    }
}

#[tokio::test(start_paused = true)]
async fn rolling_back_is_a_push() {
    let world = World::new().await;
    for n in 1..=2 {
        assert!(world.put(PATH, nth(n)).await.status.is_success());
    }
    let path = format!("{PATH}/rollback");
    let back = world.post(&path, json!({ "generation": 1 })).await.is(200).json();
    assert_eq!(back["labels"]["n"], "1");
    assert_eq!(back["meta"]["generation"], 3);
    assert_eq!(back["meta"]["revision_note"], "rollback to generation 1");
    // Asked again, since the answer was lost: nothing more.
    let again = world.post(&path, json!({ "generation": 1 })).await.is(200).json();
    assert_eq!(again["meta"], back["meta"]);
    assert_eq!(generations(&world, PATH).await, [3, 2, 1]);
    let list = world.get(&format!("{PATH}/revisions")).await.json();
    assert_eq!(list["items"][0]["note"], "rollback to generation 1");
    assert_eq!(list["items"][1]["note"], Value::Null);

    let headers = [("if-match", "\"1.0\""), ("content-type", "application/json")];
    let body = json!({ "generation": 2 }).to_string();
    let refused = world.call(http::Method::POST, &path, &headers, body).await;
    refused.refused(412, "precondition_failed");
    world.post(&path, json!({ "generation": 7 })).await.refused(404, "revision_not_found");
    world.post(&path, json!({ "generations": 2 })).await.refused(400, "invalid_body");
    world.post(&path, json!({})).await.refused(400, "invalid_body");
    let nobody = world.post("/api/v1/deployments/x/rollback", json!({ "generation": 1 })).await;
    nobody.refused(404, "not_found");

    // What was valid once and is not now.
    let mut old: Value = world.get(&format!("{PATH}/revisions/2")).await.json();
    old["target_envs"] = json!(["east", "east"]);
    let stored = json!({ "meta": old["meta"], "spec": old });
    world.store(&Key::DeploymentRevision(name("shop.cart"), 2), &stored).await;
    let problem = world.post(&path, json!({ "generation": 2 })).await;
    let problem = problem.refused(422, "revision_not_valid");
    assert_eq!(problem["errors"][0]["pointer"], "/target_envs/1");
    world.store_bytes(&Key::DeploymentRevision(name("shop.cart"), 2), b"{".to_vec()).await;
    world.get(&format!("{PATH}/revisions/2")).await.refused(500, "unreadable_object");
}

#[tokio::test(start_paused = true)]
async fn inline_deployments_go_back_with_their_package() {
    let world = World::new().await;
    let declaring = |n: usize| with(package("shop"), "deployments", json!([nth(n)]));
    for n in 1..=2 {
        assert!(world.put("/api/v1/packages/shop", declaring(n)).await.status.is_success());
    }
    assert_eq!(generations(&world, PATH).await, [2, 1]);
    let path = "/api/v1/packages/shop/rollback";
    world.post(path, json!({ "generation": 1 })).await.is(200);
    let inline = world.get(PATH).await.is(200).json();
    assert_eq!((&inline["labels"]["n"], &inline["meta"]["owner"]), (&json!("1"), &json!("shop")));
    assert_eq!(inline["meta"]["revision_note"], "rollback to generation 1");
}

#[tokio::test(start_paused = true)]
async fn the_next_incarnation_has_the_history_of_the_last() {
    let world = World::new().await;
    world.put(PATH, nth(1)).await.is(201);
    world.delete(PATH).await.is(202);
    world.put(PATH, nth(2)).await.is(201);
    assert_eq!(generations(&world, PATH).await, [2, 1]);
    let list = world.get(&format!("{PATH}/revisions")).await.json();
    assert_ne!(list["items"][0]["uid"], list["items"][1]["uid"]);
    assert_ne!(list["items"][1]["deletion_requested_at"], Value::Null);
    let back = world.post(&format!("{PATH}/rollback"), json!({ "generation": 1 })).await.is(200);
    assert_eq!(back.json()["meta"]["uid"], list["items"][0]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_many_writers_leave_no_gap() {
    let world = World::new().await;
    world.put(PATH, nth(0)).await.is(201);
    world.get(PATH).await.is(200);
    *world.store.fault.lock() = Some(Fault::MaybeDone);
    world.put(PATH, nth(1)).await.refused(503, "maybe_done");
    world.put(PATH, nth(1)).await.is(200);
    *world.store.fault.lock() = Some(Fault::Lost);
    world.put(PATH, nth(2)).await.refused(503, "unavailable");
    assert_eq!(generations(&world, PATH).await, [2, 1]);

    let replies = join_all((2..12).map(|n| world.put(PATH, nth(n)))).await;
    let mut pushed = vec![json!("0"), json!("1")];
    let mut accepted: Vec<Value> = replies.into_iter().map(|reply| reply.is(200).json()).collect();
    accepted.sort_by_key(|document| document["meta"]["generation"].as_u64());
    pushed.extend(accepted.iter().map(|document| document["labels"]["n"].clone()));
    assert_eq!(generations(&world, PATH).await, (1..=12).rev().collect::<Vec<_>>());
    for (generation, label) in (1..).zip(&pushed) {
        let one = world.get(&format!("{PATH}/revisions/{generation}")).await.is(200).json();
        assert_eq!(one["labels"]["n"], *label, "generation {generation}");
    }
}

/// More than one transaction holds together with what was: that is archived before.
#[tokio::test(start_paused = true)]
async fn large_pushes_are_archived_too() {
    let world = World::new().await;
    let list = |n: usize| {
        let deployment = |i: usize| {
            with(deployment(&format!("d{i}"), "shop"), "labels", json!({ "n": n.to_string() }))
        };
        json!({ "deployments": (0..100).map(deployment).collect::<Vec<_>>() })
    };
    world.post("/api/v1/packages", list(1)).await.is(201);
    world.post("/api/v1/packages/shop", list(2)).await.is(200);
    world.post("/api/v1/packages/shop", list(3)).await.is(200);
    for i in [0, 57, 99] {
        assert_eq!(generations(&world, &format!("/api/v1/deployments/d{i}")).await, [3, 2, 1]);
    }
    let large = |n: usize| {
        let config = json!({ "TEXT": n.to_string().repeat(30_000) });
        let function = |i: usize| json!({ "key": format!("f{i}"), "config": config });
        with(package("large"), "functions", (0..30).map(function).collect())
    };
    let mut classless = large(1);
    classless["classes"] = json!([]);
    world.post("/api/v1/packages", classless).await.is(201);
    let mut changed = large(2);
    changed["classes"] = json!([]);
    changed["version"] = json!("1.1.0");
    world.get("/api/v1/packages/large/revisions/1").await.is(200);
    // It lands, the archive, and then nothing: the push itself is made anew.
    *world.store.fault.lock() = Some(Fault::MaybeDone);
    assert_eq!(world.put("/api/v1/packages/large", changed.clone()).await.status, 503);
    assert_eq!(generations(&world, "/api/v1/packages/large").await, [1], "archived early");
    world.put("/api/v1/packages/large", changed).await.is(200);
    assert_eq!(generations(&world, "/api/v1/packages/large").await, [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn history_can_be_off() {
    let world = World::with_limits(Limits { max_revisions: 0, ..Limits::default() }).await;
    for n in 1..=3 {
        assert!(world.put(PATH, nth(n)).await.status.is_success());
    }
    assert_eq!(generations(&world, PATH).await, [3]);
    assert!(world.store.memory.get("deployment-revisions/shop.cart/1").await.unwrap().is_none());
    let gone = world.post(&format!("{PATH}/rollback"), json!({ "generation": 1 })).await;
    gone.refused(404, "revision_not_found");
}

#[tokio::test(start_paused = true)]
async fn pausing_is_no_revision_and_outlives_pushes() {
    let world = World::new().await;
    world.put(PATH, nth(1)).await.is(201);
    let ask = async |what: &str| world.post(&format!("{PATH}/{what}"), json!(null)).await;
    let paused = ask("pause").await.is(200).json();
    assert_ne!(paused["meta"]["paused_at"], Value::Null);
    assert_eq!(paused["meta"]["generation"], 1);
    assert_eq!(ask("pause").await.is(200).json()["meta"], paused["meta"], "asked once more");
    let pushed = world.put(PATH, nth(2)).await.is(200).json();
    assert_eq!(pushed["meta"]["paused_at"], paused["meta"]["paused_at"]);
    assert_eq!(ask("resume").await.is(200).json()["meta"]["paused_at"], Value::Null);
    ask("resume").await.is(200);
    assert_eq!(generations(&world, PATH).await, [2, 1]);

    let restarted = ask("restart").await.is(200).json();
    let meta = &restarted["meta"];
    assert_eq!((&meta["generation"], &meta["restart"]), (&json!(3), &json!(3)));
    assert_eq!(meta["revision_note"], "restart");
    assert_eq!(restarted["labels"]["n"], "2");
    assert_eq!(generations(&world, PATH).await, [3, 2, 1]);
    let next = world.put(PATH, nth(4)).await.is(200).json();
    assert_eq!(next["meta"]["restart"], 3, "a push does not restart it once more");

    let path = format!("{PATH}/pause");
    let headers = [("if-match", "\"1\"")];
    let stale = world.call(http::Method::POST, &path, &headers, "").await;
    stale.refused(412, "precondition_failed");
    world.post("/api/v1/deployments/x/pause", json!(null)).await.refused(404, "not_found");
    world.delete(PATH).await.is(202);
    let leaving = ask("pause").await.is(200).json();
    assert_eq!(leaving["meta"]["paused_at"], Value::Null, "a deletion is not held back");
    assert_eq!(world.put(PATH, nth(5)).await.is(201).json()["meta"]["restart"], Value::Null);
}
