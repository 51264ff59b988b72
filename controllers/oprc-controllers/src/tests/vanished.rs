//! C19: most clusters vanish together, and it is told; nothing moves because of it.

use std::{sync::Arc, time::Duration};

use oprc_models::condition::find;
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn told(world: &World) -> Vec<String> {
    let state = world.cache.read();
    let told = state
        .cluster_statuses
        .iter()
        .filter(|(_, entry)| find(&entry.value.conditions, "MostClustersVanished").is_some());
    told.map(|(name, _)| name.to_string()).collect()
}

async fn connected(world: &World) {
    world
        .eventually(60, "connected", |world| {
            let state = world.cache.read();
            NAMES.iter().all(|name| {
                state.cluster_statuses.get(*name).is_some_and(|entry| entry.value.is_connected())
            })
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn most_clusters_vanish_together_and_it_is_told_and_nothing_moves() {
    let crms: Vec<Arc<SimulatedCrm>> = NAMES.map(|name| SimulatedCrm::new(name, ALL)).into();
    let world = World::start(&crms).await;
    world.put_package(1, "shop:1").await;
    for (n, name) in NAMES.into_iter().enumerate() {
        world.put_many(&format!("u{n}"), 1, &format!("on-{name}"), &[name]).await;
        world.put_many(&format!("v{n}"), 1, &format!("anywhere-{name}"), &[]).await;
    }
    for name in NAMES {
        world.running(&format!("on-{name}"), 1).await;
        world.running(&format!("anywhere-{name}"), 1).await;
    }
    connected(&world).await;
    let effects = || crms.iter().map(|crm| crm.inner.lock().effects.clone()).collect::<Vec<_>>();
    let before = effects();
    for crm in &crms[..3] {
        crm.set_dead(true);
    }
    world.eventually(60, "told of those", |world| told(world) == ["a", "b", "c"]).await;
    world.quiet().await;
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&world), ["a", "b", "c"]);
    assert_eq!(effects(), before, "nothing moves");

    crms[0].set_dead(false);
    world.eventually(120, "over", |world| told(world).is_empty()).await;
    for crm in &crms {
        crm.set_dead(false);
    }
    connected(&world).await;
    world.quiet().await;
    assert_eq!(effects(), before, "it goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn clusters_that_vanish_one_after_another_are_their_own_trouble() {
    let crms: Vec<Arc<SimulatedCrm>> = NAMES.map(|name| SimulatedCrm::new(name, ALL)).into();
    let world = World::start(&crms).await;
    connected(&world).await;
    for crm in &crms {
        crm.set_dead(true);
        sleep(Duration::from_secs(120)).await;
    }
    assert!(told(&world).is_empty());
}
