//! How far writes reach.

use oprc_models::role::Role;
use serde_json::json;

use super::{
    super::world::{deployment, package, with},
    three_packages,
};

#[tokio::test]
async fn writes_reach_as_far_as_the_binding() {
    let world = three_packages().await;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    world.bind(Role::Deployer, "ops", &["shop-*"]).await;
    let (dev, ops) = (world.by("dev", &[]), world.by("ops", &[]));
    let path = "/api/v1/packages/shop-a";
    dev.put(path, with(package("shop-a"), "version", json!("2"))).await.is(200);
    assert_eq!(world.meta("packages/shop-a").await.unwrap().written_by.as_deref(), Some("dev"));
    dev.put("/api/v1/packages/lib", package("lib")).await.refused(403, "forbidden");
    dev.put("/api/v1/packages/new", package("new")).await.refused(403, "forbidden");
    ops.put(path, package("shop-a")).await.refused(403, "forbidden");
    dev.delete("/api/v1/packages/lib").await.refused(403, "forbidden");

    let deploy = |key: &str, package: &str| deployment(key, package);
    ops.post("/api/v1/deployments", deploy("z-shop-a", "shop-a")).await.is(201);
    ops.post("/api/v1/deployments", deploy("z-lib", "lib")).await.refused(403, "forbidden");
    dev.post("/api/v1/deployments", deploy("q", "shop-a")).await.refused(403, "forbidden");
    // Taking what is another's: by its key, into a package of one's own.
    let taken = ops.put("/api/v1/deployments/x-lib", deploy("x-lib", "shop-a")).await;
    taken.refused(403, "forbidden");
    assert_eq!(world.meta("deployments/x-lib").await.unwrap().generation, 1);
    // And giving away what is one's own.
    ops.put("/api/v1/deployments/z-shop-a", deploy("z-shop-a", "lib"))
        .await
        .refused(403, "forbidden");
    ops.delete("/api/v1/deployments/z-shop-a").await.is(202);
    ops.post("/api/v1/deployments/x-lib/rollback", json!({"generation": 1}))
        .await
        .refused(404, "not_found");
    dev.post("/api/v1/packages/lib/rollback", json!({"generation": 1}))
        .await
        .refused(404, "not_found");

    // A list of deployments in the place of a package is of what is in it.
    let list =
        |package: &str| json!({"package_name": package, "deployments": [{"class_key": "Cart"}]});
    ops.post("/api/v1/packages", list("shop-b")).await.is(201);
    ops.post("/api/v1/packages", list("lib")).await.refused(403, "forbidden");
    dev.post("/api/v1/packages", list("shop-b")).await.refused(403, "forbidden");
}

/// What a package declares inline are deployments, and need who may write those.
#[tokio::test]
async fn inline_deployments_need_a_deployer() {
    let world = three_packages().await;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    let dev = world.by("dev", &[]);
    let inline = with(package("shop-a"), "deployments", json!([{"class_key": "Cart"}]));
    let path = "/api/v1/packages/shop-a";
    let problem = dev.put(path, inline.clone()).await.refused(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("deployer"), "{problem}");
    assert_eq!(world.meta("packages/shop-a").await.unwrap().generation, 1);
    world.root().put(path, inline.clone()).await.is(200);
    // The same again writes no deployment; without them it would delete one.
    dev.put(path, with(inline, "version", json!("2"))).await.is(200);
    let bare = with(package("shop-a"), "version", json!("2"));
    dev.put(path, bare.clone()).await.refused(403, "forbidden");
    world.bind(Role::Deployer, "dev", &["shop-a"]).await;
    dev.put(path, bare).await.is(200);
}

#[tokio::test]
async fn a_cascade_goes_no_further_than_its_caller() {
    let world = three_packages().await;
    let root = world.root();
    let needs = |name: &str| {
        let newer = with(package(name), "version", json!("1.1"));
        with(newer, "dependencies", json!(["shop-a"]))
    };
    root.put("/api/v1/packages/lib", needs("lib")).await.is(200);
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    world.bind(Role::Deployer, "dev", &["shop-*"]).await;
    let dev = world.by("dev", &[]);
    let refused = dev.delete("/api/v1/packages/shop-a").await.refused(409, "has_dependants");
    assert!(!refused.to_string().contains("lib"), "{refused}");
    let refused =
        dev.delete("/api/v1/packages/shop-a?cascade=true").await.refused(403, "forbidden");
    assert!(!refused.to_string().contains("lib"), "{refused}");
    assert!(!world.meta("deployments/x-shop-a").await.unwrap().is_deleting());
    dev.delete("/api/v1/packages/shop-b?cascade=true").await.is(202);
    root.delete("/api/v1/packages/shop-a?cascade=true").await.is(202);
}
