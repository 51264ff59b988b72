use serde_json::{Value, json};

use super::*;

/// Judges a deployment pushed at generation 3 with this status; `want` is what is missing.
fn check(status: Option<Value>, want: &[&str]) {
    let shown = format!("{status:?}");
    let status = status.map(|status| serde_json::from_value::<Status>(status).unwrap());
    let judgement = judge("cart", 3, status.as_ref());
    assert_eq!(judgement.pending, want, "{shown}");
    assert!(!judgement.lines.is_empty(), "{shown}: something is always shown");
}

fn status(observed: u64, condition: &str, clusters: &Value) -> Option<Value> {
    Some(json!({ "generation": 3, "observed_generation": observed, "condition": condition,
        "clusters": clusters, "conditions": [{ "type": "Ready", "status": "False",
            "reason": "NoCluster", "message": "none fits", "observed_generation": 3,
            "last_transition_time": "2026-05-01T00:00:00Z" }] }))
}

fn part(desired: &str, condition: &str, observed: Option<u64>) -> Value {
    json!({ "cluster": "east", "unit_id": "u", "desired": desired, "generation": 7,
        "observed_generation": observed, "condition": condition, "reason": "Why" })
}

#[test]
fn converged_is_running_at_the_very_generation_everywhere() {
    let present = |condition, observed| json!([part("PRESENT", condition, observed)]);
    check(status(3, "RUNNING", &present("RUNNING", Some(7))), &[]);
    check(status(4, "RUNNING", &present("RUNNING", Some(7))), &[]);
    check(None, &["deployment/cart PENDING: no status yet"]);
    check(Some(json!({})), &["deployment/cart PENDING: planned is generation 0 of 3"]);
    check(
        status(2, "RUNNING", &present("RUNNING", Some(7))),
        &["deployment/cart PENDING: planned is generation 2 of 3"],
    );
    check(
        status(3, "DEPLOYING", &present("RUNNING", Some(6))),
        &["deployment/cart on east RUNNING: Why"],
    );
    check(
        status(3, "DEPLOYING", &present("DEPLOYING", Some(7))),
        &["deployment/cart on east DEPLOYING: Why"],
    );
    check(
        status(3, "UNKNOWN", &present("UNKNOWN", None)),
        &["deployment/cart on east UNKNOWN: Why"],
    );
    check(
        status(3, "RUNNING", &json!([part("ABSENT", "RUNNING", Some(7))])),
        &["deployment/cart on east RUNNING (to be removed): Why"],
    );
    // What no cluster tells, the deployment does.
    check(status(3, "PENDING", &json!([])), &["deployment/cart PENDING: NoCluster: none fits"]);
    check(
        status(3, "PENDING", &present("RUNNING", Some(7))),
        &["deployment/cart PENDING: NoCluster: none fits"],
    );
}

/// A push that somebody's newer one overtook converges with that one.
#[test]
fn a_newer_spec_is_waited_for() {
    let newer = json!({ "generation": 5, "observed_generation": 4, "condition": "RUNNING" });
    check(Some(newer), &["deployment/cart PENDING: planned is generation 4 of 5"]);
}

/// A push of the package alone is waited for, though the deployment's own spec is as it was.
#[test]
fn a_newer_package_is_waited_for() {
    let status = |observed: u64| {
        json!({ "generation": 3, "observed_generation": 3, "condition": "RUNNING",
            "package_generation": 2, "observed_package_generation": observed })
    };
    let pending = "deployment/cart PENDING: generation 2 of its package is not planned yet";
    check(Some(status(1)), &[pending]);
    check(Some(status(2)), &[]);
}
