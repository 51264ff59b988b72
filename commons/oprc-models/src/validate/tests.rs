//! Tables: one thing wrong in an otherwise valid document.

use serde_json::{Value, json};

use super::*;

/// A valid package with a deployment, to be changed.
fn shop() -> Value {
    json!({
        "name": "shop",
        "dependencies": ["text.tools@^1"],
        "classes": [{
            "key": "Cart",
            "function_bindings": [
                {"name": "add", "function_key": "cart.add"},
                {"name": "words", "function_key": "text.tools.stats.words"},
            ],
        }],
        "functions": [
            {"key": "cart.add", "provision_config": {"container_image": "a:1"}},
            {"key": "spare", "function_type": "LOGICAL"},
        ],
        "deployments": [{"key": "shop.cart", "package_name": "shop", "class_key": "Cart"}],
    })
}

/// What is wrong with [`shop`] when the value at `at` is `value`: pointers.
#[track_caller]
fn check(at: &str, value: Value, want: &[&str]) {
    let mut document = shop();
    let (parent, field) = at.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(elements) => elements.insert(field.parse().unwrap(), value),
        _ => parent[field] = value,
    }
    let violations = super::package(&serde_json::from_value(document).unwrap());
    let got: Vec<&str> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(got, want, "{at}: {violations:#?}");
}

#[test]
fn the_package_itself_is_valid() {
    check("/version", json!("1.0"), &[]);
}

#[test]
fn checks_packages() {
    check("/version", json!(" "), &["/version"]);
    check("/version", json!("latest"), &["/version"]);
    check("/version", json!("1.2.3.4"), &["/version"]);
    check("/version", json!("v2.0-rc.1+b"), &[]);
    check("/labels", json!({"": "x", "a": "y"}), &["/labels/"]);
    check("/labels", json!({"a\nb": "x"}), &["/labels/a\nb"]);
    check("/metadata", json!({"tags": ["a", "", "b"]}), &["/metadata/tags/1"]);
    let many = |n: usize| (0..n).map(|i| json!({"key": format!("k{i}")})).collect::<Value>();
    check("/classes", many(1_001), &["/classes"]);
    check(
        "/functions/0",
        json!({"key": "cart.add", "function_type": "LOGICAL"}),
        &["/functions/1/key"],
    );
}

#[test]
fn checks_dependencies() {
    check("/dependencies/1", json!("text.tools"), &["/dependencies/1"]);
    check("/dependencies/1", json!("shop@1"), &["/dependencies/1"]);
    check("/dependencies/1", json!("other@>=x"), &["/dependencies/1"]);
    check("/dependencies/1", json!("no/name"), &["/dependencies/1"]);
    check("/dependencies", json!([]), &["/classes/0/function_bindings/1/function_key"]);
    check("/dependencies", json!(["text"]), &[]);
}

#[test]
fn checks_classes() {
    let binding = |name: &str, function: &str| json!({"name": name, "function_key": function});
    let at = "/classes/0/function_bindings/2";
    check(at, binding("total", "spare"), &[]);
    check(at, binding("add", "spare"), &["/classes/0/function_bindings/2/name"]);
    check(at, binding("", "spare"), &["/classes/0/function_bindings/2/name"]);
    check(at, binding("total", "absent"), &["/classes/0/function_bindings/2/function_key"]);
    check(at, binding("total", "other.f"), &["/classes/0/function_bindings/2/function_key"]);
    check(at, binding("total", "text.tools"), &["/classes/0/function_bindings/2/function_key"]);
    check("/classes/1", json!({"key": "Cart"}), &["/classes/1/key"]);
    check(
        "/classes/0/state_spec",
        json!({"key_specs": [{"name": "a"}, {"name": "a"}]}),
        &["/classes/0/state_spec/key_specs/1/name"],
    );
    check("/classes/0/options", json!({"": ""}), &["/classes/0/options/"]);
}

#[test]
fn checks_functions() {
    let at = "/functions/1/provision_config";
    for (config, field) in [
        (json!({"port": 0}), "port"),
        (json!({"cpu_request": "1x"}), "cpu_request"),
        (json!({"cpu_limit": ""}), "cpu_limit"),
        (json!({"memory_request": "2Gi", "memory_limit": "1Gi"}), "memory_request"),
        (json!({"memory_limit": "-1"}), "memory_limit"),
        (json!({"min_scale": 2, "max_scale": 1}), "min_scale"),
        (json!({"max_scale": 1_000_000}), "max_scale"),
        (json!({"container_image": "a b"}), "container_image"),
        (json!({"wasm_module_url": ""}), "wasm_module_url"),
    ] {
        check(at, config, &[&format!("{at}/{field}")]);
    }
    check("/functions/1/config", json!({"A=B": "x"}), &["/functions/1/config/A=B"]);
    check("/functions/1/config", json!({"A": "x\u{0}"}), &["/functions/1/config/A"]);
}

#[test]
fn checks_secrets() {
    let at = "/functions/1/secrets";
    let secret = json!({"name": "db", "key": "password"});
    check(at, json!({"DB_PASSWORD": secret, "db.user": secret}), &[]);
    check(at, json!({"A=B": secret}), &["/functions/1/secrets/A=B"]);
    check(at, json!({"": secret}), &["/functions/1/secrets/"]);
    let many: serde_json::Map<_, _> =
        (0..=MAX_ENTRIES).map(|n| (format!("V{n}"), secret.clone())).collect();
    check(at, many.into(), &[at]);
    let both = json!({"key": "f", "config": {"A": "x"}, "secrets": {"A": secret}});
    check("/functions/1", both, &["/functions/1/secrets/A"]);
    let over = json!([{"function_key": "add", "config": {"A": "x"}, "secrets": {"A": secret}}]);
    check("/deployments/0/functions", over, &["/deployments/0/functions/0/secrets/A"]);
}

#[test]
fn checks_deployments() {
    let at = "/deployments/0";
    for (field, value, want) in [
        ("package_version", json!("newest"), "/package_version"),
        ("package_version", json!(""), "/package_version"),
        ("package_version", json!("^1.x.2.3"), "/package_version"),
        ("target_envs", json!(["a", "b", "a"]), "/target_envs/2"),
        ("available_envs", json!(["a", "a"]), "/available_envs/1"),
        ("excluded_envs", json!(["a", "a"]), "/excluded_envs/1"),
        ("env_templates", json!({"a": ""}), "/env_templates/a"),
        ("nfr_requirements", json!({"availability": 1.01}), "/nfr_requirements/availability"),
        ("nfr_requirements", json!({"availability": -0.1}), "/nfr_requirements/availability"),
        (
            "nfr_requirements",
            json!({"min_throughput_rps": 0}),
            "/nfr_requirements/min_throughput_rps",
        ),
        (
            "nfr_requirements",
            json!({"cpu_utilization_target": 70}),
            "/nfr_requirements/cpu_utilization_target",
        ),
        ("odgm", json!({"partition_count": 0}), "/odgm/partition_count"),
        ("odgm", json!({"replica_count": 65}), "/odgm/replica_count"),
        ("odgm", json!({"partition_count": 4096, "replica_count": 5}), "/odgm/partition_count"),
        ("odgm", json!({"collections": ["a", "a"]}), "/odgm/collections/1"),
        ("odgm", json!({"env_node_ids": {"a": [1, 2, 1]}}), "/odgm/env_node_ids/a"),
        ("odgm", json!({"shard_type": ""}), "/odgm/shard_type"),
        ("telemetry", json!({"sampling_rate": 2.0}), "/telemetry/sampling_rate"),
        ("telemetry", json!({"service_name": "a\nb"}), "/telemetry/service_name"),
        (
            "functions",
            json!([{"function_key": "a"}, {"function_key": "a"}]),
            "/functions/1/function_key",
        ),
        (
            "functions",
            json!([{"function_key": "a", "qos_requirement": {"availability": 2.0}}]),
            "/functions/0/qos_requirement/availability",
        ),
        (
            "functions",
            json!([{"function_key": "a", "provision_config": {"port": 0}}]),
            "/functions/0/provision_config/port",
        ),
        ("class_key", json!("Kart"), "/class_key"),
        ("package_name", json!("other"), "/package_name"),
    ] {
        check(&format!("{at}/{field}"), value, &[&format!("{at}{want}")]);
    }
    for valid in [0.0, 0.999, 1.0] {
        check(&format!("{at}/nfr_requirements"), json!({"availability": valid}), &[]);
    }
    check(&format!("{at}/package_version"), json!(">=1, <3"), &[]);
    // Of another version, perhaps, which has it.
    let pinned =
        json!({"key": "a", "package_name": "shop", "class_key": "X", "package_version": "1"});
    check("/deployments/1", pinned, &[]);
    let inline = json!({"key": "shop.cart", "package_name": "shop", "class_key": "Cart"});
    check("/deployments/1", inline, &["/deployments/1/key"]);
}

/// Not a number is not a share; JSON cannot write it, YAML can.
#[test]
fn refuses_what_is_not_finite() {
    let mut deployment: OClassDeployment =
        serde_json::from_value(json!({"key": "a", "package_name": "b", "class_key": "C"})).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        deployment.nfr_requirements.availability = Some(value);
        let violations = super::deployment(&deployment);
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].pointer, "/nfr_requirements/availability");
    }
}

#[test]
fn what_is_deployed_has_its_code() {
    let at = "/functions/0";
    let function = |kind: &str, config: Value| json!({"key": "deployed", "function_type": kind, "provision_config": config});
    for (function, over, want) in [
        (function("CUSTOM", json!({})), json!({}), Some("container_image")),
        (function("CUSTOM", json!({"wasm_module_url": "b"})), json!({}), Some("container_image")),
        (function("CUSTOM", json!({"container_image": "a"})), json!({}), None),
        (function("CUSTOM", json!({})), json!({"container_image": "a"}), None),
        (function("WASM", json!({"container_image": "a"})), json!({}), Some("wasm_module_url")),
        (function("WASM", json!({"wasm_module_url": "b"})), json!({}), None),
        (function("BUILTIN", json!({})), json!({}), None),
        (function("MACRO", json!({})), json!({}), None),
        (function("LOGICAL", json!({})), json!({}), None),
        (function("LOGICAL", json!({"max_scale": 2})), json!({"min_scale": 3}), Some("min_scale")),
        (function("LOGICAL", json!({"min_scale": 3})), json!({"max_scale": 2}), Some("min_scale")),
        (function("LOGICAL", json!({"min_scale": 3})), json!({"max_scale": 3}), None),
    ] {
        let package = json!({
            "name": "shop",
            "classes": [{
                "key": "Cart",
                "function_bindings": [{"name": "a", "function_key": "deployed"}],
            }],
            "functions": [function],
        });
        let deployment = json!({
            "key": "a", "package_name": "shop", "class_key": "Cart",
            "functions": [{"function_key": "deployed", "provision_config": over}],
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        let flaws = deployable(&serde_json::from_value(package.clone()).unwrap(), &deployment);
        let got: Vec<&str> = flaws.iter().map(|flaw| flaw.pointer.as_str()).collect();
        let want: Vec<String> =
            want.iter().map(|field| format!("{at}/provision_config/{field}")).collect();
        assert_eq!(got, want, "{package}");
        // Not deployed, it may still lack what it needs to run.
        assert_eq!(super::package(&serde_json::from_value(package).unwrap()), []);
    }
}

#[test]
fn lists_are_bounded() {
    let many = |n: usize| (0..n).map(|i| (format!("k{i}"), json!("v"))).collect::<Value>();
    check("/labels", many(MAX_ENTRIES), &[]);
    check("/labels", many(MAX_ENTRIES + 1), &["/labels"]);
    check("/labels", json!({"a": "x".repeat(40_000)}), &["/labels/a"]);
    let envs: Vec<String> = (0..=MAX_ENTRIES).map(|i| format!("c{i}")).collect();
    check("/deployments/0/target_envs", json!(envs), &["/deployments/0/target_envs"]);
    let deployments: Vec<Value> = (0..=MAX_INLINE_DEPLOYMENTS)
        .map(|i| json!({"key": format!("d{i}"), "package_name": "shop", "class_key": "Cart"}))
        .collect();
    check("/deployments", json!(deployments), &["/deployments"]);
}

#[test]
fn advises() {
    let over = |key: &str| json!({"function_key": key, "config": {"LEVEL": "debug"}});
    for (at, value, want) in [
        ("/version", json!("1.0"), None),
        ("/deployments/0/functions", json!([over("cart.add")]), None),
        (
            "/deployments/0/functions",
            json!([{"function_key": "cart.add", "provision_config": {}, "qos_requirement": {}}]),
            Some("/deployments/0/functions/0"),
        ),
        (
            "/deployments/0/functions",
            json!([over("cart.add"), over("cart.ad")]),
            Some("/deployments/0/functions/1/function_key"),
        ),
        ("/metadata", json!({"immutable": true}), Some("/metadata/immutable")),
        (
            "/functions/0/provision_config/wasm_fuel",
            json!(7),
            Some("/functions/0/provision_config/wasm_fuel"),
        ),
        (
            "/deployments/0/env_templates",
            json!({"elsewhere": "small"}),
            Some("/deployments/0/env_templates/elsewhere"),
        ),
        (
            "/deployments/0/odgm",
            json!({"env_node_ids": {"elsewhere": [1]}}),
            Some("/deployments/0/odgm/env_node_ids/elsewhere"),
        ),
        ("/deployments/0/available_envs", json!(["edge-1"]), Some("/deployments/0/available_envs")),
        ("/deployments/0/excluded_envs", json!(["edge-1"]), Some("/deployments/0/target_envs/0")),
        ("/deployments/0/telemetry", json!({"traces": true}), Some("/deployments/0/telemetry")),
        ("/deployments/0/telemetry", json!({"enabled": true, "traces": true}), None),
    ] {
        let mut document = shop();
        document["deployments"][0]["target_envs"] = json!(["edge-1"]);
        let (parent, field) = at.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[field] = value;
        let advice = package_advice(&serde_json::from_value(document).unwrap());
        let got: Vec<&str> = advice.iter().map(|warning| warning.pointer.as_str()).collect();
        assert_eq!(got, want.into_iter().collect::<Vec<_>>());
    }
}
