//! `delete`.

use serde_json::json;

use super::*;

#[tokio::test]
async fn asks_for_deletion() {
    let bench = Bench::new().await;
    for path in ["packages/shop", "deployments/a", "deployments/b"] {
        bench.server.put(path, json!({}));
    }
    bench.file("b.yaml", "{key: b, package_name: shop, class_key: C}");
    bench.file("shop.yaml", "{name: shop, classes: [{key: C}]}");
    for (words, code, out) in [
        ("delete deployment a --wait", 0, "deployment/a deleting\ndeployment/a deleted\n"),
        ("delete deploy/a", 1, ""),
        ("delete deploy/a --ignore-not-found", 0, ""),
        ("delete -f {} --cascade", 0, "deployment/b deleting\npackage/shop deleting\n"),
    ] {
        let ran = bench.run(words).await;
        assert_eq!((ran.code, ran.out.as_str()), (code, out), "{words}: {}", ran.err);
    }
    let deletes = bench.server.requests("DELETE");
    assert_eq!(deletes[3..], ["DELETE deployments/b", "DELETE packages/shop?cascade=true"]);
}

fn leaving(uid: &str, clusters: &serde_json::Value) -> serde_json::Value {
    let meta = json!({ "uid": uid, "generation": 1, "deletion_requested_at": BIRTH });
    json!({ "meta": meta, "status": { "condition": "DELETED", "clusters": clusters } })
}

/// A cascade names all that goes, waits for all of it, and names who holds it up.
#[tokio::test]
async fn cascades_are_told_and_waited_for_as_a_whole() {
    let bench = Bench::new().await;
    let answer = json!({ "meta": { "uid": "u" },
        "also_written": ["deployments/other.cart", "packages/other"] });
    bench.server.answer("DELETE packages/shop", 202, answer.clone());
    let part = json!({ "cluster": "west", "desired": "ABSENT", "condition": "UNKNOWN",
        "reason": "ClusterNotConnected", "message": "connection refused" });
    let gone = json!({ "status": 404, "code": "not_found" });
    bench.server.answer("GET deployments/other.cart", 200, leaving("d", &json!([part])));
    bench.server.answer("GET deployments/other.cart", 404, gone.clone());
    let ran = bench.run("delete package shop --cascade --wait").await;
    let asked = "deployment/other.cart deleting\npackage/other deleting\npackage/shop deleting\n";
    let done = "deployment/other.cart deleted\npackage/other deleted\npackage/shop deleted\n";
    assert_eq!((ran.code, ran.out), (exit::DONE, format!("{asked}{done}")), "{}", ran.err);
    let why =
        "deployment/other.cart waits for west: UNKNOWN: ClusterNotConnected: connection refused";
    assert!(ran.err.contains(why), "{}", ran.err);

    bench.server.answer("DELETE packages/shop", 202, answer);
    bench.server.put("deployments/other.cart", leaving("d", &json!([part])));
    let ran = bench.run("delete package shop --cascade --wait --timeout 0s").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::NOT_CONVERGED, asked), "{}", ran.err);
    assert!(ran.err.contains(&format!("not converged in 0s\n  {why}\n")), "{}", ran.err);
}

/// A key that is created anew is another document: the one that was deleted is gone.
#[tokio::test]
async fn does_not_wait_for_another_incarnation() {
    let bench = Bench::new().await;
    let anew = json!({ "meta": { "uid": "new", "generation": 2 }, "status": {} });
    let asked = json!({ "meta": { "uid": "old" }, "also_written": ["deployments/b"] });
    for path in ["deployments/a", "deployments/b"] {
        bench.server.put(path, anew.clone());
    }
    bench.server.answer("DELETE deployments/a", 202, asked);
    let ran = bench.run("delete deployment a --wait --timeout 0s").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    // So is one that is created anew while its deletion is waited for.
    bench.server.answer("GET deployments/c", 200, leaving("old", &json!([])));
    bench.server.answer("GET deployments/c", 200, anew.clone());
    let ran = bench.run("wait --for=delete deployment c --timeout 1m").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    // One that is still there is waited for.
    bench.server.put("deployments/d", anew);
    let ran = bench.run("wait --for=delete deployment d --timeout 0s").await;
    assert_eq!(ran.code, exit::NOT_CONVERGED, "{ran:?}");
}

#[tokio::test]
async fn dry_run_deletes_nothing() {
    let bench = Bench::new().await;
    let answer =
        json!({ "dry_run": true, "meta": { "uid": "u" }, "also_written": ["deployments/a"] });
    bench.server.answer("DELETE packages/shop", 200, answer);
    let ran = bench.run("delete package shop --cascade --dry-run").await;
    let want = "deployment/a would be deleted\npackage/shop would be deleted\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    let asked = bench.server.requests("DELETE");
    assert_eq!(asked, ["DELETE packages/shop?cascade=true&dry_run=true"]);

    bench.server.put("bundles/prod", json!({ "name": "prod" }));
    let pruned = json!({ "dry_run": true, "items": [
        { "kind": "Package", "name": "shop", "outcome": "deleted", "generation": 1 }] });
    bench.server.answer("POST apply", 200, pruned);
    let ran = bench.run("delete bundle prod --dry-run").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "package/shop would be deleted\n"));
    assert!(bench.server.requests("POST")[0].contains("dry_run=true"), "{ran:?}");
    let ran = bench.run("delete package shop --dry-run --wait").await;
    assert_eq!(ran.code, exit::USAGE, "{ran:?}");
}

#[tokio::test]
async fn takes_a_deployment_out_of_one_cluster() {
    let bench = Bench::new().await;
    bench.server.put("deployments/a", json!({}));
    let status =
        |clusters| json!({ "generation": 2, "observed_generation": 2, "clusters": clusters });
    let part = json!({ "cluster": "east", "condition": "DELETED", "reason": "Removing" });
    bench.server.answer("GET deployment-status/a", 200, status(json!([part])));
    bench.server.answer("GET deployment-status/a", 200, status(json!([])));
    let ran = bench.run("delete deployment a --cluster east --wait").await;
    let want = "deployment/a deleting from east\ndeployment/a deleted from east\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    assert_eq!(bench.server.requests("DELETE"), ["DELETE deployments/a?cluster=east"]);
}

#[tokio::test]
async fn removes_by_force_and_tells_what_may_be_left() {
    let bench = Bench::new().await;
    let left = json!({ "warnings": [{ "pointer": "", "message": "west may hold unit a-1 yet" }] });
    bench.server.answer("DELETE deployments/a", 200, left);
    let ran = bench.run("delete deployment a --force --wait").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "deployment/a removed by force\n"));
    assert_eq!(bench.server.requests("DELETE"), ["DELETE deployments/a?force=true"]);
    assert!(ran.err.contains("deployment/a: west may hold unit a-1 yet"), "{}", ran.err);
    assert_eq!(bench.run("delete package a --force").await.code, exit::USAGE);
}

#[tokio::test]
async fn deletes_clusters() {
    let bench = Bench::new().await;
    bench.server.put("clusters/east", json!({ "name": "east" }));
    let ran = bench.run("delete cluster east").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "cluster/east deleted\n"), "{}", ran.err);
    assert_eq!(bench.server.get("clusters/east"), None);
    let left = json!({ "warnings": [{ "pointer": "", "message": "unit a-1 may run there" }] });
    bench.server.answer("DELETE clusters/west", 200, left);
    let ran = bench.run("delete cl/west --force").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "cluster/west removed by force\n"));
    assert!(ran.err.contains("unit a-1 may run there"), "{}", ran.err);
    assert_eq!(
        bench.server.requests("DELETE"),
        ["DELETE clusters/east", "DELETE clusters/west?force=true"]
    );
}

#[tokio::test]
async fn deletes_bundles_and_role_bindings() {
    let bench = Bench::new().await;
    bench.server.put("bundles/prod", json!({ "name": "prod" }));
    bench.server.put("role-bindings/team", json!({ "name": "team" }));
    let pruned = json!({ "items": [
        { "kind": "Package", "name": "shop", "outcome": "deleted", "generation": 1 },
        { "kind": "Deployment", "name": "cart", "outcome": "deleted", "generation": 2 }] });
    bench.server.answer("POST apply", 200, pruned);
    let ran = bench.run("delete bundle prod --wait").await;
    let want = "package/shop deleting\ndeployment/cart deleting\n\
                package/shop deleted\ndeployment/cart deleted\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    assert_eq!(
        bench.server.requests("POST"),
        ["POST apply?bundle=prod&prune=true&allow_empty=true"]
    );
    let ran = bench.run("delete bundle other").await;
    assert_eq!(ran.code, exit::FAILED, "a bundle that is not there is not made: {ran:?}");
    assert_eq!(bench.server.requests("POST").len(), 1);
    let ran = bench.run("delete bundle other --ignore-not-found").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    let ran = bench.run("delete rb team --wait").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "role-binding/team deleted\n"));
    assert_eq!(bench.server.get("role-bindings/team"), None);
}
