//! Published versions: pins hold while the newest moves, and say so where nothing will do; versions
//! are trimmed, survive a restart, and go with their package.

use serde_json::{Value, json};

use crate::support::{
    Backend, World, check_problem, document, eventually, on_each_backend, world::package,
};

on_each_backend!(pins_hold_and_versions_are_trimmed, replaced_versions_reach_who_resolves_to_them);

const PATH: &str = "/api/v1/packages/shop";

/// The versions that are published.
async fn versions(world: &World) -> Vec<String> {
    let list = world.api().get(&format!("{PATH}/versions")).await;
    assert_eq!(list.status, 200, "{list:?}");
    let items = list.body["items"].as_array().unwrap();
    items.iter().map(|item| item["version"].as_str().unwrap().to_owned()).collect()
}

async fn pin(world: &World, requirement: &str) {
    let mut pinned = document("pinned", &["edge-1"]);
    pinned["package_version"] = json!(requirement);
    let answer = world.api().put("/api/v1/deployments/pinned", &pinned).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// Waits until the deployment `key` is of `version`, and answers what its cluster holds.
async fn is_of(world: &World, key: &str, version: &str) -> Value {
    eventually("of the version", || async {
        let status = world.status(key).await;
        if status["package_version"] == version { Ok(()) } else { Err(status) }
    })
    .await;
    world.runs_on(key, &["edge-1"]).await["edge-1"].clone()
}

async fn pins_hold_and_versions_are_trimmed(backend: Backend) {
    let mut world = World::without_pm(backend, &["edge-1"]).await;
    world.set("OPRC_PM_VERSION_LIMIT", "2");
    world.set("OPRC_PM_VERSION_POLICY", "immutable");
    world.add_pm().await;
    world.put_package("1.0.0").await;
    pin(&world, "=1.0.0").await;
    world.put_deployment("newest", &["edge-1"]).await;
    let first = is_of(&world, "pinned", "1.0.0").await;
    is_of(&world, "newest", "1.0.0").await;

    // The newest moves on, and what is pinned does not.
    for minor in 1..=5 {
        world.put_package(&format!("1.{minor}.0")).await;
    }
    is_of(&world, "newest", "1.5.0").await;
    let still = is_of(&world, "pinned", "1.0.0").await;
    assert_eq!(first["spec_hash"], still["spec_hash"]);
    assert_eq!(first["generation"], still["generation"], "nothing was sent");
    // What it is, what was last, and what is in use.
    eventually("trimmed", || async {
        let kept = versions(&world).await;
        if kept == ["1.5.0", "1.4.0", "1.3.0", "1.0.0"] { Ok(()) } else { Err(kept) }
    })
    .await;

    let mut other = package("9.9.9");
    other["version"] = json!("1.4");
    let refused = world.api().put(PATH, &other).await;
    check_problem(&refused, 409, "version_exists");

    // Nothing will do: what runs stays, and it is told why, until something does.
    pin(&world, "^2").await;
    eventually("told why", || async {
        let status = world.status("pinned").await;
        let ready = &status["conditions"][0];
        let message = ready["message"].as_str().unwrap_or_default();
        let is_so = ready["reason"] == "VersionNotFound"
            && message.contains("satisfies ^2: there are 1.5.0, 1.4.0, 1.3.0");
        if is_so { Ok(()) } else { Err(status) }
    })
    .await;
    let held = world.cluster("edge-1").record_of("pinned").await.unwrap();
    assert_eq!(held["spec_hash"], first["spec_hash"]);
    world.restart(0);
    world.is_ready(0).await;
    // Beside the newest, which stays: a pre-release is not what most follow.
    pin(&world, "^2.0.0-rc.1").await;
    world.put_package("2.0.0-rc.2").await;
    is_of(&world, "pinned", "2.0.0-rc.2").await;
    is_of(&world, "newest", "1.5.0").await;
    let one = world.api().get(&format!("{PATH}?version=2.0.0-rc.2")).await;
    assert_eq!((one.status.as_u16(), &one.body["published"]["current"]), (200, &json!(false)));

    world.api().delete(&format!("{PATH}?cascade=true")).await;
    world.is_gone("pinned").await;
    world.is_gone("newest").await;
    eventually("the package is gone", || async {
        let answer = world.api().get(PATH).await;
        if answer.status == 404 { Ok(()) } else { Err(answer.body) }
    })
    .await;
    if backend == Backend::Etcd {
        let stored = world.stored().await;
        let left: Vec<_> = stored.keys().filter(|key| key.contains("package-versions")).collect();
        assert_eq!(left, [""; 0]);
    }
    // The next of this name begins clean.
    let mut anew = package("9.9.9");
    anew["version"] = json!("1.0.0");
    assert_eq!(world.api().put(PATH, &anew).await.status, 201);
    assert_eq!(versions(&world).await, ["1.0.0"]);
}

/// A push with other content under a published version reaches who resolves to it, and nobody else.
async fn replaced_versions_reach_who_resolves_to_them(backend: Backend) {
    let mut world = World::start(backend, &["edge-1"]).await;
    world.put_package("1.0.0").await;
    pin(&world, "=1.0.0").await;
    world.put_package("1.1.0").await;
    world.put_deployment("newest", &["edge-1"]).await;
    let hash = |record: &Value| record["spec_hash"].as_str().unwrap().to_owned();
    let pinned = hash(&is_of(&world, "pinned", "1.0.0").await);
    let newest = hash(&is_of(&world, "newest", "1.1.0").await);

    let other = |version: &str| {
        let mut other = package("9.9.9");
        other["version"] = json!(version);
        other
    };
    let answer = world.api().put(PATH, &other("1.0.0")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let warnings = answer.body["warnings"].to_string();
    assert!(warnings.contains("version 1.0.0 of package shop: deployment pinned"), "{warnings}");
    // Whatever runs by then, it is of what is published now.
    let holds_other = async |world: &World, key: &str, before: &str| {
        eventually("the replaced version", || async {
            match world.cluster("edge-1").record_of(key).await {
                Some(held) if hash(&held) != before => Ok(()),
                held => Err(held),
            }
        })
        .await;
    };
    holds_other(&world, "pinned", &pinned).await;
    let held = world.cluster("edge-1").record_of("newest").await.unwrap();
    assert_eq!(hash(&held), newest, "it resolves to another version");
    let pinned = hash(&is_of(&world, "pinned", "1.0.0").await);

    let answer = world.api().put(PATH, &other("1.1.0")).await;
    assert_eq!(answer.body["meta"]["generation"], 3, "{answer:?}");
    holds_other(&world, "newest", &newest).await;
    assert_eq!(hash(&is_of(&world, "pinned", "1.0.0").await), pinned);
    // What is stored says the same.
    world.restart(0);
    world.is_ready(0).await;
    assert_eq!(versions(&world).await, ["1.1.0", "1.0.0"]);
    assert_eq!(hash(&is_of(&world, "pinned", "1.0.0").await), pinned);
}
