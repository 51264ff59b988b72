//! The ring turns: create, change, retarget, delete.

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

#[tokio::test(start_paused = true)]
async fn deploys_changes_retargets_and_deletes() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east", "west"]).await;
    world.running("shop.cart", 1).await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);
    assert_eq!(west.inner.lock().effects, ["create shop.cart 1"]);
    world.quiet().await;

    world.put_package(2, "shop:2").await;
    world
        .eventually(60, "both updated", |_| {
            [&east, &west].iter().all(|crm| crm.inner.lock().effects.len() == 2)
        })
        .await;
    assert_eq!(east.inner.lock().effects[1], "update shop.cart 2");
    world.running("shop.cart", 1).await;

    world.put_deployment("u1", 2, &["east"]).await;
    world.eventually(60, "west is emptied", |_| west.inner.lock().records.is_empty()).await;
    world.running("shop.cart", 2).await;
    world.eventually(60, "one unit", |world| world.units("shop.cart").len() == 1).await;
    assert_eq!(east.inner.lock().effects.len(), 2, "east is left alone");

    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    assert!(east.inner.lock().records.is_empty());
    world.quiet().await;
    assert_eq!(east.inner.lock().effects.len(), 3, "{:?}", east.inner.lock().effects);
}

#[tokio::test(start_paused = true)]
async fn places_automatically_on_the_emptiest_cluster_and_stays() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_many("u1", 1, "first", &["east"]).await;
    world.running("first", 1).await;
    world.put_many("u2", 1, "second", &[]).await;
    world.running("second", 1).await;
    assert_eq!(west.inner.lock().effects, ["create second 1"]);
    west.set_dead(true);
    world
        .eventually(60, "unknown", |world| {
            world
                .status("second")
                .is_some_and(|status| status.clusters[0].reason == "ClusterNotConnected")
        })
        .await;
    world.quiet().await;
    assert_eq!(east.inner.lock().effects.len(), 1, "placement is sticky");
}

#[tokio::test(start_paused = true)]
async fn waits_for_what_is_missing_and_says_so() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_deployment("u1", 1, &["east"]).await;
    let reason =
        |world: &World| world.status("shop.cart").map(|status| status.conditions[0].reason.clone());
    world
        .eventually(60, "no package", |world| reason(world) == Some("PackageNotFound".into()))
        .await;
    world.put_package(1, "shop:1").await;
    world.running("shop.cart", 1).await;
    world.put_deployment("u1", 2, &["east", "nowhere"]).await;
    world
        .eventually(60, "no cluster", |world| reason(world) == Some("ClusterNotRegistered".into()))
        .await;
    assert_eq!(east.inner.lock().effects.len(), 1, "east goes on");
}
