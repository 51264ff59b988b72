//! Whose records are, and whose terms CRMs accept.

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::keys::Key;
use oprc_models::{
    cluster::{Connectivity, TERM_TOO_OLD},
    condition::{Condition, Truth, find},
    record::RunCondition,
};
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, SimulatedCrm, record_of},
    identity,
    swapped::Swapped,
};

fn condition(world: &World, r#type: &str) -> Option<Condition> {
    let state = world.cache.read();
    find(&state.cluster_statuses["east"].value.conditions, r#type).cloned()
}

async fn world_with_a_unit() -> (Arc<SimulatedCrm>, World) {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    (east, world)
}

#[tokio::test(start_paused = true)]
async fn record_of_another_installation_is_left_alone() {
    let (east, world) = world_with_a_unit().await;
    let unit = world.units("shop.cart")["east"].unit.clone();
    assert_eq!(unit.owner, "oprc-pm/i1");
    // With an id, and as it was written before there were ids: few, as orphans of ours would be.
    for (id, owner) in [("theirs-1", "oprc-pm/i2"), ("theirs-2", "oprc-pm")] {
        let mut record = record_of(&unit, &east.cluster);
        record.id = id.parse().unwrap();
        record.deployment_key = id.parse().unwrap();
        owner.clone_into(&mut record.owner);
        east.insert(record);
    }
    world
        .eventually(60, "shared", |world| {
            condition(world, "Shared").is_some_and(|shared| {
                ["oprc-pm/i1", "oprc-pm/i2"].iter().all(|name| shared.message.contains(name))
            })
        })
        .await;
    sleep(Duration::from_secs(3600)).await;
    let records: Vec<_> = east.inner.lock().records.keys().map(ToString::to_string).collect();
    assert!(records.len() == 3 && records.iter().any(|id| id == "theirs-2"), "{records:?}");
    world.quiet().await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);
}

#[tokio::test(start_paused = true)]
async fn unit_from_before_the_id_is_adopted_once() {
    let (east, mut world) = world_with_a_unit().await;
    let mut stored = world.units("shop.cart")["east"].clone();
    "oprc-pm".clone_into(&mut stored.unit.owner);
    east.insert(record_of(&stored.unit, &east.cluster));
    let key = Key::Unit("east".parse().unwrap(), "shop.cart".parse().unwrap());
    world.put(&key, &stored).await;
    world.begin_term().await;
    world
        .eventually(60, "adopted", |_| {
            let inner = east.inner.lock();
            inner.records.values().all(|record| record.owner == **identity().owner())
        })
        .await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
    world.begin_term().await;
    world.quiet().await;
    let effects = east.inner.lock().effects.clone();
    assert_eq!(effects, ["create shop.cart 1", "update shop.cart 2"]);
}

#[tokio::test(start_paused = true)]
async fn term_that_was_overtaken_is_shown_on_the_cluster() {
    let (east, mut world) = world_with_a_unit().await;
    // As after a restore: the CRM has seen terms that the store counts again.
    east.inner.lock().term = 1_000;
    world.begin_term().await;
    world
        .eventually(60, "told", |world| {
            condition(world, "Fenced").is_some_and(|fenced| {
                fenced.status == Truth::False
                    && fenced.reason == TERM_TOO_OLD
                    && fenced.message.contains("1000")
                    && fenced.message.contains("oprc-pm recover")
            })
        })
        .await;
    {
        let state = world.cache.read();
        assert_eq!(state.cluster_statuses["east"].value.connectivity, Connectivity::Connected);
    }
    // What runs is shown as running; what is to change waits, and says for what.
    assert_eq!(world.status("shop.cart").unwrap().condition, RunCondition::Running);
    world.put_package(2, "shop:2").await;
    world.put_many("u2", 1, "late", &["east"]).await;
    world
        .eventually(60, "waiting", |world| {
            ["shop.cart", "late"].iter().all(|key| {
                world.status(key).is_some_and(|status| status.conditions[0].reason == TERM_TOO_OLD)
            })
        })
        .await;
    sleep(Duration::from_secs(600)).await;
    assert_ne!(world.status("shop.cart").unwrap().condition, RunCondition::Down);
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);

    world.term_offset = 1_000;
    world.begin_term().await;
    world.running("late", 1).await;
    world.running("shop.cart", 1).await;
    world
        .eventually(60, "fenced", |world| {
            condition(world, "Fenced").is_some_and(|fenced| fenced.status == Truth::True)
        })
        .await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn store_that_went_back_lists_all_clusters_at_once() {
    let east = SimulatedCrm::new("east", ALL);
    let store = Arc::new(Swapped::default());
    let world = World::start_on(store.clone(), std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    sleep(Duration::from_secs(30)).await;
    let n_listings = east.inner.lock().n_listings;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(east.inner.lock().n_listings, n_listings, "watched, and listed every five minutes");
    store.go_back().await;
    world.eventually(10, "listed", |_| east.inner.lock().n_listings > n_listings).await;
}

#[tokio::test(start_paused = true)]
async fn recovered_store_is_reported_until_clusters_were_listed_twice() {
    let (east, mut world) = world_with_a_unit().await;
    let unit = world.units("shop.cart")["east"].unit.clone();
    let mut orphan = record_of(&unit, &east.cluster);
    orphan.id = "orphan-1".parse().unwrap();
    orphan.deployment_key = "lost".parse().unwrap();
    east.insert(orphan);
    world.is_recovered = true;
    world.begin_term().await;
    world
        .eventually(10, "told", |world| {
            condition(world, "StoreWentBack").is_some() && condition(world, "Orphans").is_some()
        })
        .await;
    world.eventually(10, "the orphan goes", |_| east.inner.lock().records.len() == 1).await;
    world
        .eventually(60, "over", |world| {
            condition(world, "StoreWentBack").is_none() && condition(world, "Orphans").is_none()
        })
        .await;
    world.is_recovered = false;
    world.quiet().await;
}
