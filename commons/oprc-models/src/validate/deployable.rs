//! Whether a package holds all that a deployment of one of its classes needs.

use crate::{
    deployment::OClassDeployment,
    package::{FunctionType, OFunction, OPackage},
    pointer::{index, key},
    problem::Violation,
    text::{Quoted, closest},
};

/// What keeps `deployment` from running, as far as its package can tell.
///
/// Pointers go into the package, to the function; but for a class that is not there, which is
/// `/class_key` of the deployment. Functions of other packages are not looked at.
#[must_use]
pub fn deployable(package: &OPackage, deployment: &OClassDeployment) -> Vec<Violation> {
    let Some(class) = package.classes.iter().find(|class| class.key == deployment.class_key) else {
        let given = deployment.class_key.as_str();
        let hint = match closest(given, package.classes.iter().map(|class| class.key.as_str())) {
            Some(close) => format!("; did you mean {close}?"),
            None => String::new(),
        };
        let message = format!("no class {} in the package{hint}", Quoted(given));
        return vec![Violation::new("/class_key", message)];
    };
    let is_bound = |function: &OFunction| {
        class.function_bindings.iter().any(|binding| binding.function_key == function.key)
    };
    let functions = package.functions.iter().enumerate();
    let bound = functions.filter(|(_, function)| is_bound(function));
    bound.flat_map(|(i, function)| flaws(i, function, deployment)).collect()
}

/// What is wrong with the function at `i` as `deployment` would run it.
fn flaws(i: usize, function: &OFunction, deployment: &OClassDeployment) -> Vec<Violation> {
    let at = key(&index("/functions", i), "provision_config");
    let own = &function.provision_config;
    let overridden = deployment.functions.iter().find(|over| over.function_key == function.key);
    let over = overridden.and_then(|over| over.provision_config.as_ref());
    let has =
        |field: fn(&crate::package::ProvisionConfig) -> bool| field(own) || over.is_some_and(field);
    let name = &function.key;
    let class = &deployment.class_key;
    let needed = format_args!("class {class}, which binds it, is deployed");
    let mut flaws = Vec::new();
    match function.function_type {
        FunctionType::Custom if !has(|config| config.container_image.is_some()) => {
            let message = format!("CUSTOM function {name} has no container_image, but {needed}");
            flaws.push(Violation::new(key(&at, "container_image"), message));
        }
        FunctionType::Wasm if !has(|config| config.wasm_module_url.is_some()) => {
            let message = format!("WASM function {name} has no wasm_module_url, but {needed}");
            flaws.push(Violation::new(key(&at, "wasm_module_url"), message));
        }
        FunctionType::Custom
        | FunctionType::Wasm
        | FunctionType::Builtin
        | FunctionType::Macro
        | FunctionType::Logical => {}
    }
    let min = over.and_then(|over| over.min_scale);
    let max = over.and_then(|over| over.max_scale);
    // Both of one document were compared there.
    if min.is_some() != max.is_some()
        && let (Some(min), Some(max)) = (min.or(own.min_scale), max.or(own.max_scale))
        && min > max
    {
        let message = format!(
            "min_scale {min} is greater than max_scale {max}, with what the deployment of {class} \
             overrides"
        );
        flaws.push(Violation::new(key(&at, "min_scale"), message));
    }
    flaws
}
