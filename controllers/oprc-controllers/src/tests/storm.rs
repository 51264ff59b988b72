//! One object that is changed far more often than its changes can be carried out.

use std::time::Duration;

use oprc_cp_storage::keys::Key;
use oprc_models::deployment::OClassDeployment;
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, SimulatedCrm},
    stored,
};

/// Between two updates: a thousand a second.
const EVERY: Duration = Duration::from_millis(1);
/// How long a call of the CRM takes.
const LATENCY: Duration = Duration::from_millis(50);
const SECS: u64 = 3;
const PER_SEC: u64 = 1000;

/// `hot` in this generation, which asks for one thing and for another in turn: A, B, A, B and so on.
async fn update(world: &World, generation: u64) {
    let spec: OClassDeployment = serde_json::from_value(serde_json::json!({
        "key": "hot", "package_name": "shop", "class_key": "cart", "target_envs": ["east"],
        "nfr_requirements": { "min_throughput_rps": generation % 2 + 1 },
    }))
    .unwrap();
    world.put(&Key::Deployment("hot".parse().unwrap()), &stored(generation, spec)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_updates_a_second_of_one_object_are_coalesced_and_hold_up_nobody() {
    let east = SimulatedCrm::new("east", ALL);
    east.inner.lock().latency = LATENCY;
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    let mut generation = 0;
    for second in 0..SECS {
        let calm = format!("calm-{second}");
        world.put_many(&calm, 1, &calm, &["east"]).await;
        for _ in 0..PER_SEC {
            generation += 1;
            update(&world, generation).await;
            sleep(EVERY).await;
        }
        // It is served within the second in which a thousand others were asked for.
        assert!(
            world.status(&calm).is_some_and(|status| status.observed_generation == 1),
            "{calm} waits for hot"
        );
        assert!(east.inner.lock().effects.contains(&format!("create {calm} 1")), "{calm}");
    }
    world.running("hot", generation).await;
    world.quiet().await;

    let inner = east.inner.lock();
    let of_hot = inner.effects.iter().filter(|effect| effect.contains(" hot ")).count();
    let at_most = Duration::from_secs(SECS).as_millis() / LATENCY.as_millis() + 1;
    assert!(of_hot as u128 <= at_most, "one call at a time, and each of the newest: {of_hot}");
    assert!(of_hot as u64 >= SECS, "it is brought forward meanwhile, too: {of_hot}");
    let last = inner.records.values().find(|record| record.deployment_key.as_str() == "hot");
    let unit = &world.units("hot")["east"];
    assert_eq!(last.map(|record| record.generation), Some(unit.unit.generation));
    eprintln!("{generation} updates in {SECS} s of simulated time: {of_hot} calls");
}
