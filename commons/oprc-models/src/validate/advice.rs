//! What is allowed, and probably a mistake: warnings.

use super::{report::Report, secrets};
use crate::{
    deployment::OClassDeployment,
    package::OPackage,
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
    for (i, deployment) in package.deployments.iter().enumerate() {
        environments(&mut report, &index("/deployments", i), deployment);
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
    environments(&mut report, "", deployment);
    report.into_violations()
}

/// As [`deployment_advice`], with pointers into a document that holds the list under `deployments`.
#[must_use]
pub fn deployments_advice(list: &[OClassDeployment]) -> Vec<Violation> {
    let mut report = Report::default();
    for (i, deployment) in list.iter().enumerate() {
        environments(&mut report, &index("/deployments", i), deployment);
    }
    report.into_violations()
}

fn environments(report: &mut Report, at: &str, deployment: &OClassDeployment) {
    let at = key(at, "functions");
    for (i, function) in deployment.functions.iter().enumerate() {
        secrets::advise(report, &key(&index(&at, i), "config"), &function.config);
    }
}
