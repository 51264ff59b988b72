//! Two replicas on one etcd: who leads, how it is handed over, and what a deposed leader can do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{self, Backend, LEADER_KEY, QUIET, World, eventually, eventually_within};

const BOTH: &[&str] = &["edge-1", "edge-2"];
/// What a lease lives without being renewed; its default.
const LEASE: Duration = Duration::from_secs(5);

/// Two replicas, a package, and a deployment that runs.
async fn two_replicas() -> World {
    let mut world = World::start(Backend::Etcd, BOTH).await;
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    world.runs_on("cart", BOTH).await;
    world
}

/// Which replica leads, and its term; `None`: nobody.
async fn leader(world: &World) -> Option<(usize, i64)> {
    let apis = world.pms.iter().map(|pm| &pm.api);
    support::leader(&mut world.etcd_client().await, apis).await.unwrap()
}

/// Waits until a term after `term` has begun, for at most `limit`; answers who leads, the term, and
/// how long that took.
async fn successor(world: &World, term: i64, limit: Duration) -> (usize, i64, Duration) {
    let began = Instant::now();
    let mut etcd = world.etcd_client().await;
    loop {
        let found = etcd.get(LEADER_KEY, None).await.unwrap();
        if found.kvs().first().is_some_and(|holder| holder.create_revision() > term) {
            break;
        }
        assert!(began.elapsed() < limit, "nobody has taken over in {limit:?}");
        sleep(Duration::from_millis(2)).await;
    }
    let took = began.elapsed();
    let (index, term) = leader(world).await.unwrap();
    (index, term, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_serve_reads_and_writes() {
    if crate::support::lacks_etcd() {
        return;
    }
    let world = two_replicas().await;
    let (first, second) = (&world.pms[0].api, &world.pms[1].api);
    for (i, (writer, reader)) in [(first, second), (second, first)].into_iter().enumerate() {
        let key = format!("cart-{i}");
        let document = support::document(&key, BOTH);
        let written = writer.put(&format!("/api/v1/deployments/{key}"), &document).await;
        assert_eq!(written.status, 201, "{written:?}");
        // At once, and by the other: reads are linearizable.
        let read = reader.get(&format!("/api/v1/deployments/{key}")).await;
        assert_eq!(read.status, 200, "{read:?}");
        assert_eq!(read.body["meta"]["uid"], written.body["meta"]["uid"], "{read:?}");
        world.runs_on(&key, BOTH).await;
    }
    let states = [metric(first).await, metric(second).await];
    assert_eq!(states.iter().sum::<f64>(), 1.0, "one leads: {states:?}");
}

/// What a replica says of whether it leads: 1, or 0.
async fn metric(api: &support::Api) -> f64 {
    let text = api.get("/metrics").await.body;
    let mut lines = text.as_str().unwrap().lines();
    let line = lines.rfind(|line| line.starts_with("oprc_pm_leader_state"));
    let line = line.unwrap_or_else(|| panic!("it does not say whether it leads: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_within_its_lease_and_a_second() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = two_replicas().await;
    let (index, term) = leader(&world).await.unwrap();
    world.pms[index].process.kill();
    let limit = LEASE + Duration::from_secs(1);
    let (next, _, took) = successor(&world, term, limit).await;
    eprintln!("after a kill the other leads within {took:?}");
    assert_ne!(next, index);
    let path = "/api/v1/deployments/late";
    let late = support::document("late", BOTH);
    world.pms[next].api.put(path, &late).await;
    world.pms.remove(index);
    world.runs_on("late", BOTH).await;
}

/// How many leaders are stopped gracefully, to see how long the hand-over takes.
const N_STOPS: usize = 5;
const MAX_HAND_OVER: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_hands_over_at_once() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = two_replicas().await;
    let mut all = Vec::new();
    for _ in 0..N_STOPS {
        let (index, term) = leader(&world).await.unwrap();
        world.pms[index].process.terminate();
        let (next, _, took) = successor(&world, term, LEASE).await;
        assert_ne!(next, index);
        all.push(took);
        let status = world.pms[index].process.ended().await;
        assert!(status.success(), "{status:?}");
        world.restart(index);
        world.is_ready(index).await;
    }
    all.sort();
    eprintln!("hand-over after SIGTERM, sorted: {all:?}");
    // The median: other tests keep the machine busy, and one hand-over in five may meet that.
    assert!(all[N_STOPS / 2] <= MAX_HAND_OVER, "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_wakes_after_its_lease_changes_nothing() {
    if crate::support::lacks_etcd() {
        return;
    }
    const N: usize = 60;
    let mut world = two_replicas().await;
    let (old, term) = leader(&world).await.unwrap();
    let other = 1 - old;
    // In the middle of work: calls under way, transactions under way.
    for i in 0..N {
        let key = format!("cart-{i}");
        let document = support::document(&key, BOTH);
        world.pms[other].api.put(&format!("/api/v1/deployments/{key}"), &document).await;
    }
    let n_before = world.cluster("edge-1").effects().len();
    assert!(n_before > 0, "the leader is at work");
    world.pms[old].process.pause();
    let (next, new_term, _) = successor(&world, term, LEASE + Duration::from_secs(1)).await;
    assert_eq!(next, other);

    // Meanwhile everything changes.
    world.pms.swap(0, other);
    world.put_package("2.0.0").await;
    for i in 0..N {
        world.runs_on(&format!("cart-{i}"), BOTH).await;
    }
    world.pms.swap(0, other);
    let stored = quiet(&world).await;
    let held = [world.cluster("edge-1").records().await, world.cluster("edge-2").records().await];

    world.pms[old].process.resume();
    // It is back when it answers what it has to ask the store for.
    let api = &world.pms[old].api;
    eventually("it is back", || api.is_ok("/api/v1/deployments/cart-0")).await;
    eventually_within(LEASE, "it has seen that it does not lead", || async {
        let state = metric(api).await;
        if state == 0.0 { Ok(()) } else { Err(state) }
    })
    .await;
    sleep(QUIET).await;
    assert_eq!(world.stored().await, stored, "it wrote");
    let after = [world.cluster("edge-1").records().await, world.cluster("edge-2").records().await];
    assert_eq!(held, after, "it changed what a cluster holds");
    for cluster in world.clusters.values() {
        let terms: Vec<_> = cluster.effects().iter().map(support::Effect::term).collect();
        assert!(terms.is_sorted(), "an effect of an older term after one of a newer: {terms:?}");
        assert_eq!(terms.last().copied(), u64::try_from(new_term).ok());
    }
}

/// Waits until nothing is written any more; answers what is stored.
async fn quiet(world: &World) -> std::collections::BTreeMap<String, i64> {
    eventually("nothing moves", || async {
        let before = world.stored().await;
        sleep(Duration::from_secs(2)).await;
        let after = world.stored().await;
        if before == after { Ok(after) } else { Err("it moves") }
    })
    .await
}
