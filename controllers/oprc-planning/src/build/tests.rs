//! Units from deployments and packages, by table.

mod fields;

use std::collections::BTreeMap;

use oprc_models::{
    meta::Timestamp,
    package::OPackage,
    unit::{DeploymentUnit, Replicas},
};
use serde_json::{Value, json};

use super::{Template, Unresolved};
use crate::samples::{OWNER, Shelf, at, cluster, deployment, package, stored};

/// The one place that resolves a template: the unit for `east`.
fn built(spec: Value, packages: &[OPackage]) -> Result<DeploymentUnit, Unresolved> {
    let spec = stored("u1", 1, deployment(spec));
    let template = Template::resolve(&spec, &Shelf(packages))?;
    Ok(template.unit(&cluster("east"), OWNER, 1, Timestamp::UNIX_EPOCH))
}

#[track_caller]
fn check_unresolved(spec: Value, packages: &[OPackage], reason: &str, message: &str) {
    let unresolved = built(spec, packages).unwrap_err();
    assert_eq!(unresolved.reason(), reason);
    assert!(unresolved.to_string().contains(message), "{unresolved}");
}

fn other(name: &str, functions: &[&str]) -> OPackage {
    let functions: Vec<_> = functions
        .iter()
        .map(|key| json!({"key": key, "provision_config": {"container_image": format!("{name}:{key}")}}))
        .collect();
    serde_json::from_value(json!({"name": name, "functions": functions})).unwrap()
}

fn versioned(version: &str, package: &OPackage) -> OPackage {
    OPackage { version: Some(version.to_owned()), ..package.clone() }
}

/// The package `shop`, whose class binds `function` and which depends on `dependencies`.
fn binding(function: &str, dependencies: &[&str]) -> OPackage {
    package(json!({
        "classes": [{"key": "cart", "function_bindings": [
            {"name": "f", "function_key": function}]}],
        "functions": [],
        "dependencies": dependencies,
    }))
}

#[test]
fn says_what_is_missing() {
    check_unresolved(json!({}), &[], "PackageNotFound", "package shop does not exist");
    let class = json!({"class_key": "basket"});
    check_unresolved(class, &[package(json!({}))], "ClassNotFound", "shop has no class basket");
    let lone = package(json!({"functions": []}));
    check_unresolved(json!({}), &[lone], "FunctionNotFound", "class cart binds cart.add");
    let bare = package(json!({"functions": [{"key": "cart.add"}]}));
    check_unresolved(json!({}), &[bare], "NotDeployable", "container_image");
}

/// A key is split wherever a dependency's name ends, since both sides may hold dots; the package's
/// own functions come first, and then the longest name.
#[test]
fn finds_functions_of_dependencies() {
    let image = |function: &str, dependencies: &[&str], packages: &[OPackage]| {
        let own = [binding(function, dependencies)];
        let all: Vec<_> = own.iter().chain(packages).cloned().collect();
        let mut unit = built(json!({}), &all).ok()?;
        assert_eq!(unit.functions[0].key.as_str(), function, "as the binding names it");
        unit.functions.remove(0).provision_config.container_image
    };
    let short = other("pay", &["eu.card", "card"]);
    let long = other("pay.eu", &["card"]);
    let both = [short.clone(), long];
    assert_eq!(image("pay.card", &["pay"], &both).as_deref(), Some("pay:card"));
    assert_eq!(image("pay.eu.card", &["pay"], &both).as_deref(), Some("pay:eu.card"));
    assert_eq!(image("pay.eu.card", &["pay", "pay.eu"], &both).as_deref(), Some("pay.eu:card"));
    assert_eq!(
        image("pay.eu.card", &["pay@^1", "pay.eu"], &[versioned("1.2", &short)]).as_deref(),
        Some("pay:eu.card")
    );
    assert_eq!(image("pay.card", &[], &both), None, "not a declared dependency");
    assert_eq!(image("pay.cash", &["pay"], &both), None);
    assert_eq!(image("pay", &["pay"], &both), None);
}

/// By the dependency's requirement: what runs is of the version that it resolves to.
#[test]
fn functions_are_of_the_version_that_is_required() {
    let pay = |version: &str| {
        let function = json!({"key": "card", "provision_config": {"container_image": version}});
        let package = json!({"name": "pay", "version": version, "functions": [function]});
        serde_json::from_value::<OPackage>(package).unwrap()
    };
    let shelf = |dependency: &str| {
        [pay("1.0.0"), pay("1.1.0"), pay("2.0.0"), binding("pay.card", &[dependency])]
    };
    for (dependency, want) in
        [("pay", "2.0.0"), ("pay@^1", "1.1.0"), ("pay@=1.0.0", "1.0.0"), ("pay@>=1", "2.0.0")]
    {
        let mut unit = built(json!({}), &shelf(dependency)).unwrap();
        let image = unit.functions.remove(0).provision_config.container_image;
        assert_eq!(image.as_deref(), Some(want), "{dependency}");
    }
    check_unresolved(
        json!({}),
        &shelf("pay@^3"),
        "DependencyNotResolved",
        "class cart binds pay.card: no version of package pay satisfies ^3: there are 2.0.0, 1.1.0",
    );
}

/// What a deployment is made of, by what it pins.
#[test]
fn a_pin_takes_the_highest_that_will_do() {
    let shop = |version: &str| {
        let function = json!({"key": "cart.add", "provision_config": {"container_image": version}});
        package(json!({"version": version, "functions": [function]}))
    };
    // 2.1.0-rc.1 was published beside 2.0.0; 1.0.9 late.
    let shelf = ["1.0.0", "1.2.0", "1.0.9", "2.1.0-rc.1", "2.0.0"].map(shop);
    for (pin, want) in [
        (json!(null), "2.0.0"),
        (json!("^1"), "1.2.0"),
        (json!("~1.0"), "1.0.9"),
        (json!("=1.0.0"), "1.0.0"),
        (json!("1"), "1.2.0"),
        (json!("*"), "2.0.0"),
        (json!("^2.1.0-rc.1"), "2.1.0-rc.1"),
    ] {
        let unit = built(json!({"package_version": pin}), &shelf).unwrap();
        assert_eq!(unit.package_version.as_deref(), Some(want), "{pin}");
        let image = unit.functions[0].provision_config.container_image.as_deref();
        assert_eq!(image, Some(want), "{pin}");
    }
    let told =
        "no version of package shop satisfies ^3: there are 2.1.0-rc.1, 2.0.0, 1.2.0, 1.0.9, 1.0.0";
    check_unresolved(json!({"package_version": "^3"}), &shelf, "VersionNotFound", told);
    let unversioned = [package(json!({}))];
    let told = "no version of package shop satisfies ^1: there is none";
    check_unresolved(json!({"package_version": "^1"}), &unversioned, "VersionNotFound", told);
    let pin = json!({"package_version": "=1.0.0", "class_key": "basket"});
    check_unresolved(pin, &shelf, "ClassNotFound", "package shop@1.0.0 has no class basket");
}

#[test]
fn binds_each_function_once_in_the_order_of_the_bindings() {
    let function = |key: &str| json!({"key": key, "provision_config": {"container_image": key}});
    let package = package(json!({
        "classes": [{"key": "cart", "function_bindings": [
            {"name": "x", "function_key": "b"},
            {"name": "y", "function_key": "a"},
            {"name": "z", "function_key": "b"}]}],
        "functions": [function("a"), function("b"), function("c")],
    }));
    let unit = built(json!({}), &[package]).unwrap();
    let keys: Vec<_> = unit.functions.iter().map(|function| function.key.as_str()).collect();
    assert_eq!(keys, ["b", "a"]);
    assert_eq!(unit.function_bindings.len(), 3);
}

/// `min ≤ target ≤ max` whatever is written, at least one to begin with unless there may be none.
#[test]
fn replicas_keep_their_order() {
    let options = [None, Some(0), Some(1), Some(2), Some(5), Some(u32::MAX)];
    for min in options {
        for max in options {
            let mut provision = json!({"container_image": "cart:1"});
            provision["min_scale"] = json!(min);
            provision["max_scale"] = json!(max);
            let function = json!({"key": "cart.add", "provision_config": provision});
            let unit = built(json!({}), &[package(json!({"functions": [function]}))]).unwrap();
            let got = unit.functions[0].replicas;
            let most = max.unwrap_or(u32::MAX);
            assert!(got.min <= got.target && got.target <= most, "{min:?} {max:?}: {got:?}");
            if min.is_none_or(|min| min <= most) && most > 0 {
                let min = min.unwrap_or(1);
                let want = Replicas { min, max, target: min.max(1) };
                assert_eq!(got, want, "{min:?} {max:?}");
            }
            assert_eq!(got.target == 0, max == Some(0), "{min:?} {max:?}: {got:?}");
        }
    }
}

#[test]
fn deployment_overrides_its_functions() {
    let function = json!({
        "key": "cart.add",
        "provision_config": {"container_image": "cart:1", "port": 80, "cpu_limit": "1",
            "max_concurrency": 4, "min_scale": 2},
        "config": {"A": "package", "B": "package"},
    });
    let package = [package(json!({"functions": [function]}))];
    let over = json!({"functions": [
        {"function_key": "cart.add",
         "provision_config": {"container_image": "cart:2", "need_http2": true, "max_scale": 9},
         "config": {"B": "deployment", "C": "deployment"},
         "available_location": "edge"},
        {"function_key": "another", "provision_config": {"container_image": "no"}},
    ]});
    let function = built(over, &package).unwrap().functions.remove(0);
    let provision = &function.provision_config;
    assert_eq!(provision.container_image.as_deref(), Some("cart:2"));
    assert_eq!((provision.port, provision.max_concurrency), (Some(80), 4), "not named: kept");
    assert!(provision.need_http2);
    assert_eq!(function.replicas, Replicas { min: 2, max: Some(9), target: 2 });
    let config: Vec<_> = function.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(config, ["A=package", "B=deployment", "C=deployment"]);
    assert_eq!(function.available_location.as_deref(), Some("edge"));
    let plain = built(json!({}), &package).unwrap().functions.remove(0);
    assert_eq!(plain.provision_config.container_image.as_deref(), Some("cart:1"));
}

/// A variable is a secret or is none, and the deployment has the last word.
#[test]
fn deployment_overrides_secrets() {
    let secret = |key: &str| json!({"name": "db", "key": key});
    let function = json!({
        "key": "cart.add",
        "provision_config": {"container_image": "cart:1"},
        "config": {"A": "package", "B": "package"},
        "secrets": {"C": secret("package"), "D": secret("package"), "E": secret("package")},
    });
    let package = [package(json!({"functions": [function]}))];
    let over = json!({"functions": [{
        "function_key": "cart.add",
        "config": {"D": "deployment"},
        "secrets": {"B": secret("deployment"), "C": secret("deployment")},
    }]});
    let function = built(over, &package).unwrap().functions.remove(0);
    let config: Vec<_> = function.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(config, ["A=package", "D=deployment"]);
    let secrets = function.secrets.iter();
    let secrets: Vec<_> = secrets.map(|(k, at)| format!("{k}={}/{}", at.name, at.key)).collect();
    assert_eq!(secrets, ["B=db/deployment", "C=db/deployment", "E=db/package"]);
}

#[test]
fn takes_what_is_said_of_its_cluster() {
    let spec = json!({
        "env_templates": {"east": "gpu", "west": "cpu"},
        "odgm": {"collections": ["carts"], "partition_count": 3,
            "env_node_ids": {"east": [1, 2], "west": [3]}},
    });
    let unit = built(spec, &[package(json!({}))]).unwrap();
    assert_eq!(unit.selected_template.as_deref(), Some("gpu"));
    let odgm = unit.odgm_config.unwrap();
    assert_eq!((odgm.partition_count, odgm.replica_count), (3, 1));
    assert_eq!(odgm.node_ids, [1, 2]);
    let plain = built(json!({}), &[package(json!({}))]).unwrap();
    assert_eq!((plain.selected_template, plain.odgm_config), (None, None));
}

/// Same inputs, same hash; when it was planned is no part of it.
#[test]
fn hash_is_stable() {
    let (spec, package) = (stored("u1", 1, deployment(json!({}))), package(json!({})));
    let template = Template::resolve(&spec, &Shelf(std::slice::from_ref(&package))).unwrap();
    let unit = |generation, secs| template.unit(&cluster("east"), OWNER, generation, at(secs));
    assert_eq!(unit(1, 0), unit(1, 0));
    assert_eq!(unit(1, 0).spec_hash, unit(7, 99).spec_hash);
    assert_eq!(unit(1, 0).spec_hash, unit(1, 0).compute_spec_hash());
    // Nor the spec's own generation, and what is for people only.
    let labelled = stored("u1", 9, deployment(json!({"labels": {"team": "shop"}})));
    let again = Template::resolve(&labelled, &Shelf(std::slice::from_ref(&package))).unwrap();
    let again = again.unit(&cluster("east"), OWNER, 1, Timestamp::UNIX_EPOCH);
    assert_eq!(again.spec_hash, unit(1, 0).spec_hash);
}

/// Whatever a CRM acts on is part of the hash: a change of it must reach the CRM.
#[test]
fn hash_is_of_everything_that_a_crm_acts_on() {
    let specs = [
        json!({}),
        json!({"env_templates": {"east": "gpu"}}),
        json!({"odgm": {}}),
        json!({"odgm": {"partition_count": 2}}),
        json!({"odgm": {"env_node_ids": {"east": [1]}}}),
        json!({"telemetry": {"enabled": true}}),
        json!({"nfr_requirements": {"availability": 0.99}}),
        json!({"functions": [{"function_key": "cart.add", "config": {"A": "1"}}]}),
        json!({"functions": [{"function_key": "cart.add", "provision_config": {"min_scale": 3}}]}),
        json!({"functions": [{"function_key": "cart.add", "available_location": "edge"}]}),
        json!({"functions": [{"function_key": "cart.add",
            "qos_requirement": {"availability": 0.9}}]}),
    ];
    let class = |more: Value| {
        let mut class = json!({"key": "cart", "function_bindings": [
            {"name": "add", "function_key": "cart.add"}]});
        class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"classes": [class]})
    };
    let packages = [
        json!({"version": "1.0.0"}),
        json!({"functions": [
            {"key": "cart.add", "provision_config": {"container_image": "cart:2"}}]}),
        class(json!({"state_spec": {"persistent": true}})),
        class(json!({"function_bindings": [
            {"name": "put", "function_key": "cart.add"}]})),
    ];
    let of_specs = specs.into_iter().map(|spec| (spec, json!({})));
    let of_packages = packages.into_iter().map(|package| (json!({}), package));
    let mut seen = BTreeMap::new();
    for (spec, of_package) in of_specs.chain(of_packages) {
        let what = format!("{spec} {of_package}");
        let unit = built(spec, &[package(of_package)]).unwrap();
        if let Some(before) = seen.insert(unit.spec_hash, what.clone()) {
            panic!("{what} and {before} have the same hash");
        }
    }
}

/// Each incarnation and cluster has an id of its own, and always the same.
#[test]
fn id_is_of_the_incarnation_on_its_cluster() {
    let package = package(json!({}));
    let id = |uid: &str, name: &str| {
        let spec = stored(uid, 1, deployment(json!({})));
        let template = Template::resolve(&spec, &Shelf(std::slice::from_ref(&package))).unwrap();
        template.unit(&cluster(name), OWNER, 1, Timestamp::UNIX_EPOCH).id
    };
    assert_eq!(id("u1", "east"), id("u1", "east"));
    assert_ne!(id("u1", "east"), id("u2", "east"));
    assert_ne!(id("u1", "east"), id("u1", "west"));
}
