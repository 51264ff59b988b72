//! What documents were: trimmed, and gone with them.

use oprc_cp_storage::keys::Key;

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

/// Nothing is archived.
const NOTHING: [Vec<u64>; 2] = [Vec::new(), Vec::new()];

impl World {
    /// Archives revisions of the package `shop` and of the deployment `shop.cart`.
    async fn archive(&self, generations: std::ops::RangeInclusive<u64>) {
        for generation in generations {
            let (package, deployment) = ("shop".parse().unwrap(), "shop.cart".parse().unwrap());
            self.put(&Key::PackageRevision(package, generation), &"what it was").await;
            self.put(&Key::DeploymentRevision(deployment, generation), &"what it was").await;
        }
    }

    /// The generations that are archived of each.
    fn archived(&self) -> [Vec<u64>; 2] {
        let state = self.cache.read();
        let package = state.package_revisions.get("shop").into_iter();
        let deployment = state.deployment_revisions.get("shop.cart").into_iter();
        [
            package.flat_map(|of| of.keys().copied()).collect(),
            deployment.flat_map(|of| of.keys().copied()).collect(),
        ]
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_revisions_go_and_all_go_with_their_document() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(130, "shop:1").await;
    world.put_deployment("u1", 130, &["east"]).await;
    world.archive(1..=129).await;
    let last: Vec<u64> = (110..=129).collect();
    let want = [last.clone(), last];
    world.eventually(60, "trimmed", |world| world.archived() == want).await;
    world.running("shop.cart", 130).await;
    assert_eq!(east.inner.lock().effects.len(), 1, "history is nothing to a cluster");

    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    world.delete_package("shop").await;
    world
        .eventually(60, "gone", |world| {
            world.archived() == NOTHING && world.cache.read().packages.is_empty()
        })
        .await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn revisions_of_what_is_gone_are_left_overs() {
    let mut world = World::start(&[]).await;
    world.archive(1..=2).await;
    world.eventually(60, "removed", |world| world.archived() == NOTHING).await;
    // More than a transaction holds, and written while nobody led.
    world.stop.cancel();
    world.archive(1..=150).await;
    world.begin_term().await;
    let empty = |world: &World| {
        let is_filled = world.cache.position().is_live;
        is_filled && world.archived() == NOTHING
    };
    world.eventually(60, "removed later", empty).await;
    world.quiet().await;
}
