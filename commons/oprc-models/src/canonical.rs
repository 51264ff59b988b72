//! Sameness of documents: the order of lists whose elements have a unique key does not count, nor do
//! defaults that are written out.
//!
//! What is stored and sent keeps the order in which it was written. Only comparisons and hashes use
//! the canonical form.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    dependency::Dependency,
    deployment::{FunctionOverride, OClassDeployment, OdgmConfig},
    is_default,
    package::{OClass, OPackage, ProvisionConfig, StateSpec},
    role::RoleBinding,
    unit::{DEFAULT_PARTITIONS, DEFAULT_REPLICAS, DEFAULT_SCALE, DeploymentUnit},
};

/// A document that can be written in several ways that mean the same.
pub trait Canonical: Clone + PartialEq {
    /// Removes defaults that are written out. The order of lists stays.
    fn drop_defaults(&mut self);

    /// Sorts lists whose elements have a unique key by that key.
    fn sort_sets(&mut self);

    /// The one form of all that mean the same.
    #[must_use]
    fn canonical(&self) -> Self {
        let mut canonical = self.clone();
        canonical.drop_defaults();
        canonical.sort_sets();
        canonical
    }

    /// Whether both mean the same.
    fn is_same(&self, other: &Self) -> bool {
        self == other || self.canonical() == other.canonical()
    }
}

impl Canonical for OPackage {
    fn drop_defaults(&mut self) {
        for function in &mut self.functions {
            provision(&mut function.provision_config);
        }
        self.deployments.iter_mut().for_each(Canonical::drop_defaults);
    }

    fn sort_sets(&mut self) {
        self.functions.sort_by(|one, other| one.key.cmp(&other.key));
        self.classes.sort_by(|one, other| one.key.cmp(&other.key));
        self.classes.iter_mut().for_each(sort_class);
        self.dependencies.sort_by(|one, other| package_of(one).cmp(package_of(other)));
        self.deployments.sort_by(|one, other| one.key.cmp(&other.key));
        self.deployments.iter_mut().for_each(Canonical::sort_sets);
    }
}

impl Canonical for OClassDeployment {
    fn drop_defaults(&mut self) {
        self.functions.iter_mut().for_each(override_defaults);
        if let Some(odgm) = &mut self.odgm {
            odgm_defaults(odgm);
        }
    }

    fn sort_sets(&mut self) {
        for list in [&mut self.target_envs, &mut self.available_envs, &mut self.excluded_envs] {
            list.sort();
        }
        self.functions.sort_by(|one, other| one.function_key.cmp(&other.function_key));
        if let Some(odgm) = &mut self.odgm {
            odgm.collections.sort();
            odgm.env_node_ids.values_mut().for_each(|ids| ids.sort_unstable());
        }
    }
}

impl Canonical for RoleBinding {
    fn drop_defaults(&mut self) {}

    fn sort_sets(&mut self) {
        self.subjects.sort();
        self.groups.sort();
        self.packages.sort();
    }
}

impl Canonical for DeploymentUnit {
    fn drop_defaults(&mut self) {
        for function in &mut self.functions {
            provision(&mut function.provision_config);
            function.qos_requirement.take_if(|qos| is_default(qos));
        }
    }

    fn sort_sets(&mut self) {
        self.functions.sort_by(|one, other| one.key.cmp(&other.key));
        self.function_bindings.sort_by(|one, other| one.name.cmp(&other.name));
        self.state_spec.iter_mut().for_each(sort_state);
        if let Some(odgm) = &mut self.odgm_config {
            odgm.collections.sort();
            odgm.node_ids.sort_unstable();
        }
    }
}

/// Of a package's function, and of one in a unit: those of an override say something.
fn provision(config: &mut ProvisionConfig) {
    config.min_scale.take_if(|min| *min == DEFAULT_SCALE);
}

fn override_defaults(function: &mut FunctionOverride) {
    function.provision_config.take_if(|config| is_default(config));
    function.qos_requirement.take_if(|qos| is_default(qos));
}

fn odgm_defaults(odgm: &mut OdgmConfig) {
    odgm.partition_count.take_if(|count| *count == DEFAULT_PARTITIONS);
    odgm.replica_count.take_if(|count| *count == DEFAULT_REPLICAS);
    odgm.env_node_ids.retain(|_, ids| !ids.is_empty());
}

fn sort_class(class: &mut OClass) {
    class.function_bindings.sort_by(|one, other| one.name.cmp(&other.name));
    class.state_spec.iter_mut().for_each(sort_state);
}

fn sort_state(state: &mut StateSpec) {
    state.key_specs.sort_by(|one, other| one.name.cmp(&other.name));
}

/// The package that a dependency names.
fn package_of(dependency: &str) -> &str {
    dependency.split_once('@').map_or(dependency, |(name, _)| name).trim()
}

/// What tells the elements of the list under `field` apart, if they are told apart by a key: for
/// comparing documents as JSON.
pub(crate) fn identity<'v>(field: &str, element: &'v Value) -> Option<Cow<'v, str>> {
    let member = |name: &str| element.get(name).and_then(Value::as_str).map(Cow::Borrowed);
    match field {
        "classes" | "deployments" => member("key"),
        "functions" => member("key").or_else(|| member("function_key")),
        "function_bindings" | "key_specs" => member("name"),
        "dependencies" => {
            let text = element.as_str()?;
            Some(match Dependency::parse(text) {
                Ok(dependency) => dependency.name.as_str().to_owned().into(),
                Err(_) => text.into(),
            })
        }
        "target_envs" | "available_envs" | "excluded_envs" | "collections" | "subjects"
        | "groups" | "packages" => element.as_str().map(Cow::Borrowed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
