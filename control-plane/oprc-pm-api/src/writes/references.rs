//! What a document refers to and is not there. Never an error: pushes come in any order.

use oprc_models::{
    deployment::OClassDeployment,
    names::ClusterName,
    package::{OClass, OPackage},
    problem::Violation,
};
use oprc_planning::resolve::find;

use super::{
    decision::Push,
    package,
    prospect::Prospect,
    view::{Found, View},
};

/// Warnings of one answer, at most.
const MAX_WARNINGS: usize = 100;

pub(super) fn of_package(view: &View<'_>, push: &Push<'_, OPackage>) -> Vec<Violation> {
    let package = push.spec;
    let after = Prospect::of_push(view, push);
    let mut warnings = Vec::new();
    for (index, dependency) in package::dependencies(package) {
        let message = match view.package_after(&dependency.name) {
            Found::Present(entry) if entry.value.meta.is_deleting() => {
                format!("the package {} is being deleted", dependency.name)
            }
            Found::Present(_) => {
                match find(&after, &dependency.name, dependency.requirement.as_ref()) {
                    Ok(_) => continue,
                    Err(missing) => missing.to_string(),
                }
            }
            Found::Absent => format!("there is no package {} yet", dependency.name),
            Found::Unreadable(_) => continue,
        };
        warnings.push(Violation::new(format!("/dependencies/{index}"), message));
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
        Found::Present(_) => {
            let class = &deployment.class_key;
            let required = deployment.requirement().and_then(Result::ok);
            match find(&Prospect::of_view(view), name, required.as_ref()) {
                Ok(found) => match found.package.classes.iter().find(|it| it.key == *class) {
                    Some(found) => unbound(found, deployment, &mut warnings),
                    None => {
                        let message =
                            format!("the package {} has no class {class} yet", found.node);
                        warnings.push(Violation::new("/class_key", message));
                    }
                },
                Err(missing) => {
                    warnings.push(Violation::new("/package_version", missing.to_string()));
                }
            }
        }
        Found::Unreadable(_) => {}
    }
    clusters(view, "", deployment, &mut warnings);
    warnings.truncate(MAX_WARNINGS);
    warnings
}

/// Warns of overrides for functions that `class` does not bind.
fn unbound(class: &OClass, deployment: &OClassDeployment, warnings: &mut Vec<Violation>) {
    for (index, change) in deployment.functions.iter().enumerate() {
        let function = &change.function_key;
        if !class.function_bindings.iter().any(|binding| binding.function_key == *function) {
            let message = format!(
                "class {} does not bind {function}: overriding it changes nothing",
                class.key
            );
            warnings.push(Violation::new(format!("/functions/{index}/function_key"), message));
        }
    }
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
