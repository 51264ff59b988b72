//! A deployment whose spec was removed by force: its units are deleted all the same, once they can be.

use std::time::Duration;

use oprc_cp_storage::keys::Key;
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, SimulatedCrm, record_of},
};

#[tokio::test(start_paused = true)]
async fn a_unit_of_what_was_removed_by_force_is_deleted_when_its_cluster_comes_back() {
    let east = SimulatedCrm::new("east", ALL);
    let mut world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let unit = world.units("shop.cart")["east"].unit.clone();
    east.set_dead(true);
    world.delete_deployment("shop.cart").await;
    sleep(Duration::from_secs(3600)).await;
    let spec = Key::Deployment("shop.cart".parse().unwrap());
    assert!(world.store.get(&spec.to_string()).await.unwrap().is_some(), "it waits");
    world.remove(&spec).await;
    world.quiet().await;
    assert_eq!(world.units("shop.cart").len(), 1, "the tombstone");

    // Created anew, it waits: the two never run together on a cluster.
    world.put_deployment("u2", 1, &["east"]).await;
    world.begin_term().await;
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.units("shop.cart")["east"].unit.id, unit.id);
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);

    // The cluster comes back, with something newer than what is to be deleted.
    let mut ahead = record_of(&unit, &east.cluster);
    ahead.generation = 40;
    east.insert(ahead);
    east.inner.lock().generations.insert(unit.id.clone(), 40);
    east.set_dead(false);
    world.running("shop.cart", 1).await;
    let effects = east.inner.lock().effects.clone();
    assert_eq!(effects.len(), 3, "{effects:?}");
    assert!(effects[1].starts_with("delete") && effects[2].starts_with("create"), "{effects:?}");
    assert!(!east.inner.lock().records.contains_key(&unit.id));
    world.quiet().await;
}

/// As after `DELETE /clusters/east?force=true`, and the registration of a cluster that came back.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_removed_by_force_is_emptied_when_it_is_registered_again() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    east.set_dead(true);
    world.delete_deployment("shop.cart").await;
    sleep(Duration::from_secs(60)).await;
    let cluster = Key::Cluster("east".parse().unwrap());
    let registered = world.cache.read().clusters["east"].value.clone();
    world.remove(&cluster).await;
    world.remove(&Key::Deployment("shop.cart".parse().unwrap())).await;
    world.quiet().await;
    assert_eq!(world.units("shop.cart").len(), 1, "the tombstone");
    east.set_dead(false);
    world.put(&cluster, &*registered).await;
    world.gone("shop.cart").await;
    assert!(east.inner.lock().records.is_empty());
    world.quiet().await;
}
