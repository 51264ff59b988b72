//! A push of many documents is all there or not at all, whenever the Package Manager is killed, and
//! whoever looks.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Api, Backend, PATIENCE, World, document, eventually_within, on_each_backend};

on_each_backend!(killed_at_any_moment_of_a_push, five_thousand_documents_in_one_push);

const N_DOCUMENTS: usize = 500;
const N_KILLS: u64 = 12;

/// Deployments with the same tag.
fn documents(n: usize, tag: u64) -> Value {
    let one = |i: usize| {
        let mut document = document(&format!("cart-{i:04}"), &[]);
        document["labels"] = json!({ "tag": tag.to_string() });
        document
    };
    (0..n).map(one).collect()
}

async fn push(api: &Api, body: &Value) -> Result<reqwest::StatusCode, reqwest::Error> {
    let request = api.request(Method::POST, "/api/v1/apply?bundle=all&prune=true").json(body);
    let answer = Api::try_send(request.timeout(Duration::from_secs(60))).await?;
    Ok(answer.status)
}

/// The tags of all deployments, and how many have each.
async fn tags(api: &Api) -> BTreeMap<String, usize> {
    let mut tags = BTreeMap::new();
    for item in api.get("/api/v1/deployments?limit=1000").await.body["items"].as_array().unwrap() {
        *tags.entry(item["labels"]["tag"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    tags
}

async fn killed_at_any_moment_of_a_push(backend: Backend) {
    let mut world = World::start(backend, &[]).await;
    // Who sees it besides who is killed.
    if backend == Backend::Etcd {
        world.add_pm().await;
    }
    let mut rng = Rng::with_seed(11);
    let mut took = Duration::from_millis(400);
    for round in 1..=N_KILLS {
        let body = documents(N_DOCUMENTS, round);
        let pusher = world.api().clone();
        let sent = body.clone();
        let pushing = tokio::spawn(async move { push(&pusher, &sent).await });
        // Somewhere in what the push before took, and now and then after it.
        let moment = took.mul_f64(rng.f64() * 1.2);
        let reader = world.pms.last().unwrap().api.clone();
        let watching = async {
            if backend != Backend::Etcd {
                std::future::pending::<()>().await;
            }
            loop {
                let tags = tags(&reader).await;
                assert!(tags.len() <= 1, "half a push: {tags:?}");
            }
        };
        tokio::select! { () = watching => (), () = sleep(moment) => () }
        world.pms[0].process.kill();
        let answered = pushing.await.unwrap();
        let after_kill = if backend == Backend::Etcd { Some(tags(&reader).await) } else { None };
        world.restart(0);
        world.is_ready(0).await;
        let seen = tags(world.api()).await;
        eprintln!("killed after {moment:?}: {answered:?}, then {seen:?}");
        for tags in after_kill.iter().chain([&seen]) {
            assert!(tags.len() <= 1, "half a push: {tags:?}");
            let is_whole = tags.values().all(|count| *count == N_DOCUMENTS);
            let wanted = [round - 1, round].map(|round| round.to_string());
            assert!(is_whole && tags.keys().all(|tag| wanted.contains(tag)), "{tags:?}");
        }
        if answered.is_ok_and(|status| status.is_success()) {
            assert!(seen.contains_key(&round.to_string()), "it was told as done");
        }
        let begun = Instant::now();
        let pushed = async {
            loop {
                let last = Instant::now();
                match push(world.api(), &body).await.unwrap() {
                    status if status.is_success() => return last.elapsed(),
                    status => assert!([409, 429, 503].contains(&status.as_u16()), "{status}"),
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        let last = timeout(PATIENCE, pushed).await.unwrap();
        eprintln!("pushed again within {:?}", begun.elapsed());
        if !seen.contains_key(&round.to_string()) {
            took = last;
        }
        assert_eq!(tags(world.api()).await, BTreeMap::from([(round.to_string(), N_DOCUMENTS)]));
    }
    nothing_is_left(&world).await;
}

/// No push is under way or half finished, as far as the cache sees.
async fn nothing_is_left(world: &World) {
    eventually_within(PATIENCE, "tidied up", || async {
        let request = world.api().request(Method::GET, "/metrics");
        let text = request.send().await.unwrap().text().await.unwrap();
        let of = |family: &str| {
            let name = format!("oprc_pm_cache_objects{{family=\"{family}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
        };
        let left = (of("pushes"), of("intents"));
        if left == (Some("0".to_owned()), Some("0".to_owned())) { Ok(()) } else { Err(left) }
    })
    .await;
}

async fn five_thousand_documents_in_one_push(backend: Backend) {
    let world = World::start(backend, &[]).await;
    for (round, tag) in [("created", 1), ("replaced", 2), ("unchanged", 2)] {
        let body = documents(5000, tag);
        let begun = Instant::now();
        let request = world.api().request(Method::POST, "/api/v1/apply?bundle=all").json(&body);
        let answer = Api::send(request.timeout(PATIENCE)).await;
        eprintln!("5000 documents {round} in {:?}", begun.elapsed());
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let items = answer.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 5000);
        assert!(items.iter().all(|item| item["outcome"] == round), "{round}");
    }
    nothing_is_left(&world).await;
}

/// An etcd that takes less in one transaction, and a Package Manager that knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_takes_less_at_once() {
    if crate::support::lacks_etcd() {
        return;
    }
    let extra_args = vec!["--max-txn-ops=32".to_owned()];
    let etcd = EtcdProcess::start(EtcdConfig { extra_args, ..EtcdConfig::default() }).await;
    let mut world = World::without_pm(Backend::Embedded, &["edge-1"]).await;
    world.etcd = Some(etcd);
    world.set("OPRC_PM_ETCD_MAX_TXN_OPS", "32");
    world.add_pm().await;
    world.put_package("1.0.0").await;
    for tag in 1..=2 {
        assert_eq!(push(world.api(), &documents(60, tag)).await.unwrap(), 200);
        assert_eq!(tags(world.api()).await, BTreeMap::from([(tag.to_string(), 60)]));
        world.runs_on("cart-0059", &["edge-1"]).await;
    }
}
