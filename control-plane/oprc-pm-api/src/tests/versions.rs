//! Versions of packages: published, read, refused where they exist, and pinned.

use http::Method;
use oprc_cp_storage::{Store, keys::Key};
use oprc_models::version::VersionPolicy;
use serde_json::{Value, json};

use super::{
    applying::{apply, outcomes},
    world::{Fault, World, cluster, deployment, package, with},
};
use crate::Limits;

const PATH: &str = "/api/v1/packages/shop";

/// The package `shop` at `version`, whose content that names.
fn shop(version: &str) -> Value {
    let image = json!({ "container_image": format!("shop/add:{version}") });
    let function = json!([{ "key": "add", "provision_config": image }]);
    with(with(package("shop"), "functions", function), "version", json!(version))
}

/// `shop` at `version`, with another content.
fn changed(version: &str) -> Value {
    with(shop("other"), "version", json!(version))
}

/// The versions that are published, the current one with a star.
async fn versions(world: &World) -> Vec<String> {
    let list = world.get(&format!("{PATH}/versions")).await.is(200).json();
    let star = |item: &Value| if item["current"] == true { "*" } else { "" };
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| format!("{}{}", item["version"].as_str().unwrap(), star(item))).collect()
}

/// A world in which what is published is never replaced.
async fn immutable() -> World {
    let limits = Limits { version_policy: VersionPolicy::Immutable, ..Limits::default() };
    World::with_limits(limits).await
}

/// The image of what is published under `version`.
async fn image(world: &World, version: &str) -> String {
    let one = world.get(&format!("{PATH}?version={version}")).await.is(200).json();
    let image = &one["functions"][0]["provision_config"]["container_image"];
    image.as_str().unwrap().to_owned()
}

async fn current(world: &World) -> Value {
    world.get(PATH).await.is(200).json()["version"].clone()
}

/// What becomes of pushes does not depend on their order, nor on how often they are made.
#[tokio::test(start_paused = true)]
async fn pushes_move_a_package_forward_only() {
    let all = ["0.9", "1.0", "1.10.0", "1.2.0", "2.0.0-rc.1"];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 2, 2, 0]] {
        let world = World::new().await;
        for i in order.into_iter().chain(order).chain([3]) {
            assert!(world.put(PATH, shop(all[i])).await.status.is_success());
        }
        assert_eq!(current(&world).await, "1.10.0", "{order:?}");
        let want = ["2.0.0-rc.1", "1.10.0*", "1.2.0", "1.0.0", "0.9.0"];
        assert_eq!(versions(&world).await, want, "{order:?}");
        for version in all {
            let one = world.get(&format!("{PATH}?version={version}")).await.is(200).json();
            let image = &one["functions"][0]["provision_config"]["container_image"];
            assert_eq!(*image, format!("shop/add:{version}"));
            assert_eq!(one["version"], version, "as it was written");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_beside_is_told() {
    let world = World::new().await;
    world.put(PATH, shop("2.0.0")).await.is(201);
    for _ in 0..2 {
        let reply = world.put(PATH, shop("1.9.0")).await.is(200).json();
        assert_eq!((&reply["version"], &reply["meta"]["generation"]), (&json!("2.0.0"), &json!(1)));
        let warning = &reply["warnings"][0];
        assert_eq!(warning["pointer"], "/version");
        let message = warning["message"].as_str().unwrap();
        assert!(
            message.starts_with("1.9.0 is lower, so it is published beside 2.0.0"),
            "{message}"
        );
    }
    let reply = world.put(PATH, shop("2.1.0-rc.1")).await.is(200).json();
    let message = reply["warnings"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("2.1.0-rc.1 is a pre-release"), "{message}");
    // A create is of what is not there.
    world.post("/api/v1/packages", shop("1.8.0")).await.refused(409, "already_exists");
    assert_eq!(versions(&world).await, ["2.1.0-rc.1", "2.0.0*", "1.9.0"]);
    world
        .put_if(PATH, shop("1.7.0"), &[("if-match", "\"7\"")])
        .await
        .refused(412, "precondition_failed");
}

/// Where versions are immutable, whatever way the push comes.
#[tokio::test(start_paused = true)]
async fn immutable_versions_stay_what_they_are() {
    let world = immutable().await;
    world.put(PATH, shop("1.0.0")).await.is(201);
    world.put(PATH, shop("1.1.0")).await.is(200);
    for version in ["1.1.0", "1.0", "v1.0.0+build.7"] {
        let refused = |reply: super::world::Reply, at: &str| {
            let problem = reply.refused(409, "version_exists");
            let errors = problem["errors"].as_array().unwrap();
            let pointer = format!("{at}/functions/0/provision_config/container_image");
            assert_eq!(errors[0]["pointer"], pointer, "{problem}");
            assert_eq!(errors.len(), 1);
            assert!(errors[0]["message"].as_str().unwrap().contains("version 1."), "{problem}");
        };
        refused(world.put(PATH, changed(version)).await, "");
        refused(world.post("/api/v1/packages", changed(version)).await, "");
        refused(world.post(PATH, changed(version)).await, "");
        refused(apply(&world, "", &[changed(version)]).await, "/0");
        refused(apply(&world, "?dry_run=true", &[changed(version)]).await, "/0");
    }
    assert_eq!(current(&world).await, "1.1.0");
    // What is said of it may change, and so may how the version is written.
    let labelled = with(shop("1.1.0"), "labels", json!({ "a": "b" }));
    assert_eq!(world.put(PATH, labelled).await.is(200).json()["meta"]["generation"], 3);
    let deploying = with(shop("1.1.0"), "deployments", json!([deployment("d", "shop")]));
    world.put(PATH, deploying).await.is(200);
    world.put(PATH, with(shop("1.1.0"), "version", json!("1.1"))).await.is(200);
    assert_eq!(world.put(PATH, shop("1.1.0")).await.is(200).json()["meta"]["generation"], 6);
    assert_eq!(versions(&world).await, ["1.1.0*", "1.0.0"]);
    let is_new = world.put(PATH, shop("1.1.0")).await.is(200).json();
    assert_eq!(is_new["meta"]["generation"], 6, "the same again is nothing new");
}

/// By default a push with other content is a new generation of its version.
#[tokio::test(start_paused = true)]
async fn a_push_replaces_its_version() {
    let world = World::new().await;
    world.put(PATH, shop("1.0")).await.is(201);
    let following = deployment("following", "shop");
    world.put("/api/v1/deployments/following", following).await.is(201);
    for (key, pin) in [("pinned", "^1"), ("elsewhere", "^2")] {
        let pinned = with(deployment(key, "shop"), "package_version", json!(pin));
        world.put(&format!("/api/v1/deployments/{key}"), pinned).await.is(201);
    }
    let needing = with(package("other"), "dependencies", json!(["shop@~1.0"]));
    world.put("/api/v1/packages/other", needing).await.is(201);
    let before = world.get(&format!("{PATH}?version=1.0")).await.is(200).json();

    let dry = apply(&world, "?dry_run=true", &[changed("1.0.0")]).await.is(200).json();
    let message = "this replaces what is published as version 1.0.0 of package shop: deployment \
                   following, deployment pinned, package other resolve to it; give it a new version \
                   to leave them as they are";
    assert_eq!(dry["warnings"][0], json!({ "pointer": "/0/version", "message": message }));
    assert_eq!(image(&world, "1.0").await, "shop/add:1.0", "a dry run writes nothing");
    let reply = world.put(PATH, changed("1.0.0")).await.is(200).json();
    assert_eq!(reply["meta"]["generation"], 2);
    assert_eq!(reply["warnings"], json!([{ "pointer": "/version", "message": message }]));
    let after = world.get(&format!("{PATH}?version=1.0")).await.is(200).json();
    let published = |one: &Value, field: &str| one["published"][field].clone();
    assert_eq!(published(&after, "created_at"), published(&before, "created_at"));
    assert_ne!(published(&after, "content_hash"), published(&before, "content_hash"));
    let was = world.get(&format!("{PATH}/revisions/1")).await.is(200).json();
    assert_eq!(was["functions"], before["functions"], "what was replaced is in the history");
    let again = world.put(PATH, changed("1.0.0")).await.is(200).json();
    assert_eq!((&again["meta"]["generation"], again.get("warnings")), (&json!(2), None));
    // A create is still of what is not there.
    world.post("/api/v1/packages", shop("1.0.0")).await.refused(409, "already_exists");
}

/// What was published before the current version is replaced where it is archived.
#[tokio::test(start_paused = true)]
async fn a_push_replaces_an_older_version() {
    let world = World::new().await;
    world.put(PATH, shop("1.0.0")).await.is(201);
    world.put(PATH, shop("2.0.0")).await.is(200);
    let pinned = with(deployment("pinned", "shop"), "package_version", json!("^1"));
    world.put("/api/v1/deployments/pinned", pinned).await.is(201);
    let dry = apply(&world, "?dry_run=true", &[changed("1.0.0")]).await.is(200).json();
    assert_eq!(dry["items"][0]["outcome"], "published");
    let pointer = "/functions/0/provision_config/container_image";
    assert_eq!(dry["items"][0]["changes"][0]["pointer"], pointer, "{dry}");
    let reply = world.put(PATH, changed("1.0.0")).await.is(200).json();
    assert_eq!(reply["version"], "2.0.0", "the package stays what it is");
    let messages: Vec<&str> = reply["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["message"].as_str().unwrap())
        .collect();
    assert!(messages[0].starts_with("1.0.0 is lower"), "{messages:?}");
    assert!(
        messages[1].contains("1.0.0 of package shop: deployment pinned resolves to it"),
        "{messages:?}"
    );
    assert_eq!(image(&world, "1.0.0").await, "shop/add:other");
    assert_eq!(image(&world, "2.0.0").await, "shop/add:2.0.0");
    let again = apply(&world, "", &[changed("1.0.0")]).await.is(200);
    assert_eq!(outcomes(&again), ["shop unchanged 2"]);
    // While the package is that version, what is archived under it is out of date, and not read.
    world.post(&format!("{PATH}/rollback"), json!({ "generation": 1 })).await.is(200);
    assert_eq!(image(&world, "1.0.0").await, "shop/add:1.0.0");
    world.put(PATH, shop("3.0.0")).await.is(200);
    assert_eq!(image(&world, "1.0.0").await, "shop/add:1.0.0", "as it was when it was left");
}

/// A package can ask for its versions to be left alone.
#[tokio::test(start_paused = true)]
async fn a_package_makes_its_versions_immutable() {
    let world = World::new().await;
    let fixed = |document: Value| with(document, "metadata", json!({ "immutable": true }));
    world.put(PATH, fixed(shop("1.0.0"))).await.is(201);
    for document in [changed("1.0.0"), fixed(changed("1.0.0"))] {
        world.put(PATH, document.clone()).await.refused(409, "version_exists");
        apply(&world, "", &[document]).await.refused(409, "version_exists");
    }
    // A version stays as it was published, whatever is said of later ones.
    world.put(PATH, shop("2.0.0")).await.is(200);
    world.put(PATH, changed("1.0.0")).await.refused(409, "version_exists");
    world.put(PATH, fixed(changed("2.0.0"))).await.refused(409, "version_exists");
    world.put(PATH, changed("2.0.0")).await.is(200);
    // The same content without the mark takes the mark away.
    world.put(PATH, fixed(shop("3.0.0"))).await.is(200);
    world.put(PATH, shop("3.0.0")).await.is(200);
    world.put(PATH, changed("3.0.0")).await.is(200);
}

/// A push without a version is as before there were any; what was published remains.
#[tokio::test(start_paused = true)]
async fn without_a_version() {
    let world = World::new().await;
    let mut bare = changed("1.0.0");
    bare.as_object_mut().unwrap().remove("version");
    world.put(PATH, bare.clone()).await.is(201);
    assert_eq!(versions(&world).await, [""; 0]);
    world.put(PATH, shop("1.0.0")).await.is(200);
    world.put(PATH, bare).await.is(200);
    assert_eq!(versions(&world).await, ["1.0.0"]);
    assert_eq!(current(&world).await, Value::Null);
    world.put(PATH, shop("0.1.0")).await.is(200);
    assert_eq!(versions(&world).await, ["1.0.0", "0.1.0*"]);
    // It becomes a version that is archived, with other content.
    let reply = world.put(PATH, changed("1.0.0")).await.is(200).json();
    assert!(reply["warnings"][0]["message"].as_str().unwrap().contains("version 1.0.0"), "{reply}");
    assert_eq!(image(&world, "1.0.0").await, "shop/add:other");
    world.put(PATH, shop("2.0.0")).await.is(200);
    assert_eq!(image(&world, "1.0.0").await, "shop/add:other", "the archive follows");
}

#[tokio::test(start_paused = true)]
async fn rolling_back_goes_back() {
    let world = World::new().await;
    world.put(PATH, shop("1.0.0")).await.is(201);
    world.put(PATH, shop("2.0.0")).await.is(200);
    let before = world.get(&format!("{PATH}?version=1.0")).await.is(200).json();
    let back = world.post(&format!("{PATH}/rollback"), json!({ "generation": 1 })).await.is(200);
    assert_eq!(back.json()["version"], "1.0.0");
    assert_eq!(versions(&world).await, ["2.0.0", "1.0.0*"]);
    let after = world.get(&format!("{PATH}?version=1.0")).await.is(200).json();
    assert_eq!(after["published"]["created_at"], before["published"]["created_at"]);
    // The push that was taken back is made once more.
    world.put(PATH, shop("2.0.0")).await.is(200);
    assert_eq!(current(&world).await, "2.0.0");
    // Back to what was replaced under the same version.
    world.put(PATH, changed("2.0.0")).await.is(200);
    let path = format!("{PATH}/rollback");
    let back = world.post(&path, json!({ "generation": 4 })).await.is(200).json();
    assert!(back["warnings"][0]["message"].as_str().unwrap().contains("version 2.0.0"), "{back}");
    assert_eq!(image(&world, "2.0.0").await, "shop/add:2.0.0");
}

#[tokio::test(start_paused = true)]
async fn versions_are_read() {
    let world = World::new().await;
    for version in ["1.0.0", "1.2.0", "2.0.0", "2.1.0-rc.1"] {
        assert!(world.put(PATH, shop(version)).await.status.is_success());
    }
    let found = async |version: &str| {
        let path = format!("{PATH}?version={version}");
        world.get(&path).await.is(200).json()["published"].clone()
    };
    for (text, want) in [
        ("1.0", "1.0.0"),
        ("%5E1", "1.2.0"),
        ("=2.0.0", "2.0.0"),
        ("*", "2.0.0"),
        ("%3E=1,%3C2", "1.2.0"),
        ("2.1.0-rc.1", "2.1.0-rc.1"),
    ] {
        let published = found(text).await;
        assert_eq!(published["version"], want, "{text}");
        assert_eq!(published["current"], want == "2.0.0");
        assert_eq!(published["in_use"], want == "2.0.0");
        assert_eq!(published["content_hash"].as_str().unwrap().len(), 32);
    }
    let missing =
        world.get(&format!("{PATH}?version=%5E3")).await.refused(404, "version_not_found");
    let detail = missing["detail"].as_str().unwrap();
    assert!(detail.ends_with("there are 2.1.0-rc.1, 2.0.0, 1.2.0, 1.0.0"), "{detail}");
    world.get(&format!("{PATH}?version=newest")).await.refused(400, "invalid_parameter");
    world.get("/api/v1/packages/x?version=1").await.refused(404, "not_found");
    world.get("/api/v1/packages/x/versions").await.refused(404, "not_found");
    let tag = world.get(&format!("{PATH}/versions")).await.is(200);
    let headers = [("if-none-match", tag.etag())];
    world.call(Method::GET, &format!("{PATH}/versions"), &headers, "").await.is(304);
    // What is no part of a version is not told as one.
    let one = world.get(&format!("{PATH}?version=1.2")).await.json();
    assert!(one.get("meta").is_none() && one.get("labels").is_none(), "{one}");
}

/// Many at once, answers that are lost: one content for each version, and each that was accepted.
#[tokio::test(start_paused = true)]
async fn an_immutable_version_has_one_content() {
    for history in [20, 0] {
        let version_policy = VersionPolicy::Immutable;
        let limits = Limits { max_revisions: history, version_policy, ..Limits::default() };
        let world = World::with_limits(limits).await;
        world.put(PATH, shop("5.0.0")).await.is(201);
        let pushes = (0..8).map(|i| {
            let content = if i % 2 == 0 { shop("4.0.0") } else { changed("4.0.0") };
            world.put(PATH, content)
        });
        let replies = futures::future::join_all(pushes).await;
        let n_taken = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(n_taken, 4, "those of one content");
        world.get(PATH).await.is(200);
        *world.store.fault.lock() = Some(Fault::MaybeDone);
        world.put(PATH, shop("6.0.0")).await.refused(503, "maybe_done");
        world.put(PATH, shop("6.0.0")).await.is(200);
        assert_eq!(versions(&world).await, ["6.0.0*", "5.0.0", "4.0.0"]);
    }
}

/// One that is created while the old is on its way out begins without its versions.
#[tokio::test(start_paused = true)]
async fn the_next_incarnation_begins_clean() {
    let world = immutable().await;
    world.put(PATH, shop("1.0.0")).await.is(201);
    world.put(PATH, shop("2.0.0")).await.is(200);
    world.delete(PATH).await.is(202);
    world.put(PATH, changed("1.0.0")).await.is(201);
    assert_eq!(versions(&world).await, ["1.0.0*"]);
    world.put(PATH, shop("3.0.0")).await.is(200);
    assert_eq!(versions(&world).await, ["3.0.0*", "1.0.0"]);
    world.put(PATH, shop("1.0.0")).await.refused(409, "version_exists");
    let one = world.get(&format!("{PATH}?version=1.0.0")).await.is(200).json();
    assert_eq!(one["functions"][0]["provision_config"]["container_image"], "shop/add:other");
}

/// Of a push of many documents, staged ones too, versions are published with it or not at all.
#[tokio::test(start_paused = true)]
async fn bundles_publish() {
    let world = World::new().await;
    let with_many = |version: &str, n: usize| {
        let deployments = (0..n).map(|i| {
            with(deployment(&format!("d{i:03}"), "shop"), "labels", json!({ "tag": version }))
        });
        [shop(version)].into_iter().chain(deployments).collect::<Vec<_>>()
    };
    for (version, n, want) in [
        ("1.0.0", 1, "created"),
        ("3.0.0", 200, "replaced"),
        ("2.0.0", 200, "published"),
        ("2.1.0", 1, "published"),
        ("2.1.0", 1, "unchanged"),
    ] {
        let reply = apply(&world, "?bundle=b", &with_many(version, n)).await.is(200);
        let first = outcomes(&reply).into_iter().next().unwrap();
        assert!(first.contains(want), "{version}: {first}");
    }
    assert_eq!(versions(&world).await, ["3.0.0*", "2.1.0", "2.0.0", "1.0.0"]);
    let dry = apply(&world, "?bundle=b&dry_run=true", &[shop("2.2.0")]).await.is(200).json();
    assert_eq!(dry["items"][0]["outcome"], "published");
    let mut documents = with_many("2.3.0", 200);
    documents.push(with(package("other"), "version", json!("newest")));
    apply(&world, "?bundle=b", &documents).await.refused(400, "invalid_document");
    // The pusher dies before its push has taken effect.
    world.get(PATH).await;
    let fault = Some(Fault::Lost);
    *world.store.fault.lock() = fault;
    world.store.fault_in.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(apply(&world, "?bundle=b", &with_many("2.4.0", 200)).await.status, 503);
    assert_eq!(versions(&world).await, ["3.0.0*", "2.1.0", "2.0.0", "1.0.0"]);
}

/// What a deployment pins need not be there yet, and what a dry run tells follows the pin.
#[tokio::test(start_paused = true)]
async fn pins_are_checked_and_followed() {
    let world = World::new().await;
    let pinned = |pin: &str| with(deployment("d", "shop"), "package_version", json!(pin));
    let path = "/api/v1/deployments/d";
    let problem = world.put(path, pinned("newest")).await.refused(400, "invalid_document");
    assert_eq!(problem["errors"][0]["pointer"], "/package_version");
    world.put(PATH, shop("1.0.0")).await.is(201);
    let reply = world.put(path, pinned("^2")).await.is(201).json();
    assert_eq!(reply["warnings"][0]["pointer"], "/package_version");
    let message = &reply["warnings"][0]["message"];
    assert_eq!(*message, "no version of package shop satisfies ^2: there is 1.0.0");
    let reply = world.put(path, pinned("^1")).await.is(200).json();
    assert_eq!((&reply["package_version"], reply.get("warnings")), (&json!("^1"), None));
    // What it resolves to is in use, whatever the newest is.
    world.put(PATH, shop("2.0.0")).await.is(200);
    world.put(PATH, shop("1.1.0")).await.is(200);
    let needing = with(package("other"), "dependencies", json!(["shop@=1.0.0"]));
    world.put("/api/v1/packages/other", needing).await.is(201);
    let list = world.get(&format!("{PATH}/versions")).await.is(200).json();
    assert!(list["items"].as_array().unwrap().iter().all(|item| item["in_use"] == true), "{list}");
    world.delete("/api/v1/packages/other").await.is(202);
    world.remove(&Key::Package("other".parse().unwrap())).await;
    let list = world.get(&format!("{PATH}/versions")).await.is(200).json();
    let unused = list["items"].as_array().unwrap().iter().filter(|item| item["in_use"] == false);
    assert_eq!(unused.map(|item| &item["version"]).collect::<Vec<_>>(), ["1.0.0"]);
}

/// A dry run tells what the clusters would do by what is pinned, and not of who follows others.
#[tokio::test(start_paused = true)]
async fn dry_runs_follow_pins() {
    let world = World::new().await;
    world.store(&Key::Cluster("east".parse().unwrap()), &cluster("east")).await;
    world.put(PATH, shop("1.0.0")).await.is(201);
    let on_east = |key: &str| with(deployment(key, "shop"), "target_envs", json!(["east"]));
    world.put("/api/v1/deployments/newest", on_east("newest")).await.is(201);
    let pinned = with(on_east("pinned"), "package_version", json!("^1"));
    world.put("/api/v1/deployments/pinned", pinned).await.is(201);
    // Nothing runs yet, so what is worth a look is what would be created.
    for (version, want) in
        [("2.0.0", json!(["newest", "pinned"])), ("0.9.0", json!(["newest", "pinned"]))]
    {
        let dry = apply(&world, "?dry_run=true", &[shop(version)]).await.is(200).json();
        assert_eq!(dry["clusters"]["east"]["created"], want, "{dry}");
    }
    let far = with(on_east("pinned"), "package_version", json!("^3"));
    world.put("/api/v1/deployments/pinned", far).await.is(200);
    let dry = apply(&world, "?dry_run=true", &[shop("2.0.0")]).await.is(200).json();
    assert_eq!(dry["clusters"]["east"]["created"], json!(["newest"]), "{dry}");
    let dry =
        apply(&world, "?dry_run=true", &[shop("3.0.0-rc.1"), shop_pinned("^3.0.0-rc.1")]).await;
    let dry = dry.is(200).json();
    assert_eq!(dry["clusters"]["east"]["created"], json!(["newest", "pinned"]), "{dry}");
}

fn shop_pinned(requirement: &str) -> Value {
    let pinned = with(deployment("pinned", "shop"), "target_envs", json!(["east"]));
    with(pinned, "package_version", json!(requirement))
}

/// A package that was stored before there were versions is published under its own.
#[tokio::test(start_paused = true)]
async fn packages_of_before_are_published() {
    let world = immutable().await;
    let meta = json!({
        "uid": "u", "generation": 7,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
    });
    let stored = json!({ "meta": meta, "spec": shop("1.0") });
    world.store(&Key::Package("shop".parse().unwrap()), &stored).await;
    assert_eq!(versions(&world).await, ["1.0.0*"]);
    world.put(PATH, changed("1.0")).await.refused(409, "version_exists");
    world.put(PATH, shop("1.0")).await.is(200);
    world.put(PATH, shop("2.0")).await.is(200);
    let one = world.get(&format!("{PATH}?version=1.0")).await.is(200).json();
    assert_eq!(one["published"]["created_at"], "2026-01-02T00:00:00Z");
    let key = "package-versions/shop/1.0.0";
    assert!(world.store.memory.get(key).await.unwrap().is_some());
    world.store_bytes(&key.parse().unwrap(), b"{".to_vec()).await;
    world.put(PATH, shop("1.0")).await.refused(409, "unreadable_object");
}
