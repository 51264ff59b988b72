//! Watches: where they begin, what they tell, how they end.

use std::{collections::BTreeMap, time::Duration};

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{Request, StatusCode};
use oprc_cp_storage::{Op, Precondition, Store, Txn, Write, keys::Key};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::world::{World, cluster, deployment, name, package, with};
use crate::Limits;

/// Longer than anything that is going to come takes, on a paused clock.
const SOON: Duration = Duration::from_secs(5);

/// One event, as a client reads it.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    event: String,
    id: Option<String>,
    data: Value,
}

impl Told {
    fn parse(frame: &str) -> Self {
        let field = |name: &str| {
            let mut lines = frame.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
        };
        let data = serde_json::from_str(&field("data").unwrap()).unwrap();
        Self { event: field("event").unwrap(), id: field("id"), data }
    }

    /// `ADDED package/shop`.
    fn short(&self) -> String {
        match self.data["kind"].as_str() {
            Some(kind) => format!("{} {kind}/{}", self.event, self.data["key"].as_str().unwrap()),
            None => self.event.clone(),
        }
    }
}

/// A client of one watch.
struct Client {
    stream: BodyDataStream,
    text: String,
}

impl Client {
    async fn open(world: &World, path: &str, last_id: &str) -> Self {
        let request = Request::get(path).header("last-event-id", last_id);
        let request = request.body(Body::empty()).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { stream: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let told = Told::parse(frame);
                self.text = rest.to_owned();
                return Some(told);
            }
            let chunk = self.stream.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All that is told before there is silence, bookmarks of passing time aside.
    async fn now(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Ok(Some(told)) = timeout(SOON, self.next()).await {
            if told.event != "BOOKMARK" || told.data["initial_complete"] == true {
                all.push(told);
            }
        }
        all
    }

    async fn now_short(&mut self) -> Vec<String> {
        self.now().await.iter().map(Told::short).collect()
    }
}

async fn shop(world: &World) {
    world.post("/api/v1/packages", package("shop")).await.is(201);
    world.post("/api/v1/deployments", deployment("cart", "shop")).await.is(201);
}

#[tokio::test(start_paused = true)]
async fn begins_with_what_there_is_and_goes_on_with_what_changes() {
    let world = World::new().await;
    shop(&world).await;
    world.store(&Key::Cluster(name("east")), &cluster("east")).await;
    let mut client = Client::open(&world, "/api/v1/watch", "").await;
    let initial = client.now().await;
    let short: Vec<String> = initial.iter().map(Told::short).collect();
    assert_eq!(
        short,
        ["ADDED package/shop", "ADDED deployment/cart", "ADDED cluster/east", "BOOKMARK"]
    );
    assert!(initial[..3].iter().all(|told| told.id.is_none()), "it cannot be resumed half-way");
    assert_eq!(initial[3].data, json!({ "revision": 3, "initial_complete": true }));
    assert_eq!(initial[3].id.as_deref(), Some("3"));
    let got = world.get("/api/v1/deployments/cart").await.json();
    assert_eq!(initial[1].data["object"], got, "as it is got");

    let status = json!({
        "uid": got["meta"]["uid"], "observed_generation": 1, "condition": "RUNNING",
    });
    world.store(&Key::DeploymentStatus(name("cart")), &status).await;
    let changed = client.now().await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].short(), "MODIFIED deployment/cart", "its status is a part of it");
    assert_eq!((changed[0].id.as_deref(), &changed[0].data["revision"]), (Some("4"), &json!(4)));
    let got = world.get("/api/v1/deployments/cart").await.json();
    assert_eq!(changed[0].data["object"], got);

    world.remove(&Key::Deployment(name("cart"))).await;
    let gone = client.now().await;
    assert_eq!(gone[0].short(), "DELETED deployment/cart");
    assert_eq!(gone[0].data["object"], got, "as it last was");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_tell_that_nothing_happened() {
    let world = World::new().await;
    shop(&world).await;
    let mut client = Client::open(&world, "/api/v1/watch?kinds=cluster&since=0", "").await;
    let begun = tokio::time::Instant::now();
    for n in 1..4 {
        let bookmark = client.next().await.unwrap();
        let data = json!({ "revision": 2 });
        let id = Some("2".to_owned());
        assert_eq!(bookmark, Told { event: "BOOKMARK".to_owned(), id, data });
        assert_eq!(begun.elapsed().as_secs(), n * 30);
    }
}

/// A transaction that changes several objects is told with marks that can each be resumed at.
#[tokio::test(start_paused = true)]
async fn every_event_can_be_resumed_at() {
    let world = World::new().await;
    shop(&world).await;
    let meta = |uid: &str| {
        let time = "2026-01-01T00:00:00Z";
        json!({ "uid": uid, "generation": 1, "created_at": time, "updated_at": time })
    };
    let put = |key: Key, value: Value| Write {
        key: key.to_string(),
        precondition: Precondition::Absent,
        op: Op::Put(value.to_string().into()),
    };
    let writes = ["c", "a", "b"].map(|key| {
        let stored = json!({ "meta": meta(key), "spec": deployment(key, "shop") });
        put(Key::Deployment(name(key)), stored)
    });
    let status = json!({ "uid": "a", "observed_generation": 1, "condition": "DOWN" });
    let mut writes = writes.to_vec();
    writes.push(put(Key::DeploymentStatus(name("a")), status));
    world.store.memory.txn(Txn { checks: Vec::new(), writes }).await.unwrap();
    world.remove(&Key::Deployment(name("cart"))).await;

    let all = Client::open(&world, "/api/v1/watch?since=0", "").await.now().await;
    let ids: Vec<&str> = all.iter().map(|told| told.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["1", "2", "3.0", "3.1", "3", "4"]);
    assert_eq!(all[2].data["object"]["status"]["condition"], "DOWN", "one event with its status");
    for (n, id) in ids.iter().enumerate() {
        // The header wins over the parameter.
        let resumed = Client::open(&world, "/api/v1/watch?since=1", id).await.now().await;
        assert_eq!(resumed, all[n + 1..], "after {id}");
        let since =
            Client::open(&world, &format!("/api/v1/watch?since={id}"), "").await.now().await;
        assert_eq!(since, all[n + 1..], "since {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_show_things_come_and_go() {
    let world = World::new().await;
    world.store(&Key::Cluster(name("east")), &cluster("east")).await;
    let paths = [
        "/api/v1/watch?kinds=package,cluster",
        "/api/v1/watch?package=shop",
        "/api/v1/watch?name=ca",
        "/api/v1/packages?watch=true&name=ho",
        "/api/v1/deployments?watch=true&condition=RUNNING",
        "/api/v1/deployments?watch=true&label=tier=gold",
        "/api/v1/clusters?watch",
        "/api/v1/deployment-records?watch=true&deployment_key=cart",
    ];
    let mut clients = BTreeMap::new();
    for path in paths {
        let mut client = Client::open(&world, path, "").await;
        // What there is is looked at when it is asked for.
        let begun = client.now_short().await;
        clients.insert(path, (client, begun));
    }
    let gold = with(deployment("cart", "shop"), "labels", json!({ "tier": "gold" }));
    world.post("/api/v1/packages", package("shop")).await.is(201);
    world.post("/api/v1/deployments", gold).await.is(201);
    world.post("/api/v1/packages", package("toys")).await.is(201);
    world.post("/api/v1/deployments", deployment("doll", "toys")).await.is(201);
    let uid = world.meta("deployments/cart").await.unwrap().uid;
    for condition in ["DEPLOYING", "RUNNING", "DOWN"] {
        let status = json!({ "uid": uid, "observed_generation": 1, "condition": condition });
        world.store(&Key::DeploymentStatus(name("cart")), &status).await;
    }
    world.put("/api/v1/deployments/cart", deployment("cart", "shop")).await.is(200);
    let wants: [&[&str]; 8] = [
        &["ADDED cluster/east", "BOOKMARK", "ADDED package/shop", "ADDED package/toys"],
        &[
            "BOOKMARK",
            "ADDED package/shop",
            "ADDED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
        ],
        &[
            "BOOKMARK",
            "ADDED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
        ],
        &["BOOKMARK", "ADDED package/shop"],
        &["BOOKMARK", "ADDED deployment/cart", "DELETED deployment/cart"],
        &[
            "BOOKMARK",
            "ADDED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "MODIFIED deployment/cart",
            "DELETED deployment/cart",
        ],
        &["ADDED cluster/east", "BOOKMARK"],
        &["BOOKMARK"],
    ];
    for (path, want) in paths.into_iter().zip(wants) {
        let (client, told) = clients.get_mut(path).unwrap();
        told.extend(client.now_short().await);
        assert_eq!(told, want, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_begun_is_refused() {
    let world = World::new().await;
    shop(&world).await;
    world.get("/api/v1/watch?since=9").await.refused(410, "revision_too_old");
    world.get("/api/v1/watch?since=x").await.refused(400, "invalid_parameter");
    world.get("/api/v1/watch?kinds=unit").await.refused(400, "invalid_parameter");
    world.get("/api/v1/watch?limit=3").await.refused(400, "unknown_parameter");
    world.get("/api/v1/packages?since=1").await.refused(400, "unknown_parameter");
    world.get("/api/v1/classes?watch=true").await.refused(400, "unknown_parameter");
    let header = [("last-event-id", "x")];
    let refused = world.call(http::Method::GET, "/api/v1/watch", &header, "").await;
    refused.refused(400, "invalid_header");
    // Another replica, which began later and has no past.
    let later = World::over(world.store.clone(), Limits::default());
    later.cache.filled().await;
    later.get("/api/v1/watch?since=1").await.refused(410, "revision_too_old");
    assert_eq!(Client::open(&later, "/api/v1/watch?since=2", "").await.now().await, []);
}

#[tokio::test(start_paused = true)]
async fn watches_are_limited_and_given_back() {
    let world = World::with_limits(Limits { max_watches: 2, ..Limits::default() }).await;
    let first = Client::open(&world, "/api/v1/watch", "").await;
    let _second = Client::open(&world, "/api/v1/packages?watch=true", "").await;
    world.get("/api/v1/watch").await.refused(429, "too_many_watches");
    world.get("/api/v1/packages").await.is(200);
    drop(first);
    Client::open(&world, "/api/v1/watch", "").await;
}

/// A client that does not read is told that it missed something, not what.
#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_cut_off() {
    let world = World::new().await;
    shop(&world).await;
    let mut client = Client::open(&world, "/api/v1/watch?since=2", "").await;
    world.store.memory.compact(world.store.memory.head().await.unwrap().next());
    // The cache loses the thread, and begins anew.
    world.store.is_lost.store(true, std::sync::atomic::Ordering::SeqCst);
    world.store.watch_ends.notify_waiters();
    tokio::time::sleep(SOON).await;
    let labelled = with(deployment("cart", "shop"), "labels", json!({ "a": "b" }));
    let stored = json!({ "meta": world.meta("deployments/cart").await.unwrap(), "spec": labelled });
    world.store(&Key::Deployment(name("cart")), &stored).await;
    world.store.memory.compact(world.store.memory.head().await.unwrap());
    world.store.is_lost.store(false, std::sync::atomic::Ordering::SeqCst);
    let told = client.next().await.unwrap();
    assert_eq!((told.event.as_str(), told.id), ("ERROR", None));
    assert_eq!(told.data["code"], "watch_lost");
    assert_eq!(told.data["status"], 410);
    assert_eq!(client.next().await, None);
    world.get("/api/v1/watch?since=2").await.refused(410, "revision_too_old");
}

#[tokio::test(start_paused = true)]
async fn watches_end_with_the_server() {
    let world = World::new().await;
    let mut client = Client::open(&world, "/api/v1/watch", "").await;
    assert_eq!(client.now_short().await, ["BOOKMARK"]);
    let ending = async {
        world.end();
        client.next().await
    };
    assert_eq!(timeout(Duration::from_millis(1), ending).await.unwrap(), None);
    world.get("/api/v1/watch?consistency=cached").await.refused(503, "stopping");
}

/// What is shown of an object that changes while the initial state is read is never older than what
/// was shown before, and nothing is left out.
#[tokio::test(start_paused = true)]
async fn changes_during_the_initial_state_are_told_once() {
    let world = World::new().await;
    world.post("/api/v1/packages", package("shop")).await.is(201);
    for n in 0..1300 {
        let key = format!("d{n:04}");
        let meta = json!({
            "uid": key, "generation": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        });
        let stored = json!({ "meta": meta, "spec": deployment(&key, "shop") });
        world.store(&Key::Deployment(name(&key)), &stored).await;
    }
    world.get("/api/v1/packages").await.is(200);
    let mut client = Client::open(&world, "/api/v1/watch?kinds=deployment", "").await;
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut n_told = 0;
    let mut is_complete = false;
    while let Ok(told) = timeout(SOON, client.next()).await {
        let told = told.unwrap();
        if told.event == "BOOKMARK" {
            is_complete = true;
            continue;
        }
        assert_eq!(told.id.is_some(), is_complete);
        n_told += 1;
        let key = told.data["key"].as_str().unwrap().to_owned();
        let revision = told.data["revision"].as_u64().unwrap();
        match told.event.as_str() {
            "DELETED" => assert!(known.remove(&key).unwrap() < revision),
            "ADDED" => assert_eq!(known.insert(key, revision), None),
            _ => assert!(known.insert(key, revision).unwrap() < revision),
        }
        if n_told % 100 == 50 {
            // One that was shown, and two that were not, one of them new.
            let _ = world.delete(&format!("/api/v1/deployments/d{:04}", n_told - 10)).await;
            world.remove(&Key::Deployment(name(&format!("d{:04}", 1299 - n_told / 100)))).await;
            let new = format!("e{n_told}");
            world.post("/api/v1/deployments", deployment(&new, "shop")).await.is(201);
        }
    }
    let mut listed = BTreeMap::new();
    let mut path = "/api/v1/deployments?limit=1000".to_owned();
    loop {
        let page = world.get(&path).await.is(200).json();
        for item in page["items"].as_array().unwrap() {
            let version = item["meta"]["resource_version"].as_str().unwrap();
            listed
                .insert(item["key"].as_str().unwrap().to_owned(), version.parse::<u64>().unwrap());
        }
        let Some(next) = page["continue"].as_str() else { break };
        path = format!("/api/v1/deployments?limit=1000&continue={next}");
    }
    assert!(is_complete && known == listed, "{} told, {} listed", known.len(), listed.len());
}

/// A value that nobody can read is left out of lists, and a watch says so.
#[tokio::test(start_paused = true)]
async fn unreadable_objects_are_said_to_be_so() {
    let world = World::new().await;
    shop(&world).await;
    let mut client = Client::open(&world, "/api/v1/watch?since=2", "").await;
    world.store_bytes(&Key::Package(name("shop")), b"{".to_vec()).await;
    let told = client.now().await;
    assert_eq!(told[0].short(), "DELETED package/shop");
    assert_eq!(told[0].data["unreadable"], true);
}

#[tokio::test(start_paused = true)]
async fn thousand_watchers_cost_the_store_nothing() {
    let limits = Limits { max_watches: 1000, ..Limits::default() };
    let world = World::with_limits(limits).await;
    shop(&world).await;
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(Client::open(&world, "/api/v1/watch?since=2", "").await);
    }
    let n_calls = world.store.n_calls();
    for n in 0..20 {
        let labels = json!({ "n": n.to_string() });
        let stored = json!({
            "meta": world.meta("packages/shop").await.unwrap(),
            "spec": with(package("shop"), "labels", labels),
        });
        world.store(&Key::Package(name("shop")), &stored).await;
    }
    for client in &mut clients {
        for n in 0..20 {
            let told = client.next().await.unwrap();
            assert_eq!(told.data["object"]["labels"]["n"], n.to_string());
        }
    }
    assert_eq!(world.store.n_calls(), n_calls);
}
