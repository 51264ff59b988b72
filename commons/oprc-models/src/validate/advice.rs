//! What is allowed, and probably a mistake: warnings.

use super::{report::Report, secrets};
use crate::{
    deployment::{FunctionOverride, OClassDeployment, TelemetryConfig},
    is_default,
    names::ClusterName,
    package::{FunctionType, OFunction, OPackage},
    pointer::{index, key},
    problem::Violation,
    text::{Quoted, closest},
};

/// What to say of a valid package all the same.
#[must_use]
pub fn package_advice(package: &OPackage) -> Vec<Violation> {
    let mut report = Report::default();
    for (i, function) in package.functions.iter().enumerate() {
        secrets::advise(&mut report, &key(&index("/functions", i), "config"), &function.config);
    }
    if package.metadata.immutable && package.version.is_none() {
        report.add("/metadata/immutable", "has no effect: the package has no version");
    }
    for (i, function) in package.functions.iter().enumerate() {
        provision(&mut report, &index("/functions", i), function);
    }
    for (i, deployment) in package.deployments.iter().enumerate() {
        fields(&mut report, &index("/deployments", i), deployment);
        if deployment.package_version.is_some() {
            continue;
        }
        let class = package.classes.iter().find(|class| class.key == deployment.class_key);
        let bindings = class.map(|class| class.function_bindings.as_slice()).unwrap_or_default();
        let at = key(&index("/deployments", i), "functions");
        for (j, function) in deployment.functions.iter().enumerate() {
            let function = &function.function_key;
            if bindings.iter().any(|binding| binding.function_key == *function) || report.is_full()
            {
                continue;
            }
            let bound = bindings.iter().map(|binding| binding.function_key.as_str());
            let hint = match closest(function.as_str(), bound) {
                Some(close) => format!("; did you mean {close}?"),
                None => String::new(),
            };
            let class = &deployment.class_key;
            let message = format_args!(
                "class {class} does not bind {}: overriding it changes nothing{hint}",
                Quoted(function.as_str())
            );
            report.add(key(&index(&at, j), "function_key"), message);
        }
    }
    report.into_violations()
}

/// What to say of a valid deployment all the same.
#[must_use]
pub fn deployment_advice(deployment: &OClassDeployment) -> Vec<Violation> {
    let mut report = Report::default();
    fields(&mut report, "", deployment);
    report.into_violations()
}

/// As [`deployment_advice`], with pointers into a document that holds the list under `deployments`.
#[must_use]
pub fn deployments_advice(list: &[OClassDeployment]) -> Vec<Violation> {
    let mut report = Report::default();
    for (i, deployment) in list.iter().enumerate() {
        fields(&mut report, &index("/deployments", i), deployment);
    }
    report.into_violations()
}

/// Warns of fields of a function that nothing reads, given its type.
fn provision(report: &mut Report, at: &str, function: &OFunction) {
    let config = &function.provision_config;
    let is_wasm = function.function_type == FunctionType::Wasm;
    let idle = [
        ("container_image", is_wasm && config.container_image.is_some(), "is WASM"),
        ("wasm_module_url", !is_wasm && config.wasm_module_url.is_some(), "is not WASM"),
        ("wasm_fuel", !is_wasm && config.wasm_fuel.is_some(), "is not WASM"),
    ];
    for (field, is_idle, why) in idle {
        if is_idle {
            let at = key(&key(at, "provision_config"), field);
            report.add(at, format_args!("has no effect: the function {why}"));
        }
    }
}

/// Warns of fields of a deployment that have no effect beside the others, and of literal secrets.
fn fields(report: &mut Report, at: &str, deployment: &OClassDeployment) {
    let OClassDeployment { target_envs, available_envs, excluded_envs, .. } = deployment;
    if !target_envs.is_empty() && !available_envs.is_empty() {
        let message = "has no effect: target_envs says exactly where the deployment runs";
        report.add(key(at, "available_envs"), message);
    }
    for (i, cluster) in target_envs.iter().enumerate() {
        if excluded_envs.contains(cluster) {
            let at = index(&key(at, "target_envs"), i);
            report.add(at, format_args!("has no effect: {cluster} is in excluded_envs too"));
        }
    }
    let may_run_on = |cluster: &ClusterName| {
        let allowed = if target_envs.is_empty() { available_envs } else { target_envs };
        (allowed.is_empty() || allowed.contains(cluster)) && !excluded_envs.contains(cluster)
    };
    let nodes = deployment.odgm.iter().flat_map(|odgm| odgm.env_node_ids.keys());
    let nodes = nodes.map(|cluster| (key(&key(at, "odgm"), "env_node_ids"), cluster));
    let templates = deployment.env_templates.keys();
    let templates = templates.map(|cluster| (key(at, "env_templates"), cluster));
    for (at, cluster) in templates.chain(nodes).filter(|(_, cluster)| !may_run_on(cluster)) {
        let message = format_args!("has no effect: the deployment does not run on {cluster}");
        report.add(key(&at, cluster.as_str()), message);
    }
    if let Some(telemetry) = deployment.telemetry.as_ref().filter(|it| !it.enabled) {
        let idle = TelemetryConfig { enabled: true, ..telemetry.clone() }
            != TelemetryConfig { enabled: true, ..TelemetryConfig::default() };
        if idle {
            let message = "has no effect: want enabled: true";
            report.add(key(at, "telemetry"), message);
        }
    }
    let at = key(at, "functions");
    for (i, function) in deployment.functions.iter().enumerate() {
        let at = index(&at, i);
        secrets::advise(report, &key(&at, "config"), &function.config);
        let FunctionOverride {
            function_key: _,
            description: _,
            available_location,
            qos_requirement,
            provision_config,
            config,
            secrets,
        } = function;
        let says_nothing = available_location.is_none()
            && qos_requirement.as_ref().is_none_or(is_default)
            && provision_config.as_ref().is_none_or(is_default)
            && config.is_empty()
            && secrets.is_empty();
        if says_nothing {
            report.add(at, "has no effect: it overrides nothing");
        }
    }
}
