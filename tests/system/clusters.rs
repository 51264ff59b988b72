//! What goes wrong with clusters: lost answers, lost clusters, strays, and clusters that are down.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Backend, Cluster, Effect, Mode, World, eventually, on_each_backend};

on_each_backend!(
    a_lost_answer_makes_nothing_second,
    a_wiped_cluster_is_refilled,
    an_orphan_goes_and_a_stranger_stays,
    a_dead_cluster_holds_up_nobody_and_is_not_forgotten,
    a_silent_cluster_holds_up_nobody,
);

const BOTH: &[&str] = &["edge-1", "edge-2"];

/// How many of `effects` are creations, by unit.
fn creations(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut creations = BTreeMap::new();
    for effect in cluster.effects() {
        if matches!(effect, Effect::Created { .. }) {
            *creations.entry(effect.id().to_owned()).or_default() += 1;
        }
    }
    creations
}

async fn a_lost_answer_makes_nothing_second(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    let edge = world.cluster("edge-2");
    edge.lose_answers(3);
    for key in ["a", "b", "c"] {
        world.put_deployment(key, BOTH).await;
    }
    for key in ["a", "b", "c"] {
        world.runs_on(key, BOTH).await;
    }
    assert_eq!(edge.n_to_lose(), 0, "answers were lost");
    assert_eq!(creations(edge).into_values().collect::<Vec<_>>(), [1, 1, 1]);

    edge.lose_answers(3);
    world.put_package("2.0.0").await;
    eventually("updates whose answers are lost", || async {
        if edge.n_to_lose() == 0 { Ok(()) } else { Err(edge.effects()) }
    })
    .await;
    for key in ["a", "b", "c"] {
        world.runs_on(key, BOTH).await;
    }

    edge.lose_answers(2);
    for key in ["a", "b"] {
        world.api().delete(&format!("/api/v1/deployments/{key}")).await;
    }
    for key in ["a", "b"] {
        world.is_gone(key).await;
    }
    // Three creations, three updates, two deletions: each took effect once.
    assert_eq!(edge.effects().len(), 8, "{:?}", edge.effects());
    assert_eq!(edge.records().await.len(), 1);
}

async fn a_wiped_cluster_is_refilled(backend: Backend) {
    let mut world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    for key in ["a", "b"] {
        world.put_deployment(key, BOTH).await;
        world.runs_on(key, BOTH).await;
    }
    let before = world.cluster("edge-2").records().await;
    world.clusters.get_mut("edge-2").unwrap().wipe().await;
    let after = eventually("filled again", || async {
        let records = world.cluster("edge-2").records().await;
        let is_running = |record: &Value| record["status"]["condition"] == "RUNNING";
        if records.len() == 2 && records.values().all(is_running) {
            Ok(records)
        } else {
            Err(records)
        }
    })
    .await;
    assert!(before.keys().eq(after.keys()), "under the same ids");
    for key in ["a", "b"] {
        world.runs_on(key, BOTH).await;
    }
    assert_eq!(world.cluster("edge-1").effects().len(), 2, "the other is left in peace");
}

async fn an_orphan_goes_and_a_stranger_stays(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    let edge = world.cluster("edge-1");
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    world.runs_on("cart", BOTH).await;
    // By the name of the installation that `cart` was written by.
    let record = edge.record_of("cart").await.unwrap();
    edge.insert("orphan-1", record["owner"].as_str().unwrap()).await;
    edge.insert("stranger-1", "somebody-else").await;
    // A listing finds them; one is made when connections are lost.
    edge.set_mode(Mode::Closed);
    edge.set_mode(Mode::Up);
    world.cluster_is("edge-1", |status| status["unmanaged_records"] == 1).await;
    eventually("the orphan is gone", || async {
        let records = edge.records().await;
        if records.contains_key("orphan-1") { Err(records) } else { Ok(()) }
    })
    .await;
    let records = edge.records().await;
    assert!(records.contains_key("stranger-1"), "{records:?}");
    assert_eq!(records.len(), 2, "{records:?}");
    let for_stranger = edge.effects().into_iter().filter(|effect| effect.id() == "stranger-1");
    assert_eq!(for_stranger.count(), 0);
}

/// Pushes `n` deployments on both clusters; answers how long `edge-1` took to run them all.
async fn push(world: &World, name: &str, n: usize) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        world.put_deployment(&format!("{name}-{i}"), BOTH).await;
    }
    for i in 0..n {
        let key = format!("{name}-{i}");
        let part = |status: &Value| {
            let parts = status["clusters"].as_array().cloned().unwrap_or_default();
            parts.into_iter().find(|part| part["cluster"] == "edge-1")
        };
        eventually("edge-1 runs it", || async {
            let status = world.status(&key).await;
            match part(&status) {
                Some(part) if part["condition"] == "RUNNING" => Ok(()),
                _ => Err(status),
            }
        })
        .await;
    }
    began.elapsed()
}

/// Whether a status says of `edge-2` that it runs.
fn claims_edge_2(status: &Value) -> bool {
    let parts = status["clusters"].as_array().cloned().unwrap_or_default();
    let is_claimed = |part: &Value| part["cluster"] == "edge-2" && part["condition"] == "RUNNING";
    parts.iter().any(is_claimed) || status["condition"] == "RUNNING"
}

async fn a_dead_cluster_holds_up_nobody_and_is_not_forgotten(backend: Backend) {
    down(backend, Mode::Closed, "UNREACHABLE").await;
}

async fn a_silent_cluster_holds_up_nobody(backend: Backend) {
    down(backend, Mode::Silent, "UNREACHABLE").await;
}

async fn down(backend: Backend, mode: Mode, connectivity: &str) {
    const N: usize = 20;
    let mut world = World::without_pm(backend, BOTH).await;
    world.set("OPRC_PM_CRM_EDGE_2_TIMEOUT_SECS", "1");
    world.add_pm().await;
    world.put_package("1.0.0").await;
    let healthy = push(&world, "before", N).await;
    for i in 0..N {
        world.runs_on(&format!("before-{i}"), BOTH).await;
    }

    world.cluster("edge-2").set_mode(mode);
    let limped = push(&world, "meanwhile", N).await;
    eprintln!("{N} deployments on edge-1: {healthy:?} beside a healthy cluster, {limped:?} a dead");
    assert!(limped < healthy * 2 + Duration::from_secs(2), "{healthy:?} {limped:?}");
    world.cluster_is("edge-2", |status| status["connectivity"] == connectivity).await;
    let deleted = world.api().delete("/api/v1/deployments/before-0").await;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    // It has left the cluster that answers, and waits for the other.
    eventually("edge-1 is emptied of it", || async {
        match world.cluster("edge-1").record_of("before-0").await {
            None => Ok(()),
            Some(record) => Err(record),
        }
    })
    .await;
    for i in 0..N {
        for name in ["before", "meanwhile"] {
            eventually("no claim about a cluster that is not heard from", || async {
                let status = world.status(&format!("{name}-{i}")).await;
                if claims_edge_2(&status) { Err(status) } else { Ok(()) }
            })
            .await;
        }
    }
    let waiting = world.api().get("/api/v1/deployments/before-0").await;
    assert_eq!(waiting.status, 200, "{waiting:?}");
    assert!(waiting.body["meta"]["deletion_requested_at"].is_string(), "{waiting:?}");
    let parts = waiting.body["status"]["clusters"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["cluster"] == "edge-2"), "{waiting:?}");

    world.cluster("edge-2").set_mode(Mode::Up);
    world.is_gone("before-0").await;
    for i in 1..N {
        world.runs_on(&format!("before-{i}"), BOTH).await;
    }
    for i in 0..N {
        world.runs_on(&format!("meanwhile-{i}"), BOTH).await;
    }
    let once = creations(world.cluster("edge-2")).into_values().all(|n| n == 1);
    assert!(once, "{:?}", world.cluster("edge-2").effects());
}
