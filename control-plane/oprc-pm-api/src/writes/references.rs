//! What a document refers to and is not there. Never an error: pushes come in any order.

use oprc_models::{
    deployment::OClassDeployment, names::ClusterName, package::OPackage, problem::Violation,
};

use super::{
    package,
    view::{Found, View},
};

/// Warnings of one answer, at most.
const MAX_WARNINGS: usize = 100;

pub(super) fn of_package(view: &View<'_>, package: &OPackage) -> Vec<Violation> {
    let mut warnings = Vec::new();
    for (index, dependency) in package::dependencies(package) {
        let pointer = format!("/dependencies/{index}");
        match view.package_after(&dependency.name) {
            Found::Present(entry) if entry.value.meta.is_deleting() => {
                let message = format!("the package {} is being deleted", dependency.name);
                warnings.push(Violation::new(pointer, message));
            }
            Found::Present(entry) => {
                let version = entry.value.spec.version.as_deref();
                if !dependency.matches(version) {
                    let given = version.unwrap_or("none");
                    let message = format!("the version of {} is {given}", dependency.name);
                    warnings.push(Violation::new(pointer, message));
                }
            }
            Found::Absent => {
                let message = format!("there is no package {} yet", dependency.name);
                warnings.push(Violation::new(pointer, message));
            }
            Found::Unreadable(_) => {}
        }
    }
    for (index, deployment) in package.deployments.iter().enumerate() {
        clusters(view, &format!("/deployments/{index}"), deployment, &mut warnings);
    }
    warnings.truncate(MAX_WARNINGS);
    warnings
}

pub(super) fn of_deployment(
    view: &View<'_>,
    package: &Found<OPackage>,
    deployment: &OClassDeployment,
) -> Vec<Violation> {
    let mut warnings = Vec::new();
    let name = &deployment.package_name;
    match package {
        Found::Absent => {
            let message = format!("there is no package {name} yet");
            warnings.push(Violation::new("/package_name", message));
        }
        Found::Present(entry) if entry.value.meta.is_deleting() => {
            let message = format!("the package {name} is being deleted");
            warnings.push(Violation::new("/package_name", message));
        }
        Found::Present(entry) => {
            let class = &deployment.class_key;
            if !entry.value.spec.classes.iter().any(|there| there.key == *class) {
                let message = format!("the package {name} has no class {class} yet");
                warnings.push(Violation::new("/class_key", message));
            }
        }
        Found::Unreadable(_) => {}
    }
    clusters(view, "", deployment, &mut warnings);
    warnings.truncate(MAX_WARNINGS);
    warnings
}

fn clusters(
    view: &View<'_>,
    at: &str,
    deployment: &OClassDeployment,
    warnings: &mut Vec<Violation>,
) {
    let mut look = |field: &str, names: &[ClusterName]| {
        for (index, name) in names.iter().enumerate() {
            if !view.state.clusters.contains_key(name) {
                let message = format!("there is no cluster {name} yet");
                warnings.push(Violation::new(format!("{at}/{field}/{index}"), message));
            }
        }
    };
    look("target_envs", &deployment.target_envs);
    look("available_envs", &deployment.available_envs);
    look("excluded_envs", &deployment.excluded_envs);
}
