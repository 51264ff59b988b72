//! Deployments that packages declare inline.

use oprc_cp_storage::keys::Key;
use serde_json::{Value, json};

use super::world::{World, cluster, deployment, name, package, with};

const SHOP: &str = "/api/v1/packages/shop";

/// The package `name` that declares these deployments.
fn declaring(name: &str, keys: &[&str]) -> Value {
    let inline: Vec<Value> =
        keys.iter().map(|key| json!({ "key": key, "class_key": "Cart" })).collect();
    with(package(name), "deployments", json!(inline))
}

#[tokio::test(start_paused = true)]
async fn they_are_written_with_their_package_and_go_with_it() {
    let world = World::new().await;
    let before = world.revision().await;
    world.put(SHOP, declaring("shop", &["a", "b"])).await.is(201);
    assert_eq!(world.revision().await, before + 1, "one transaction");
    for key in ["a", "b"] {
        let got = world.get(&format!("/api/v1/deployments/{key}")).await.is(200).json();
        assert_eq!(got["meta"]["owner"], "shop");
        assert_eq!(got["package_name"], "shop");
    }
    let got = world.get(SHOP).await.is(200).json();
    assert_eq!(got["deployments"].as_array().unwrap().len(), 2);

    let before = world.revision().await;
    world.put(SHOP, declaring("shop", &["a", "b"])).await.is(200);
    assert_eq!(world.revision().await, before, "the same push writes nothing");

    let pushed = world.put(SHOP, declaring("shop", &["b"])).await.is(200).json();
    assert_eq!(pushed["also_written"], json!(["deployments/a"]));
    assert!(world.meta("deployments/a").await.unwrap().is_deleting());
    assert!(!world.meta("deployments/b").await.unwrap().is_deleting());

    world.delete(SHOP).await.is(202);
    assert!(world.meta("deployments/b").await.unwrap().is_deleting());
}

#[tokio::test(start_paused = true)]
async fn one_deleted_by_hand_comes_back_with_the_next_push() {
    let world = World::new().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(201);
    let first = world.meta("deployments/a").await.unwrap();
    world.delete("/api/v1/deployments/a").await.is(202);
    let pushed = world.put(SHOP, declaring("shop", &["a"])).await.is(200).json();
    assert_eq!(pushed["meta"]["generation"], 1, "the package is the same");
    let second = world.meta("deployments/a").await.unwrap();
    assert!(!second.is_deleting());
    assert_ne!(second.uid, first.uid);
    assert_eq!(second.generation, 2);

    world.remove(&"deployments/a".parse().unwrap()).await;
    world.post("/api/v1/packages", declaring("shop", &["a"])).await.is(200);
    assert_eq!(world.meta("deployments/a").await.unwrap().owner.unwrap().as_str(), "shop");
}

#[tokio::test(start_paused = true)]
async fn one_created_again_by_hand_is_still_its_packages() {
    let world = World::new().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(201);
    world.delete("/api/v1/deployments/a").await.is(202);
    world.post("/api/v1/deployments", deployment("a", "shop")).await.is(201);
    assert_eq!(world.meta("deployments/a").await.unwrap().owner.unwrap().as_str(), "shop");
    world.put(SHOP, declaring("shop", &[])).await.is(200);
    assert!(world.meta("deployments/a").await.unwrap().is_deleting());
}

#[tokio::test(start_paused = true)]
async fn changes_by_hand_last_until_the_declaration_changes() {
    let world = World::new().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(201);
    world.store(&Key::Cluster(name("east")), &cluster("east")).await;
    world.delete("/api/v1/deployments/a?cluster=east").await.is(202);
    let excluded =
        async || world.get("/api/v1/deployments/a").await.is(200).json()["excluded_envs"].clone();
    let before = world.revision().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(200);
    assert_eq!(world.revision().await, before, "the declaration is the same");
    assert_eq!(excluded().await, json!(["east"]));

    // Another change of the package leaves it too.
    let mut newer = with(declaring("shop", &["a"]), "version", json!("1.0.1"));
    world.put(SHOP, newer.clone()).await.is(200);
    assert_eq!(excluded().await, json!(["east"]));

    newer["deployments"][0]["labels"] = json!({ "tier": "gold" });
    world.put(SHOP, newer).await.is(200);
    assert_eq!(excluded().await, Value::Null);
    let meta = world.meta("deployments/a").await.unwrap();
    assert_eq!((meta.generation, meta.owner.unwrap().as_str()), (3, "shop"));
}

#[tokio::test(start_paused = true)]
async fn keys_of_others_are_refused_by_name() {
    let world = World::new().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(201);
    world.put("/api/v1/deployments/hand", deployment("hand", "site")).await.is(201);
    let before = world.revision().await;
    let refused =
        world.put("/api/v1/packages/site", declaring("site", &["a", "own", "hand"])).await;
    let problem = refused.refused(409, "owned_by_other");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors[0]["pointer"], "/deployments/0/key");
    assert!(errors[0]["message"].as_str().unwrap().contains("the package shop"), "{problem}");
    assert_eq!(errors[1]["pointer"], "/deployments/2/key");
    assert!(errors[1]["message"].as_str().unwrap().contains("by itself"), "{problem}");
    assert_eq!(world.revision().await, before);

    // One that is on its way out can be taken over.
    world.put(SHOP, declaring("shop", &[])).await.is(200);
    world.put("/api/v1/packages/site", declaring("site", &["a"])).await.is(201);
    assert_eq!(world.meta("deployments/a").await.unwrap().owner.unwrap().as_str(), "site");
}

#[tokio::test(start_paused = true)]
async fn a_package_created_again_brings_its_deployments() {
    let world = World::new().await;
    world.put(SHOP, declaring("shop", &["a"])).await.is(201);
    world.delete(SHOP).await.is(202);
    let again = world.put(SHOP, declaring("shop", &["a"])).await.is(201).json();
    assert_eq!(again["meta"]["generation"], 2);
    assert!(!world.meta("deployments/a").await.unwrap().is_deleting());
}

#[tokio::test(start_paused = true)]
async fn fifty_are_one_transaction() {
    let world = World::new().await;
    let keys: Vec<String> = (0..50).map(|n| format!("d{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let before = world.revision().await;
    world.put(SHOP, declaring("shop", &keys)).await.is(201);
    assert_eq!(world.revision().await, before + 1);
    world.put(SHOP, declaring("shop", &[])).await.is(200);
    assert_eq!(world.revision().await, before + 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_transaction_holds_is_refused_whole() {
    let world = World::new().await;
    let mut large = declaring("shop", &["a", "b"]);
    let labels: serde_json::Map<String, Value> =
        (0..100).map(|l| (format!("l{l}"), json!("x".repeat(3900)))).collect();
    for n in 0..2 {
        large["deployments"][n]["labels"] = json!(labels);
    }
    let before = world.revision().await;
    let refused = world.put(SHOP, large).await;
    refused.refused(413, "transaction_too_large");
    assert_eq!(world.revision().await, before);
}
