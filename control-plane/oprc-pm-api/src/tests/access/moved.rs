//! A deployment that moves to another package: nothing of the one is shown to those who see only
//! the other, on any route.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{Method, Request};
use oprc_models::role::Role;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    super::world::{World, deployment, package, with},
    As,
};
use crate::auth::{
    routes::{Does, Need, ROUTES},
    tests::guard,
};

/// The package that the deployment leaves, and the one that it moves to.
const FORMER: &str = "quince";
const LATTER: &str = "medlar";

/// Everything that a package's documents, records, statuses and events hold in this test contains
/// the package's name, so a text without that name holds nothing of the package.
fn record(package: &str) -> Value {
    json!({
        "cluster": "east", "id": "unit-cart", "deployment_key": "cart", "managed": true,
        "observed_at": "2026-01-01T00:00:00Z",
        "record": {
            "id": "unit-cart", "deployment_key": "cart", "package_name": package,
            "class_key": format!("class-{package}"), "target_environment": "east",
            "cluster_name": "east", "owner": "oprc-pm", "generation": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "status": {
                "condition": "RUNNING", "message": format!("runs {package}"),
                "last_updated": "2026-01-01T00:00:00Z",
            },
        },
        "refusal": {
            "generation": 1, "package_name": package, "status": 422,
            "message": format!("refuses {package}"), "at": "2026-01-01T00:00:00Z",
        },
    })
}

fn status(package: &str, uid: &str, generation: u64) -> Value {
    json!({
        "uid": uid, "condition": "DOWN", "observed_generation": generation,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Down",
            "message": format!("{package} is down"), "observed_generation": generation,
            "last_transition_time": "2026-01-01T00:00:00Z",
        }],
    })
}

fn events(packages: &[&str]) -> Value {
    let event = |package: &&str| {
        json!({
            "reason": format!("Of{package}"), "severity": "NORMAL", "message": package,
            "package_name": package, "count": 1,
            "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z",
        })
    };
    json!({"events": packages.iter().map(event).collect::<Vec<_>>()})
}

async fn store(world: &World, key: &str, value: &Value) {
    let at = world.store(&key.parse().unwrap(), value).await;
    world.cache.wait_for(at, Duration::from_secs(30)).await.unwrap();
}

fn cart(package: &str) -> Value {
    let labels = json!({"team": package});
    with(deployment("cart", package), "labels", labels)
}

/// A watch of `who`.
async fn watch(who: &As<'_>, path: &str) -> BodyDataStream {
    let request = Request::get(path).header("authorization", &who.authorization);
    let request = request.body(Body::empty()).unwrap();
    let response = who.world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.into_body().into_data_stream()
}

/// Everything that a watch tells until it has been silent for a while, on a paused clock.
async fn told(stream: &mut BodyDataStream) -> String {
    let mut text = String::new();
    while let Ok(Some(chunk)) = tokio::time::timeout(Duration::from_secs(3), stream.next()).await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    text
}

/// The mark of the last event in `text`.
fn last_id(text: &str) -> String {
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

/// What `who`, who sees `package` alone, is answered by every route that is read.
async fn everything(who: &As<'_>, package: &str, since: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let names = [
        ("{generation}", &["1", "2"][..]),
        ("{from}", &["1", "2"]),
        ("{to}", &["1", "2"]),
        ("{key}", &["cart"]),
        ("{id}", &["cart", "unit-cart"]),
        ("{name}", &[package, "east", "b"]),
    ];
    let reads = ROUTES.iter().filter(|(_, methods)| {
        methods.iter().any(|(does, need)| *does == Does::Get && !matches!(need, Need::Nothing))
    });
    for (route, _) in reads {
        let mut paths = vec![(*route).to_owned()];
        for (part, values) in names {
            let of = |path: String| values.iter().map(move |value| path.replace(part, value));
            paths = paths.into_iter().flat_map(of).collect();
        }
        paths.sort();
        paths.dedup();
        let is_list = matches!(*route, "/api/v1/events" | "/api/v1/deployment-records");
        if is_list {
            for query in ["about=deployment/cart", "deployment_key=cart", "cluster=east"] {
                paths.push(format!("{route}?{query}"));
            }
        }
        if *route == "/api/v1/can-i" {
            let query = "verb=update&kind=deployments&name=cart";
            paths = vec![format!("{route}?{query}")];
        }
        if *route == "/api/v1/watch" {
            paths.clear();
        }
        for path in paths {
            let reply = who.get(&path).await;
            all.push((path, String::from_utf8(reply.body.to_vec()).unwrap()));
        }
    }
    for path in ["/watch", "/packages", "/deployments", "/deployment-records", "/clusters"] {
        for query in ["watch=true".to_owned(), format!("watch=true&since={since}")] {
            let query = if path == "/watch" { query.replace("watch=true", "") } else { query };
            let path = format!("/api/v1{path}?{}", query.trim_start_matches('&'));
            let text = told(&mut watch(who, &path).await).await;
            all.push((path, text));
        }
    }
    assert!(all.len() > 45, "{}", all.len());
    all
}

/// What `who` is answered who tries to write what is not theirs.
async fn refusals(who: &As<'_>, package: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let inline = with(super::super::world::package(package), "deployments", json!([cart(package)]));
    let requests = [
        (Method::PUT, "/deployments/cart", cart(package)),
        (Method::POST, "/deployments", cart(package)),
        (Method::DELETE, "/deployments/cart", Value::Null),
        (Method::POST, "/deployments/cart/rollback", json!({"generation": 1})),
        (Method::POST, "/deployments/cart/pause", Value::Null),
        (Method::POST, "/apply", json!([cart(package)])),
        (Method::POST, "/apply?dry_run=true", json!([cart(package)])),
        (Method::POST, "/apply?bundle=b&prune=true", json!([cart(package)])),
        (Method::POST, "/apply?dry_run=true", json!([inline])),
    ];
    for (method, path, body) in requests {
        let reply = who.send(method.clone(), &format!("/api/v1{path}"), &body).await;
        all.push((format!("{method} {path}"), String::from_utf8(reply.body.to_vec()).unwrap()));
    }
    all
}

#[track_caller]
fn no_word_of(hidden: &str, answers: &[(String, String)]) {
    for (path, text) in answers {
        assert!(!text.contains(hidden), "{path} tells of {hidden}: {text}");
    }
}

/// **Each route against a package that is hidden.** The deployment `cart` moves from a package that
/// ada sees to one that eve sees.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_hidden_package_is_shown_when_a_deployment_moves() {
    let world = World::guarded(guard()).await;
    let (root, ada, eve) = (world.root(), world.by("ada", &[]), world.by("eve", &[]));
    for (who, name) in [("ada", FORMER), ("eve", LATTER)] {
        root.put(&format!("/api/v1/packages/{name}"), package(name)).await.is(201);
        for role in [Role::Viewer, Role::Developer, Role::Deployer] {
            world.bind(role, who, &[name]).await;
        }
    }
    let path = "/api/v1/deployments/cart";
    root.put(path, cart(FORMER)).await.is(201);
    let uid = world.meta("deployments/cart").await.unwrap().uid;
    store(&world, "records/east/unit-cart", &record(FORMER)).await;
    store(&world, "status/deployments/cart", &status(FORMER, &uid, 1)).await;
    store(&world, "events/deployment/cart", &events(&[FORMER])).await;

    let mut of_ada = watch(&ada, "/api/v1/watch").await;
    let begun = told(&mut of_ada).await;
    assert!(begun.contains("refuses quince") && begun.contains("quince is down"), "{begun}");
    let since = last_id(&begun);
    let mut of_eve = watch(&eve, "/api/v1/watch").await;
    let begun = told(&mut of_eve).await;
    assert!(!begun.contains(FORMER), "{begun}");
    no_word_of(FORMER, &everything(&eve, LATTER, &since).await);
    no_word_of(LATTER, &everything(&ada, FORMER, &since).await);

    root.put(path, cart(LATTER)).await.is(200);
    // Each watcher loses or gains sight of the deployment; ada of its record too.
    let lost = told(&mut of_ada).await;
    for event in ["\"kind\":\"deployment\"", "\"kind\":\"deployment-record\""] {
        let frame = lost.split("\n\n").find(|frame| frame.contains(event)).expect(&lost);
        assert!(frame.starts_with("event: DELETED"), "{frame}");
        assert!(frame.contains(FORMER), "as it last was: {frame}");
    }
    let gained = told(&mut of_eve).await;
    assert!(gained.contains("event: ADDED") && gained.contains("\"key\":\"cart\""), "{gained}");
    let watched = [("ada".to_owned(), lost), ("eve".to_owned(), gained)];
    no_word_of(LATTER, &watched[..1]);
    no_word_of(FORMER, &watched[1..]);
    // Nothing has been carried out yet: record, status and events are still the former package's.
    for _ in 0..2 {
        no_word_of(LATTER, &everything(&ada, FORMER, &since).await);
        no_word_of(LATTER, &refusals(&ada, FORMER).await);
        no_word_of(FORMER, &everything(&eve, LATTER, &since).await);
        // Now it has.
        store(&world, "records/east/unit-cart", &record(LATTER)).await;
        store(&world, "status/deployments/cart", &status(LATTER, &uid, 2)).await;
        store(&world, "events/deployment/cart", &events(&[FORMER, LATTER])).await;
    }
    let all = everything(&eve, LATTER, &since).await;
    for (path, wanted) in [
        ("/api/v1/deployment-records/unit-cart", "refuses medlar"),
        ("/api/v1/deployment-status/cart", "medlar is down"),
        ("/api/v1/events?about=deployment/cart", "Ofmedlar"),
        ("/api/v1/deployments/cart/revisions", "\"generation\":2"),
    ] {
        let (_, text) = all.iter().find(|(there, _)| there == path).unwrap();
        assert!(text.contains(wanted), "{path}: {text}");
    }
    let told_of = |text: &str| text.contains("\"generation\":1");
    let (_, text) = all.iter().find(|(path, _)| path.ends_with("cart/revisions")).unwrap();
    assert!(!told_of(text), "{text}");
    no_word_of(FORMER, &[("rollback".to_owned(), refusals(&eve, LATTER).await.swap_remove(3).1)]);
    // A caller who sees both is shown both.
    let text = String::from_utf8(root.get("/api/v1/events").await.body.to_vec()).unwrap();
    assert!(text.contains("Ofquince") && text.contains("Ofmedlar"), "{text}");
}

/// A deployment that a package declares inline is no longer its own after it has moved: a push of
/// that package neither deletes it nor names its new package.
#[tokio::test]
async fn a_moved_deployment_is_no_longer_declared_by_its_former_package() {
    let world = World::guarded(guard()).await;
    let (root, ada) = (world.root(), world.by("ada", &[]));
    for role in [Role::Developer, Role::Deployer] {
        world.bind(role, "ada", &[FORMER]).await;
    }
    let inline = with(package(FORMER), "deployments", json!([cart(FORMER)]));
    root.put("/api/v1/packages/medlar", package(LATTER)).await.is(201);
    ada.put("/api/v1/packages/quince", inline).await.is(201);
    assert_eq!(world.meta("deployments/cart").await.unwrap().owner.unwrap().as_str(), FORMER);
    let moved = root.put("/api/v1/deployments/cart", cart(LATTER)).await.is(200);
    assert_eq!(moved.json()["meta"]["owner"], Value::Null);
    assert_eq!(moved.json()["meta"]["package_since"], 2);
    let next = with(package(FORMER), "version", json!("2"));
    ada.put("/api/v1/packages/quince", next).await.is(200);
    assert!(!world.meta("deployments/cart").await.unwrap().is_deleting());
}
