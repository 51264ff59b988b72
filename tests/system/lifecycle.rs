//! The life of a deployment: pushed, changed, moved, repeated, deleted.

use serde_json::{Value, json};

use crate::support::{Backend, Effect, QUIET, World, document, on_each_backend};

on_each_backend!(
    a_deployment_lives_from_push_to_deletion,
    a_push_that_is_repeated_changes_nothing,
    an_inline_deployment_goes_with_its_declaration,
    deleted_and_created_anew_it_is_another,
    a_package_is_deleted_with_all_that_needs_it,
);

const BOTH: &[&str] = &["edge-1", "edge-2"];

async fn a_deployment_lives_from_push_to_deletion(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    let created = world.put_deployment("cart", BOTH).await;
    assert_eq!(created.status, 201, "{created:?}");
    let first = world.runs_on("cart", BOTH).await;

    world.put_package("1.1.0").await;
    let second = crate::support::eventually("both have the new version", || async {
        let records = world.runs_on("cart", BOTH).await;
        let is_newer = |name: &&&str| generation(&records[**name]) > generation(&first[**name]);
        if BOTH.iter().filter(is_newer).count() == 2 { Ok(records) } else { Err(records) }
    })
    .await;
    for name in BOTH {
        assert_eq!(first[*name]["id"], second[*name]["id"], "a change keeps the unit's id");
        assert_ne!(first[*name]["spec_hash"], second[*name]["spec_hash"]);
    }

    world.put_deployment("cart", &["edge-1"]).await;
    let third = world.runs_on("cart", &["edge-1"]).await;
    assert_eq!(first["edge-1"]["id"], third["edge-1"]["id"]);
    assert_eq!(world.cluster("edge-2").record_of("cart").await, None);

    let deleted = world.api().delete("/api/v1/deployments/cart").await;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    world.is_gone("cart").await;
    let wants = [("edge-1", [1, 1]), ("edge-2", [1, 1])];
    for (name, want) in wants {
        let effects = world.cluster(name).effects();
        let is_created = |effect: &&Effect| matches!(effect, Effect::Created { .. });
        let is_deleted = |effect: &&Effect| matches!(effect, Effect::Deleted { .. });
        let counted =
            [effects.iter().filter(is_created).count(), effects.iter().filter(is_deleted).count()];
        assert_eq!(counted, want, "{name}: {effects:?}");
    }
}

fn generation(record: &Value) -> u64 {
    record["generation"].as_u64().unwrap()
}

async fn a_push_that_is_repeated_changes_nothing(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    world.runs_on("cart", BOTH).await;
    let before = world.api().get("/api/v1/deployments/cart").await;
    let n_calls =
        |world: &World| world.clusters.values().map(crate::support::Cluster::n_calls).sum();
    let calls_before: usize = n_calls(&world);

    for _ in 0..3 {
        let again = world.api().post("/api/v1/deployments", &document("cart", BOTH)).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(world.put_package("1.0.0").await.status, 200);
        assert_eq!(world.put_deployment("cart", BOTH).await.status, 200);
    }
    let differs = world.api().post("/api/v1/deployments", &document("cart", &["edge-1"])).await;
    crate::support::check_problem(&differs, 409, "already_exists");

    // A quiet system makes no writes and no calls.
    tokio::time::sleep(QUIET).await;
    let after = world.api().get("/api/v1/deployments/cart").await;
    assert_eq!(before.body, after.body);
    assert_eq!(n_calls(&world), calls_before);
}

async fn an_inline_deployment_goes_with_its_declaration(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    for (file, is_order_there) in [("shop.yaml", true), ("shop-v2/shop.yaml", false)] {
        let text = crate::examples::read(file);
        // As older clients replace one.
        let answer = world.api().post_text("/api/v1/packages/shop", "application/yaml", text).await;
        assert!(answer.status.is_success(), "{answer:?}");
        world.runs_on("shop.Cart", BOTH).await;
        if is_order_there {
            // One cluster is enough for its availability.
            let placed = crate::support::eventually("placed", || async {
                let status = world.status("shop.order").await;
                if status["condition"] == "RUNNING" { Ok(status) } else { Err(status) }
            });
            assert_eq!(placed.await["clusters"].as_array().unwrap().len(), 1);
        } else {
            world.is_gone("shop.order").await;
        }
    }
    let package = world.api().get("/api/v1/packages/shop").await;
    assert_eq!(package.body["version"], json!("2.0"), "{package:?}");
}

async fn deleted_and_created_anew_it_is_another(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    let first = world.runs_on("cart", BOTH).await;
    world.api().delete("/api/v1/deployments/cart").await;
    // At once: the old one is still being removed.
    let created = world.put_deployment("cart", BOTH).await;
    assert_eq!(created.status, 201, "{created:?}");
    let second = world.runs_on("cart", BOTH).await;
    for name in BOTH {
        assert_ne!(first[*name]["id"], second[*name]["id"], "another incarnation has another id");
        assert_eq!(world.cluster(name).records().await.len(), 1, "two incarnations on {name}");
    }
}

async fn a_package_is_deleted_with_all_that_needs_it(backend: Backend) {
    let world = World::start(backend, BOTH).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    world.runs_on("cart", BOTH).await;
    let refused = world.api().delete("/api/v1/packages/shop").await;
    crate::support::check_problem(&refused, 409, "has_dependants");
    let taken = world.api().delete("/api/v1/packages/shop?cascade=true").await;
    assert_eq!(taken.status, 202, "{taken:?}");
    world.is_gone("cart").await;
    crate::support::eventually("the package is gone", || async {
        let answer = world.api().get("/api/v1/packages/shop").await;
        if answer.status == 404 { Ok(()) } else { Err(answer) }
    })
    .await;
}
