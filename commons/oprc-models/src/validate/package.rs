//! The rules of packages.

use std::collections::BTreeSet;

use super::{
    MAX_CLASSES, MAX_DEPENDENCIES, MAX_ENTRIES, MAX_FUNCTIONS, MAX_INLINE_DEPLOYMENTS,
    deployable::deployable, deployment, provision, report::Report, secrets,
};
use crate::{
    dependency::{Dependency, foreign_functions},
    package::{OClass, OPackage},
    pointer::{index, key},
    text::{Quoted, closest},
};

pub(super) fn check(report: &mut Report, package: &OPackage) {
    // Beyond these, comparing everything with everything takes too long to be worth it.
    let counts = [
        report.count("/classes", package.classes.len(), MAX_CLASSES),
        report.count("/dependencies", package.dependencies.len(), MAX_DEPENDENCIES),
        report.count("/deployments", package.deployments.len(), MAX_INLINE_DEPLOYMENTS),
        report.count("/functions", package.functions.len(), MAX_FUNCTIONS),
    ];
    if counts.contains(&false) {
        return;
    }
    if let Some(version) = &package.version {
        report.version("/version", version);
    }
    report.words("/metadata/tags", &package.metadata.tags);
    report.settings("/labels", &package.labels);
    report.unique("/functions", "key", package.functions.iter().map(|f| f.key.as_str()));
    for (i, function) in package.functions.iter().enumerate() {
        let at = index("/functions", i);
        provision::check(report, &key(&at, "provision_config"), &function.provision_config);
        report.environment(&key(&at, "config"), &function.config);
        secrets::check(report, &key(&at, "secrets"), &function.secrets, &function.config);
    }
    let dependencies = dependencies(report, package);
    report.unique("/classes", "key", package.classes.iter().map(|class| class.key.as_str()));
    let functions: BTreeSet<&str> = package.functions.iter().map(|f| f.key.as_str()).collect();
    for (i, class) in package.classes.iter().enumerate() {
        check_class(report, &index("/classes", i), class, &functions, &dependencies);
    }
    inline_deployments(report, package);
}

/// Checks the dependencies and returns those that parse.
fn dependencies(report: &mut Report, package: &OPackage) -> Vec<Dependency> {
    let mut parsed: Vec<Dependency> = Vec::new();
    for (i, text) in package.dependencies.iter().enumerate() {
        let at = index("/dependencies", i);
        let dependency = match Dependency::parse(text) {
            Ok(dependency) => dependency,
            Err(error) => {
                report.add(at, error);
                continue;
            }
        };
        if dependency.name == package.name {
            report.add(at, "a package cannot depend on itself");
        } else if parsed.iter().any(|earlier| earlier.name == dependency.name) {
            let message = format_args!("{} is already a dependency", dependency.name);
            report.add(at, message);
        } else {
            parsed.push(dependency);
        }
    }
    parsed
}

fn check_class(
    report: &mut Report,
    at: &str,
    class: &OClass,
    functions: &BTreeSet<&str>,
    dependencies: &[Dependency],
) {
    report.settings(&key(at, "options"), &class.options);
    if let Some(state) = &class.state_spec {
        let at = key(&key(at, "state_spec"), "key_specs");
        report.count(&at, state.key_specs.len(), MAX_ENTRIES);
        report.unique(&at, "name", state.key_specs.iter().map(|spec| spec.name.as_str()));
        for (i, spec) in state.key_specs.iter().enumerate() {
            report.word(&key(&index(&at, i), "name"), &spec.name);
        }
    }
    let at = key(at, "function_bindings");
    let bindings = &class.function_bindings;
    report.count(&at, bindings.len(), MAX_ENTRIES);
    report.unique(&at, "name", bindings.iter().map(|binding| binding.name.as_str()));
    for (i, binding) in bindings.iter().enumerate() {
        let at = index(&at, i);
        report.word(&key(&at, "name"), &binding.name);
        report.words(&key(&at, "parameters"), &binding.parameters);
        let function = &binding.function_key;
        let is_known = functions.contains(function.as_str())
            || !foreign_functions(function, dependencies).is_empty();
        if !is_known && !report.is_full() {
            let hint = match closest(function.as_str(), functions.iter().copied()) {
                Some(close) => format!("; did you mean {close}?"),
                None => String::new(),
            };
            let message = format_args!(
                "no function {} in this package: want one of its own, or `package.function` of a \
                 declared dependency{hint}",
                Quoted(function.as_str())
            );
            report.add(key(&at, "function_key"), message);
        }
    }
}

fn inline_deployments(report: &mut Report, package: &OPackage) {
    let list = &package.deployments;
    deployment::check_list(report, list);
    let mut told = BTreeSet::new();
    for (i, deployment) in list.iter().enumerate() {
        let at = index("/deployments", i);
        if deployment.package_name != package.name {
            let message = format_args!(
                "want {}: a package declares deployments of its own classes alone",
                package.name
            );
            report.add(key(&at, "package_name"), message);
            continue;
        }
        if deployment.package_version.is_some() {
            // It may be of another version than this.
            continue;
        }
        for flaw in deployable(package, deployment) {
            // What is wrong with a function is told once, however many deployments need it.
            if flaw.pointer == "/class_key" {
                report.add(format!("{at}{}", flaw.pointer), flaw.message);
            } else if told.insert(flaw.pointer.clone()) {
                report.add(flaw.pointer, flaw.message);
            }
        }
    }
}
