//! Documents that are written in several ways.

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::*;
use crate::{
    difference,
    document::{self, Format, Kind, PackageDocument},
    schema,
    version::{StoredVersion, is_same_content},
};

/// A deployment in which each type of its parts stands once, with few fields.
fn deployment() -> Value {
    json!({
        "key": "shop.cart", "package_name": "shop", "class_key": "Cart",
        "functions": [{ "function_key": "add", "qos_requirement": {}, "available_location": "edge",
            "provision_config": { "port": 80 } }],
        "odgm": {}, "telemetry": {}, "nfr_requirements": {},
    })
}

/// As [`deployment`], of a package.
fn package() -> Value {
    json!({
        "name": "shop", "metadata": {}, "version": "1.0",
        "classes": [{ "key": "Cart", "state_spec": { "key_specs": [{ "name": "items" }] },
            "function_bindings": [{ "name": "add", "function_key": "add" }] }],
        "functions": [{ "key": "add", "provision_config": { "container_image": "shop/add:1" } }],
        "deployments": [deployment()],
    })
}

fn binding() -> Value {
    json!({ "name": "team", "role": "viewer", "groups": ["a"] })
}

fn typed<T: DeserializeOwned>(document: &Value) -> T {
    serde_json::from_value(document.clone()).unwrap()
}

#[track_caller]
fn check<T: Canonical + Serialize + DeserializeOwned>(one: &Value, other: &Value, is_same: bool) {
    assert_eq!(typed::<T>(one).is_same(&typed(other)), is_same, "{one} and {other}");
}

/// `document` with `value` at `pointer`.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document
}

#[test]
fn defaults_that_no_schema_tells_are_no_change() {
    for (pointer, value, is_same) in [
        ("/odgm/partition_count", json!(1), true),
        ("/odgm/partition_count", json!(2), false),
        ("/odgm/replica_count", json!(1), true),
        ("/odgm/env_node_ids", json!({ "edge-1": [] }), true),
        ("/odgm/env_node_ids", json!({ "edge-1": [1] }), false),
        ("/functions/0/provision_config/max_concurrency", json!(0), true),
        // It overrides what the function says.
        ("/functions/0/provision_config/min_scale", json!(1), false),
        ("/functions/0/qos_requirement", json!(null), true),
        // Without one, clusters are sent no settings.
        ("/odgm", json!(null), false),
        ("/telemetry", json!(null), false),
    ] {
        check::<OClassDeployment>(&deployment(), &with(&deployment(), pointer, value), is_same);
    }
    for (pointer, value, is_same) in [
        ("/functions/0/provision_config/min_scale", json!(1), true),
        ("/functions/0/provision_config/min_scale", json!(0), false),
        ("/deployments/0/odgm/partition_count", json!(1), true),
        ("/classes/0/state_spec", json!(null), false),
    ] {
        check::<OPackage>(&package(), &with(&package(), pointer, value), is_same);
    }
}

/// What `schema` means: its definition, and of alternatives the one that is not null.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(root, &root["$defs"][reference.rsplit('/').next().unwrap()]);
    }
    let options = schema["anyOf"].as_array().into_iter().flatten();
    let found = options.map(|one| resolved(root, one)).find(|one| one["type"] != "null");
    found.unwrap_or(schema)
}

/// The default of a field with this `schema`, if it has one other than that it is left out.
fn default_of(root: &Value, schema: &Value) -> Option<Value> {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        return Some(default.clone());
    }
    let schema = resolved(root, schema);
    let mut types: Vec<&str> = schema["type"].as_str().into_iter().collect();
    types.extend(schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str));
    types.retain(|name| *name != "null");
    match types.as_slice() {
        ["array"] => Some(json!([])),
        ["boolean"] => Some(json!(false)),
        ["object"] if schema.get("properties").is_none() => Some(json!({})),
        _ => None,
    }
}

/// The fields that `value` leaves out, below `at`, each with its default, or null.
fn left_out(
    root: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    found: &mut Vec<(String, Value)>,
) {
    let schema = resolved(root, schema);
    if let Some(elements) = value.as_array() {
        for (index, element) in elements.iter().enumerate() {
            left_out(root, &schema["items"], element, &format!("{at}/{index}"), found);
        }
    }
    let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object())
    else {
        return;
    };
    let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
    for (name, property) in properties {
        let at = format!("{at}/{name}");
        match members.get(name) {
            Some(member) => left_out(root, property, member, &at, found),
            None if required.contains(&&json!(name)) => {}
            None => {
                found.push((at.clone(), Value::Null));
                found.extend(default_of(root, property).map(|default| (at, default)));
            }
        }
    }
}

/// Every field of every document that has a default: written out, it changes nothing.
#[test]
fn defaults_written_out_are_no_change() {
    let mut n_defaults = 0;
    for (kind, document) in [
        (Kind::Package, package()),
        (Kind::Deployment, deployment()),
        (Kind::RoleBinding, binding()),
    ] {
        let schema = schema::of_document(kind);
        let mut found = Vec::new();
        left_out(&schema, &schema, &document, "", &mut found);
        for (pointer, default) in found {
            // Lists of patterns are not empty; left out, they are all packages.
            let default =
                if pointer == "/packages" && default == json!([]) { json!(["*"]) } else { default };
            n_defaults += usize::from(!default.is_null());
            let (before, after) = (document.clone(), with(&document, &pointer, default.clone()));
            let [before, after] = [before, after].map(|document| document.to_string().into_bytes());
            let is_same = match kind {
                Kind::Package | Kind::Deployments => {
                    let read = |bytes: &[u8]| match document::package(bytes, Format::Json) {
                        Ok(parsed) => match parsed.value {
                            PackageDocument::Package(package) => package,
                            PackageDocument::Deployments(list) => panic!("{list:?}"),
                        },
                        Err(violations) => panic!("{pointer} {default}: {violations:?}"),
                    };
                    read(&before).is_same(&read(&after))
                }
                Kind::Deployment => {
                    let read =
                        |bytes: &[u8]| document::deployment(bytes, Format::Json).unwrap().value;
                    read(&before).is_same(&read(&after))
                }
                Kind::RoleBinding => {
                    let read =
                        |bytes: &[u8]| document::role_binding(bytes, Format::Json).unwrap().value;
                    read(&before).is_same(&read(&after))
                }
            };
            assert!(is_same, "{pointer} written out as {default} is a change");
        }
    }
    assert!(n_defaults > 40, "{n_defaults} defaults");
}

/// A package in which each list whose elements have a key has several.
fn full_package() -> Value {
    let deployment = |key: &str| {
        json!({
            "key": key, "package_name": "shop", "class_key": "A",
            "target_envs": ["e1", "e2", "e3"], "available_envs": ["e1", "e2"],
            "excluded_envs": ["e4", "e5"],
            "functions": [{ "function_key": "f" }, { "function_key": "g" }],
            "odgm": { "collections": ["x", "y"], "env_node_ids": { "e1": [1, 2, 3] } },
        })
    };
    let class = |key: &str| {
        json!({
            "key": key, "state_spec": { "key_specs": [{ "name": "a" }, { "name": "b" }] },
            "function_bindings": [
                { "name": "m", "function_key": "f", "parameters": ["p", "q"] },
                { "name": "n", "function_key": "g" },
            ],
        })
    };
    json!({
        "name": "shop", "version": "1.0", "dependencies": ["base@^1", "text", "other@=2"],
        "classes": [class("A"), class("B")],
        "functions": [{ "key": "f" }, { "key": "g" }, { "key": "h" }],
        "deployments": [deployment("d"), deployment("e")],
    })
}

/// `value` with the lists under `fields` turned, each by as much as `turns` says next.
fn turned(value: &mut Value, field: &str, turns: &mut impl Iterator<Item = usize>) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, member)| turned(member, name, turns));
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| turned(element, "", turns));
            if field != "parameters" {
                let n_elements = elements.len().max(1);
                elements.rotate_left(turns.next().unwrap_or_default() % n_elements);
                if turns.next().unwrap_or_default() % 2 == 1 {
                    elements.reverse();
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn order_of_keyed_lists_does_not_count(seed in proptest::collection::vec(0_usize..6, 1..60)) {
        let before = full_package();
        let mut after = before.clone();
        turned(&mut after, "", &mut seed.iter().copied().cycle());
        let [one, other] = [&before, &after].map(typed::<OPackage>);
        prop_assert!(one.is_same(&other));
        prop_assert!(is_same_content(&one, &other));
        let hash = |package| {
            StoredVersion::new(String::new(), Default::default(), package).content_hash
        };
        prop_assert_eq!(hash(&one), hash(&other));
        // Node ids stand under names that users choose, so JSON alone does not tell that they are a set.
        let mut changes = difference::between(&before, &after).changes;
        changes.retain(|change| !change.pointer.contains("env_node_ids"));
        prop_assert!(changes.is_empty(), "{:?}", changes);
    }
}

#[test]
fn order_of_other_lists_counts() {
    let pointer = "/classes/0/function_bindings/0/parameters";
    check::<OPackage>(&full_package(), &with(&full_package(), pointer, json!(["q", "p"])), false);
    let binding = |subjects: &[&str], packages: &[&str]| json!({ "name": "team", "role": "viewer", "subjects": subjects, "packages": packages });
    check::<RoleBinding>(
        &binding(&["a", "b"], &["x", "y-*"]),
        &binding(&["b", "a"], &["y-*", "x"]),
        true,
    );
    check::<RoleBinding>(&binding(&["a", "b"], &["x"]), &binding(&["a", "c"], &["x"]), false);
}

#[test]
fn units_are_hashed_as_sets() {
    let function = |key: &str, more: Value| {
        let mut function = json!({
            "key": key, "function_type": "CUSTOM", "replicas": { "min": 1, "target": 1 },
        });
        function["provision_config"] = more;
        function
    };
    let unit = |functions: Value, bindings: Value, nodes: Value| -> DeploymentUnit {
        typed(&json!({
            "id": "cart-1", "deployment_key": "d", "package_name": "shop", "class_key": "Cart",
            "target_env": "e1", "generation": 7, "spec_hash": "before", "owner": "pm",
            "functions": functions, "function_bindings": bindings,
            "odgm_config": { "partition_count": 1, "replica_count": 1, "node_ids": nodes },
            "created_at": "2026-01-01T00:00:00Z",
        }))
    };
    let binding = |name: &str| json!({ "name": name, "function_key": "f" });
    let one = unit(
        json!([function("f", json!({})), function("g", json!({}))]),
        json!([binding("m"), binding("n")]),
        json!([1, 2]),
    );
    let other = unit(
        json!([function("g", json!({ "min_scale": 1 })), function("f", json!({}))]),
        json!([binding("n"), binding("m")]),
        json!([2, 1]),
    );
    assert!(one.has_same_content(&other));
    assert_eq!(one.compute_spec_hash(), other.compute_spec_hash());
    let less = unit(json!([function("f", json!({}))]), json!([binding("m")]), json!([1, 2]));
    assert!(!one.has_same_content(&less));
    assert_ne!(one.compute_spec_hash(), less.compute_spec_hash());
}
