//! Pushes of many documents, and bundles, of callers who may not see everything.

use oprc_models::role::Role;
use serde_json::{Value, json};

use super::{
    super::world::{Reply, World, deployment, package, with},
    three_packages,
};

impl World {
    /// Who writes packages and deployments of `shop-*`.
    async fn bind_dev(&self) {
        self.bind(Role::Developer, "dev", &["shop-*"]).await;
        self.bind(Role::Deployer, "dev", &["shop-*"]).await;
    }
}

fn newer(name: &str) -> Value {
    with(package(name), "version", json!("2"))
}

/// What a refusal says, the request's own words aside.
fn text(reply: &Reply, from: &str, to: &str) -> String {
    let mut body = reply.refused(403, "forbidden");
    body["correlation_id"] = Value::Null;
    body.to_string().replace(from, to)
}

/// One document that is not theirs, and nothing is written: nor is told what is there.
#[tokio::test(start_paused = true)]
async fn a_push_is_theirs_as_a_whole() {
    let world = three_packages().await;
    world.bind_dev().await;
    let dev = world.by("dev", &[]);
    let before = world.revision().await;
    let own = [newer("shop-a"), deployment("z-shop-a", "shop-a")];
    for query in ["", "?dry_run=true", "?bundle=mine", "?bundle=mine&prune=true&force=true"] {
        let path = format!("/api/v1/apply{query}");
        // `lib` is there, and needs `shop-a`, so that a cycle is there to be told; `lab` is not.
        for (hidden, absent) in [
            (newer("lib"), newer("lab")),
            (deployment("n-lib", "lib"), deployment("n-lab", "lab")),
            (deployment("x-lib", "lib"), deployment("x-lab", "lab")),
        ] {
            for place in 0..=own.len() {
                let with = |document: &Value| {
                    let mut all = own.to_vec();
                    all.insert(place, document.clone());
                    json!(all)
                };
                let [hidden, absent] =
                    [dev.post(&path, with(&hidden)).await, dev.post(&path, with(&absent)).await];
                assert_eq!(text(&hidden, "lib", "lab"), text(&absent, "lib", "lab"), "{path}");
            }
        }
        // Another's key, into a package of their own.
        let taken = dev.post(&path, json!([newer("shop-a"), deployment("x-lib", "shop-a")])).await;
        taken.refused(403, "forbidden");
        let inline = json!([{"key": "x-lib", "class_key": "Cart"}]);
        let inline = dev.post(&path, json!([with(package("shop-a"), "deployments", inline)])).await;
        assert!(matches!(inline.status.as_u16(), 403 | 409), "{inline:?}");
        assert!(!String::from_utf8_lossy(&inline.body).contains("package lib"), "{inline:?}");
    }
    assert_eq!(world.revision().await, before, "nothing is written");
    let done = dev.post("/api/v1/apply?bundle=mine", json!(own)).await.is(200).json();
    assert_eq!(done["items"][0]["outcome"], "replaced");
    // Who only writes packages pushes packages alone.
    world.bind(Role::Developer, "pure", &["shop-*"]).await;
    let pure = world.by("pure", &[]);
    pure.post("/api/v1/apply", json!([newer("shop-b")])).await.is(200);
    let problem = pure.post("/api/v1/apply", json!(own)).await.refused(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("deployer"), "{problem}");
}

/// A bundle of two teams: what is pruned must be the caller's too.
#[tokio::test(start_paused = true)]
async fn what_is_pruned_must_be_theirs() {
    let world = three_packages().await;
    world.bind_dev().await;
    let (dev, root) = (world.by("dev", &[]), world.root());
    let both = json!([package("shop-c"), package("secret"), deployment("s", "secret")]);
    root.post("/api/v1/apply?bundle=ours", both).await.is(200);
    let needs = with(package("hidden"), "dependencies", json!(["secret", "shop-c"]));
    root.put("/api/v1/packages/hidden", needs).await.is(201);
    let before = world.revision().await;
    for query in ["", "&dry_run=true"] {
        let path = format!("/api/v1/apply?bundle=ours&prune=true{query}");
        let problem = dev.post(&path, json!([package("shop-c")])).await.refused(403, "forbidden");
        for hidden in ["secret", "hidden", "\"s\""] {
            assert!(!problem.to_string().contains(hidden), "{problem}");
        }
    }
    assert_eq!(world.revision().await, before, "nothing is written");
    // What is theirs alone they prune; who else needs it is not named.
    root.delete("/api/v1/packages/hidden?cascade=true").await.is(202);
    dev.post("/api/v1/apply?bundle=own", json!([package("shop-d")])).await.is(200);
    let needs = with(package("hidden-2"), "dependencies", json!(["shop-d"]));
    root.put("/api/v1/packages/hidden-2", needs).await.is(201);
    let path = "/api/v1/apply?bundle=own&prune=true";
    let problem = dev.post(path, json!([])).await.refused(409, "has_dependants");
    let told = problem["errors"][0]["message"].as_str().unwrap();
    assert_eq!(told, "a package that you may not see needs package shop-d");
    root.delete("/api/v1/packages/hidden-2").await.is(202);
    dev.post(path, json!([])).await.refused(409, "bundle_emptied");
    let path = "/api/v1/apply?bundle=own&prune=true&allow_empty=true";
    let pruned = dev.post(path, json!([])).await.is(200).json();
    assert_eq!(pruned["items"][0]["outcome"], "deleted");
}

#[tokio::test(start_paused = true)]
async fn bundles_show_what_the_caller_may_see() {
    let world = three_packages().await;
    world.bind_dev().await;
    world.bind(Role::Viewer, "ada", &["shop-a"]).await;
    let root = world.root();
    let push = async |bundle: &str, documents: &[Value]| {
        let path = format!("/api/v1/apply?bundle={bundle}");
        root.post(&path, json!(documents)).await.is(200);
    };
    push("hidden", &[package("lib")]).await;
    push("mixed", &[package("base"), package("shop-a"), deployment("m", "base")]).await;
    push("shop", &[package("shop-b"), deployment("n", "shop-b")]).await;
    push("empty", &[]).await;
    let (dev, ada) = (world.by("dev", &[]), world.by("ada", &[]));
    for (who, want) in [
        (&root, json!([["empty", 0, 0], ["hidden", 1, 0], ["mixed", 2, 1], ["shop", 1, 1]])),
        (&dev, json!([["mixed", 1, 0], ["shop", 1, 1]])),
        (&ada, json!([["mixed", 1, 0]])),
    ] {
        let told = who.list("/api/v1/bundles").await;
        let short = |it: &Value| json!([it["name"], it["n_packages"], it["n_deployments"]]);
        assert_eq!(Value::Array(told.iter().map(short).collect()), want);
    }
    let mixed = dev.get("/api/v1/bundles/mixed").await.is(200).json();
    assert_eq!(mixed["documents"], json!([{"kind": "Package", "name": "shop-a"}]));
    assert_eq!([&mixed["n_packages"], &mixed["n_deployments"]], [1, 0]);
    for name in ["hidden", "empty", "absent"] {
        let problem = dev.get(&format!("/api/v1/bundles/{name}")).await.refused(404, "not_found");
        assert_eq!(problem["detail"], format!("there is no bundle {name:?}"));
    }
    // A name that is taken by what they do not see is not theirs to take over.
    let before = world.revision().await;
    let taken = dev.post("/api/v1/apply?bundle=hidden", json!([package("shop-x")])).await;
    taken.refused(403, "forbidden");
    assert_eq!(world.revision().await, before);
    world.by("nobody", &[]).get("/api/v1/bundles").await.refused(403, "forbidden");
}

/// What clusters would do is told of what the caller may see.
#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_of_nobody_else() {
    let world = three_packages().await;
    world.bind_dev().await;
    let (dev, root) = (world.by("dev", &[]), world.root());
    let cluster = super::super::world::cluster("east");
    world.store(&"clusters/east".parse().unwrap(), &cluster).await;
    let uses = with(newer("lib"), "dependencies", json!(["shop-a"]));
    root.put("/api/v1/packages/lib", uses).await.is(200);
    for (key, package) in [("on-lib", "lib"), ("on-shop", "shop-a")] {
        let document = with(deployment(key, package), "target_envs", json!(["east"]));
        root.post("/api/v1/deployments", document).await.is(201);
    }
    let told = async |who: &super::As<'_>| {
        let reply = who.post("/api/v1/apply?dry_run=true", json!([newer("shop-a")])).await;
        reply.is(200).json()["clusters"]["east"]["created"].clone()
    };
    assert_eq!(told(&root).await, json!(["on-lib", "on-shop"]));
    assert_eq!(told(&dev).await, json!(["on-shop"]));
}
