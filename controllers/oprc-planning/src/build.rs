//! From a deployment and its package to the unit of one cluster: complete, so that who carries it
//! out has no choice left to make.

use std::collections::BTreeSet;

use oprc_models::{
    dependency::{Dependency, foreign_functions},
    deployment::{FunctionOverride, OClassDeployment},
    meta::{Stored, Timestamp},
    names::{ClusterName, Key, PackageName, UnitId},
    package::{OClass, OFunction, OPackage, ProvisionConfig},
    unit::{DeploymentUnit, Replicas, UnitFunction, UnitOdgmConfig},
};

/// What a deployment needs of its package before units can be made.
#[derive(Debug)]
pub struct Template<'a> {
    deployment: &'a Stored<OClassDeployment>,
    package: &'a OPackage,
    class: &'a OClass,
    functions: Vec<UnitFunction>,
}

/// Why no unit can be made of a deployment, for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Unresolved {
    #[error("package {package} does not exist")]
    PackageNotFound { package: PackageName },
    #[error("package {package} has no class {class}")]
    ClassNotFound { package: PackageName, class: Key },
    #[error("class {class} binds {function}, which neither {package} nor its dependencies have")]
    FunctionNotFound { package: PackageName, class: Key, function: Key },
    #[error("{}", .violations.join("; "))]
    NotDeployable { violations: Vec<String> },
}

impl Unresolved {
    /// The condition's reason, one word to branch on.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PackageNotFound { .. } => "PackageNotFound",
            Self::ClassNotFound { .. } => "ClassNotFound",
            Self::FunctionNotFound { .. } => "FunctionNotFound",
            Self::NotDeployable { .. } => "NotDeployable",
        }
    }
}

impl<'a> Template<'a> {
    /// Resolves `deployment` against the packages that `package` looks up.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] says what is missing; it may come later.
    pub fn resolve(
        deployment: &'a Stored<OClassDeployment>,
        package: impl Fn(&PackageName) -> Option<&'a OPackage>,
    ) -> Result<Self, Unresolved> {
        let spec = &deployment.spec;
        let name = &spec.package_name;
        let own =
            package(name).ok_or_else(|| Unresolved::PackageNotFound { package: name.clone() })?;
        let class =
            own.classes.iter().find(|class| class.key == spec.class_key).ok_or_else(|| {
                Unresolved::ClassNotFound { package: name.clone(), class: spec.class_key.clone() }
            })?;
        let violations = oprc_models::validate::deployable(own, spec);
        if !violations.is_empty() {
            let violations = violations.into_iter().map(|violation| violation.message).collect();
            return Err(Unresolved::NotDeployable { violations });
        }
        let mut functions = Vec::new();
        let mut seen = BTreeSet::new();
        for key in class.function_bindings.iter().map(|binding| &binding.function_key) {
            if !seen.insert(key) {
                continue;
            }
            let function = find_function(own, key, &package).ok_or_else(|| {
                let class = class.key.clone();
                Unresolved::FunctionNotFound { package: name.clone(), class, function: key.clone() }
            })?;
            let change = spec.functions.iter().find(|change| change.function_key == *key);
            functions.push(unit_function(key, function, change));
        }
        Ok(Self { deployment, package: own, class, functions })
    }

    /// The unit for `cluster`, at `generation`.
    #[must_use]
    pub fn unit(
        &self,
        cluster: &ClusterName,
        owner: &str,
        generation: u64,
        now: Timestamp,
    ) -> DeploymentUnit {
        let Stored { meta, spec } = self.deployment;
        let mut unit = DeploymentUnit {
            id: UnitId::derive(spec.class_key.as_str(), &meta.uid, cluster),
            deployment_key: spec.key.clone(),
            package_name: spec.package_name.clone(),
            class_key: spec.class_key.clone(),
            package_version: self.package.version.clone(),
            target_env: cluster.clone(),
            generation,
            spec_hash: String::new(),
            owner: owner.to_owned(),
            functions: self.functions.clone(),
            function_bindings: self.class.function_bindings.clone(),
            state_spec: self.class.state_spec.clone(),
            odgm_config: spec.odgm.as_ref().map(|odgm| UnitOdgmConfig {
                collections: odgm.collections.clone(),
                partition_count: odgm.partition_count.unwrap_or(1),
                replica_count: odgm.replica_count.unwrap_or(1),
                shard_type: odgm.shard_type.clone(),
                node_ids: odgm.env_node_ids.get(cluster).cloned().unwrap_or_default(),
                shard_assignments: Vec::new(),
                log: odgm.log.clone(),
                options: odgm.options.clone(),
            }),
            selected_template: spec.env_templates.get(cluster).cloned(),
            telemetry: spec.telemetry.clone(),
            nfr_requirements: spec.nfr_requirements.clone(),
            restart: meta.restart,
            created_at: now,
        };
        unit.spec_hash = unit.compute_spec_hash();
        unit
    }
}

/// The function that a binding of `own` names: its own, or `package.function` of a dependency.
fn find_function<'a>(
    own: &'a OPackage,
    key: &Key,
    package: &impl Fn(&PackageName) -> Option<&'a OPackage>,
) -> Option<&'a OFunction> {
    let find = |package: &'a OPackage, key: &str| {
        package.functions.iter().find(|function| function.key.as_str() == key)
    };
    find(own, key.as_str()).or_else(|| {
        let dependencies: Vec<_> =
            own.dependencies.iter().filter_map(|text| Dependency::parse(text).ok()).collect();
        let readings = foreign_functions(key, &dependencies).into_iter();
        let mut found = readings
            .filter_map(|(dependency, rest)| find(package(&dependency.name)?, rest.as_str()));
        found.next()
    })
}

fn unit_function(
    key: &Key,
    function: &OFunction,
    change: Option<&FunctionOverride>,
) -> UnitFunction {
    let mut provision_config = function.provision_config.clone();
    let mut config = function.config.clone();
    let mut secrets = function.secrets.clone();
    if let Some(change) = change {
        if let Some(over) = &change.provision_config {
            apply_override(&mut provision_config, over);
        }
        // A variable is one of both; the deployment's word is the last.
        secrets.retain(|name, _| !change.config.contains_key(name));
        config.retain(|name, _| !change.secrets.contains_key(name));
        config.extend(change.config.iter().map(|(name, value)| (name.clone(), value.clone())));
        secrets.extend(change.secrets.iter().map(|(name, at)| (name.clone(), at.clone())));
    }
    let min = provision_config.min_scale.unwrap_or(1);
    let max = provision_config.max_scale;
    let target = min.max(1).min(max.unwrap_or(u32::MAX));
    UnitFunction {
        key: key.clone(),
        function_type: function.function_type,
        replicas: Replicas { min: min.min(target), max, target },
        provision_config,
        config,
        secrets,
        qos_requirement: change.and_then(|change| change.qos_requirement.clone()),
        available_location: change.and_then(|change| change.available_location.clone()),
    }
}

/// Replaces the fields that `over` names. A flag or count at its default names nothing.
fn apply_override(config: &mut ProvisionConfig, over: &ProvisionConfig) {
    fn take<T: Clone>(field: &mut Option<T>, over: &Option<T>) {
        if over.is_some() {
            field.clone_from(over);
        }
    }
    take(&mut config.container_image, &over.container_image);
    take(&mut config.wasm_module_url, &over.wasm_module_url);
    take(&mut config.port, &over.port);
    take(&mut config.cpu_request, &over.cpu_request);
    take(&mut config.memory_request, &over.memory_request);
    take(&mut config.cpu_limit, &over.cpu_limit);
    take(&mut config.memory_limit, &over.memory_limit);
    take(&mut config.min_scale, &over.min_scale);
    take(&mut config.max_scale, &over.max_scale);
    take(&mut config.wasm_fuel, &over.wasm_fuel);
    if over.max_concurrency != 0 {
        config.max_concurrency = over.max_concurrency;
    }
    config.need_http2 |= over.need_http2;
}

#[cfg(test)]
mod tests;
