//! Pushes that mean what is there, and pushes over what another wrote.

use serde_json::{Value, json};

use super::{
    applying::{apply, outcomes},
    world::{World, deployment, package, with},
};

fn functions(keys: &[&str]) -> Value {
    let function = |key: &&str| {
        let image = format!("shop/{key}:1");
        json!({ "key": key, "provision_config": { "container_image": image } })
    };
    json!(keys.iter().map(function).collect::<Vec<_>>())
}

fn shop(keys: &[&str]) -> Value {
    with(with(package("shop"), "functions", functions(keys)), "version", json!("1.0.0"))
}

/// The order of lists whose elements have a key is no change, by whatever route.
#[tokio::test(start_paused = true)]
async fn order_is_no_change() {
    let world = World::new().await;
    let placed = |clusters: &[&str]| with(deployment("d", "shop"), "target_envs", json!(clusters));
    let inline =
        |clusters: &[&str]| with(shop(&["add", "buy"]), "deployments", json!([placed(clusters)]));
    apply(&world, "", &[inline(&["e1", "e2"])]).await.is(200);
    let before = world.revision().await;
    let turned = with(shop(&["buy", "add"]), "deployments", json!([placed(&["e2", "e1"])]));
    assert_eq!(
        outcomes(&apply(&world, "", std::slice::from_ref(&turned)).await.is(200)),
        ["shop unchanged 1"]
    );
    let told = world.put("/api/v1/packages/shop", turned.clone()).await.is(200).json();
    assert_eq!(told["meta"]["generation"], 1);
    world.post("/api/v1/packages", turned.clone()).await.is(200);
    assert_eq!(world.revision().await, before, "nothing is written");
    // Only what differs is told.
    let more = with(turned, "functions", functions(&["new", "buy", "add"]));
    let dry = apply(&world, "?dry_run=true", &[more]).await.is(200).json();
    let changes: Vec<&str> = dry["items"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["/functions/0"]);
}

#[tokio::test(start_paused = true)]
async fn defaults_written_out_are_no_change() {
    let world = World::new().await;
    let kept = |odgm: Value| with(deployment("d", "shop"), "odgm", odgm);
    apply(&world, "", &[shop(&["add"]), kept(json!({}))]).await.is(200);
    let before = world.revision().await;
    let counts = json!({ "partition_count": 1, "replica_count": 1 });
    let reply = apply(&world, "", &[kept(counts.clone())]).await.is(200);
    assert_eq!(outcomes(&reply), ["d unchanged 1"]);
    world.put("/api/v1/deployments/d", kept(counts)).await.is(200);
    assert_eq!(world.revision().await, before, "nothing is written");
    let more = json!({ "partition_count": 1, "replica_count": 2 });
    let dry = apply(&world, "?dry_run=true", &[kept(more)]).await.is(200).json();
    assert_eq!(dry["items"][0]["changes"], json!([{ "pointer": "/odgm/replica_count", "new": 2 }]));
}

/// An edit of what was read, over what another wrote meanwhile.
#[tokio::test(start_paused = true)]
async fn a_lost_update_is_told_or_refused() {
    let world = World::new().await;
    let path = "/api/v1/deployments/d";
    let labelled = |label: &str| with(deployment("d", "shop"), "labels", json!({ "by": label }));
    apply(&world, "", &[shop(&["add"]), labelled("first")]).await.is(200);
    let read = world.get(path).await.is(200).json();
    // What the system keeps beside the spec is no change of it.
    world.post(&format!("{path}/pause"), Value::Null).await.is(200);
    let same = with(read.clone(), "labels", json!({ "by": "again" }));
    let reply = apply(&world, "?if_unchanged=true&dry_run=true", &[same]).await.is(200).json();
    assert!(reply.get("warnings").is_none(), "{reply}");

    world.put(path, labelled("another")).await.is(200);
    let edited = with(read, "labels", json!({ "by": "edited" }));
    for query in ["?if_unchanged=true", "?if_unchanged=true&dry_run=true"] {
        let reply = apply(&world, query, &[package("new"), edited.clone()]).await;
        let problem = reply.refused(412, "precondition_failed");
        assert_eq!(problem["errors"][0]["pointer"], "/1/meta/resource_version", "{problem}");
    }
    world.get("/api/v1/packages/new").await.refused(404, "not_found");
    let unchanged = format!("{path}?if_unchanged=true");
    let problem = world.put(&unchanged, edited.clone()).await.refused(412, "precondition_failed");
    let message = problem["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("generation 2"), "{message}");
    // Without the condition it is a warning.
    let reply = apply(&world, "", std::slice::from_ref(&edited)).await.is(200).json();
    assert_eq!(reply["items"][0]["outcome"], "replaced");
    assert_eq!(reply["warnings"][0]["pointer"], "/0/meta/resource_version", "{reply}");
    // What is there already is not lost, and what does not say cannot be checked.
    world.put(&unchanged, edited).await.is(200);
    world.put(&unchanged, labelled("last")).await.is(200);
    let gone = world.get(path).await.is(200).json();
    world.delete(path).await.is(202);
    let gone = with(gone, "labels", json!({}));
    world.put(&unchanged, gone.clone()).await.refused(412, "precondition_failed");
    world.put(path, gone).await.is(201);
}
