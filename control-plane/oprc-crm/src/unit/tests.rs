//! Units as they are sent: valid, wrong, and with `null` for what is optional.

mod nulls;

use serde_json::json;

use super::*;

fn valid() -> Value {
    json!({
        "id": "cart-4k9a2mz0qp", "deployment_key": "shop.cart", "package_name": "shop",
        "class_key": "Cart", "target_env": "east", "generation": 3, "spec_hash": "abc",
        "owner": "pm", "created_at": "2026-01-01T00:00:00Z", "unknown": {"to": "us"},
        "functions": [{
            "key": "add", "function_type": "CUSTOM", "replicas": {"min": 1, "target": 2, "max": 3},
        }],
    })
}

/// Changes the valid unit at `pointer` and wants violations at `want`.
#[track_caller]
fn check(changes: &[(&str, Value)], want: &[&str]) {
    let mut document = valid();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(elements) => elements.push(value.clone()),
            parent => parent[name] = value.clone(),
        }
    }
    let found = parse(document.to_string().as_bytes()).err().unwrap_or_default();
    let pointers: Vec<_> = found.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(pointers, want, "{found:?}");
}

#[test]
fn a_valid_unit_is_read() {
    check(&[], &[]);
    let unit = parse(valid().to_string().as_bytes()).unwrap();
    assert_eq!((unit.generation, unit.functions.len()), (3, 1));
}

#[test]
fn every_violation_is_told() {
    check(&[("/generation", json!(0))], &["/generation"]);
    check(&[("/generation", json!(-1))], &["/generation"]);
    check(&[("/generation", json!("3"))], &["/generation"]);
    check(&[("/owner", json!(""))], &["/owner"]);
    check(&[("/owner", json!("a b"))], &["/owner"]);
    check(&[("/functions", json!({}))], &["/functions"]);
    check(&[("/functions/0/replicas/min", json!(3))], &["/functions/0/replicas"]);
    check(&[("/functions/0/replicas/max", json!(1))], &["/functions/0/replicas"]);
    check(&[("/functions/0/replicas/max", json!("a"))], &["/functions/0/replicas/max"]);
    check(&[("/functions/-", valid()["functions"][0].clone())], &["/functions/1/key"]);
    check(
        &[("/nfr_requirements", json!({"availability": "x"}))],
        &["/nfr_requirements/availability"],
    );
    check(
        &[("/id", json!("Not A Label")), ("/target_env", json!(7)), ("/created_at", json!("now"))],
        &["/id", "/target_env", "/created_at"],
    );
}

#[test]
fn what_is_no_unit_at_all_is_refused() {
    for body in ["", "null", "[]", "7", "{", "{}}", "\"x\"", "\u{0}"] {
        let violations = parse(body.as_bytes()).unwrap_err();
        assert_eq!(violations.len(), 1, "{body:?}: {violations:?}");
    }
    let missing = parse(b"{}").unwrap_err();
    assert_eq!(missing.len(), 9, "{missing:?}");
    let deep = "[".repeat(100_000);
    assert_eq!(parse(deep.as_bytes()).unwrap_err().len(), 1);
}

#[test]
fn too_many_functions_are_refused_and_violations_are_bounded() {
    let mut document = valid();
    let function = |index: usize| json!({"key": format!("f{index}"), "function_type": "CUSTOM", "replicas": {"min": 2, "target": 1}});
    document["functions"] = (0..=MAX_FUNCTIONS).map(function).collect();
    let violations = parse(document.to_string().as_bytes()).unwrap_err();
    assert_eq!(violations.len(), MAX_VIOLATIONS);
    assert_eq!(violations[0].pointer, "/functions");
}
