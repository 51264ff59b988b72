//! What documents were, and what is published of packages: trimmed, and gone with them.

use oprc_cp_storage::keys::Key;
use oprc_models::{meta::Timestamp, version::StoredVersion};

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

impl World {
    /// Publishes `version` of `shop` beside what it is, as the incarnation `uid`.
    async fn publish(&self, uid: &str, version: &str) {
        let package = serde_json::json!({ "name": "shop", "version": version });
        let package = serde_json::from_value(package).unwrap();
        let stored = StoredVersion::new(uid.to_owned(), Timestamp::UNIX_EPOCH, &package);
        let key = format!("package-versions/shop/{version}");
        self.put(&key.parse().unwrap(), &stored).await;
    }

    /// The versions that are stored, the lowest first.
    fn published(&self) -> Vec<String> {
        let state = self.cache.read();
        let versions = state.package_versions.get("shop").into_iter().flatten();
        versions.map(|(version, _)| version.to_string()).collect()
    }
}

/// The last three stay, and what something resolves to; what is of an earlier incarnation goes, and
/// all go with their package.
#[tokio::test(start_paused = true)]
async fn versions_that_nothing_resolves_to_go() {
    let world = World::start(&[]).await;
    world.put_package(1, "shop:1").await;
    let mut pinned = world.deployment_of("shop.cart", "shop");
    pinned.spec.package_version = Some("~1.2".to_owned());
    world.put(&Key::Deployment("shop.cart".parse().unwrap()), &pinned).await;
    world.put_package_of("other", &["shop@=1.1.0"]).await;
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.2.1", "1.3.0", "2.0.0", "0.9.0", "2.1.0"] {
        world.publish("u1", version).await;
    }
    world.publish("u0", "7.0.0").await;
    // In use: 1.1.0 and 1.2.1. The last: 2.0.0, 0.9.0 and 2.1.0.
    let want = ["0.9.0", "1.1.0", "1.2.1", "2.0.0", "2.1.0"];
    world.eventually(60, "trimmed", |world| world.published() == want).await;
    world.quiet().await;

    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    world.delete_package("other").await;
    world.delete_package("shop").await;
    world.eventually(60, "gone", |world| world.cache.read().packages.is_empty()).await;
    assert_eq!(world.published(), [""; 0]);
    // One that lands late is a left-over.
    world.publish("u1", "1.0.0").await;
    world.eventually(60, "removed", |world| world.published().is_empty()).await;
    world.quiet().await;
}
