//! CRMs that are slow to take a unit, report what cannot be read, or report without end.

use std::{sync::Arc, time::Duration};

use oprc_crm_client::Unreadable;
use oprc_models::{
    cluster::{Connectivity, features},
    condition::{Condition, find},
    names::{ClusterName, UnitId},
    record::RunCondition,
};
use tokio::time::{Instant, sleep};

use super::{
    World,
    crm::{ALL, Endless, SimulatedCrm},
};

/// What a CRM that is polled offers.
const POLLED: &[&str] = &[features::GENERATIONS, features::TERMS];

fn listing_failed(world: &World, cluster: &str) -> Option<Condition> {
    let name: ClusterName = cluster.parse().unwrap();
    let state = world.cache.read();
    let status = state.cluster_statuses.get(&name)?;
    find(&status.value.conditions, "ListingFailed").cloned()
}

fn part(world: &World, key: &str) -> Option<(RunCondition, String)> {
    let status = world.status(key)?;
    let part = status.clusters.first()?;
    Some((part.condition, part.reason.clone()))
}

/// Two deployments that run on a CRM with these features, and the unit of each.
async fn two(crm: &Arc<SimulatedCrm>) -> (World, [UnitId; 2]) {
    let world = World::start(std::slice::from_ref(crm)).await;
    world.put_package(1, "shop:1").await;
    for key in ["a", "b"] {
        world.put_many(key, 1, key, &["east"]).await;
        world.running(key, 1).await;
    }
    let id = |key| world.units(key)["east"].unit.id.clone();
    let ids = [id("a"), id("b")];
    (world, ids)
}

#[tokio::test(start_paused = true)]
async fn listings_do_not_bring_refused_units_forward() {
    const UNITS: usize = 20;
    let east = SimulatedCrm::new("east", POLLED);
    east.inner.lock().is_refusing = true;
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    for unit in 0..UNITS {
        let key = format!("cart-{unit}");
        world.put_many(&key, 1, &key, &["east"]).await;
    }
    // The back-off is at its cap by then: 30 s, 15 s on average.
    sleep(Duration::from_secs(600)).await;
    let before = east.inner.lock().n_calls;
    sleep(Duration::from_secs(600)).await;
    let tries = east.inner.lock().n_calls - before;
    assert!((UNITS * 25..UNITS * 50).contains(&tries), "{tries} tries of {UNITS} units in 600 s");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_lower_bound() {
    let wait = Duration::from_secs(60);
    for offered in [POLLED, ALL] {
        let east = SimulatedCrm::new("east", offered);
        east.inner.lock().busy = Some(wait);
        let world = World::start(std::slice::from_ref(&east)).await;
        world.put_package(1, "shop:1").await;
        world.put_deployment("u1", 1, &["east"]).await;
        sleep(Duration::from_secs(200)).await;
        // Not even for a new generation.
        world.put_package(2, "shop:2").await;
        sleep(Duration::from_secs(200)).await;
        let called: Vec<Instant> = east.inner.lock().called_at.clone();
        assert!(called.len() > 3, "{called:?}");
        let gaps = called.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.min().unwrap() >= wait, "{called:?}");
        east.inner.lock().busy = None;
        world.running("shop.cart", 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_record_is_unknown_and_the_others_count() {
    let east = SimulatedCrm::new("east", POLLED);
    let (world, [a, b]) = two(&east).await;
    let n_calls = east.inner.lock().n_calls;
    let hidden = {
        let mut inner = east.inner.lock();
        let reason = "invalid timestamp".to_owned();
        inner.unreadable = vec![Unreadable { id: Some(a.clone()), reason }];
        inner.records.get_mut(&b).unwrap().status.condition = RunCondition::Down;
        inner.records.remove(&a).unwrap()
    };
    let unknown = Some((RunCondition::Unknown, "RecordUnreadable".to_owned()));
    world.eventually(60, "a is unknown", |world| part(world, "a") == unknown).await;
    let shown = |world: &World| {
        let state = world.cache.read();
        let cluster: ClusterName = "east".parse().unwrap();
        state.record(&cluster, &a)?.value.record.as_ref().map(|record| record.status.condition)
    };
    assert_eq!(shown(&world), Some(RunCondition::Unknown), "nor does its record say that it runs");
    let down = Some((RunCondition::Down, "Down".to_owned()));
    world.eventually(60, "b is down", |world| part(world, "b") == down).await;
    world
        .eventually(60, "the cluster says so", |world| {
            listing_failed(world, "east").is_some_and(|it| it.reason == "RecordsUnreadable")
        })
        .await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(part(&world, "a"), unknown);
    assert_eq!(east.inner.lock().n_calls, n_calls, "nothing is asked for what is not known");

    // The next term knows no more.
    let mut world = world;
    world.begin_term().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((part(&world, "a"), part(&world, "b")), (unknown, down));
    assert_eq!(east.inner.lock().n_calls, n_calls);

    east.inner.lock().unreadable.clear();
    east.inner.lock().records.insert(a, hidden);
    world.running("a", 1).await;
    world.eventually(60, "no trace is left", |world| listing_failed(world, "east").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_absent_while_a_record_has_no_readable_id() {
    let east = SimulatedCrm::new("east", POLLED);
    let (world, [a, _]) = two(&east).await;
    let n_calls = east.inner.lock().n_calls;
    {
        let mut inner = east.inner.lock();
        inner.unreadable = vec![Unreadable { id: None, reason: "no id".to_owned() }];
        inner.records.remove(&a).unwrap();
    }
    let unknown = Some((RunCondition::Unknown, "RecordUnreadable".to_owned()));
    world.eventually(60, "a is unknown", |world| part(world, "a") == unknown).await;
    world.put_many("c", 1, "c", &["east"]).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(part(&world, "b").map(|(condition, _)| condition), Some(RunCondition::Running));
    assert_eq!(east.inner.lock().n_calls, n_calls, "neither a nor c is known to be absent");
    east.inner.lock().unreadable.clear();
    world.running("a", 1).await;
    world.running("c", 1).await;
}

/// A CRM that reports without end is marked and not believed; the others go on.
#[tokio::test(start_paused = true)]
async fn endless_listing_is_not_believed() {
    for (endless, reason) in [(Endless::Records, "BudgetExceeded"), (Endless::Circle, "Endless")] {
        let (east, west) = (SimulatedCrm::new("east", POLLED), SimulatedCrm::new("west", POLLED));
        let world = World::start(&[Arc::clone(&east), Arc::clone(&west)]).await;
        world.put_package(1, "shop:1").await;
        world.put_many("a", 1, "a", &["east"]).await;
        world.running("a", 1).await;
        east.inner.lock().endless = Some(endless);
        world
            .eventually(120, "it is marked", |world| {
                let name: ClusterName = "east".parse().unwrap();
                let connectivity = world.cache.read().cluster_statuses[&name].value.connectivity;
                listing_failed(world, "east").is_some_and(|it| it.reason == reason)
                    && connectivity == Connectivity::Unreachable
            })
            .await;
        let not_connected = Some((RunCondition::Unknown, "ClusterNotConnected".to_owned()));
        world.eventually(60, "a is unknown", |world| part(world, "a") == not_connected).await;
        let n_records = world.cache.read().records.values().map(|of| of.len()).sum::<usize>();
        assert_eq!(n_records, 1, "nothing of it was written down");
        world.put_many("b", 1, "b", &["west"]).await;
        world.running("b", 1).await;
        east.inner.lock().endless = None;
        world.running("a", 1).await;
    }
}
