//! More than can be done at once: what is asked for again and again on one object, and more requests
//! than are served. Nothing here measures time; how much was really asked for is printed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use crate::support::{Api, Backend, World, document, eventually, leader};

const BOTH: &[&str] = &["edge-1", "edge-2"];

/// How long it goes on.
const STORM: Duration = Duration::from_secs(6);

/// D9: updates that one object is offered, each a second, by all clients together.
const UPDATES_PER_SEC: u32 = 1000;
const N_CLIENTS: u32 = 20;

/// Changes `hot` as often as it should, or can, be changed; answers how many were accepted.
async fn storm(api: Api, next: Arc<AtomicU64>) -> u64 {
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) * N_CLIENTS / UPDATES_PER_SEC);
    let mut n_accepted = 0;
    while began.elapsed() < STORM {
        ticks.tick().await;
        let mut hot = document("hot", BOTH);
        let n = next.fetch_add(1, Ordering::Relaxed);
        hot["nfr_requirements"] = json!({ "min_throughput_rps": n + 1 });
        let answer = api.put("/api/v1/deployments/hot", &hot).await;
        // Too many at once are told so; whoever pushes pushes again.
        assert!([200, 409, 429].contains(&answer.status.as_u16()), "{answer:?}");
        n_accepted += u64::from(answer.status == 200);
    }
    n_accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_that_write_one_object_hold_up_nobody() {
    if crate::support::lacks_etcd() {
        return;
    }
    let world = World::start(Backend::Etcd, BOTH).await;
    world.put_package("1.0.0").await;
    world.put_deployment("hot", BOTH).await;
    world.runs_on("hot", BOTH).await;
    let before: Vec<usize> = BOTH.iter().map(|name| world.cluster(name).n_calls()).collect();

    let next = Arc::new(AtomicU64::new(0));
    let mut storms = JoinSet::new();
    for _ in 0..N_CLIENTS {
        storms.spawn(storm(world.api().clone(), Arc::clone(&next)));
    }
    // Others are served meanwhile: what is new, and what is read.
    let began = Instant::now();
    let mut n_calm = 0;
    while began.elapsed() < STORM {
        let key = format!("calm-{n_calm}");
        let answer = eventually("the others are let in", || async {
            let path = format!("/api/v1/deployments/{key}");
            let answer = world.api().put(&path, &document(&key, BOTH)).await;
            if answer.status.is_success() { Ok(()) } else { Err(answer) }
        });
        answer.await;
        world.runs_on(&key, BOTH).await;
        n_calm += 1;
    }
    let n_accepted: u64 = storms.join_all().await.into_iter().sum();
    let n_offered = next.load(Ordering::Relaxed);

    // It comes to the last that was accepted, by fewer steps than were asked for.
    world.runs_on("hot", BOTH).await;
    let spec = world.api().get("/api/v1/deployments/hot").await.body;
    assert_eq!(spec["meta"]["generation"], n_accepted + 1, "every accepted change is a generation");
    let calls: Vec<usize> =
        BOTH.iter().zip(before).map(|(name, n)| world.cluster(name).n_calls() - n).collect();
    eprintln!(
        "{n_offered} updates offered in {STORM:?}, {n_accepted} accepted, {n_calm} others came to \
         run meanwhile; calls of the CRMs: {calls:?}"
    );
    for n in calls {
        let n_of_hot = n.saturating_sub(n_calm);
        assert!(n_of_hot as u64 <= n_accepted, "{n_of_hot} calls for {n_accepted} updates");
    }
}

/// D11: requests of each kind that may be under way, and how many clients ask without a pause.
const IN_FLIGHT: usize = 12;
const N_ELEPHANTS: usize = 10 * IN_FLIGHT;

/// What clients were told.
#[derive(Default)]
struct Told {
    n_served: AtomicU64,
    n_turned_away: AtomicU64,
}

impl Told {
    /// Takes an answer: either it is served, or it is told to come back, and when.
    fn take(&self, answer: &crate::support::Answer) {
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            self.n_turned_away.fetch_add(1, Ordering::Relaxed);
        } else {
            assert!(answer.status.is_success(), "{answer:?}");
            self.n_served.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Asks for what is dear, over and over: large documents to write, and long lists.
async fn elephant(api: Api, n: usize, told: Arc<Told>, is_over: Arc<AtomicBool>) {
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        let answer = if n.is_multiple_of(2) {
            let mut large = document(&format!("elephant-{n}"), &["edge-1"]);
            large["labels"] = json!({ "ballast": "x".repeat(1000), "round": round.to_string() });
            api.put(&format!("/api/v1/deployments/elephant-{n}"), &large).await
        } else {
            api.get("/api/v1/deployments?limit=1000").await
        };
        told.take(&answer);
        if answer.status == 429 {
            // Far sooner than it was told to.
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks for one small thing now and then, and again where it is turned away; answers how many it got.
async fn mouse(api: Api, n: usize, is_over: Arc<AtomicBool>) -> usize {
    let mut n_served = 0;
    while !is_over.load(Ordering::Relaxed) || n_served == 0 {
        let path = "/api/v1/deployments/small";
        eventually("a mouse is served", || async {
            let read = api.get(path).await;
            if n.is_multiple_of(2) && read.status == 200 {
                let small = document(&format!("mouse-{n}"), &["edge-2"]);
                let written = api.put(&format!("/api/v1/deployments/mouse-{n}"), &small).await;
                return if written.status.is_success() { Ok(()) } else { Err(written) };
            }
            if read.status == 200 { Ok(()) } else { Err(read) }
        })
        .await;
        n_served += 1;
        sleep(Duration::from_millis(50)).await;
    }
    n_served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_that_is_served_disturbs_no_mouse_and_no_leader() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = World::without_pm(Backend::Etcd, BOTH).await;
    world.set("OPRC_PM_SERVER_MAX_IN_FLIGHT", &IN_FLIGHT.to_string());
    world.add_pm().await;
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("small", &["edge-2"]).await;
    world.runs_on("small", &["edge-2"]).await;
    let apis: Vec<Api> = world.pms.iter().map(|pm| pm.api.clone()).collect();
    let term = leader(&mut world.etcd_client().await, &apis).await.unwrap();
    assert!(term.is_some(), "one leads");

    let (told, is_over) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
    let mut elephants = JoinSet::new();
    for (n, api) in apis.iter().cycle().take(N_ELEPHANTS * apis.len()).enumerate() {
        elephants.spawn(elephant(api.clone(), n / apis.len(), told.clone(), is_over.clone()));
    }
    let mut mice = JoinSet::new();
    for n in 0..4 {
        mice.spawn(mouse(apis[n % apis.len()].clone(), n / 2, is_over.clone()));
    }
    // The controllers go on as well.
    sleep(STORM / 2).await;
    eventually("a push is let in", || async {
        let path = "/api/v1/deployments/meanwhile";
        let answer = world.api().put(path, &document("meanwhile", &["edge-2"])).await;
        if answer.status.is_success() { Ok(()) } else { Err(answer) }
    })
    .await;
    eventually("it runs", || async {
        let answer = world.api().get("/api/v1/deployment-status/meanwhile").await;
        if answer.body["condition"] == "RUNNING" { Ok(()) } else { Err(answer) }
    })
    .await;
    sleep(STORM / 2).await;
    is_over.store(true, Ordering::Relaxed);
    let n_mice: Vec<usize> = mice.join_all().await;
    elephants.join_all().await;

    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let (n_served, n_turned_away) = (count(&told.n_served), count(&told.n_turned_away));
    eprintln!("elephants: {n_served} served, {n_turned_away} turned away; mice served: {n_mice:?}");
    assert!(n_turned_away > 0, "it was more than is served");
    assert!(n_served > 0 && n_mice.iter().all(|n| *n > 0));
    let after = leader(&mut world.etcd_client().await, &apis).await.unwrap();
    assert_eq!(after, term, "the same term");
}
