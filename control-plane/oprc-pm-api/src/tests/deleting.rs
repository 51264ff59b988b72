//! Deleting, deleting again, and creating meanwhile.

use oprc_cp_storage::keys::Key;
use serde_json::{Value, json};

use super::world::{World, cluster, deployment, name, package, with};

#[tokio::test(start_paused = true)]
async fn deleting_marks_once() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.put("/api/v1/deployments/d", deployment("d", "other")).await.is(201);
    for (path, key) in
        [("/api/v1/packages/shop", "packages/shop"), ("/api/v1/deployments/d", "deployments/d")]
    {
        let deleted = world.delete(path).await.is(202).json();
        assert!(deleted["meta"]["deletion_requested_at"].is_string());
        assert_eq!(deleted["meta"]["generation"], 1, "the spec has not changed");
        let before = world.revision().await;
        let again = world.delete(path).await.is(202).json();
        assert_eq!(again["meta"], deleted["meta"]);
        assert_eq!(world.revision().await, before);
        assert!(world.meta(key).await.unwrap().is_deleting());
        assert_eq!(world.get(path).await.is(200).json()["meta"], deleted["meta"]);
    }
    world.delete("/api/v1/packages/gone").await.refused(404, "not_found");
    world.delete("/api/v1/deployments/gone").await.refused(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn creating_again_while_deleting_makes_a_new_incarnation() {
    let world = World::new().await;
    let cases: [(&str, &str, Value); 2] = [
        ("/api/v1/packages", "shop", package("shop")),
        ("/api/v1/deployments", "d", deployment("d", "shop")),
    ];
    for (list, name, document) in cases {
        let path = format!("{list}/{name}");
        let mut last = world.put(&path, document.clone()).await.is(201).json();
        for n in 2..4 {
            world.delete(&path).await.is(202);
            let again = if n == 2 {
                world.post(list, document.clone()).await
            } else {
                world.put_if(&path, document.clone(), &[("if-none-match", "*")]).await
            };
            assert_eq!(again.header("location"), path);
            let again = again.is(201).json();
            assert_ne!(again["meta"]["uid"], last["meta"]["uid"]);
            assert_eq!(again["meta"]["generation"], n);
            assert_eq!(again["meta"]["deletion_requested_at"], Value::Null);
            last = again;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_package_in_use_is_kept() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    let needs = with(package("site"), "dependencies", json!(["shop@^1"]));
    world.put("/api/v1/packages/site", needs).await.is(201);
    let before = world.revision().await;
    let problem = world.delete("/api/v1/packages/shop").await.refused(409, "has_dependants");
    let named: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["message"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["deployment d", "package site"]);
    assert_eq!(world.revision().await, before);

    // Those that are on their way out are not in the way.
    world.delete("/api/v1/deployments/d").await.is(202);
    world.delete("/api/v1/packages/site").await.is(202);
    world.delete("/api/v1/packages/shop").await.is(202);
}

#[tokio::test(start_paused = true)]
async fn cascade_takes_all_who_depend_on_it() {
    let world = World::new().await;
    let needs = |name: &str, on: &str| with(package(name), "dependencies", json!([on]));
    world.put("/api/v1/packages/a", package("a")).await.is(201);
    world.put("/api/v1/packages/b", needs("b", "a")).await.is(201);
    world.put("/api/v1/packages/c", needs("c", "b")).await.is(201);
    world.put("/api/v1/packages/unrelated", package("unrelated")).await.is(201);
    for n in 0..150 {
        let key = format!("d{n}");
        let package = ["a", "b", "c"][n % 3];
        world.put(&format!("/api/v1/deployments/{key}"), deployment(&key, package)).await.is(201);
    }
    // A dry run names the same, and nothing is deleted.
    let before = world.revision().await;
    let foretold =
        world.delete("/api/v1/packages/a?cascade=true&dry_run=true").await.is(200).json();
    assert_eq!((&foretold["dry_run"], world.revision().await), (&json!(true), before));
    let deleted = world.delete("/api/v1/packages/a?cascade=true").await.is(202).json();
    assert_eq!(deleted["also_written"].as_array().unwrap().len(), 152);
    assert_eq!(deleted["also_written"], foretold["also_written"]);
    assert!(deleted.get("dry_run").is_none(), "{deleted}");
    for n in 0..150 {
        assert!(world.meta(&format!("deployments/d{n}")).await.unwrap().is_deleting());
    }
    for package in ["a", "b", "c"] {
        assert!(world.meta(&format!("packages/{package}")).await.unwrap().is_deleting());
    }
    assert!(!world.meta("packages/unrelated").await.unwrap().is_deleting());
    let before = world.revision().await;
    world.delete("/api/v1/packages/a?cascade=true").await.is(202);
    assert_eq!(world.revision().await, before);
}

/// Every removal can be tried: what would be refused is refused, and nothing is written.
#[tokio::test(start_paused = true)]
async fn dry_runs_of_removals_write_nothing() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    world.store(&Key::Cluster(name("east")), &cluster("east")).await;
    let binding = json!({ "name": "team", "role": "viewer", "subjects": ["a"] });
    world.put("/api/v1/role-bindings/team", binding).await.is(201);
    let before = world.revision().await;
    for (path, status) in [
        ("packages/shop?cascade=true", 200),
        ("packages/shop?cascade=false", 409),
        ("packages/none?cascade=true", 404),
        ("deployments/d?force=false", 200),
        ("deployments/d?cluster=east", 200),
        ("deployments/d?cluster=nowhere", 404),
        // It is not being deleted.
        ("deployments/d?force=true", 409),
        ("clusters/east?force=false", 200),
        ("clusters/east?force=true", 200),
        ("role-bindings/team?", 200),
    ] {
        let reply = world.delete(&format!("/api/v1/{path}&dry_run=true")).await;
        assert_eq!(reply.status, status, "{path}: {:?}", reply.json());
        if status == 200 {
            let told = reply.json();
            assert_eq!(told["dry_run"], true, "{path}");
            assert_eq!(reply.etag(), "", "{path}: it is not stored so");
        }
    }
    assert_eq!(world.revision().await, before);
    assert!(!world.meta("deployments/d").await.unwrap().is_deleting());
}

#[tokio::test(start_paused = true)]
async fn a_cascade_of_large_documents_goes_in_parts() {
    let world = World::new().await;
    world.put("/api/v1/packages/a", package("a")).await.is(201);
    let text = "x".repeat(4000);
    for n in 0..3 {
        let labels: serde_json::Map<String, Value> =
            (0..150).map(|l| (format!("l{l}"), json!(text))).collect();
        let key = format!("d{n}");
        let large = with(deployment(&key, "a"), "env_templates", json!({}));
        let large = with(large, "labels", json!(labels));
        let reply = world.put(&format!("/api/v1/deployments/{key}"), large).await;
        assert!(reply.status == 201, "{:?}", reply.json());
    }
    world.delete("/api/v1/packages/a?cascade=true").await.is(202);
    for n in 0..3 {
        assert!(world.meta(&format!("deployments/d{n}")).await.unwrap().is_deleting());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_leaves_one_cluster() {
    let world = World::new().await;
    let spec = with(deployment("d", "shop"), "target_envs", json!(["east", "west"]));
    world.put("/api/v1/deployments/d", spec.clone()).await.is(201);
    let left = world.delete("/api/v1/deployments/d?cluster=east").await.is(202).json();
    assert_eq!(left["excluded_envs"], json!(["east"]));
    assert_eq!(left["meta"]["generation"], 2);
    assert_eq!(left["meta"]["deletion_requested_at"], Value::Null);
    let before = world.revision().await;
    world.delete("/api/v1/deployments/d?cluster=east").await.is(202);
    assert_eq!(world.revision().await, before);
    world.delete("/api/v1/deployments/d?cluster=nowhere").await.refused(404, "not_found");
    world.delete("/api/v1/deployments/d?cluster=NOT%20ONE").await.refused(400, "invalid_parameter");
    // A later push says otherwise.
    let back = world.put("/api/v1/deployments/d", spec).await.is(200).json();
    assert_eq!(back["excluded_envs"], Value::Null);
    assert_eq!(back["meta"]["generation"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_registration_goes_when_nothing_is_left() {
    let world = World::new().await;
    let key = Key::Cluster(name("east"));
    world.store(&key, &cluster("east")).await;
    let unit = Key::Unit(name("east"), name("d"));
    world.store(&unit, &super::observed::unit("east", "d")).await;
    let problem = world.delete("/api/v1/clusters/east").await.refused(409, "has_dependants");
    assert_eq!(problem["errors"][0]["message"], "deployment d");
    world.remove(&unit).await;
    world.delete("/api/v1/clusters/east").await.is(200);
    world.delete("/api/v1/clusters/east").await.refused(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_clusters_never_let_go_of_is_removed_by_force() {
    let world = World::new().await;
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    let units = ["east", "west"].map(|at| Key::Unit(name(at), name("d")));
    for (at, unit) in ["east", "west"].iter().zip(&units) {
        world.store(unit, &super::observed::unit(at, "d")).await;
    }
    let forced = "/api/v1/deployments/d?force=true";
    let problem = world.delete(forced).await.refused(409, "force_refused");
    assert!(problem["detail"].as_str().unwrap().contains("ask for it without force first"));

    world.delete("/api/v1/deployments/d").await.is(202);
    let only_west = format!("{forced}&cluster=west");
    let problem = world.delete(&only_west).await.refused(409, "has_dependants");
    assert_eq!(problem["errors"], json!([{ "pointer": "", "message": "cluster east" }]));
    world.remove(&units[0]).await;
    let removed = world.delete(&only_west).await.is(200).json();
    assert_eq!(removed["key"], "d");
    let left = removed["warnings"][0]["message"].as_str().unwrap();
    assert_eq!(left, "west may hold unit cart-d-west yet; it is deleted when it is met there");
    world.get("/api/v1/deployments/d").await.refused(404, "not_found");
    world.delete(forced).await.refused(404, "not_found");
    assert!(world.is_there(&units[1]).await, "the unit stays, to be deleted when it is met");

    // What waited for it waits no longer; and it may be declared anew.
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_connected_is_removed_by_force() {
    let world = World::new().await;
    let (key, status) = (Key::Cluster(name("east")), Key::ClusterStatus(name("east")));
    world.store(&key, &cluster("east")).await;
    world.store(&status, &json!({ "connectivity": "CONNECTED", "breaker": "CLOSED" })).await;
    let unit = Key::Unit(name("east"), name("d"));
    world.store(&unit, &super::observed::unit("east", "d")).await;
    world.delete("/api/v1/clusters/east?force=true").await.refused(409, "force_refused");
    world.store(&status, &json!({ "connectivity": "UNREACHABLE", "breaker": "OPEN" })).await;
    world.delete("/api/v1/clusters/east").await.refused(409, "has_dependants");
    let removed = world.delete("/api/v1/clusters/east?force=true").await.is(200).json();
    assert_eq!(removed["warnings"], json!([{ "pointer": "", "message": "deployment d" }]));
    assert!(!world.is_there(&key).await && !world.is_there(&status).await);
    assert!(world.is_there(&unit).await);
}
