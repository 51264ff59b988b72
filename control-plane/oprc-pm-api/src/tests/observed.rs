//! Statuses, records, clusters, probes: what others wrote, as users see it.

use http::Method;
use oprc_cp_storage::keys::Key;
use serde_json::{Value, json};

use super::world::{World, cluster, deployment, name, package};

/// A stored unit of the deployment on the cluster.
pub(super) fn unit(cluster: &str, deployment: &str) -> Value {
    json!({
        "desired": "PRESENT",
        "deployment_uid": "u",
        "deployment_generation": 1,
        "unit": {
            "id": unit_id(cluster, deployment), "deployment_key": deployment,
            "package_name": "shop", "class_key": "Cart", "target_env": cluster, "generation": 1,
            "spec_hash": "h", "owner": "pm", "created_at": "2026-01-01T00:00:00Z",
        },
    })
}

fn unit_id(cluster: &str, deployment: &str) -> String {
    format!("cart-{deployment}-{cluster}")
}

fn record(cluster: &str, deployment: &str) -> Value {
    json!({
        "cluster": cluster, "id": unit_id(cluster, deployment), "deployment_key": deployment,
        "managed": true, "observed_at": "2026-01-01T00:00:00Z",
    })
}

fn cluster_status(name: &str, connectivity: &str) -> Value {
    json!({
        "connectivity": connectivity, "breaker": "CLOSED",
        "health": { "cluster_name": name, "status": "HEALTHY", "node_count": 3 },
    })
}

fn part(cluster: &str, condition: &str) -> Value {
    json!({
        "cluster": cluster, "unit_id": unit_id(cluster, "d"), "desired": "PRESENT",
        "generation": 1, "condition": condition, "reason": "Observed",
    })
}

/// `d` on east and west: a record, a unit and a part of the status on each.
pub(super) async fn placed(world: &World) {
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await;
    let uid = world.meta("deployments/d").await.unwrap().uid;
    for there in ["east", "west"] {
        world.store(&Key::Cluster(name(there)), &cluster(there)).await;
        world.store(&Key::Unit(name(there), name("d")), &unit(there, "d")).await;
        let id = name(&unit_id(there, "d"));
        world.store(&Key::Record(name(there), id), &record(there, "d")).await;
    }
    let connected = cluster_status("east", "CONNECTED");
    world.store(&Key::ClusterStatus(name("east")), &connected).await;
    let unreachable = cluster_status("west", "UNREACHABLE");
    world.store(&Key::ClusterStatus(name("west")), &unreachable).await;
    let status = json!({
        "uid": uid, "condition": "UNKNOWN", "observed_generation": 1,
        "clusters": [part("east", "RUNNING"), part("west", "UNKNOWN")],
    });
    world.store(&Key::DeploymentStatus(name("d")), &status).await;
}

#[tokio::test(start_paused = true)]
async fn deployment_status() {
    let world = World::new().await;
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    let get = async |path: &str| world.get(&format!("/api/v1/deployment-status/{path}")).await;
    let pending = get("d").await.is(200).json();
    assert_eq!(pending["condition"], "PENDING");
    assert_eq!(pending["observed_generation"], 0);
    assert_eq!(pending["generation"], 1);
    assert_eq!(pending["stale"], true, "nobody leads");

    world.lead().await;
    placed(&world).await;
    let all = get("d").await.is(200).json();
    assert_eq!(all["key"], "d");
    assert_eq!(all["stale"], Value::Null);
    assert_eq!(all["clusters"].as_array().unwrap().len(), 2);
    for (path, condition) in [
        ("d?cluster=east", "RUNNING"),
        ("cart-d-east", "RUNNING"),
        ("cart-d-west", "UNKNOWN"),
        ("cart-d-west?cluster=west", "UNKNOWN"),
    ] {
        let one = get(path).await.is(200).json();
        assert_eq!(one["condition"], condition, "{path}");
        assert_eq!(one["key"], "d");
        assert_eq!(one["clusters"].as_array().unwrap().len(), 1);
    }
    get("d?cluster=mars").await.refused(404, "not_found");
    get("cart-d-west?cluster=east").await.refused(404, "not_found");
    get("nothing").await.refused(404, "not_found");
    get("no%20name").await.refused(400, "invalid_name");

    world.delete("/api/v1/deployments/d").await.is(202);
    assert!(get("d").await.json()["deletion_requested_at"].is_string());
    // What was said of another incarnation says nothing of this one.
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    let pending = get("d").await.is(200).json();
    assert_eq!((&pending["condition"], &pending["generation"]), (&json!("PENDING"), &json!(2)));
    assert_eq!(pending["uid"], world.meta("deployments/d").await.unwrap().uid);

    world.remove(&Key::Unit(name("east"), name("d"))).await;
    get("cart-d-east").await.refused(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn records() {
    let world = World::new().await;
    world.lead().await;
    placed(&world).await;
    let get = async |path: &str| world.get(&format!("/api/v1/deployment-records{path}")).await;
    let all = get("").await.is(200).json();
    let stale: Vec<(&str, bool)> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["cluster"].as_str().unwrap(), item["stale"].as_bool().unwrap()))
        .collect();
    assert_eq!(stale, [("east", false), ("west", true)]);
    assert!(all["items"][0]["observed_at"].is_string());
    assert_eq!(get("?cluster=west").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(get("?deployment_key=d").await.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(get("?deployment_key=e").await.json()["items"].as_array().unwrap().len(), 0);
    let one = get("/cart-d-west").await.is(200).json();
    assert_eq!((&one["cluster"], &one["stale"]), (&json!("west"), &json!(true)));
    get("/cart-d-west?cluster=east").await.refused(404, "not_found");
    get("/nothing").await.refused(404, "not_found");
    get("/NOT-AN-ID").await.refused(400, "invalid_name");

    for n in 0..5 {
        let deployment = format!("x{n}");
        for there in ["east", "west"] {
            let id = name(&unit_id(there, &deployment));
            world.store(&Key::Record(name(there), id), &record(there, &deployment)).await;
        }
    }
    for query in ["limit=5", "limit=5&deployment_key=d", "limit=1&cluster=west"] {
        let mut ids = Vec::new();
        let mut token = String::new();
        loop {
            let page = get(&format!("?{query}{token}")).await.is(200).json();
            let items = page["items"].as_array().unwrap().clone();
            ids.extend(items.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
            match page["continue"].as_str() {
                Some(next) => token = format!("&continue={next}"),
                None => break,
            }
        }
        let expected = if query.contains("deployment") {
            2
        } else if query.contains("west") {
            6
        } else {
            12
        };
        assert_eq!(ids.len(), expected, "{query}: {ids:?}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), expected, "{query}: each once");
    }
}

#[tokio::test(start_paused = true)]
async fn clusters() {
    let world = World::new().await;
    placed(&world).await;
    let get = async |path: &str| world.get(&format!("/api/v1/clusters{path}")).await;
    let health = get("/east/health").await.is(200).json();
    assert_eq!(
        (&health["status"], &health["stale"]),
        (&json!("UNKNOWN"), &json!(true)),
        "nobody leads"
    );

    let east = get("/east").await.is(200).json();
    assert_eq!(east["status"]["health"]["status"], "UNKNOWN", "nobody leads");
    world.lead().await;
    let list = get("").await.is(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let east = get("/east").await.is(200).json();
    assert_eq!(east["name"], "east");
    assert_eq!(east["default"], true);
    assert_eq!(east["status"]["connectivity"], "CONNECTED");
    assert_eq!(get("/west").await.json()["default"], Value::Null);
    let health = get("/east/health").await.is(200).json();
    assert_eq!((&health["status"], &health["node_count"]), (&json!("HEALTHY"), &json!(3)));
    let health = get("/west/health").await.is(200).json();
    assert_eq!(
        (&health["status"], &health["connectivity"]),
        (&json!("UNKNOWN"), &json!("UNREACHABLE"))
    );
    assert_eq!(get("/health").await.is(200).json()["items"].as_array().unwrap().len(), 2);
    // The registration, the list and the health say the same.
    for (name, want) in [("east", "HEALTHY"), ("west", "UNKNOWN")] {
        let one = get(&format!("/{name}")).await.is(200).json();
        assert_eq!(one["status"]["health"]["status"], want, "{one}");
        let health = get(&format!("/{name}/health")).await.is(200).json();
        assert_eq!(health["status"], want, "{health}");
        for (path, pointer) in [("", "/status/health/status"), ("/health", "/status")] {
            let page = get(path).await.is(200).json();
            let items = page["items"].as_array().unwrap().iter();
            let is_it = |item: &&Value| item["name"] == name || item["cluster_name"] == name;
            let item = items.clone().find(is_it).unwrap();
            assert_eq!(item.pointer(pointer).unwrap(), want, "{item}");
        }
    }
    get("/mars").await.refused(404, "not_found");
    get("/mars/health").await.refused(404, "not_found");
    get("/Mars").await.refused(400, "invalid_name");
}

#[tokio::test(start_paused = true)]
async fn parts_name_their_package() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    for (path, key) in [("classes", "Cart"), ("functions", "add")] {
        let list = world.get(&format!("/api/v1/{path}")).await.is(200).json();
        assert_eq!(list["items"][0]["key"], key);
        assert_eq!(list["items"][0]["package_name"], "shop");
    }
}

#[tokio::test(start_paused = true)]
async fn probes() {
    let world = World::new().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        world.get(path).await.is(200);
    }
    assert_eq!(world.get("/readyz").await.json(), json!({ "ready": true, "reasons": [] }));
    assert_eq!(world.get("/metrics").await.is(200).body, "# metrics\n");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_problem() {
    let world = World::with_readiness(|| panic!("a bug")).await;
    world.get("/readyz").await.refused(500, "internal");
    world.get("/livez").await.is(200);
    let world = World::with_readiness(|| vec!["the leader has stopped".to_owned()]).await;
    let ready = world.get("/readyz").await.is(503).json();
    assert_eq!(ready["reasons"], json!(["the leader has stopped"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_route() {
    let world = World::new().await;
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v1/packages/a/b", "/index.html"] {
        world.get(path).await.refused(404, "route_not_found");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/v1/packages", "GET,HEAD,POST"),
        (Method::PATCH, "/api/v1/packages/a", "GET,HEAD,PUT,POST,DELETE"),
        (Method::POST, "/api/v1/clusters", "GET,HEAD"),
        (Method::POST, "/healthz", "GET,HEAD"),
    ] {
        let reply = world.call(method, path, &[], "").await;
        assert_eq!(reply.header("allow"), allow, "{path}");
        reply.refused(405, "method_not_allowed");
    }
    let head = world.call(Method::HEAD, "/api/v1/packages", &[], "").await.is(200);
    assert!(head.body.is_empty());
}
