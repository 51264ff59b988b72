use std::{fs, path::PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::*;
use crate::document::{self, Format};

fn validator(kind: Kind) -> Validator {
    let schema = of_document(kind);
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// What the schema of its kind says of `document`: pointers to what is wrong.
fn complaints(document: &Value, kind: Kind) -> Vec<String> {
    let validator = validator(kind);
    let errors = validator.iter_errors(document).map(|error| error.instance_path().to_string());
    let mut errors: Vec<String> = errors.collect();
    errors.sort();
    errors.dedup();
    errors
}

/// The files of `examples/{folder}`, in the order of their names.
fn examples(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(folder);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "yaml" || it == "json"));
    paths.sort();
    paths
}

fn read(path: &PathBuf) -> Vec<document::Node> {
    let format = Format::from_extension(path.extension().unwrap().to_str().unwrap()).unwrap();
    document::documents(&fs::read(path).unwrap(), format).unwrap_or_default()
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut n_documents = 0;
    for path in [examples(""), examples("demo")].concat() {
        for node in read(&path) {
            let kind = document::kind(&node).unwrap();
            assert_eq!(complaints(&node.to_json(), kind), [""; 0], "{}", path.display());
            n_documents += 1;
        }
    }
    assert!(n_documents > 10, "{n_documents} documents");
}

/// What only a look at other parts of the document can tell, no schema tells.
#[test]
fn invalid_examples_are_refused_where_a_schema_can() {
    for (file, want) in [
        ("duplicates.yaml", vec!["/deployments/0/target_envs"]),
        ("no-image.yaml", vec![]),
        ("references.yaml", vec![]),
        (
            "values.yaml",
            vec![
                // What fits no alternative is told where the alternatives are: the whole, or null.
                "/deployments/0/nfr_requirements",
                "/deployments/0/odgm",
                "/deployments/0/target_envs/0",
                "/deployments/0/telemetry",
                "/functions/0/config/EMPTY",
                "/functions/0/function_type",
                "/functions/0/provision_config",
            ],
        ),
    ] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/invalid").join(file);
        for node in read(&path) {
            assert_eq!(complaints(&node.to_json(), Kind::Package), want, "{file}");
        }
    }
}

/// Whether the schema and the parser agree on `document`, which has nothing wrong that no schema can
/// say.
#[track_caller]
fn check(document: &Value, kind: Kind, is_taken: bool) {
    let complaints = complaints(document, kind);
    assert_eq!(complaints.is_empty(), is_taken, "{document}: {complaints:?}");
    let bytes = document.to_string().into_bytes();
    let parsed = match kind {
        Kind::Deployment => document::deployment(&bytes, Format::Json).map(drop),
        Kind::Package | Kind::Deployments => document::package(&bytes, Format::Json).map(drop),
        Kind::RoleBinding => document::role_binding(&bytes, Format::Json).map(drop),
    };
    assert_eq!(parsed.is_ok(), is_taken, "{document}: {parsed:?}");
}

#[test]
fn schemas_are_as_lenient_as_the_parser_and_no_more() {
    let package = |field: &str, value: Value| {
        let mut package = json!({ "name": "shop" });
        package[field] = value;
        package
    };
    for (field, value, is_taken) in [
        ("name", json!("shop"), true),
        ("name", json!(7), true),
        ("name", json!(-7), false),
        ("name", json!("a b"), false),
        ("name", json!(null), false),
        ("name", json!([]), false),
        ("name", json!("a".repeat(253)), true),
        ("name", json!("a".repeat(254)), false),
        ("version", json!(1.5), true),
        ("metadata", json!({ "author": true }), true),
        ("version", json!(null), true),
        ("version", json!({}), false),
        ("classes", json!(null), true),
        ("classes", json!({}), false),
        ("classes", json!([null]), false),
        ("classes", json!([{ "key": "A", "state_spec": { "persistent": "yes" } }]), false),
        ("classes", json!([{ "key": "A", "state_spec": { "consistency_model": "STRONG" } }]), true),
        (
            "classes",
            json!([{ "key": "A", "state_spec": { "consistency_model": "strong" } }]),
            false,
        ),
        ("labels", json!({ "tier": 1 }), true),
        ("labels", json!({ "tier": null }), false),
        ("functions", json!([{ "key": "f", "provision_config": { "port": 80 } }]), true),
        ("functions", json!([{ "key": "f", "provision_config": { "port": 0 } }]), false),
        ("functions", json!([{ "key": "f", "provision_config": { "port": "80" } }]), false),
        ("functions", json!([{ "key": "f", "provision_config": { "cpu_request": 0.5 } }]), true),
        ("functions", json!([{ "key": "f", "provision_config": { "cpu_request": "1e3" } }]), true),
        ("functions", json!([{ "key": "f", "provision_config": { "cpu_request": "1X" } }]), false),
        ("functions", json!([{ "key": "f", "provision_config": { "max_scale": 10_001 } }]), false),
        ("dependencies", json!(["text@^1.2", " other "]), true),
        ("dependencies", json!(["te xt"]), false),
        ("meta", json!("whatever the system says"), true),
        ("not_known", json!([1]), true),
    ] {
        check(&package(field, value), Kind::Package, is_taken);
    }
    let deployment = |field: &str, value: Value| {
        let mut deployment = json!({ "key": "k", "package_name": "shop", "class_key": "Cart" });
        deployment[field] = value;
        deployment
    };
    for (field, value, is_taken) in [
        ("target_envs", json!(["edge-1", 7]), true),
        ("target_envs", json!(["Edge"]), false),
        ("target_envs", json!([1.5]), false),
        ("target_envs", json!(["a".repeat(64)]), false),
        ("env_templates", json!({ "edge-1": "small" }), true),
        ("env_templates", json!({ "Edge": "small" }), false),
        ("nfr_requirements", json!({ "availability": 1 }), true),
        ("nfr_requirements", json!({ "availability": 1.1 }), false),
        ("odgm", json!({ "env_node_ids": { "edge-1": [1, 2] } }), true),
        ("odgm", json!({ "env_node_ids": { "edge-1": [-1] } }), false),
        ("telemetry", json!(null), true),
        ("class_key", json!(null), false),
    ] {
        check(&deployment(field, value), Kind::Deployment, is_taken);
    }
    let list = json!({ "name": "shop", "deployments": [{ "class_key": "Cart" }] });
    check(&list, Kind::Deployments, true);
    check(&json!({ "name": "shop", "deployments": [{}] }), Kind::Deployments, false);
}

#[test]
fn answers_have_no_null_and_what_is_written_has_a_name_of_its_own() {
    let mut schemas = Schemas::default();
    assert_eq!(schemas.written::<OPackage>()["$ref"], "#/components/schemas/PackageInput");
    let answered = schemas.answered::<crate::view::Package>();
    assert_eq!(answered["$ref"], "#/components/schemas/Package");
    let definitions = schemas.into_definitions();
    let document = &definitions["Package"];
    assert_eq!(document["properties"]["version"]["type"], "string");
    let required = document["required"].as_array().unwrap();
    assert!(["name", "meta", "status"].iter().all(|name| required.contains(&json!(name))));
    for (name, schema) in &definitions {
        let is_nullable = schema.to_string().contains(r#""null""#);
        assert!(!is_nullable || name.ends_with("Input"), "{name}: {schema}");
    }
}
