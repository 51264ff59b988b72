//! Creating, replacing and reading packages and deployments.

use http::Method;
use serde_json::{Value, json};

use super::world::{Fault, World, deployment, name, package, with};
use oprc_cp_storage::{Store, keys::Key};
use oprc_models::status::PackageStatus;

/// Both kinds: where they are, one of them, and the same changed.
fn kinds() -> [(&'static str, &'static str, Value, Value); 2] {
    let changed_package = with(package("shop"), "version", json!("2.0.0"));
    let changed = with(deployment("shop.cart", "shop"), "labels", json!({ "tier": "gold" }));
    [
        ("/api/v1/packages", "shop", package("shop"), changed_package),
        ("/api/v1/deployments", "shop.cart", deployment("shop.cart", "shop"), changed),
    ]
}

#[tokio::test(start_paused = true)]
async fn post_creates_once() {
    let world = World::new().await;
    for (list, name, document, changed) in kinds() {
        let path = format!("{list}/{name}");
        let created = world.post(list, document.clone()).await.is(201);
        assert_eq!(created.header("location"), path);
        let meta = &created.json()["meta"];
        assert_eq!(meta["generation"], 1);
        assert_eq!(created.etag(), format!("\"{}\"", meta["resource_version"].as_str().unwrap()));

        let before = world.revision().await;
        let same = world.post(list, document).await.is(200);
        assert_eq!(same.json()["meta"], created.json()["meta"]);
        assert_eq!(same.etag(), created.etag());
        world.post(list, changed).await.refused(409, "already_exists");
        assert_eq!(world.revision().await, before, "nothing was written");
    }
}

#[tokio::test(start_paused = true)]
async fn put_creates_replaces_and_leaves_alone() {
    let world = World::new().await;
    for (list, name, document, changed) in kinds() {
        let path = format!("{list}/{name}");
        let created = world.put(&path, document.clone()).await.is(201).json();
        let before = world.revision().await;
        for _ in 0..3 {
            let same = world.put(&path, document.clone()).await.is(200).json();
            assert_eq!(same["meta"], created["meta"]);
        }
        assert_eq!(world.revision().await, before, "the same push writes nothing");

        let replaced = world.put(&path, changed.clone()).await.is(200).json();
        assert_eq!(replaced["meta"]["generation"], 2);
        assert_eq!(replaced["meta"]["uid"], created["meta"]["uid"]);
        assert_eq!(replaced["meta"]["created_at"], created["meta"]["created_at"]);
        assert_ne!(replaced["meta"]["updated_at"], created["meta"]["updated_at"]);

        let got = world.get(&path).await.is(200).json();
        assert_eq!(got["meta"], replaced["meta"]);
        for (field, value) in changed.as_object().unwrap() {
            if field != "functions" && field != "classes" {
                assert_eq!(got[field], *value, "what was pushed is answered");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_older_post_replaces() {
    let world = World::new().await;
    world.post("/api/v1/packages/shop", package("shop")).await.is(201);
    let changed = with(package("shop"), "version", json!("2.0.0"));
    let replaced = world.post("/api/v1/packages/shop", changed).await.is(200).json();
    assert_eq!(replaced["meta"]["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn conditions_of_writes() {
    let world = World::new().await;
    for (list, name, document, changed) in kinds() {
        let path = format!("{list}/{name}");
        let put = async |body: &Value, header: &str, tag: &str| {
            world.put_if(&path, body.clone(), &[(header, tag)]).await
        };
        put(&document, "if-match", "\"1\"").await.refused(412, "precondition_failed");
        put(&document, "if-match", "*").await.refused(412, "precondition_failed");
        put(&document, "if-none-match", "*").await.is(201);
        put(&changed, "if-none-match", "*").await.refused(412, "precondition_failed");

        // The tag that GET gives, and the one of the write itself, are both taken.
        let tag = world.get(&path).await.etag().to_owned();
        let replaced = put(&changed, "if-match", &tag).await.is(200);
        put(&document, "if-match", &tag).await.refused(412, "precondition_failed");
        put(&changed, "if-match", &tag).await.refused(412, "precondition_failed");
        put(&document, "if-match", &format!("\"0.0\", {}", replaced.etag())).await.is(200);
        put(&changed, "if-match", "*").await.is(200);
        let weak = format!("W/{}", world.get(&path).await.etag());
        put(&document, "if-match", &weak).await.refused(412, "precondition_failed");
        put(&document, "if-match", "12").await.refused(400, "invalid_header");
        put(&document, "if-none-match", "\"x\", nonsense").await.refused(400, "invalid_header");
        world
            .call(Method::DELETE, &path, &[("if-match", "\"1\"")], "")
            .await
            .refused(412, "precondition_failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conditional_write_whose_answer_was_lost_can_be_repeated() {
    let world = World::new().await;
    let path = "/api/v1/packages/shop";
    let tag = world.put(path, package("shop")).await.etag().to_owned();
    let changed = with(package("shop"), "version", json!("2.0.0"));
    let headers = [("if-match", tag.as_str()), ("x-correlation-id", "push-7")];
    *world.store.fault.lock() = Some(Fault::MaybeDone);
    world.put_if(path, changed.clone(), &headers).await.refused(503, "maybe_done");
    world.put_if(path, changed.clone(), &headers).await.is(200);
    // Somebody else with the same wish has not succeeded.
    let other = [("if-match", tag.as_str()), ("x-correlation-id", "push-8")];
    world.put_if(path, changed, &other).await.refused(412, "precondition_failed");
}

#[tokio::test(start_paused = true)]
async fn conditional_reads_see_the_status_move() {
    let world = World::new().await;
    world.lead().await;
    let path = "/api/v1/packages/shop";
    let created = world.put(path, package("shop")).await.json();
    let first = world.get(path).await.is(200);
    assert_eq!(first.json()["status"]["observed_generation"], 0);
    let known =
        async |tag: &str| world.call(Method::GET, path, &[("if-none-match", tag)], "").await;
    let unchanged = known(first.etag()).await.is(304);
    assert_eq!(unchanged.etag(), first.etag());
    assert!(unchanged.body.is_empty());
    known(&format!("\"7\", W/{}", first.etag())).await.is(304);

    let uid = created["meta"]["uid"].as_str().unwrap().to_owned();
    let status = PackageStatus { uid, observed_generation: 1, ..PackageStatus::default() };
    world.store(&Key::PackageStatus(name("shop")), &status).await;
    let second = known(first.etag()).await.is(200);
    assert_eq!(second.json()["status"]["observed_generation"], 1);
    assert_ne!(second.etag(), first.etag());
    // The spec is the same: the older tag still writes.
    let changed = with(package("shop"), "version", json!("2.0.0"));
    world.put_if(path, changed, &[("if-match", first.etag())]).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn names_in_path_and_body_must_agree() {
    let world = World::new().await;
    let problem = world.put("/api/v1/packages/shop", package("shoe")).await;
    assert_eq!(problem.refused(400, "name_mismatch")["errors"][0]["pointer"], "/name");
    let problem = world.put("/api/v1/deployments/a", deployment("b", "shop")).await;
    assert_eq!(problem.refused(400, "name_mismatch")["errors"][0]["pointer"], "/key");
}

#[tokio::test(start_paused = true)]
async fn formats() {
    let world = World::new().await;
    let yaml = "name: shop\nversion: 1.0\nclasses:\n- key: Cart\n";
    for media_type in ["application/yaml", "text/yaml", "text/x-yaml; charset=utf-8"] {
        let headers = [("content-type", media_type)];
        let reply = world.call(Method::PUT, "/api/v1/packages/shop", &headers, yaml).await;
        assert!(reply.status.is_success(), "{media_type}: {reply:?}");
        assert_eq!(reply.json()["version"], "1.0");
    }
    let refused = [
        ("content-type", "text/html"),
        ("content-type", "application/json; charset=latin1"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ];
    for header in refused {
        let reply = world.call(Method::PUT, "/api/v1/packages/shop", &[header], yaml).await;
        reply.refused(415, "unsupported_media_type");
    }
}

#[tokio::test(start_paused = true)]
async fn warnings_and_strict() {
    let world = World::new().await;
    let odd = with(package("shop"), "vresion", json!("1"));
    let strict = world.put("/api/v1/packages/shop?strict=true", odd.clone()).await;
    let problem = strict.refused(400, "invalid_document");
    assert_eq!(problem["errors"][0]["pointer"], "/vresion");
    let taken = world.put("/api/v1/packages/shop", odd).await.is(201).json();
    assert_eq!(taken["warnings"][0]["pointer"], "/vresion");

    let lonely = json!({
        "key": "d", "package_name": "nobody", "class_key": "Cart", "target_envs": ["mars"],
    });
    let taken = world.put("/api/v1/deployments/d?strict=true", lonely).await.is(201).json();
    let pointers: Vec<&str> = taken["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/package_name", "/target_envs/0"]);
    let classless = json!({ "key": "e", "package_name": "shop", "class_key": "Basket" });
    let taken = world.put("/api/v1/deployments/e", classless).await.is(201).json();
    assert_eq!(taken["warnings"][0]["pointer"], "/class_key");
    let needy = with(package("needy"), "dependencies", json!(["shop@^3", "gone", "shop"]));
    let taken = world.put("/api/v1/packages/needy", needy).await;
    if taken.status == 201 {
        assert_eq!(taken.json()["warnings"][0]["pointer"], "/dependencies/0");
    }
}

#[tokio::test(start_paused = true)]
async fn cycles_are_refused() {
    let world = World::new().await;
    let needs = |name: &str, on: &str| with(package(name), "dependencies", json!([on]));
    world.put("/api/v1/packages/a", needs("a", "b")).await.is(201);
    world.put("/api/v1/packages/b", needs("b", "c")).await.is(201);
    let before = world.revision().await;
    let problem = world.put("/api/v1/packages/c", needs("c", "a")).await;
    let problem = problem.refused(400, "invalid_document");
    assert_eq!(problem["errors"][0]["pointer"], "/dependencies/0");
    assert_eq!(world.revision().await, before);
}

#[tokio::test(start_paused = true)]
async fn correlation_ids() {
    let world = World::new().await;
    let headers = [("x-correlation-id", "git-push/42")];
    let reply = world.put_if("/api/v1/packages/shop", package("shop"), &headers).await;
    assert_eq!(reply.header("x-correlation-id"), "git-push/42");
    assert_eq!(reply.json()["meta"]["correlation_id"], "git-push/42");
    let long = "x".repeat(200);
    for bad in ["with space", "quote\"", long.as_str()] {
        let reply =
            world.call(Method::GET, "/api/v1/packages", &[("x-correlation-id", bad)], "").await;
        assert!(reply.header("x-correlation-id").starts_with("uid-"), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_the_rest_reads() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    let stored = world.store.memory.get("packages/shop").await.unwrap().unwrap();
    let parsed: oprc_models::meta::Stored<oprc_models::package::OPackage> =
        serde_json::from_slice(&stored.value).unwrap();
    assert_eq!(serde_json::to_vec(&parsed).unwrap(), stored.value);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_deployments_is_no_package() {
    let world = World::new().await;
    let shop = world.put("/api/v1/packages/shop", package("shop")).await.is(201).json();
    let before = world.revision().await;
    let inline = json!([{ "class_key": "Cart" }, { "key": "second", "class_key": "Cart" }]);
    let list = json!({ "name": "shop", "deployments": inline });
    let pushed = world.post("/api/v1/packages", list.clone()).await.is(201).json();
    assert_eq!(pushed["items"][0]["key"], "shop.Cart");
    assert_eq!(pushed["items"][1]["meta"]["generation"], 1);
    assert_eq!(world.revision().await, before + 1, "one transaction");
    world.put("/api/v1/packages/shop", list.clone()).await.is(200);
    assert_eq!(world.revision().await, before + 1);
    let got = world.get("/api/v1/packages/shop").await.json();
    assert_eq!(got["meta"], shop["meta"], "the package is as it was");
    assert_eq!(got["classes"], shop["classes"]);

    let changed = world.put(
        "/api/v1/deployments/second",
        json!({
            "key": "second", "package_name": "shop", "class_key": "Cart", "labels": { "a": "b" },
        }),
    );
    changed.await.is(200);
    let before = world.revision().await;
    world.post("/api/v1/packages", list.clone()).await.refused(409, "already_exists");
    let elsewhere = world.put("/api/v1/packages/site", list.clone()).await;
    let problem = elsewhere.refused(400, "name_mismatch");
    assert_eq!(problem["errors"][0]["pointer"], "/deployments/0/package_name");
    let conditional = world.put_if("/api/v1/packages/shop", list, &[("if-match", "*")]).await;
    conditional.refused(400, "invalid_header");
    assert_eq!(world.revision().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_was_got_can_be_pushed_back() {
    let world = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    for path in ["/api/v1/packages/shop", "/api/v1/deployments/d"] {
        let got = world.get(path).await.json();
        let back = world.put(&format!("{path}?strict=true"), got.clone()).await.is(200).json();
        assert_eq!(back["meta"], got["meta"]);
    }
}

/// Whoever follows the examples' README gets a 201, and a 200 for doing it again.
#[tokio::test(start_paused = true)]
async fn the_examples_can_be_pushed() {
    let world = World::new().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for file in [
        "shop.yaml",
        "shop-deployments.yaml",
        "image-pipeline.yaml",
        "library.yaml",
        "analytics.yaml",
        "sensor-twin.yaml",
        "chat.json",
    ] {
        let text = std::fs::read(format!("{folder}/{file}")).unwrap();
        let media_type = if file.ends_with("json") { "application/json" } else { "text/yaml" };
        let headers = [("content-type", media_type)];
        let path = "/api/v1/packages?strict=true";
        let first = world.call(Method::POST, path, &headers, text.clone()).await;
        assert_eq!(first.status, 201, "{file}: {:?}", first.body);
        let before = world.revision().await;
        let again = world.call(Method::POST, path, &headers, text).await;
        assert_eq!(again.status, 200, "{file}: {:?}", again.body);
        assert_eq!(world.revision().await, before, "{file}");
    }
}

/// A number that was read, stored and read again is the same: else the same push would be a change.
#[tokio::test(start_paused = true)]
async fn numbers_survive_the_store() {
    let world = World::new().await;
    for n in 1..200 {
        let availability = 1.0 / f64::from(n) / 3.0 * 0.7;
        let wanted = json!({ "availability": availability });
        let spec = with(deployment("d", "shop"), "nfr_requirements", wanted);
        world.put("/api/v1/deployments/d", spec.clone()).await;
        let before = world.revision().await;
        world.put("/api/v1/deployments/d", spec).await.is(200);
        assert_eq!(world.revision().await, before, "{availability}");
    }
}

/// A10: an older replica beside a newer one.
#[tokio::test(start_paused = true)]
async fn what_a_newer_version_wrote_is_read_and_kept_by_the_same_push() {
    let world = World::new().await;
    let meta = json!({
        "uid": "u", "generation": 3, "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "newer": { "share": 1.50 },
    });
    for (path, key, spec) in [
        ("packages/shop", Key::Package(name("shop")), package("shop")),
        ("deployments/d", Key::Deployment(name("d")), deployment("d", "shop")),
    ] {
        let mut newer = with(spec.clone(), "newer", json!([1.50]));
        if let Some(class) = newer.pointer_mut("/classes/0") {
            class["newer"] = json!("deeper");
        }
        world.store(&key, &json!({ "meta": meta, "spec": newer, "newer": true })).await;
        let path = format!("/api/v1/{path}");
        assert_eq!(world.get(&path).await.is(200).json()["meta"]["generation"], 3);
        let before = world.revision().await;
        assert_eq!(world.put(&path, spec).await.is(200).json()["meta"]["generation"], 3);
        assert_eq!(world.revision().await, before, "nothing is written, so nothing is lost");
    }
}
