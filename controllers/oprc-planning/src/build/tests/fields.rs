//! Every field of every document has an effect: the table says which, and fields that reach clusters
//! are shown to change the unit. A new field fails here until it is classified.

use std::collections::BTreeMap;

use oprc_models::{
    document::Kind,
    meta::{Stored, Timestamp},
    schema,
    unit::DeploymentUnit,
};
use serde_json::{Value, json};

use super::Template;
use crate::samples::{OWNER, Shelf, cluster, stored};

/// The effect of a field.
enum Effect {
    /// Clusters are sent another unit where the field has this value.
    Unit(Value),
    /// It is for people, who are shown it.
    Shown,
    /// It decides elsewhere: on what.
    Decides(&'static str),
}

use Effect::{Decides, Shown, Unit};

fn provision_config(at: &str) -> Vec<(String, Effect)> {
    let fields = [
        ("container_image", json!("cart:2")),
        ("wasm_module_url", json!("https://example.org/cart.wasm")),
        ("port", json!(81)),
        ("max_concurrency", json!(3)),
        ("need_http2", json!(true)),
        ("cpu_request", json!("100m")),
        ("memory_request", json!("64Mi")),
        ("cpu_limit", json!("1")),
        ("memory_limit", json!("1Gi")),
        ("min_scale", json!(2)),
        ("max_scale", json!(5)),
        ("wasm_fuel", json!(7)),
    ];
    fields.map(|(name, value)| (format!("{at}/provision_config/{name}"), Unit(value))).into()
}

fn requirements(at: &str) -> Vec<(String, Effect)> {
    let fields = [
        ("min_throughput_rps", json!(5)),
        ("availability", json!(0.5)),
        ("cpu_utilization_target", json!(0.5)),
    ];
    fields.map(|(name, value)| (format!("{at}/{name}"), Unit(value))).into()
}

fn of_package() -> BTreeMap<String, Effect> {
    let secret = json!({ "PASSWORD": { "name": "db", "key": "password" } });
    let fields = [
        ("/name", Decides("which document it is")),
        ("/version", Unit(json!("1.1"))),
        ("/metadata/author", Shown),
        ("/metadata/description", Shown),
        ("/metadata/tags", Decides("lists by tag")),
        ("/metadata/immutable", Decides("pushes of the same version")),
        ("/metadata/created_at", Shown),
        ("/metadata/updated_at", Shown),
        ("/classes/*/key", Decides("which deployments are of it")),
        ("/classes/*/description", Shown),
        ("/classes/*/options", Unit(json!({ "cache": "on" }))),
        ("/classes/*/state_spec/key_specs/*/name", Unit(json!("other"))),
        ("/classes/*/state_spec/key_specs/*/key_type", Unit(json!("int"))),
        ("/classes/*/state_spec/default_provider", Unit(json!("disk"))),
        ("/classes/*/state_spec/consistency_model", Unit(json!("STRONG"))),
        ("/classes/*/state_spec/persistent", Unit(json!(true))),
        ("/classes/*/state_spec/serialization_format", Unit(json!("cbor"))),
        ("/classes/*/function_bindings/*/name", Unit(json!("other"))),
        ("/classes/*/function_bindings/*/function_key", Unit(json!("cart.other"))),
        ("/classes/*/function_bindings/*/access_modifier", Unit(json!("PRIVATE"))),
        ("/classes/*/function_bindings/*/stateless", Unit(json!(true))),
        ("/classes/*/function_bindings/*/parameters", Unit(json!(["item"]))),
        ("/functions/*/key", Decides("which bindings are of it")),
        ("/functions/*/function_type", Unit(json!("BUILTIN"))),
        ("/functions/*/description", Shown),
        ("/functions/*/config", Unit(json!({ "LEVEL": "debug" }))),
        ("/functions/*/secrets", Unit(secret)),
        ("/dependencies", Decides("what bindings resolve to")),
        ("/labels", Decides("lists by label")),
    ];
    let fields = fields.into_iter().map(|(at, effect)| (at.to_owned(), effect));
    fields.chain(provision_config("/functions/*")).collect()
}

fn of_deployment() -> BTreeMap<String, Effect> {
    let secret = json!({ "PASSWORD": { "name": "db", "key": "password" } });
    let fields = [
        ("/key", Decides("which document it is")),
        ("/package_name", Decides("which package it is of")),
        ("/package_version", Decides("which version it is of")),
        ("/class_key", Decides("which class it is of")),
        ("/target_envs", Decides("where it runs")),
        ("/available_envs", Decides("where it runs")),
        ("/excluded_envs", Decides("where it runs")),
        ("/env_templates", Unit(json!({ "east": "small" }))),
        ("/functions/*/function_key", Decides("which function is overridden")),
        ("/functions/*/description", Shown),
        ("/functions/*/available_location", Unit(json!("edge"))),
        ("/functions/*/config", Unit(json!({ "LEVEL": "debug" }))),
        ("/functions/*/secrets", Unit(secret)),
        ("/odgm/collections", Unit(json!(["carts"]))),
        ("/odgm/partition_count", Unit(json!(2))),
        ("/odgm/replica_count", Unit(json!(2))),
        ("/odgm/shard_type", Unit(json!("raft"))),
        ("/odgm/env_node_ids", Unit(json!({ "east": [1] }))),
        ("/odgm/log", Unit(json!("debug"))),
        ("/odgm/options", Unit(json!({ "cache": "on" }))),
        ("/telemetry/enabled", Unit(json!(true))),
        ("/telemetry/traces", Unit(json!(true))),
        ("/telemetry/metrics", Unit(json!(true))),
        ("/telemetry/logs", Unit(json!(true))),
        ("/telemetry/sampling_rate", Unit(json!(0.5))),
        ("/telemetry/service_name", Unit(json!("cart"))),
        ("/telemetry/resource_attributes", Unit(json!({ "team": "shop" }))),
        ("/labels", Decides("lists by label")),
    ];
    let fields = fields.into_iter().map(|(at, effect)| (at.to_owned(), effect));
    let fields = fields.chain(provision_config("/functions/*"));
    let fields = fields.chain(requirements("/nfr_requirements"));
    fields.chain(requirements("/functions/*/qos_requirement")).collect()
}

fn of_role_binding() -> BTreeMap<String, Effect> {
    let fields = ["/name", "/role", "/subjects", "/subject_kind", "/groups", "/packages"];
    fields.map(|at| (at.to_owned(), Decides("who may do what"))).into()
}

/// What `schema` means: its definition, and of alternatives the one that is not null.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(root, &root["$defs"][reference.rsplit('/').next().unwrap()]);
    }
    let options = schema["anyOf"].as_array().into_iter().flatten();
    let found = options.map(|one| resolved(root, one)).find(|one| one.get("properties").is_some());
    found.unwrap_or(schema)
}

/// The fields that a schema knows, those of the elements of lists under `*`.
fn fields(root: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(root, schema);
    let element = resolved(root, &schema["items"]);
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            fields(root, property, &format!("{at}/{name}"), found);
        }
    } else if element.get("properties").is_some() {
        fields(root, element, &format!("{at}/*"), found);
    } else {
        found.push(at.to_owned());
    }
}

fn fields_of(kind: Kind) -> Vec<String> {
    let schema = schema::of_document(kind);
    let mut found = Vec::new();
    fields(&schema, &schema, "", &mut found);
    found.sort();
    found
}

#[test]
fn every_field_is_classified() {
    let names = |table: &BTreeMap<String, Effect>| table.keys().cloned().collect::<Vec<_>>();
    let of_package = names(&of_package());
    let of_deployment = names(&of_deployment());
    let (inline, own): (Vec<_>, Vec<_>) =
        fields_of(Kind::Package).into_iter().partition(|field| field.starts_with("/deployments/*"));
    assert_eq!(own, of_package);
    let inline: Vec<_> =
        inline.iter().map(|field| field.trim_start_matches("/deployments/*").to_owned()).collect();
    assert_eq!(inline, of_deployment);
    assert_eq!(fields_of(Kind::Deployment), of_deployment);
    let mut of_role_binding = names(&of_role_binding());
    of_role_binding.sort();
    assert_eq!(fields_of(Kind::RoleBinding), of_role_binding);
}

fn package() -> Value {
    json!({
        "name": "shop", "version": "1.0", "metadata": {},
        "classes": [{ "key": "cart", "state_spec": { "key_specs": [{ "name": "items" }] },
            "function_bindings": [{ "name": "add", "function_key": "cart.add" }] }],
        "functions": [
            { "key": "cart.add", "provision_config": { "container_image": "cart:1" } },
            { "key": "cart.other", "provision_config": { "container_image": "cart:1" } },
        ],
    })
}

fn deployment() -> Value {
    json!({
        "key": "shop.cart", "package_name": "shop", "class_key": "cart",
        "functions": [{ "function_key": "cart.add", "provision_config": {}, "qos_requirement": {} }],
        "odgm": {}, "telemetry": {}, "nfr_requirements": {},
    })
}

fn built(package: &Value, deployment: &Value) -> DeploymentUnit {
    let read = |document: &Value| document.to_string();
    let package = serde_json::from_str(&read(package)).unwrap();
    let spec: Stored<_> = stored("u1", 1, serde_json::from_str(&read(deployment)).unwrap());
    let shelf = [package];
    let template = Template::resolve(&spec, &Shelf(&shelf)).unwrap();
    template.unit(&cluster("east"), OWNER, 1, Timestamp::UNIX_EPOCH)
}

/// `document` with `value` in the field `at`, of the first element of lists.
fn with(document: &Value, at: &str, value: &Value) -> Value {
    let pointer = at.replace('*', "0");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut document = document.clone();
    document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"))[name] = value.clone();
    document
}

#[test]
fn fields_for_clusters_change_the_unit() {
    let before = built(&package(), &deployment());
    for (at, effect) in of_package() {
        match effect {
            Unit(value) => {
                let after = built(&with(&package(), &at, &value), &deployment());
                assert_ne!(after.spec_hash, before.spec_hash, "{at} never reaches a cluster");
            }
            Shown => {
                let after = built(&with(&package(), &at, &json!("text")), &deployment());
                assert_eq!(after.spec_hash, before.spec_hash, "{at} is for people");
            }
            Decides(what) => assert!(!what.is_empty()),
        }
    }
    for (at, effect) in of_deployment() {
        match effect {
            Unit(value) => {
                let after = built(&package(), &with(&deployment(), &at, &value));
                assert_ne!(after.spec_hash, before.spec_hash, "{at} never reaches a cluster");
            }
            Shown => {
                let after = built(&package(), &with(&deployment(), &at, &json!("text")));
                assert_eq!(after.spec_hash, before.spec_hash, "{at} is for people");
            }
            Decides(what) => assert!(!what.is_empty()),
        }
    }
}

#[test]
fn options_of_the_class_are_overlaid_by_the_deployment() {
    let options = json!({ "cache": "on", "size": "1" });
    let package = with(&package(), "/classes/*/options", &options);
    let unit = built(&package, &with(&deployment(), "/odgm/options", &json!({ "size": "2" })));
    let got = unit.odgm_config.unwrap().options;
    let want = [("cache", "on"), ("size", "2")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(got, BTreeMap::from(want));
    // They are sent though the deployment says nothing of how objects are kept.
    let unit = built(&package, &with(&deployment(), "/odgm", &Value::Null));
    let sent = unit.odgm_config.unwrap();
    assert_eq!((sent.options.len(), sent.partition_count, sent.replica_count), (2, 1, 1));
    let unit = built(&super::fields::package(), &with(&deployment(), "/odgm", &Value::Null));
    assert_eq!(unit.odgm_config, None);
}
