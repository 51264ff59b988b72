//! `apply --wait`, `rollout status`, `wait`.

use serde_json::{Value, json};

use super::*;

const CART: &str = "{key: cart, package_name: shop, class_key: Cart}";

fn status(generation: u64, condition: &str, clusters: &Value) -> Value {
    json!({ "key": "cart", "generation": 1, "uid": "u", "observed_generation": generation,
        "condition": condition, "clusters": clusters })
}

fn part(condition: &str, observed: u64, reason: &str) -> Value {
    json!({ "cluster": "east", "unit_id": "cart-1", "desired": "PRESENT", "generation": 2,
        "observed_generation": observed, "condition": condition, "reason": reason })
}

#[tokio::test]
async fn follows_until_every_cluster_runs_it() {
    let bench = Bench::new().await;
    bench.file("cart.yaml", CART);
    for answer in [
        status(0, "PENDING", &json!([])),
        status(1, "DEPLOYING", &json!([part("RUNNING", 1, "Updating")])),
        status(1, "RUNNING", &json!([part("RUNNING", 2, "Running")])),
    ] {
        bench.server.answer("GET deployment-status/cart", 200, answer);
    }
    let ran = bench.run("apply --wait -f {}").await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            exit::DONE,
            "deployment/cart created\n\
             deployment/cart PENDING: planned is generation 0 of 1\n\
             deployment/cart on east RUNNING: Updating\n\
             deployment/cart on east RUNNING\n\
             deployment/cart rolled out\n"
        ),
        "{}",
        ran.err
    );
    let ran = bench.run("rollout status deploy/cart --timeout 0s").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
}

#[tokio::test]
async fn exits_with_3_and_says_why() {
    let bench = Bench::new().await;
    bench.file("cart.yaml", CART);
    let down = status(1, "DOWN", &json!([part("DOWN", 2, "Refused")]));
    bench.server.answer("GET deployment-status/cart", 200, down);
    let ran = bench.run("apply --wait --timeout 0s -f {}").await;
    assert_eq!(ran.code, exit::NOT_CONVERGED, "{ran:?}");
    assert!(ran.err.contains("error: not converged in 0s\n"), "{}", ran.err);
    assert!(ran.err.contains("  deployment/cart on east DOWN: Refused\n"), "{}", ran.err);
}

#[tokio::test]
async fn waits_for_inline_deployments_too() {
    let bench = Bench::new().await;
    bench.file(
        "shop.yaml",
        "{name: shop, classes: [{key: Cart}], deployments: [{class_key: Cart}]}",
    );
    let ran = bench.run("apply --wait --timeout 0s -f {}").await;
    assert_eq!(ran.code, exit::NOT_CONVERGED);
    assert!(ran.err.contains("deployment/shop.Cart PENDING: no status yet"), "{ran:?}");
}

#[tokio::test]
async fn forgives_a_server_that_restarts() {
    let bench = Bench::new().await;
    bench.file("cart.yaml", CART);
    for _ in 0..4 {
        bench.server.answer("GET deployment-status/cart", 502, json!({}));
    }
    let done = status(1, "RUNNING", &json!([part("RUNNING", 2, "Running")]));
    bench.server.answer("GET deployment-status/cart", 200, done);
    let ran = bench.run("apply --wait -f {}").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    assert_eq!(ran.err.matches("asking on").count(), 1, "{ran:?}");
}

#[tokio::test]
async fn waits_for_a_condition() {
    let bench = Bench::new().await;
    let object = |observed: u64| {
        json!({ "key": "cart", "meta": { "generation": 2 }, "status": {
        "condition": "RUNNING", "observed_generation": observed,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Ok", "message": "" }] } })
    };
    bench.server.put("deployments/old", object(1));
    bench.server.put("deployments/new", object(2));
    for (words, code) in [
        ("wait --for=condition=Running deployment new --timeout 0s", exit::DONE),
        ("wait --for=condition=Ready deployment new --timeout 0s", exit::DONE),
        ("wait --for=condition=Ready=False deployment new --timeout 0s", exit::NOT_CONVERGED),
        ("wait --for=condition=Running deployment old --timeout 0s", exit::NOT_CONVERGED),
        ("wait --for=condition=Running deployment none --timeout 0s", exit::FAILED),
        ("wait --for=delete deployment new --timeout 0s", exit::NOT_CONVERGED),
        ("wait --for=delete deployment none --timeout 0s", exit::DONE),
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, code, "{words}: {ran:?}");
    }
}

/// Nothing is sent for a paused deployment, so it is no use to wait.
#[tokio::test]
async fn paused_deployments_are_not_waited_for() {
    let bench = Bench::new().await;
    bench.file("cart.yaml", CART);
    let mut paused = status(1, "PENDING", &json!([part("RUNNING", 1, "Updating")]));
    paused["conditions"] = json!([{ "type": "Paused", "status": "True", "reason": "Paused",
        "message": "since 2026-05-01T00:00:00Z", "observed_generation": 1,
        "last_transition_time": BIRTH }]);
    bench.server.answer("GET deployment-status/cart", 200, paused.clone());
    for words in ["apply --wait -f {}", "rollout status deployment cart"] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, exit::NOT_CONVERGED, "{words}: {ran:?}");
        let why = "deployment/cart is paused since 2026-05-01T00:00:00Z; \
                   `oprc rollout resume deployment cart` lets it go on";
        assert!(ran.err.contains(why), "{words}: {}", ran.err);
    }
    // One that is as wanted has nothing to wait for.
    paused["condition"] = json!("RUNNING");
    paused["clusters"] = json!([part("RUNNING", 2, "Running")]);
    let other = json!({ "key": "calm", "meta": { "generation": 1 } });
    bench.server.put("deployments/calm", other);
    bench.server.answer("GET deployment-status/calm", 200, paused);
    assert_eq!(bench.run("rollout status deployment calm").await.code, exit::DONE);

    let object = json!({ "key": "held", "meta": { "generation": 2, "paused_at": BIRTH },
        "status": { "condition": "PENDING", "observed_generation": 2, "conditions": [] } });
    bench.server.put("deployments/held", object);
    let ran = bench.run("wait --for=condition=Running deployment held").await;
    assert_eq!(ran.code, exit::NOT_CONVERGED, "{ran:?}");
    assert!(ran.err.contains("deployment/held is paused since"), "{}", ran.err);
    let ran = bench.run("wait --for=condition=Paused deployment held --timeout 0s").await;
    assert!(ran.err.contains("not converged in 0s"), "its status may still say so: {ran:?}");
}

#[tokio::test]
async fn conditions_that_do_not_exist_are_refused_at_once() {
    let bench = Bench::new().await;
    let said = json!([{ "type": "OfANewerServer", "status": "False", "reason": "X" }]);
    let object = |status: Value| json!({ "meta": { "generation": 1 }, "status": status });
    let of_package = json!({ "observed_generation": 1, "conditions": said });
    let of_deployment =
        json!({ "condition": "RUNNING", "observed_generation": 1, "conditions": said });
    bench.server.put("packages/shop", object(of_package));
    bench.server.put("deployments/cart", object(of_deployment));
    bench.server.put("clusters/east", json!({ "status": { "connectivity": "CONNECTED" } }));
    for (words, want) in [
        ("wait --for=condition=Redy deployment cart", "Ready, Progressing, Degraded"),
        ("wait --for=condition=Redy deployment cart", "OfANewerServer"),
        ("wait --for=condition=Running cluster east", "Connected, Unreachable"),
        ("wait --for=condition=Running package shop", "no condition \"Running\" of a package"),
        ("wait --for=condition=Ready=Yes deployment cart", "want True, False or Unknown"),
        ("wait --for=condition=Ready bundle prod", "a bundle has no conditions"),
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, exit::USAGE, "{words}: {ran:?}");
        assert!(ran.err.contains(want), "{words}: {}", ran.err);
    }
    for (words, code) in [
        ("wait --for=condition=degraded deployment cart --timeout 0s", exit::NOT_CONVERGED),
        ("wait --for=condition=OfANewerServer=False package shop --timeout 0s", exit::DONE),
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, code, "{words}: {ran:?}");
    }
}

/// A watch that tells these changes of `deployments/cart`, and ends.
fn told(changes: &[(&str, u64)]) -> Value {
    let event = |(key, id): &(&str, u64)| {
        let data = json!({ "kind": "deployment", "key": key, "object": { "key": key } });
        format!("event: MODIFIED\nid: {id}\ndata: {data}\n\n")
    };
    changes.iter().map(event).collect::<String>().into()
}

/// It is asked for when the watch tells of it, and only then; a watch that ends is resumed where it
/// was, and one that is too old begun anew.
#[tokio::test]
async fn asks_when_the_watch_tells() {
    let bench = Bench::new().await;
    bench.server.put("deployments/cart", json!({ "key": "cart", "meta": { "generation": 1 } }));
    let answer = |body| bench.server.answer("GET deployments", 200, body);
    answer(json!({ "items": [], "revision": 7 }));
    answer(told(&[("cart-2", 8), ("cart", 9)]));
    let gone = json!({ "status": 410, "code": "revision_too_old", "detail": "too old" });
    bench.server.answer("GET deployments", 410, gone);
    answer(json!({ "items": [], "revision": 20 }));
    answer(told(&[("cart", 21)]));
    for condition in ["PENDING", "PENDING", "DEPLOYING", "DEPLOYING", "RUNNING"] {
        let parts = json!([part(condition, 2, condition)]);
        let answer = status(1, condition, &parts);
        bench.server.answer("GET deployment-status/cart", 200, answer);
    }
    let ran = bench.run("rollout status deployment cart --timeout 1m").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    assert!(ran.out.ends_with("on east RUNNING\ndeployment/cart rolled out\n"), "{ran:?}");
    // At the start, when the watch begins, when it tells, when it begins anew, when it tells again.
    assert_eq!(bench.server.requests("GET deployment-status").len(), 5);
    let lists = bench.server.requests("GET deployments?");
    let is_watch = |request: &&String| request.contains("watch=true");
    assert_eq!(lists.iter().filter(is_watch).count(), 3, "{lists:?}");
    assert!(lists.iter().filter(is_watch).all(|it| it.contains("name=cart")), "{lists:?}");

    let running = json!({ "key": "new", "meta": { "generation": 1 }, "status": {
        "condition": "RUNNING", "observed_generation": 1 } });
    let pending = json!({ "key": "new", "meta": { "generation": 1 }, "status": {} });
    for object in [&pending, &pending, &running] {
        bench.server.answer("GET deployments/new", 200, object.clone());
    }
    let mut event = told(&[("new", 31)]);
    bench.server.answer("GET deployments", 200, json!({ "items": [], "revision": 30 }));
    bench.server.answer("GET deployments", 200, event.take());
    let ran = bench.run("wait --for=condition=Running deployment new --timeout 1m").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    assert_eq!(bench.server.requests("GET deployments/new").len(), 3);
}

/// However the watch is, the time is bounded.
#[tokio::test]
async fn the_time_is_bounded_whatever_the_watch_does() {
    let bench = Bench::new().await;
    bench.server.put("deployments/cart", json!({ "key": "cart", "meta": { "generation": 1 } }));
    bench.server.answer("GET deployments", 200, json!({ "items": [], "revision": 7 }));
    // It ends each time that it is begun.
    bench.server.answer("GET deployments", 200, "event: BOOKMARK\nid: 8\ndata: {}\n\n".into());
    let started = tokio::time::Instant::now();
    let ran = bench.run("wait --for=condition=Running deployment cart --timeout 2s").await;
    assert_eq!(ran.code, exit::NOT_CONVERGED, "{ran:?}");
    assert!((2..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}
