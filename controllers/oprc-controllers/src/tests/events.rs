//! What people are told of.

use std::{collections::BTreeMap, sync::Arc};

use oprc_cp_storage::keys::Key;
use oprc_models::{
    event::{About, Severity},
    meta::{Stored, Timestamp},
    package::OPackage,
};

use super::{
    World,
    crm::{ALL, Fault, SimulatedCrm},
    stored,
};
use crate::Recorder;

impl World {
    /// The reasons told about the deployment, with how often.
    fn told(&self, key: &str) -> Vec<(String, u64, Severity)> {
        let about = About::Deployment(key.parse().unwrap());
        let state = self.cache.read();
        let events = state.events.get(&about).map(|entry| entry.value.events.clone());
        let events = events.unwrap_or_default().into_iter();
        events.map(|event| (event.reason, event.count, event.severity)).collect()
    }

    /// What is told about `about`, by reason.
    fn messages(&self, about: &About) -> BTreeMap<String, String> {
        let state = self.cache.read();
        let events = state.events.get(about).map(|entry| entry.value.events.clone());
        events.unwrap_or_default().into_iter().map(|event| (event.reason, event.message)).collect()
    }

    /// Waits until `reason` is told about `about`, in these words.
    #[track_caller]
    fn tells<'a>(
        &'a self,
        about: &'a str,
        reason: &'a str,
        words: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let (kind, name) = about.split_once('/').unwrap();
        let about = About::new(kind, name).unwrap();
        self.eventually(60, words, move |world| {
            world.messages(&about).get(reason).is_some_and(|message| message.contains(words))
        })
    }

    fn has_told(&self, key: &str, reason: &str) -> bool {
        self.told(key).iter().any(|(told, ..)| told == reason)
    }
}

async fn world(crms: &[Arc<SimulatedCrm>]) -> World {
    let mut world = World::start(crms).await;
    world.recorder = Recorder::new(Arc::new(|| Timestamp::UNIX_EPOCH));
    world.begin_term().await;
    world
}

#[tokio::test(start_paused = true)]
async fn the_path_of_a_deployment_is_told() {
    let world = world(&[SimulatedCrm::new("edge-1", ALL)]).await;
    world.put_package(1, "a:1").await;
    world.put_deployment("u1", 1, &["edge-1"]).await;
    world.running("shop.cart", 1).await;
    for reason in ["Placed", "Sent", "Running"] {
        world.eventually(10, reason, |world| world.has_told("shop.cart", reason)).await;
    }
    // Nothing is written while nothing happens.
    world.quiet().await;
    let before = world.told("shop.cart");
    world.put_package(2, "a:2").await;
    world
        .eventually(10, "counted", |world| {
            let mut told = world.told("shop.cart").into_iter();
            told.any(|(reason, count, _)| reason == "Sent" && count >= 2)
        })
        .await;
    // All is normal, but that the cluster had not been heard from at first.
    let is_as_it_should = |(reason, _, severity): &(String, u64, Severity)| {
        (*severity == Severity::Normal) != (reason == "Unknown")
    };
    assert!(before.iter().all(is_as_it_should), "{before:?}");
    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    world.eventually(10, "removed", |world| world.has_told("shop.cart", "Removed")).await;
}

#[tokio::test(start_paused = true)]
async fn events_vanish_after_an_hour() {
    let world = world(&[SimulatedCrm::new("edge-1", ALL)]).await;
    world.put_package(1, "a:1").await;
    world.put_deployment("u1", 1, &["edge-1"]).await;
    world.running("shop.cart", 1).await;
    world.eventually(10, "told", |world| world.has_told("shop.cart", "Running")).await;
    tokio::time::sleep(std::time::Duration::from_secs(3500)).await;
    assert!(world.has_told("shop.cart", "Running"), "kept for an hour");
    world.eventually(1000, "gone", |world| world.told("shop.cart").is_empty()).await;
}

/// What failed says when it is tried again: and that is when it is.
#[tokio::test(start_paused = true)]
async fn a_failure_tells_of_the_next_try() {
    let east = SimulatedCrm::new("east", ALL);
    let world = world(std::slice::from_ref(&east)).await;
    for _ in 0..6 {
        east.fail_next(Fault::Refused);
    }
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    let about = "deployment/shop.cart";
    world.tells(about, "Refused", "east, generation 1: ").await;
    world.tells(about, "Refused", "no such template; retried in ").await;
    world.running("shop.cart", 1).await;
    world
        .eventually(10, "counted", |world| {
            world.told("shop.cart").contains(&("Refused".to_owned(), 6, Severity::Warning))
        })
        .await;
    let messages = world.messages(&About::Deployment("shop.cart".parse().unwrap()));
    let told = messages["Refused"].rsplit_once("retried in ").unwrap().1;
    let secs: f64 = told.strip_suffix(" s").unwrap().parse().unwrap();
    assert!(secs <= 3.2, "the sixth of 50 ms, doubled each time: {told}");

    east.inner.lock().poison = Some("shop.cart".to_owned());
    world.put_package(2, "shop:2").await;
    world.tells(about, "ReconcileFailed", "cannot write shop.cart; retried in ").await;
}

#[tokio::test(start_paused = true)]
async fn a_move_tells_why() {
    let world = world(&["east", "west"].map(|name| SimulatedCrm::new(name, ALL))).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let about = "deployment/shop.cart";
    world.put_deployment("u1", 2, &["west"]).await;
    world.tells(about, "Moved", "moved to west from east: it is not among target_envs").await;
    world.running("shop.cart", 2).await;
    world.delete_deployment("shop.cart").await;
    let why = "to be removed from west: the deployment is to be deleted";
    world.tells(about, "Withdrawn", why).await;
}

fn package_that_needs(needs: &[&str]) -> Stored<OPackage> {
    let spec = serde_json::json!({"name": "shop", "dependencies": needs});
    stored(1, serde_json::from_value(spec).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_package_is_told() {
    let world = world(&[]).await;
    let key = |name: &str| Key::Package(name.parse().unwrap());
    world.put(&key("shop"), &package_that_needs(&["base"])).await;
    world.tells("package/shop", "DependencyNotResolved", "package base does not exist").await;
    let base: OPackage = serde_json::from_value(serde_json::json!({"name": "base"})).unwrap();
    world.put(&key("base"), &stored(1, base.clone())).await;
    world.tells("package/shop", "Resolved", "").await;

    let mut going = stored(1, base);
    going.meta.deletion_requested_at = Some(Timestamp::UNIX_EPOCH);
    world.put(&key("base"), &going).await;
    world.tells("package/base", "Deleting", "waits until nothing depends on it").await;
    world.put(&key("shop"), &package_that_needs(&[])).await;
    world.tells("package/base", "Deleted", "nothing depends on it").await;
    // A package that needs nothing has nothing to tell.
    assert!(!world.messages(&About::Package("base".parse().unwrap())).contains_key("Resolved"));
    world.quiet().await;
}

/// Events outlive their object by an hour, but not in any number.
#[tokio::test(start_paused = true)]
async fn events_of_deleted_objects_are_bounded() {
    const DELETED: usize = 25_000;
    let world = world(&[SimulatedCrm::new("east", ALL)]).await;
    let about = |n: usize| About::Package(format!("gone-{n}").parse().unwrap());
    for n in 0..DELETED {
        world.recorder.normal(about(n), "Deleted", || "gone".to_owned());
        if n % 2_000 == 1_999 {
            let written = |world: &World| world.cache.read().events.contains_key(&about(n));
            world.eventually(600, "they are written", written).await;
        }
    }
    world
        .eventually(600, "the oldest are removed", |world| {
            let state = world.cache.read();
            let n_deleted = state.events.keys().filter(|it| it.kind() == "package").count();
            n_deleted <= 20_000
        })
        .await;
}
