//! Every field that the contract marks with `?` may be `null`.

use std::collections::BTreeSet;

use oprc_models::{
    cluster::ClusterHealth,
    crm::{DeploymentResponse, UnitStatus},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::answer::parse;

const CONTRACT: &str = include_str!("../../../../../docs/crm-contract.md");
const TIME: &str = "2026-01-01T00:00:00Z";

/// The names that the contract marks with `?` in what CRMs answer.
fn optional_fields() -> BTreeSet<&'static str> {
    let (_, bodies) = CONTRACT.split_once("**DeploymentResponse**").unwrap();
    let (bodies, _) = bodies.split_once("## Problems").unwrap();
    let before = bodies.match_indices('?').map(|(at, _)| &bodies[..at]);
    let names = before.filter_map(|mut text| {
        while let Some(rest) = text.strip_suffix("[]") {
            text = rest;
        }
        text.rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_')).next()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// Replaces the field `name` by `null`, or removes it, wherever it is; returns how often.
fn change(value: &mut Value, name: &str, is_removed: bool) -> usize {
    match value {
        Value::Object(fields) => {
            // Of all that have a status, it is optional for an instance alone.
            let is_optional = name != "status" || fields.contains_key("instance_id");
            let mut n = usize::from(is_optional && fields.contains_key(name));
            if n > 0 && is_removed {
                fields.remove(name);
            } else if n > 0 {
                fields.insert(name.to_owned(), Value::Null);
            }
            for value in fields.values_mut() {
                n += change(value, name, is_removed);
            }
            n
        }
        Value::Array(elements) => {
            elements.iter_mut().map(|element| change(element, name, is_removed)).sum()
        }
        _ => 0,
    }
}

/// Wants `document` to read the same with `null` as without the field; returns which fields it has.
fn check<T: DeserializeOwned + Serialize>(
    document: &Value,
    names: &BTreeSet<&'static str>,
) -> BTreeSet<&'static str> {
    let read = |value: &Value| {
        let read: T = parse(value.to_string().as_bytes()).unwrap();
        serde_json::to_value(read).unwrap()
    };
    let mut found = BTreeSet::new();
    for name in names {
        let (mut with_null, mut without) = (document.clone(), document.clone());
        if change(&mut with_null, name, false) > 0 {
            change(&mut without, name, true);
            assert_eq!(read(&with_null), read(&without), "{name}");
            found.insert(*name);
        }
    }
    found
}

#[test]
fn null_is_absent_for_every_optional_field_of_the_contract() {
    let names = optional_fields();
    assert!(names.len() >= 20, "{names:?}");
    let page = json!({"items": [{
        "id": "cart-1", "deployment_key": "cart", "package_name": "shop", "class_key": "Cart",
        "target_environment": "east", "cluster_name": "east", "owner": "us", "generation": 3,
        "spec_hash": "x",
        "status": {"condition": "RUNNING", "phase": "Ready", "message": "well",
            "last_updated": TIME, "functions": [{"function_key": "f", "ready": true,
                "replicas_ready": 2, "url": "http://f", "reason": "None", "message": "well"}]},
        "nfr_compliance": {"met": true}, "resource_refs": ["Deployment/cart"],
        "runtime": [{"instance_id": "i", "status": "up", "metrics": {"cpu": 0.5}}],
        "created_at": TIME, "updated_at": TIME,
    }], "continue": "more", "revision": 7});
    let health = json!({
        "cluster_name": "east", "status": "HEALTHY", "crm_version": "1", "last_seen": TIME,
        "node_count": 3, "ready_nodes": 2, "availability": 0.9, "capacity": {"cpu": 1},
        "labels": {"a": "b"}, "features": ["watch"], "caller": {"term": 5, "idle_secs": 3},
    });
    let response = json!({"id": "cart-1", "status": "PENDING", "message": "made"});
    let status = json!({"id": "cart-1", "generation": 3, "observed_generation": 3,
        "status": "RUNNING", "phase": "Ready", "message": "well", "last_updated": TIME});
    let found = [
        check::<oprc_models::crm::RecordPage>(&page, &names),
        check::<ClusterHealth>(&health, &names),
        check::<DeploymentResponse>(&response, &names),
        check::<UnitStatus>(&status, &names),
    ];
    let found: BTreeSet<_> = found.into_iter().flatten().collect();
    assert_eq!(found, names, "the documents above have every optional field");
}

#[test]
fn page_and_event_with_nulls_are_read() {
    let record = json!({
        "id": "cart-1", "deployment_key": "cart", "package_name": "shop", "class_key": "Cart",
        "target_environment": "east", "cluster_name": "east", "owner": "us",
        "status": {"condition": "RUNNING", "phase": null, "last_updated": TIME, "functions": null},
        "resource_refs": null, "runtime": [{"instance_id": "i", "status": null}],
        "created_at": TIME, "updated_at": TIME,
    });
    let page = json!({"items": [record], "continue": null}).to_string();
    let (page, n_skipped) = super::page(page.as_bytes(), "us").unwrap();
    assert_eq!((page.items.len(), page.unreadable.len(), n_skipped), (1, 0, 0));
    let event = json!({"type": "ADDED", "revision": 1, "record": record}).to_string();
    assert_eq!(super::event(event.as_bytes(), "us").unwrap().record, page.items.first().cloned());
}
