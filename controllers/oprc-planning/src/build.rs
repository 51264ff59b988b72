//! From a deployment and its package to the unit of one cluster: complete, so that who carries it
//! out has no choice left to make.

use std::collections::{BTreeMap, BTreeSet};

use oprc_models::{
    dependency::foreign_functions,
    deployment::{FunctionOverride, OClassDeployment, OdgmConfig},
    meta::{Stored, Timestamp},
    names::{ClusterName, Key, UnitId},
    package::{FunctionBinding, OFunction, OPackage, ProvisionConfig, StateSpec},
    unit::{
        DEFAULT_PARTITIONS, DEFAULT_REPLICAS, DEFAULT_SCALE, DeploymentUnit, Replicas,
        UnitFunction, UnitOdgmConfig,
    },
};

use crate::resolve::{Found, Node, NotFound, Packages, find, needs};

/// What a deployment needs of its package before units can be made.
#[derive(Debug)]
pub struct Template<'a> {
    deployment: &'a Stored<OClassDeployment>,
    package_version: Option<String>,
    bindings: Vec<FunctionBinding>,
    state_spec: Option<StateSpec>,
    options: BTreeMap<String, String>,
    functions: Vec<UnitFunction>,
}

/// Why no unit can be made of a deployment, for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Unresolved {
    #[error(transparent)]
    NotFound(NotFound),
    #[error("package {package} has no class {class}")]
    ClassNotFound { package: Node, class: Key },
    #[error("class {class} binds {function}, which neither {package} nor its dependencies have")]
    FunctionNotFound { package: Node, class: Key, function: Key },
    #[error("class {class} binds {function}: {missing}")]
    DependencyNotFound { class: Key, function: Key, missing: NotFound },
    #[error("{}", .violations.join("; "))]
    NotDeployable { violations: Vec<String> },
}

impl Unresolved {
    /// The condition's reason, one word to branch on.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(NotFound::Package(_)) => "PackageNotFound",
            Self::NotFound(NotFound::Version { .. }) => "VersionNotFound",
            Self::ClassNotFound { .. } => "ClassNotFound",
            Self::FunctionNotFound { .. } => "FunctionNotFound",
            Self::DependencyNotFound { .. } => "DependencyNotResolved",
            Self::NotDeployable { .. } => "NotDeployable",
        }
    }
}

/// The package that `deployment` is of: what it is now, or the highest version that is pinned.
fn package_of<'a>(
    deployment: &OClassDeployment,
    packages: &impl Packages<'a>,
) -> Result<Found<'a>, NotFound> {
    let name = &deployment.package_name;
    match deployment.requirement() {
        None => find(packages, name, None),
        Some(Ok(requirement)) => find(packages, name, Some(&requirement)),
        // Written by a version that knows more of requirements.
        Some(Err(_)) => Err(NotFound::Version {
            package: name.clone(),
            requirement: deployment.package_version.clone().unwrap_or_default(),
            there: packages.versions(name),
        }),
    }
}

impl<'a> Template<'a> {
    /// Resolves `deployment` against what `packages` looks up.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] says what is missing; it may come later.
    pub fn resolve<'p>(
        deployment: &'a Stored<OClassDeployment>,
        packages: &impl Packages<'p>,
    ) -> Result<Self, Unresolved> {
        let spec = &deployment.spec;
        let Found { node, package: own } =
            package_of(spec, packages).map_err(Unresolved::NotFound)?;
        let class =
            own.classes.iter().find(|class| class.key == spec.class_key).ok_or_else(|| {
                Unresolved::ClassNotFound { package: node.clone(), class: spec.class_key.clone() }
            })?;
        let violations = oprc_models::validate::deployable(&own, spec);
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
            let change = spec.functions.iter().find(|change| change.function_key == *key);
            let made =
                with_function(&own, key, packages, |function| unit_function(key, function, change));
            functions.push(made.map_err(|missing| {
                let (class, function) = (class.key.clone(), key.clone());
                match missing {
                    Some(missing) => Unresolved::DependencyNotFound { class, function, missing },
                    None => Unresolved::FunctionNotFound { package: node.clone(), class, function },
                }
            })?);
        }
        Ok(Self {
            deployment,
            package_version: own.version.clone(),
            bindings: class.function_bindings.clone(),
            state_spec: class.state_spec.clone(),
            options: class.options.clone(),
            functions,
        })
    }

    /// The version of the package that it resolved to, as it was written.
    #[must_use]
    pub fn package_version(&self) -> Option<&str> {
        self.package_version.as_deref()
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
            package_version: self.package_version.clone(),
            target_env: cluster.clone(),
            generation,
            spec_hash: String::new(),
            owner: owner.to_owned(),
            functions: self.functions.clone(),
            function_bindings: self.bindings.clone(),
            state_spec: self.state_spec.clone(),
            odgm_config: self.odgm_config(cluster),
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

impl Template<'_> {
    /// How objects are kept on `cluster`: as the deployment says, with its options over those of the
    /// class. `None` if neither says anything.
    fn odgm_config(&self, cluster: &ClusterName) -> Option<UnitOdgmConfig> {
        let unset = OdgmConfig::default();
        let odgm = match &self.deployment.spec.odgm {
            Some(odgm) => odgm,
            None if self.options.is_empty() => return None,
            None => &unset,
        };
        let mut options = self.options.clone();
        options.extend(odgm.options.iter().map(|(name, value)| (name.clone(), value.clone())));
        Some(UnitOdgmConfig {
            collections: odgm.collections.clone(),
            partition_count: odgm.partition_count.unwrap_or(DEFAULT_PARTITIONS),
            replica_count: odgm.replica_count.unwrap_or(DEFAULT_REPLICAS),
            shard_type: odgm.shard_type.clone(),
            node_ids: odgm.env_node_ids.get(cluster).cloned().unwrap_or_default(),
            shard_assignments: Vec::new(),
            log: odgm.log.clone(),
            options,
        })
    }
}

/// What `make` makes of the function that a binding of `own` names: its own, or `package.function` of
/// the version that a dependency resolves to. Else which dependency does not, if one of that name.
fn with_function<'p, T>(
    own: &OPackage,
    key: &Key,
    packages: &impl Packages<'p>,
    make: impl Fn(&OFunction) -> T,
) -> Result<T, Option<NotFound>> {
    fn of<'f>(package: &'f OPackage, key: &str) -> Option<&'f OFunction> {
        package.functions.iter().find(|function| function.key.as_str() == key)
    }
    if let Some(function) = of(own, key.as_str()) {
        return Ok(make(function));
    }
    let mut missing = None;
    let (dependencies, found): (Vec<_>, Vec<_>) = needs(packages, own).unzip();
    for (dependency, rest) in foreign_functions(key, &dependencies) {
        let index = dependencies.iter().position(|other| other == dependency);
        match index.and_then(|index| found.get(index)) {
            Some(Ok(found)) => {
                if let Some(function) = of(&found.package, rest.as_str()) {
                    return Ok(make(function));
                }
            }
            Some(Err(error)) => missing = missing.or(Some(error.clone())),
            None => {}
        }
    }
    Err(missing)
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
    let min = provision_config.min_scale.unwrap_or(DEFAULT_SCALE);
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
