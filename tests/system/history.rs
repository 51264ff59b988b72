//! What deployments were: kept across restarts, trimmed, brought back, gone with them; paused and
//! started anew.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Backend, Effect, World, document, eventually, on_each_backend};

on_each_backend!(
    what_was_is_kept_brought_back_and_goes,
    many_writers_leave_no_gap,
    a_pause_outlives_a_restart_of_the_server,
);

const BOTH: &[&str] = &["edge-1", "edge-2"];
const PATH: &str = "/api/v1/deployments/cart";

/// The generations that are kept, the newest first.
async fn generations(world: &World) -> Vec<u64> {
    let list = world.api().get(&format!("{PATH}/revisions")).await;
    assert_eq!(list.status, 200, "{list:?}");
    let items = list.body["items"].as_array().unwrap();
    items.iter().map(|item| item["generation"].as_u64().unwrap()).collect()
}

async fn what_was_is_kept_brought_back_and_goes(backend: Backend) {
    let mut world = World::without_pm(backend, BOTH).await;
    world.set("OPRC_PM_HISTORY_LIMIT", "3");
    world.add_pm().await;
    world.put_package("1.0.0").await;
    for n in 1..=6 {
        world.put_deployment("cart", if n % 2 == 0 { BOTH } else { &["edge-1"] }).await;
    }
    world.runs_on("cart", BOTH).await;
    eventually("trimmed", || async {
        let kept = generations(&world).await;
        if kept == [6, 5, 4, 3] { Ok(()) } else { Err(kept) }
    })
    .await;

    world.restart(0);
    world.is_ready(0).await;
    let back = world.api().post(&format!("{PATH}/rollback"), &json!({ "generation": 5 })).await;
    assert_eq!((back.status.as_u16(), &back.body["meta"]["generation"]), (200, &json!(7)));
    world.runs_on("cart", &["edge-1"]).await;
    let diff = world.api().get(&format!("{PATH}/revisions/6/diff/7")).await;
    assert_eq!(diff.body["changes"][0]["pointer"], "/target_envs/1", "{diff:?}");
    let trimmed = world.api().post(&format!("{PATH}/rollback"), &json!({ "generation": 1 })).await;
    crate::support::check_problem(&trimmed, 404, "revision_not_found");

    world.api().delete(PATH).await;
    world.is_gone("cart").await;
    world.api().delete("/api/v1/packages/shop").await;
    if backend == Backend::Etcd {
        eventually("nothing is left over", || async {
            let stored = world.stored().await;
            // What happened to it is told for an hour, whatever became of it.
            let is_ours = |key: &&String| {
                !key.contains("/events/") && (key.contains("cart") || key.contains("shop"))
            };
            let left: Vec<_> = stored.keys().filter(is_ours).cloned().collect();
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    }
    // The next of this name begins anew.
    let anew = world.put_deployment("cart", BOTH).await;
    assert_eq!(anew.body["meta"]["generation"], 1, "{anew:?}");
    assert_eq!(generations(&world).await, [1]);
}

async fn many_writers_leave_no_gap(backend: Backend) {
    let world = World::start(backend, &[]).await;
    let api = world.api();
    let push = |n: usize| async move {
        let mut pushed = document("cart", &[]);
        pushed["labels"] = json!({ "n": n.to_string() });
        api.put(PATH, &pushed).await
    };
    let mut accepted = vec![push(0).await];
    accepted.extend(join_all((1..15).map(push)).await);
    assert!(accepted.iter().all(|answer| answer.status.is_success()), "{accepted:?}");
    assert_eq!(generations(&world).await, (1..=15).rev().collect::<Vec<u64>>());
    for answer in &accepted {
        let generation = &answer.body["meta"]["generation"];
        let kept = world.api().get(&format!("{PATH}/revisions/{generation}")).await;
        assert_eq!(kept.body["labels"], answer.body["labels"], "{kept:?}");
    }
}

async fn a_pause_outlives_a_restart_of_the_server(backend: Backend) {
    let mut world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    let first = world.runs_on("cart", BOTH).await;
    let paused = world.api().post(&format!("{PATH}/pause"), &Value::Null).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    world.put_deployment("cart", &["edge-1"]).await;
    world.put_package("2.0.0").await;
    world.restart(0);
    world.is_ready(0).await;
    eventually("changes wait", || async {
        let status = world.status("cart").await;
        let is_so = status["condition"] == "PENDING"
            && status["conditions"][0]["reason"] == "Paused"
            && status["observed_package_generation"] == 2;
        if is_so { Ok(()) } else { Err(status) }
    })
    .await;
    for name in BOTH {
        let held = world.cluster(name).record_of("cart").await.unwrap();
        assert_eq!(held["generation"], first[*name]["generation"], "{name} was sent something");
    }
    let resumed = world.api().post(&format!("{PATH}/resume"), &Value::Null).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    let second = world.runs_on("cart", &["edge-1"]).await;
    assert_ne!(first["edge-1"]["spec_hash"], second["edge-1"]["spec_hash"]);

    let restarted = world.api().post(&format!("{PATH}/restart"), &Value::Null).await;
    assert_eq!(restarted.body["meta"]["generation"], 3, "{restarted:?}");
    let third = world.runs_on("cart", &["edge-1"]).await;
    assert_ne!(second["edge-1"]["spec_hash"], third["edge-1"]["spec_hash"]);
    let effects = world.cluster("edge-1").effects();
    let n_deleted = effects.iter().filter(|it| matches!(it, Effect::Deleted { .. })).count();
    assert_eq!(n_deleted, 0, "it is replaced, not taken away: {effects:?}");
}
