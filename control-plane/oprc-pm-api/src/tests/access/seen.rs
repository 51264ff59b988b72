//! What is hidden from whom.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use oprc_models::role::Role;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    super::world::{Reply, package, with},
    three_packages,
};

#[tokio::test]
async fn lists_show_what_the_caller_may_see() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    world.bind(Role::Deployer, "bob", &["lib", "shop-b"]).await;
    let names = |items: &[Value], field: &str| -> Vec<String> {
        items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    let (ada, bob, root) = (world.by("ada", &[]), world.by("bob", &[]), world.root());
    for (who, want) in [
        (&ada, &["shop-a", "shop-b"][..]),
        (&bob, &["lib", "shop-b"]),
        (&root, &["lib", "shop-a", "shop-b"]),
    ] {
        let packages = names(&who.list("/api/v1/packages").await, "name");
        assert_eq!(packages, want);
        for part in ["classes", "functions"] {
            let parts = names(&who.list(&format!("/api/v1/{part}")).await, "package_name");
            assert_eq!(parts, want);
        }
        let mut deployments = names(&who.list("/api/v1/deployments").await, "key");
        deployments.sort();
        let mut wanted: Vec<String> =
            want.iter().flat_map(|name| [format!("x-{name}"), format!("y-{name}")]).collect();
        wanted.sort();
        assert_eq!(deployments, wanted);
        let mut records = names(&who.list("/api/v1/deployment-records").await, "deployment_key");
        records.sort();
        assert_eq!(records, wanted);
    }
    // Filters look at nothing else either.
    let of = |filter: &'static str| {
        let ada = &ada;
        async move { ada.get(filter).await.is(200).json()["items"].as_array().unwrap().len() }
    };
    assert_eq!(of("/api/v1/deployments?package_name=lib").await, 0);
    assert_eq!(of("/api/v1/deployments?package_name=shop-a").await, 2);
    assert_eq!(of("/api/v1/deployment-records?deployment_key=x-lib").await, 0);
    assert_eq!(of("/api/v1/deployment-records?deployment_key=x-shop-a").await, 1);
    assert_eq!(of("/api/v1/deployment-records?cluster=west").await, 0);
    assert_eq!(of("/api/v1/classes?package_name=lib").await, 0);
}

/// Events about a deployment are seen by who sees its package, those about clusters by all who read
/// clusters; those about what is gone by who sees everything.
#[tokio::test]
async fn events_are_seen_by_who_sees_what_they_are_about() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    let root = world.root();
    let cluster = json!({
        "meta": {
            "uid": "c", "generation": 1, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        },
        "spec": {"name": "east", "endpoints": ["http://east"]},
    });
    world.store(&"clusters/east".parse().unwrap(), &cluster).await;
    let abouts = [
        "package/lib",
        "package/shop-a",
        "deployment/gone",
        "deployment/x-lib",
        "deployment/x-shop-a",
        "deployment/y-shop-b",
        "cluster/east",
    ];
    let event = |reason: &str| {
        json!({
            "reason": reason, "severity": "NORMAL", "message": "", "count": 1,
            "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z",
        })
    };
    for about in abouts {
        let stored = json!({"events": [event("Sent"), event("Gone")]});
        let at = world.store(&format!("events/{about}").parse().unwrap(), &stored).await;
        world.cache.wait_for(at, std::time::Duration::from_secs(5)).await.unwrap();
    }
    let ada = world.by("ada", &[]);
    let told = |items: &[Value]| -> Vec<String> {
        let name = |item: &Value| format!("{} {}", item["about"], item["reason"]).replace('"', "");
        items.iter().map(name).collect()
    };
    let all = told(&root.list("/api/v1/events").await);
    assert_eq!(all.len(), 2 * abouts.len());
    let seen = ["package/shop-a", "deployment/x-shop-a", "deployment/y-shop-b", "cluster/east"];
    let want: Vec<String> = seen
        .iter()
        .flat_map(|about| ["Gone", "Sent"].map(|reason| format!("{about} {reason}")))
        .collect();
    assert_eq!(told(&ada.list("/api/v1/events").await), want);
    // Page by page it is the same.
    let (mut paged, mut path) = (Vec::new(), "/api/v1/events?limit=1".to_owned());
    loop {
        let page = ada.get(&path).await.is(200).json();
        paged.extend(told(page["items"].as_array().unwrap()));
        let Some(next) = page["continue"].as_str() else { break };
        path = format!("/api/v1/events?limit=1&continue={next}");
    }
    assert_eq!(paged, want);
    for about in abouts {
        let path = format!("/api/v1/events?about={about}");
        let n_told = ada.get(&path).await.is(200).json()["items"].as_array().unwrap().len();
        assert_eq!(n_told, if seen.contains(&about) { 2 } else { 0 }, "{about}");
    }
    world.by("nobody", &[]).get("/api/v1/events").await.refused(403, "forbidden");
}

/// What a caller may not see and what is not there are answered alike.
#[tokio::test]
async fn what_is_hidden_is_as_if_it_were_not() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    world.bind(Role::Deployer, "bob", &["shop-*"]).await;
    let ada = world.by("ada", &[]);
    for (hidden, absent) in [
        ("/api/v1/packages/lib", "/api/v1/packages/lab"),
        ("/api/v1/packages/lib/revisions", "/api/v1/packages/lab/revisions"),
        ("/api/v1/packages/lib/versions", "/api/v1/packages/lab/versions"),
        ("/api/v1/packages/lib?version=1.0", "/api/v1/packages/lab?version=1.0"),
        ("/api/v1/packages/lib?version=^7", "/api/v1/packages/lab?version=^7"),
        ("/api/v1/deployments/x-lib", "/api/v1/deployments/x-lab"),
        ("/api/v1/deployments/x-lib/revisions", "/api/v1/deployments/x-lab/revisions"),
        ("/api/v1/deployments/x-lib/revisions/1", "/api/v1/deployments/x-lab/revisions/1"),
        ("/api/v1/deployment-status/x-lib", "/api/v1/deployment-status/x-lab"),
        ("/api/v1/deployment-records/unit-x-lib", "/api/v1/deployment-records/unit-x-lab"),
        (
            "/api/v1/can-i?verb=get&kind=deployments&name=x-lib",
            "/api/v1/can-i?verb=get&kind=deployments&name=x-lab",
        ),
    ] {
        let [hidden, absent] = [ada.get(hidden).await, ada.get(absent).await];
        assert_eq!(hidden.status, absent.status);
        let text = |reply: &Reply| {
            let mut body = reply.json();
            body["correlation_id"] = Value::Null;
            body.to_string().replace("lib", "lab")
        };
        assert_eq!(text(&hidden), text(&absent));
    }
    let bob = world.by("bob", &[]);
    bob.delete("/api/v1/deployments/x-lib").await.refused(404, "not_found");
    bob.delete("/api/v1/deployments/x-lab").await.refused(404, "not_found");
    // Nothing was asked for.
    let meta = world.meta("deployments/x-lib").await.unwrap();
    assert!(!meta.is_deleting());
}

/// A watch tells what its caller may see, and ends when they may no more.
#[tokio::test]
async fn watches_show_what_the_caller_may_see() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    let ada = world.by("ada", &[]);
    let request = Request::get("/api/v1/watch").header("authorization", &ada.authorization);
    let request = request.body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let mut told = String::new();
    let mut read_until = async |mark: &str| {
        let from = told.len();
        while !told[from..].contains(mark) {
            let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
            let Some(chunk) = next.expect("it comes in time") else { return (told.clone(), false) };
            told.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        (told.clone(), true)
    };
    read_until("BOOKMARK").await;
    let newer = |name: &str| with(package(name), "version", json!("2"));
    world.root().put("/api/v1/packages/lib", newer("lib")).await.is(200);
    world.root().put("/api/v1/packages/shop-a", newer("shop-a")).await.is(200);
    let (told, _) = read_until("MODIFIED").await;
    assert!(told.contains("shop-a") && told.contains("x-shop-b"), "{told}");
    assert!(!told.contains("lib"), "{told}");
    world.root().delete("/api/v1/role-bindings/ada-viewer").await.is(200);
    // It is looked at once a second, when there is something to tell.
    let begun = tokio::time::Instant::now();
    for n in 0.. {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
        let version = with(package("shop-b"), "version", json!(format!("2.{n}")));
        world.root().put("/api/v1/packages/shop-b", version).await.is(200);
        if !read_until("MODIFIED").await.1 {
            break;
        }
    }
    ada.get("/api/v1/watch").await.refused(403, "forbidden");
}
