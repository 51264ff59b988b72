//! A Package Manager that is killed at any moment loses nothing and doubles nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fastrand::Rng;
use reqwest::Method;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    Api, Backend, Effect, PATIENCE, World, document, eventually, eventually_within, on_each_backend,
};

on_each_backend!(killed_while_200_are_pushed);

const N_DEPLOYMENTS: usize = 200;
const N_CLIENTS: usize = 8;
/// Kills at the least; they go on until every client has been answered.
const MIN_KILLS: usize = 6;
const BOTH: &[&str] = &["edge-1", "edge-2"];

async fn killed_while_200_are_pushed(backend: Backend) {
    for seed in [7, 41] {
        killed(backend, seed).await;
    }
}

async fn killed(backend: Backend, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    let keys: BTreeSet<String> = (0..N_DEPLOYMENTS).map(|i| format!("cart-{i}")).collect();
    let mut clients = JoinSet::new();
    for client in 0..N_CLIENTS {
        let mine: Vec<_> = keys.iter().skip(client).step_by(N_CLIENTS).cloned().collect();
        clients.spawn(push(world.api().clone(), mine, Rng::with_seed(rng.u64(..))));
    }
    let mut n_kills = 0;
    while !clients.is_empty() || n_kills < MIN_KILLS {
        // The moment of the next kill.
        sleep(Duration::from_millis(rng.u64(20..700))).await;
        world.pms[0].process.kill();
        n_kills += 1;
        world.restart(0);
        // A life in which nothing can be done would only make the test longer.
        if rng.bool() {
            world.is_ready(0).await;
        }
        while let Some(pushed) = clients.try_join_next() {
            pushed.unwrap();
        }
    }
    eprintln!("seed {seed}: killed {n_kills} times");
    settled(&world, &keys).await;
}

/// Pushes `keys`, each until it is acknowledged.
async fn push(api: Api, keys: Vec<String>, mut rng: Rng) {
    for key in keys {
        let body = document(&key, BOTH);
        let acknowledged = async {
            loop {
                let request = api.request(Method::POST, "/api/v1/deployments").json(&body);
                match Api::try_send(request.timeout(Duration::from_secs(5))).await {
                    Ok(answer) if answer.status.is_success() => return,
                    Ok(answer) if answer.status == 503 => (),
                    Ok(answer) => panic!("{key}: {answer:?}"),
                    // It may have been written: the same again is no second.
                    Err(_) => (),
                }
                sleep(Duration::from_millis(rng.u64(5..40))).await;
            }
        };
        timeout(PATIENCE, acknowledged).await.unwrap();
        sleep(Duration::from_millis(rng.u64(0..60))).await;
    }
}

/// Every deployment runs on both clusters, which hold nothing else, and each was made once.
async fn settled(world: &World, keys: &BTreeSet<String>) {
    eventually_within(PATIENCE * 2, "all run", || async {
        let items = match world.api().try_get("/api/v1/deployments?limit=1000").await {
            Ok(answer) => answer.body["items"].as_array().cloned().unwrap_or_default(),
            Err(err) => return Err(err.to_string()),
        };
        let is_running = |item: &&serde_json::Value| {
            item["status"]["condition"] == "RUNNING"
                && item["status"]["observed_generation"] == item["meta"]["generation"]
        };
        let n_running = items.iter().filter(is_running).count();
        if n_running == keys.len() && items.len() == keys.len() {
            Ok(())
        } else {
            Err(format!("{n_running} run of {}", items.len()))
        }
    })
    .await;
    for cluster in world.clusters.values() {
        let records = cluster.records().await;
        let held = records.values().map(|it| it["deployment_key"].as_str().unwrap().to_owned());
        let held: Vec<String> = held.collect();
        assert_eq!(held.len(), keys.len(), "{}: lost or doubled", cluster.name);
        assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), *keys, "{}", cluster.name);
        let mut effects: BTreeMap<String, Vec<Effect>> = BTreeMap::new();
        for effect in cluster.effects() {
            effects.entry(effect.id().to_owned()).or_default().push(effect);
        }
        for (id, effects) in effects {
            assert!(matches!(effects[..], [Effect::Created { .. }]), "{id}: {effects:?}");
        }
    }
    eventually("ready", || world.api().is_ok("/readyz")).await;
}
