//! Every field of a unit that the contract marks with `?` may be `null`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::valid;
use crate::unit::parse;

const CONTRACT: &str = include_str!("../../../../../docs/crm-contract.md");

/// The names that the contract marks with `?` in a unit.
fn optional_fields() -> BTreeSet<&'static str> {
    let (_, unit) = CONTRACT.split_once("**DeploymentUnit**").unwrap();
    let (unit, _) = unit.split_once("**DeploymentResponse**").unwrap();
    let before = unit.match_indices('?').map(|(at, _)| &unit[..at]);
    let names = before.filter_map(|mut text| {
        while let Some(rest) = text.strip_suffix("[]") {
            text = rest;
        }
        text.rsplit(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).next()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// A unit with every field of the contract.
fn full() -> Value {
    let mut unit = valid();
    let more = json!({
        "package_version": "1.0",
        "functions": [{
            "key": "add", "function_type": "CUSTOM", "replicas": {"min": 1, "target": 2, "max": 3},
            "provision_config": {
                "container_image": "i", "wasm_module_url": "u", "port": 80, "max_concurrency": 1,
                "need_http2": true, "cpu_request": "1", "memory_request": "1", "cpu_limit": "1",
                "memory_limit": "1", "min_scale": 1, "max_scale": 1, "wasm_fuel": 1,
            },
            "config": {"A": "b"}, "secrets": {"B": {"name": "s", "key": "k"}},
            "qos_requirement": {"availability": 0.9}, "available_location": "edge",
        }],
        "function_bindings": [{
            "name": "add", "function_key": "add", "access_modifier": "INTERNAL",
            "stateless": true, "parameters": ["a"],
        }],
        "state_spec": {
            "key_specs": [{"name": "a", "key_type": "b"}], "default_provider": "memory",
            "consistency_model": "STRONG", "persistent": true, "serialization_format": "json",
        },
        "odgm_config": {
            "collections": ["a"], "partition_count": 1, "replica_count": 1, "shard_type": "mst",
            "node_ids": [1], "shard_assignments": [[1]], "log": "info", "options": {"a": "b"},
        },
        "selected_template": "dev",
        "telemetry": {
            "enabled": true, "traces": true, "metrics": true, "logs": true, "sampling_rate": 0.5,
            "service_name": "a", "resource_attributes": {"a": "b"},
        },
        "nfr_requirements": {
            "min_throughput_rps": 1, "availability": 0.9, "cpu_utilization_target": 0.5,
        },
        "restart": 1,
    });
    let Value::Object(more) = more else { unreachable!() };
    unit.as_object_mut().unwrap().extend(more);
    unit
}

/// Replaces the field `name` by `null`, or removes it, wherever it is; returns how often.
fn change(value: &mut Value, name: &str, is_removed: bool) -> usize {
    match value {
        Value::Object(fields) => {
            let mut n = usize::from(fields.contains_key(name));
            if is_removed {
                fields.remove(name);
            } else if let Some(value) = fields.get_mut(name) {
                *value = Value::Null;
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

#[test]
fn null_is_absent_for_every_optional_field_of_the_contract() {
    let names = optional_fields();
    assert!(names.len() > 40, "{names:?}");
    let read = |unit: &Value| parse(unit.to_string().as_bytes()).unwrap();
    for name in names {
        let (mut with_null, mut without) = (full(), full());
        assert!(change(&mut with_null, name, false) > 0, "the unit above has {name}");
        change(&mut without, name, true);
        assert_eq!(read(&with_null), read(&without), "{name}");
    }
}

#[test]
fn null_is_no_value_of_a_variable_and_no_element() {
    let violations = |pointer: &str| {
        let mut unit = full();
        *unit.pointer_mut(pointer).unwrap() = Value::Null;
        let violations = parse(unit.to_string().as_bytes()).unwrap_err();
        violations.into_iter().map(|violation| violation.pointer).collect::<Vec<_>>()
    };
    assert_eq!(violations("/functions/0/config/A"), ["/functions/0/config/A"]);
    assert_eq!(
        violations("/function_bindings/0/parameters/0"),
        ["/function_bindings/0/parameters/0"]
    );
    assert_eq!(violations("/id"), ["/id"]);
}
