//! What people are told of.

use std::sync::Arc;

use oprc_models::{
    event::{About, Severity},
    meta::Timestamp,
};

use super::{
    World,
    crm::{ALL, SimulatedCrm},
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
