//! Watches that are resumed: at a replica that was killed, at another one, at one that ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::support::{
    Api, Backend, World, client, document, eventually, eventually_within, on_each_backend,
};

on_each_backend!(
    resumed_across_restarts_nothing_is_missed_and_nothing_told_twice,
    watches_end_at_once_when_the_server_is_stopped,
);

const BOTH: &[&str] = &["edge-1", "edge-2"];
const N_RESTARTS: usize = 5;
const LISTS: [(&str, &str); 4] = [
    ("package", "packages"),
    ("deployment", "deployments"),
    ("cluster", "clusters"),
    ("deployment-record", "deployment-records"),
];

/// What a client of a watch makes of what it is told.
#[derive(Debug, Default)]
struct Model {
    objects: BTreeMap<(String, String), Value>,
    last_id: Option<String>,
    is_complete: bool,
    n_resumed: usize,
    /// Times that it was told to begin again.
    n_begun: usize,
    n_events: usize,
}

/// A revision, and a place in it.
fn mark(id: &str) -> (u64, u64) {
    let (revision, place) = id.split_once('.').unwrap_or((id, "18446744073709551615"));
    (revision.parse().unwrap(), place.parse().unwrap())
}

impl Model {
    fn begin(&mut self) {
        self.objects.clear();
        self.last_id = None;
        self.is_complete = false;
        self.n_begun += 1;
    }

    /// Takes one event: each must fit what is known, and each mark comes once, in order.
    fn take(&mut self, event: &str, id: Option<&str>, data: &Value) {
        if let Some(id) = id {
            let is_later = self.last_id.as_ref().is_none_or(|last| match event {
                "BOOKMARK" => mark(last) <= mark(id),
                _ => mark(last) < mark(id),
            });
            assert!(is_later, "{event} {id} after {:?}: {data}", self.last_id);
            self.last_id = Some(id.to_owned());
        }
        if event == "BOOKMARK" {
            self.is_complete |= data["initial_complete"] == true;
            return;
        }
        assert_eq!(id.is_some(), self.is_complete, "{event} {id:?} {data}");
        self.n_events += 1;
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        let key = (text("kind"), text("key"));
        let object = data["object"].clone();
        let before = match event {
            "DELETED" => self.objects.remove(&key),
            _ => self.objects.insert(key, object),
        };
        assert_eq!(before.is_some(), event != "ADDED", "{event} {id:?} {data}, and was {before:?}");
    }

    /// What is not as the lists of `api` have it.
    async fn differences(model: &Mutex<Self>, api: &Api) -> Result<(), String> {
        let mut listed = BTreeMap::new();
        for (kind, path) in LISTS {
            for item in api.list(&format!("/api/v1/{path}")).await {
                let name = match kind {
                    "deployment" => item["key"].as_str().unwrap().to_owned(),
                    "deployment-record" => {
                        let part = |name: &str| item[name].as_str().unwrap().to_owned();
                        format!("{}/{}", part("cluster"), part("id"))
                    }
                    _ => item["name"].as_str().unwrap().to_owned(),
                };
                listed.insert((kind.to_owned(), name), without_stale(item));
            }
        }
        let model = model.lock().unwrap();
        let known: BTreeMap<_, _> = model
            .objects
            .iter()
            .map(|(key, value)| (key.clone(), without_stale(value.clone())))
            .collect();
        if known == listed {
            return Ok(());
        }
        let differing = listed.iter().filter(|(key, item)| known.get(*key) != Some(*item));
        let extra = known.keys().filter(|key| !listed.contains_key(*key));
        Err(format!("{:?} and not {:?}", differing.collect::<Vec<_>>(), extra.collect::<Vec<_>>()))
    }
}

/// Whether something is out of date changes with who leads, and is no change of the object.
fn without_stale(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("stale");
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("stale");
    }
    object
}

/// A client that resumes whenever its watch ends: at the next of `urls`, in turn.
fn follow(urls: Vec<String>) -> (Arc<Mutex<Model>>, JoinHandle<()>) {
    let model = Arc::new(Mutex::new(Model::default()));
    let told = Arc::clone(&model);
    let client = client().build().unwrap();
    let following = tokio::spawn(async move {
        for url in urls.iter().cycle() {
            let _ = watch(&client, url, &told).await;
            sleep(Duration::from_millis(20)).await;
        }
    });
    (model, following)
}

/// Watches until the connection ends or is refused.
async fn watch(client: &Client, url: &str, model: &Mutex<Model>) -> Result<(), reqwest::Error> {
    let last_id = model.lock().unwrap().last_id.clone();
    let mut request = client.request(Method::GET, format!("{url}/api/v1/watch"));
    if let Some(id) = &last_id {
        request = request.header("last-event-id", id);
    }
    let mut response = request.send().await?;
    match response.status().as_u16() {
        200 if last_id.is_some() => model.lock().unwrap().n_resumed += 1,
        200 | 410 => {
            model.lock().unwrap().begin();
            if response.status() == 410 {
                return Ok(());
            }
        }
        _ => return Ok(()),
    }
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await? {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((frame, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let mut lines = frame.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(field, _)| *field == name).map(|(_, value)| value)
            };
            let data = serde_json::from_str(field("data").unwrap()).unwrap();
            match field("event").unwrap() {
                "ERROR" => model.lock().unwrap().begin(),
                event => model.lock().unwrap().take(event, field("id"), &data),
            }
            text = rest.to_owned();
        }
    }
    Ok(())
}

/// Writes and deletes at random through whoever answers, until `until`.
async fn churn(api: Api, seed: u64, until: Instant) {
    let mut rng = Rng::with_seed(seed);
    while Instant::now() < until {
        let key = format!("cart-{}", rng.u8(0..12));
        let path = format!("/api/v1/deployments/{key}");
        let request = if rng.u8(0..3) == 0 {
            api.request(Method::DELETE, &path)
        } else {
            let mut document = document(&key, BOTH);
            document["labels"] = serde_json::json!({ "n": rng.u16(..).to_string() });
            api.request(Method::PUT, &path).json(&document)
        };
        // A server that is away, or a deployment that is about to go: either is what is wanted.
        let _ = Api::try_send(request).await;
        sleep(Duration::from_millis(rng.u64(1..20))).await;
    }
}

async fn resumed_across_restarts_nothing_is_missed_and_nothing_told_twice(backend: Backend) {
    let mut world = World::start(backend, BOTH).await;
    if backend == Backend::Etcd {
        world.add_pm().await;
    }
    world.put_package("1.0.0").await;
    let urls: Vec<String> = world.pms.iter().map(|pm| pm.api.url.clone()).collect();
    let here = follow(vec![urls[0].clone()]);
    // Resumed at another replica each time, where there is another.
    let anywhere = follow(urls.iter().rev().cloned().collect());
    let until = Instant::now() + Duration::from_secs(8);
    let churning: Vec<_> = world
        .pms
        .iter()
        .enumerate()
        .map(|(n, pm)| tokio::spawn(churn(pm.api.clone(), n as u64, until)))
        .collect();
    let mut rng = Rng::with_seed(11);
    for n in 0..N_RESTARTS {
        sleep(Duration::from_millis(rng.u64(300..1200))).await;
        let index = n % world.pms.len();
        world.restart(index);
        world.is_ready(index).await;
    }
    for churning in churning {
        churning.await.unwrap();
    }
    for (model, following) in [&here, &anywhere] {
        let same = "what was told is what there is";
        eventually_within(Duration::from_secs(90), same, || {
            assert!(!following.is_finished(), "a client has failed");
            Model::differences(model, world.api())
        })
        .await;
        let model = model.lock().unwrap();
        assert!(model.n_events > 100, "{}", model.n_events);
        assert_eq!(model.n_begun, 1, "the initial state was told once");
        assert!(model.n_resumed >= 1, "{}", model.n_resumed);
        eprintln!(
            "{backend:?}: {} events, resumed {} times, begun {} times",
            model.n_events, model.n_resumed, model.n_begun
        );
    }
    here.1.abort();
    anywhere.1.abort();
}

async fn watches_end_at_once_when_the_server_is_stopped(backend: Backend) {
    let mut world = World::start(backend, &["edge-1"]).await;
    let clients: Vec<_> = (0..20).map(|_| follow(vec![world.api().url.clone()])).collect();
    for (model, _) in &clients {
        eventually("the initial state is complete", || {
            let is_complete = model.lock().unwrap().is_complete;
            async move { is_complete.then_some(()).ok_or("it is not") }
        })
        .await;
    }
    let began = Instant::now();
    world.pms[0].process.terminate();
    let status = world.pms[0].process.ended().await;
    assert!(status.success(), "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "half of the grace: {:?}", began.elapsed());
    for (_, following) in clients {
        following.abort();
    }
}
