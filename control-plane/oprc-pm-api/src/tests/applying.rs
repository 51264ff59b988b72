//! Pushes of many documents: order, violations, bundles, pruning, moving.

use http::Method;
use oprc_cp_storage::keys::Key;
use serde_json::{Value, json};

use super::world::{Reply, World, cluster, deployment, package, with};

/// Pushes `documents` with `query`.
pub(super) async fn apply(world: &World, query: &str, documents: &[Value]) -> Reply {
    world.post(&format!("/api/v1/apply{query}"), json!(documents)).await
}

/// What became of each document: `name outcome generation`.
pub(super) fn outcomes(reply: &Reply) -> Vec<String> {
    let reply = reply.json();
    let items = reply["items"].as_array().unwrap();
    let text = |item: &Value| {
        let (name, outcome) = (item["name"].as_str().unwrap(), item["outcome"].as_str().unwrap());
        format!("{name} {outcome} {}", item["generation"])
    };
    items.iter().map(text).collect()
}

/// The pointers of a refusal.
fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect()
}

fn needing(name: &str, needs: &[&str]) -> Value {
    with(package(name), "dependencies", json!(needs))
}

fn with_inline(name: &str, keys: &[&str]) -> Value {
    let inline: Vec<Value> =
        keys.iter().map(|key| json!({"key": key, "class_key": "Cart"})).collect();
    with(package(name), "deployments", json!(inline))
}

#[tokio::test(start_paused = true)]
async fn any_order_in_one_transaction() {
    let world = World::new().await;
    let documents =
        [deployment("shop.cart", "shop"), needing("shop", &["base"]), with_inline("base", &["b"])];
    let before = world.revision().await;
    let reply = apply(&world, "", &documents).await.is(200);
    assert_eq!(
        outcomes(&reply),
        ["shop.cart created 1", "shop created 1", "base created 1", "b created 1"]
    );
    let told = reply.json();
    assert_eq!(told["items"][3]["owner"], "base");
    assert_eq!(told["items"][3]["at"], "/2");
    assert!(told.get("warnings").is_none(), "they refer to each other: {told}");
    assert_eq!(world.revision().await, before + 1);

    let again = apply(&world, "", &documents).await.is(200);
    assert_eq!(outcomes(&again), ["shop.cart unchanged 1", "shop unchanged 1", "base unchanged 1"]);
    assert_eq!(world.revision().await, before + 1, "the same again writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_stream_a_list_and_items_are_the_same() {
    let yaml = "name: a\nclasses: [{key: K}]\n---\nkind: Deployment\nkey: d\npackage_name: a\nclass_key: K\n";
    let one = json!({"name": "a", "classes": [{"key": "K"}]});
    let two = json!({"key": "d", "package_name": "a", "class_key": "K"});
    for (media_type, body) in [
        ("application/yaml", yaml.to_owned()),
        ("application/json", json!([one, two]).to_string()),
        ("application/json", json!({"kind": "List", "items": [one, two]}).to_string()),
        ("text/yaml", format!("- {one}\n- {two}\n")),
    ] {
        let world = World::new().await;
        let headers = [("content-type", media_type)];
        let reply = world.call(Method::POST, "/api/v1/apply", &headers, body.clone()).await;
        assert_eq!(outcomes(&reply), ["a created 1", "d created 1"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_violation_of_every_document() {
    let world = World::new().await;
    let documents = [
        with(package("shop"), "classes", json!([{"key": "a b"}])),
        json!({"kind": "Deployment", "key": "d", "package_name": "shop"}),
        json!({"classes": [{"key": "K"}, {"key": "K"}]}),
        json!(7),
    ];
    let reply = apply(&world, "", &documents).await;
    let problem = reply.refused(400, "invalid_document");
    let places = pointers(&problem);
    for at in ["/0/classes/0/key", "/1/class_key", "/2/name", "/2/classes/1/key", "/3"] {
        assert!(places.contains(&at), "{at} in {problem}");
    }

    let twice = [
        with_inline("shop", &["d"]),
        deployment("d", "shop"),
        package("shop"),
        needing("a", &["b"]),
        needing("b", &["c"]),
        needing("c", &["shop", "a"]),
    ];
    let problem = apply(&world, "", &twice).await.refused(400, "invalid_document");
    let places = pointers(&problem);
    let want = ["/1/key", "/2/name", "/3/dependencies/0", "/4/dependencies/0", "/5/dependencies/1"];
    assert_eq!(places, want);
    assert_eq!(
        problem["errors"][0]["message"],
        "the deployment d is pushed twice: /0/deployments/0/key has it too"
    );
    world.get("/api/v1/packages/a").await.refused(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn documents_of_other_systems_are_refused() {
    let world = World::new().await;
    let documents = [
        json!({"kind": "Service", "name": "web", "classes": [{"key": "C"}]}),
        json!({"apiVersion": "v2", "name": "chart", "version": "1.0.0"}),
        json!({"name": "CI", "on": ["push"], "jobs": {}}),
        json!({"name": "web", "version": "1.0.0", "dependencies": {"left-pad": "^1"}}),
    ];
    for query in ["", "?strict=true"] {
        let problem = apply(&world, query, &documents).await.refused(400, "invalid_document");
        assert_eq!(pointers(&problem), ["/0/kind", "/1/apiVersion", "/2", "/3"]);
    }
    let foreign = json!({"kind": "Service", "name": "web"});
    world.put("/api/v1/packages/web", foreign).await.refused(400, "invalid_document");
    apply(&world, "", &[json!({"kind": "Package", "name": "empty"})]).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn cycles_through_what_is_stored() {
    let world = World::new().await;
    world.put("/api/v1/packages/b", needing("b", &["a"])).await.is(201);
    let problem = apply(&world, "", &[needing("a", &["b"])]).await.refused(400, "invalid_document");
    assert_eq!(pointers(&problem), ["/0/dependencies/0"]);
    // The push that takes the cycle away is judged by what it makes of both.
    let newer = with(package("b"), "version", json!("1.1"));
    apply(&world, "", &[needing("a", &["b"]), newer]).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_of_the_request() {
    let world = World::new().await;
    apply(&world, "?prune=true", &[]).await.refused(400, "invalid_parameter");
    apply(&world, "?bundle=a/b", &[]).await.refused(400, "invalid_parameter");
    apply(&world, "?bundel=a", &[]).await.refused(400, "unknown_parameter");
    assert_eq!(apply(&world, "", &[]).await.is(200).json()["items"], json!([]));
    let strange = with(package("a"), "colour", json!("red"));
    let warned = apply(&world, "", std::slice::from_ref(&strange)).await.is(200).json();
    assert_eq!(warned["warnings"][0]["pointer"], "/0/colour");
    apply(&world, "?strict=true", &[strange]).await.refused(400, "invalid_document");
}

#[tokio::test(start_paused = true)]
async fn pruning_touches_nothing_else() {
    let world = World::new().await;
    world.put("/api/v1/packages/lone", package("lone")).await.is(201);
    apply(&world, "?bundle=other", &[package("theirs")]).await.is(200);
    let first = [with_inline("shop", &["i"]), package("extra"), deployment("d", "shop")];
    let reply = apply(&world, "?bundle=ours&source_commit=abc", &first).await.is(200).json();
    assert_eq!(reply["bundle"]["generation"], 1);
    assert_eq!(reply["bundle"]["source"], json!({"commit": "abc"}));
    assert_eq!(reply["bundle"]["n_packages"], 2);
    assert_eq!(world.meta("packages/shop").await.unwrap().bundle.unwrap().as_str(), "ours");
    assert_eq!(world.meta("packages/shop").await.unwrap().source.unwrap().commit.unwrap(), "abc");
    assert!(world.meta("deployments/i").await.unwrap().bundle.is_none(), "it is its package's");

    let bundle = world.get("/api/v1/bundles/ours").await.is(200).json();
    let names: Vec<&str> = bundle["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["extra", "shop", "d"]);
    let list = world.get("/api/v1/bundles").await.is(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    world.get("/api/v1/bundles/none").await.refused(404, "not_found");

    let second = [with_inline("shop", &["i"])];
    let kept = apply(&world, "?bundle=ours&source_commit=abc", &second).await.is(200);
    assert_eq!(outcomes(&kept), ["shop unchanged 1"], "without prune nothing goes");
    let pruned = apply(&world, "?bundle=ours&prune=true&source_commit=abc", &second).await.is(200);
    assert_eq!(outcomes(&pruned), ["shop unchanged 1", "extra deleted 1", "d deleted 1"]);
    for key in ["packages/lone", "packages/theirs", "packages/shop", "deployments/i"] {
        assert!(!world.meta(key).await.unwrap().is_deleting(), "{key}");
    }
    let before = world.revision().await;
    let again = apply(&world, "?bundle=ours&prune=true&source_commit=abc", &second).await.is(200);
    assert_eq!(outcomes(&again), ["shop unchanged 1"]);
    assert_eq!(world.revision().await, before);
    // The package takes its own deployments with it.
    let gone = apply(&world, "?bundle=ours&prune=true&allow_empty=true", &[]).await.is(200);
    assert_eq!(outcomes(&gone), ["shop deleted 1", "i deleted 1"]);
}

/// A push of the wrong files, or of none, does not delete what the bundle owns.
#[tokio::test(start_paused = true)]
async fn a_push_that_would_empty_its_bundle_is_refused() {
    let world = World::new().await;
    // A bundle that owns nothing cannot lose anything.
    apply(&world, "?bundle=ours&prune=true", &[]).await.is(200);
    apply(&world, "?bundle=ours", &[with_inline("shop", &["i"]), deployment("d", "shop")])
        .await
        .is(200);
    let before = world.revision().await;
    for documents in [&[][..], &[package("other")]] {
        for query in ["?bundle=ours&prune=true", "?bundle=ours&prune=true&dry_run=true"] {
            let reply = apply(&world, query, documents).await;
            let detail = reply.refused(409, "bundle_emptied")["detail"].to_string();
            assert!(detail.contains("bundle ours") && detail.contains("all 2"), "{detail}");
        }
    }
    assert_eq!(world.revision().await, before, "nothing is written");
    // One document that stays is enough.
    let rest = apply(&world, "?bundle=ours&prune=true", &[package("shop")]).await.is(200);
    assert_eq!(outcomes(&rest), ["shop replaced 2", "i deleted 1", "d deleted 1"]);
    // What is being deleted already is not lost again.
    let query = "?bundle=ours&prune=true&allow_empty=true";
    let gone = apply(&world, query, &[]).await.is(200);
    assert_eq!(outcomes(&gone), ["shop deleted 2"]);
    apply(&world, "?bundle=ours&prune=true", &[]).await.is(200);
    apply(&world, "?bundle=ours&allow_empty=true", &[]).await.refused(400, "invalid_parameter");
}

#[tokio::test(start_paused = true)]
async fn what_others_need_is_not_pruned() {
    let world = World::new().await;
    apply(&world, "?bundle=ours", &[package("base"), deployment("d", "base")]).await.is(200);
    world.put("/api/v1/deployments/theirs", deployment("theirs", "base")).await.is(201);
    let problem =
        apply(&world, "?bundle=ours&prune=true", &[]).await.refused(409, "has_dependants");
    assert_eq!(problem["errors"][0]["message"], "deployment theirs needs package base");
    assert!(!world.meta("deployments/d").await.unwrap().is_deleting(), "all of it or nothing");
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_another_bundle() {
    let world = World::new().await;
    apply(&world, "?bundle=theirs", &[package("shop"), deployment("d", "shop")]).await.is(200);
    let changed = with(package("shop"), "version", json!("2.0.0"));
    let documents = [package("new"), changed, deployment("d", "shop")];
    let problem = apply(&world, "?bundle=ours", &documents).await.refused(409, "owned_by_other");
    assert_eq!(pointers(&problem), ["/1/name", "/2/key"]);
    assert_eq!(problem["errors"][0]["message"], "the package shop belongs to the bundle theirs");
    world.get("/api/v1/packages/new").await.refused(404, "not_found");

    let moved = apply(&world, "?bundle=ours&force=true", &documents).await.is(200);
    assert_eq!(outcomes(&moved), ["new created 1", "shop replaced 2", "d unchanged 1"]);
    assert_eq!(world.meta("deployments/d").await.unwrap().bundle.unwrap().as_str(), "ours");
    // What was taken from it is not the other's to prune.
    let pruned = apply(&world, "?bundle=theirs&prune=true", &[]).await.is(200);
    assert_eq!(outcomes(&pruned), Vec::<String>::new());

    // Directly, anyone writes it, and it stays the bundle's.
    let direct = with(package("shop"), "version", json!("3.0.0"));
    world.put("/api/v1/packages/shop", direct).await.is(200);
    assert_eq!(world.meta("packages/shop").await.unwrap().bundle.unwrap().as_str(), "ours");
    // A push without a bundle too.
    apply(&world, "", &[package("shop")]).await.is(200);
    assert_eq!(world.meta("packages/shop").await.unwrap().bundle.unwrap().as_str(), "ours");
}

#[tokio::test(start_paused = true)]
async fn deployments_move_into_packages_and_out_of_them() {
    let world = World::new().await;
    let inside = [with_inline("shop", &["d"]), package("other")];
    let outside = [package("shop"), package("other"), deployment("d", "shop")];
    let elsewhere = [package("shop"), with_inline("other", &["d"])];
    let owner = async |world: &World| {
        let meta = world.meta("deployments/d").await.unwrap();
        assert!(!meta.is_deleting());
        (meta.owner.map(String::from), meta.bundle.map(String::from))
    };
    let of = |owner: Option<&str>, bundle: Option<&str>| {
        (owner.map(str::to_owned), bundle.map(str::to_owned))
    };
    for _ in 0..2 {
        apply(&world, "?bundle=ours&prune=true", &inside).await.is(200);
        assert_eq!(owner(&world).await, of(Some("shop"), None));
        apply(&world, "?bundle=ours&prune=true", &outside).await.is(200);
        assert_eq!(owner(&world).await, of(None, Some("ours")));
        apply(&world, "?bundle=ours&prune=true", &inside).await.is(200);
        apply(&world, "?bundle=ours&prune=true", &elsewhere).await.is(200);
        assert_eq!(owner(&world).await, of(Some("other"), None));
    }
    // A package's own is not taken from a package that is not pushed.
    let problem = apply(&world, "?bundle=mine", &[deployment("d", "shop")]).await;
    let problem = problem.refused(409, "owned_by_other");
    assert_eq!(problem["errors"][0]["message"], "the deployment d belongs to the package other");
}

/// A unit of `deployment`, as the deployment controller writes one.
async fn plan_units(world: &World, key: &str, clusters: &[&str]) {
    for cluster in clusters {
        let uid = world.meta(&format!("deployments/{key}")).await.unwrap().uid;
        let name: oprc_models::names::ClusterName = super::world::name(cluster);
        let unit = json!({
            "desired": "PRESENT", "deployment_uid": uid,
            "unit": {
                "id": oprc_models::names::UnitId::derive("Cart", &uid, &name),
                "deployment_key": key, "package_name": "shop", "class_key": "Cart",
                "target_env": cluster, "generation": 1, "spec_hash": "other", "owner": "oprc-pm",
                "created_at": "2026-01-01T00:00:00Z",
            },
        });
        world.store(&Key::Unit(name, super::world::name(key)), &unit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_all_and_writes_nothing() {
    let world = World::new().await;
    for name in ["east", "west"] {
        world.store(&Key::Cluster(super::world::name(name)), &cluster(name)).await;
    }
    let on = |key: &str, clusters: &[&str]| {
        with(deployment(key, "shop"), "target_envs", json!(clusters))
    };
    let documents =
        [package("shop"), on("a", &["east"]), on("b", &["east", "west"]), on("c", &["west"])];
    apply(&world, "?bundle=ours", &documents).await.is(200);
    plan_units(&world, "a", &["east"]).await;
    plan_units(&world, "b", &["east", "west"]).await;
    plan_units(&world, "c", &["west"]).await;
    let before = world.revision().await;

    let documents =
        [package("shop"), on("a", &["west"]), on("b", &["east", "west"]), on("d", &["east"])];
    let told = apply(&world, "?bundle=ours&prune=true&dry_run=true", &documents).await.is(200);
    assert_eq!(
        outcomes(&told),
        ["shop unchanged 1", "a replaced 2", "b unchanged 1", "d created 1", "c deleted 1"]
    );
    let told = told.json();
    assert_eq!(told["dry_run"], true);
    let changes = json!([{"pointer": "/target_envs/0", "old": "east", "new": "west"}]);
    assert_eq!(told["items"][1]["changes"], changes);
    let want = json!({
        "east": {"created": ["d"], "replaced": [], "removed": ["a"]},
        "west": {"created": ["a"], "replaced": [], "removed": ["c"]},
    });
    assert_eq!(told["clusters"], want);
    assert_eq!(world.revision().await, before, "nothing is written");

    // A package that changes is felt wherever it runs.
    let changed = with(package("shop"), "version", json!("2.0.0"));
    let told = apply(&world, "?dry_run=true", &[changed]).await.is(200).json();
    let want = json!({
        "east": {"created": [], "replaced": ["a", "b"], "removed": []},
        "west": {"created": [], "replaced": ["b", "c"], "removed": []},
    });
    assert_eq!(told["clusters"], want);
}

/// The documents of `examples/gitops`, as its pipeline pushes them.
#[tokio::test(start_paused = true)]
async fn the_example_of_a_pipeline() {
    let world = World::new().await;
    for name in ["edge-1", "edge-2"] {
        world.store(&Key::Cluster(super::world::name(name)), &cluster(name)).await;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/gitops");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let texts: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let body = texts.join("\n---\n");
    let headers = [("content-type", "application/yaml")];
    let path = "/api/v1/apply?bundle=gitops-orders&prune=true&strict=true";
    for want in ["created", "unchanged"] {
        let reply = world.call(Method::POST, path, &headers, body.clone()).await.is(200);
        let outcomes = outcomes(&reply);
        assert_eq!(outcomes.len(), 4);
        assert!(outcomes.iter().all(|outcome| outcome.contains(want)), "{outcomes:?}");
        assert!(reply.json().get("warnings").is_none(), "{:?}", reply.body);
    }
}
