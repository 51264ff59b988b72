//! Deployments that are paused, go on, and start anew.

use oprc_cp_storage::keys::Key;
use oprc_models::{
    condition,
    meta::{Meta, Timestamp},
    record::RunCondition,
};

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

impl World {
    /// Changes the meta of the deployment `shop.cart`, as the API does.
    async fn change(&self, change: impl FnOnce(&mut Meta)) {
        let entry = self.cache.read().deployments["shop.cart"].clone();
        let mut stored = (*entry.value).clone();
        change(&mut stored.meta);
        self.put(&Key::Deployment("shop.cart".parse().unwrap()), &stored).await;
    }

    /// The reason of the deployment's first condition, and whether it is said to be paused.
    fn said(&self) -> Option<(String, bool)> {
        let status = self.status("shop.cart")?;
        let is_paused = condition::find(&status.conditions, "Paused").is_some();
        Some((status.conditions[0].reason.clone(), is_paused))
    }

    async fn says(&self, reason: &str, is_paused: bool) {
        let want = Some((reason.to_owned(), is_paused));
        self.eventually(60, reason, |world| world.said() == want).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_paused_and_all_of_it_after() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    world.change(|meta| meta.paused_at = Some(Timestamp::UNIX_EPOCH)).await;
    world.says("Running", true).await;

    // Another package, another target; then a push of the deployment would have the same meta.
    world.put_package(2, "shop:2").await;
    world.says("Paused", true).await;
    let status = world.status("shop.cart").unwrap();
    assert_eq!(status.condition, RunCondition::Pending, "what runs is not what is asked for");
    assert_eq!(status.clusters[0].condition, RunCondition::Running, "and it is still looked at");
    // Nor is what a cluster has lost sent again.
    east.inner.lock().records.clear();
    let is_noticed = |world: &World| {
        let status = world.status("shop.cart").unwrap();
        status.clusters[0].reason == "NotCreatedYet"
    };
    world.eventually(600, "noticed at the next listing", is_noticed).await;
    world.quiet().await;
    assert_eq!(east.inner.lock().effects.len(), 1);

    world.change(|meta| meta.paused_at = None).await;
    world.running("shop.cart", 1).await;
    assert_eq!(east.inner.lock().effects.len(), 2);
    world.says("Running", false).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_can_be_deleted() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    world.change(|meta| meta.paused_at = Some(Timestamp::UNIX_EPOCH)).await;
    world.says("Running", true).await;
    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    assert!(east.inner.lock().records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_replaces_it_on_every_cluster_once() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east", "west"]).await;
    world.running("shop.cart", 1).await;
    world
        .change(|meta| {
            meta.generation = 2;
            meta.restart = Some(2);
        })
        .await;
    world.running("shop.cart", 2).await;
    world.quiet().await;
    for crm in [&east, &west] {
        let effects = crm.inner.lock().effects.clone();
        assert_eq!(effects, ["create shop.cart 1", "update shop.cart 2"]);
    }
}
