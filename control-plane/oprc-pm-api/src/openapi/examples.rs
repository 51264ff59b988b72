//! The documents of the description: a shop's cart on one cluster. A test holds each against its schema.

use serde_json::{Value, json};

const AT: &str = "2026-03-01T09:00:00Z";

/// `first` with the members of `second`.
fn with(mut first: Value, second: Value) -> Value {
    if let (Value::Object(members), Value::Object(more)) = (&mut first, second) {
        members.extend(more);
    }
    first
}

fn meta(generation: u64) -> Value {
    json!({
        "uid": "6a6e8f2c-0d4b-4c53-9d0a-0f6a5a3f7c11", "generation": generation,
        "created_at": AT, "updated_at": AT, "correlation_id": "git-4f2a", "resource_version": "1042",
    })
}

fn condition() -> Value {
    json!({
        "type": "Ready", "status": "True", "reason": "AllRunning", "observed_generation": 3,
        "last_transition_time": AT,
    })
}

/// A page with one item.
pub(super) fn page(item: &Value) -> Value {
    json!({ "items": [item], "continue": "1.7f3c.73686f70", "revision": 1042 })
}

fn class_spec() -> Value {
    json!({
        "key": "Cart", "description": "What a customer wants to buy.",
        "state_spec": {
            "key_specs": [{ "name": "lines", "key_type": "json" }], "default_provider": "memory",
            "consistency_model": "READ_YOUR_WRITE", "persistent": true, "serialization_format": "json",
        },
        "function_bindings": [{
            "name": "add", "function_key": "add", "access_modifier": "PUBLIC", "stateless": false,
        }],
    })
}

fn function_spec() -> Value {
    json!({
        "key": "add", "function_type": "CUSTOM",
        "provision_config": {
            "container_image": "registry.example.com/cart-add:1", "port": 8080,
            "cpu_request": "250m", "memory_request": "128Mi", "min_scale": 1, "max_scale": 4,
        },
    })
}

/// A package as it is written.
pub(super) fn package_spec() -> Value {
    json!({
        "name": "shop", "version": "1.0.0", "metadata": { "author": "shop team", "tags": ["retail"] },
        "classes": [class_spec()], "functions": [function_spec()], "labels": { "tier": "front" },
    })
}

/// A list of deployments as it is written.
pub(super) fn deployment_list() -> Value {
    json!({ "name": "shop", "deployments": [{ "class_key": "Cart", "target_envs": ["prod-east"] }] })
}

/// A package.
pub(super) fn package() -> Value {
    let status = json!({ "uid": "6a6e8f2c-0d4b-4c53-9d0a-0f6a5a3f7c11", "observed_generation": 3 });
    with(package_spec(), json!({ "meta": meta(3), "status": status }))
}

/// A package as a write answers it.
pub(super) fn written_package() -> Value {
    let warning = json!({ "pointer": "/classes/0/desc", "message": "the key \"desc\" is not known, and ignored" });
    with(package_spec(), json!({ "meta": meta(3), "warnings": [warning] }))
}

/// A package whose deletion was asked for.
pub(super) fn deleting_package() -> Value {
    let meta = with(meta(3), json!({ "deletion_requested_at": AT }));
    with(package_spec(), json!({ "meta": meta, "also_written": ["deployments/shop.cart"] }))
}

/// A class of a package.
pub(super) fn class() -> Value {
    with(class_spec(), json!({ "package_name": "shop" }))
}

/// A function of a package.
pub(super) fn function() -> Value {
    with(function_spec(), json!({ "package_name": "shop" }))
}

/// A deployment as it is written.
pub(super) fn deployment_spec() -> Value {
    json!({
        "key": "shop.cart", "package_name": "shop", "package_version": "^1", "class_key": "Cart",
        "target_envs": ["prod-east"],
        "nfr_requirements": { "min_throughput_rps": 50, "availability": 0.99 },
    })
}

fn deployment_status() -> Value {
    json!({
        "uid": "6a6e8f2c-0d4b-4c53-9d0a-0f6a5a3f7c11", "condition": "RUNNING",
        "observed_generation": 3, "package_version": "1.0.0", "observed_package_generation": 3,
        "conditions": [condition()],
        "clusters": [{
            "cluster": "prod-east", "unit_id": "cart-4k9a2mz0qp", "desired": "PRESENT", "generation": 3,
            "observed_generation": 3, "condition": "RUNNING", "reason": "Observed",
            "functions": [{ "function_key": "add", "ready": true, "replicas_ready": 1 }],
        }],
        "unit_generation": 3,
    })
}

/// A deployment.
pub(super) fn deployment() -> Value {
    with(deployment_spec(), json!({ "meta": meta(3), "status": deployment_status() }))
}

/// A deployment as a write answers it.
pub(super) fn written_deployment() -> Value {
    with(deployment_spec(), json!({ "meta": meta(3) }))
}

/// A deployment's status by itself.
pub(super) fn status() -> Value {
    let about = json!({ "key": "shop.cart", "generation": 3, "package_generation": 3 });
    with(about, deployment_status())
}

/// A record.
pub(super) fn record() -> Value {
    json!({
        "cluster": "prod-east", "id": "cart-4k9a2mz0qp", "deployment_key": "shop.cart", "managed": true,
        "record": {
            "id": "cart-4k9a2mz0qp", "deployment_key": "shop.cart", "package_name": "shop",
            "class_key": "Cart", "target_environment": "prod-east", "cluster_name": "prod-east",
            "owner": "oprc-pm", "generation": 3, "spec_hash": "9f2c",
            "status": { "condition": "RUNNING", "phase": "Running", "last_updated": AT },
            "created_at": AT, "updated_at": AT,
        },
        "observed_at": AT, "stale": false,
    })
}

fn cluster_spec() -> Value {
    json!({ "name": "prod-east", "endpoints": ["https://crm.prod-east.example.com"] })
}

/// A cluster's registration.
pub(super) fn cluster() -> Value {
    let health = json!({ "cluster_name": "prod-east", "status": "HEALTHY", "node_count": 12 });
    let status = json!({
        "connectivity": "CONNECTED", "breaker": "CLOSED", "health": health, "since": AT,
        "unmanaged_records": 0,
    });
    with(cluster_spec(), json!({ "default": true, "meta": meta(1), "status": status }))
}

/// A cluster's registration as its removal answers it.
pub(super) fn written_cluster() -> Value {
    with(cluster_spec(), json!({ "meta": meta(1) }))
}

/// A cluster's health.
pub(super) fn health() -> Value {
    json!({
        "cluster_name": "prod-east", "status": "HEALTHY", "connectivity": "CONNECTED",
        "breaker": "CLOSED", "since": AT, "unmanaged_records": 0, "stale": false,
        "crm_version": "0.1.0", "node_count": 12, "ready_nodes": 12, "availability": 0.999,
        "labels": {}, "features": ["watch", "generations"],
    })
}

/// An event.
pub(super) fn event() -> Value {
    json!({
        "about": "deployment/shop.cart", "reason": "CallFailed", "severity": "WARNING", "count": 4,
        "first": AT, "last": AT,
        "message": "prod-east, generation 3: no answer in time; tried again soon",
    })
}

/// A document as it was.
pub(super) fn revision(spec: Value) -> Value {
    let Value::Object(mut was) = meta(2) else { return spec };
    was.remove("resource_version");
    with(spec, json!({ "meta": was, "current": false }))
}

/// The revisions of a document.
pub(super) fn revisions() -> Value {
    let line = |generation: u64, current: bool| {
        json!({
            "generation": generation, "current": current, "updated_at": AT,
            "uid": "6a6e8f2c-0d4b-4c53-9d0a-0f6a5a3f7c11", "correlation_id": "git-4f2a",
        })
    };
    json!({ "items": [line(3, true), line(2, false)] })
}

/// The versions of a package.
pub(super) fn versions() -> Value {
    let line = |version: &str, hash: &str, current: bool| {
        json!({
            "version": version, "created_at": AT, "content_hash": hash, "current": current,
            "in_use": true,
        })
    };
    json!({
        "items": [
            line("1.0.0", "6f1ed002ab5595859014ebf0951522d9", true),
            line("0.9.0", "d74981efa70a0c880b8d8c1985d075db", false),
        ],
    })
}

/// What differs between two revisions.
pub(super) fn comparison() -> Value {
    json!({
        "from": 2, "to": 3, "changes": [{ "pointer": "/version", "old": "0.9.0", "new": "1.0.0" }],
    })
}

/// A bundle.
pub(super) fn bundle() -> Value {
    json!({
        "name": "shop-prod", "generation": 7, "created_at": AT, "updated_at": AT, "n_packages": 1,
        "n_deployments": 1, "correlation_id": "git-4f2a",
        "source": { "repository": "https://git.example.com/shop/deploy", "commit": "4f2a9c1" },
    })
}

/// A bundle, with the documents that it owns.
pub(super) fn bundle_document() -> Value {
    let documents = json!([
        { "kind": "Deployment", "name": "shop.cart" }, { "kind": "Package", "name": "shop" },
    ]);
    with(bundle(), json!({ "documents": documents }))
}

/// What a push would do.
pub(super) fn applied() -> Value {
    let change = json!({ "pointer": "/version", "old": "0.9.0", "new": "1.0.0" });
    json!({
        "dry_run": true, "bundle": bundle(),
        "items": [
            { "kind": "Package", "name": "shop", "outcome": "replaced", "generation": 4, "at": "/0",
              "changes": [change] },
            { "kind": "Deployment", "name": "shop.cart", "outcome": "created", "generation": 1,
              "at": "/1" },
        ],
        "clusters": {
            "prod-east": { "created": ["shop.cart"], "replaced": [], "removed": [] },
        },
    })
}

/// A role binding as it is written.
pub(super) fn binding_spec() -> Value {
    json!({
        "name": "shop-team", "role": "developer", "groups": ["shop"], "packages": ["shop", "shop-*"],
    })
}

/// A role binding.
pub(super) fn binding() -> Value {
    with(binding_spec(), json!({ "meta": meta(1) }))
}

/// A caller.
pub(super) fn who() -> Value {
    json!({
        "subject": "ada", "groups": ["shop"], "authenticated_by": "token",
        "roles": [{ "role": "developer", "packages": ["shop", "shop-*"] }],
    })
}
