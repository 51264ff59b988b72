//! Deployments: which class runs where, and how available it must be.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    dependency::parse_requirement,
    is_default,
    names::{ClusterName, DeploymentKey, Key, MAX_NAME_BYTES, PackageName},
    package::ProvisionConfig,
    secret::SecretRef,
    unit::{DEFAULT_PARTITIONS, DEFAULT_REPLICAS},
    validate::{MAX_ENTRIES, MAX_PARTITIONS, MAX_REPLICAS},
    version::Requirement,
};

/// A deployment as people write it. `condition`, `status`, `created_at` and `updated_at` are the
/// system's and ignored on input.
///
/// Inline in a package, `key` and `package_name` may be left out; validation fills them in, so a
/// stored deployment always has both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OClassDeployment {
    /// Its key.
    pub key: DeploymentKey,
    /// The package of its class.
    pub package_name: PackageName,
    /// The versions of the package that will do, a semver requirement: the highest of them is
    /// deployed. None: what the package is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub package_version: Option<String>,
    /// The class.
    pub class_key: Key,
    /// Exactly these clusters; empty: placed automatically.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), extend("uniqueItems" = true))]
    pub target_envs: Vec<ClusterName>,
    /// Clusters that automatic placement may use; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), extend("uniqueItems" = true))]
    pub available_envs: Vec<ClusterName>,
    /// Clusters that it must not use, whatever the other two say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), extend("uniqueItems" = true))]
    pub excluded_envs: Vec<ClusterName>,
    /// How available and fast it must be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nfr_requirements: NfrRequirements,
    /// The CRM template to use, by cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub env_templates: BTreeMap<ClusterName, String>,
    /// Overrides for single functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES))]
    pub functions: Vec<FunctionOverride>,
    /// How the class's objects are kept and sharded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odgm: Option<OdgmConfig>,
    /// What it reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetryConfig>,
    /// Labels to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub labels: BTreeMap<String, String>,
}

impl OClassDeployment {
    /// The versions of the package that will do; else why that cannot be told.
    #[must_use]
    pub fn requirement(&self) -> Option<Result<Requirement, String>> {
        let text = self.package_version.as_deref()?;
        Some(parse_requirement(text).map_err(|(given, reason)| {
            format!(
                "{given} is not a semver requirement ({reason}): want for example ^1.2 or =1.0.0"
            )
        }))
    }
}

/// Non-functional requirements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NfrRequirements {
    /// Requests a second, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_throughput_rps: Option<u32>,
    /// Share of time that it is up, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub availability: Option<f64>,
    /// Share of the processor that scaling aims at, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cpu_utilization_target: Option<f64>,
}

/// What a deployment says differently about one function of its class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionOverride {
    /// The function.
    pub function_key: Key,
    /// What it does here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it may run: a word for the CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub available_location: Option<String>,
    /// How fast and available it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_requirement: Option<NfrRequirements>,
    /// Replaces the fields that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_config: Option<ProvisionConfig>,
    /// Added to the function's environment, winning where both name a variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub config: BTreeMap<String, String>,
    /// As `config`, of variables whose values are secrets of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub secrets: BTreeMap<String, SecretRef>,
}

/// How objects are kept: collections, partitions, replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OdgmConfig {
    /// The collections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), inner(length(min = 1, max = MAX_NAME_BYTES)), extend("uniqueItems" = true))]
    pub collections: Vec<String>,
    /// Partitions of each collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_PARTITIONS), extend("default" = DEFAULT_PARTITIONS))]
    pub partition_count: Option<u32>,
    /// Replicas of each partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_REPLICAS), extend("default" = DEFAULT_REPLICAS))]
    pub replica_count: Option<u32>,
    /// How a shard is kept, a word for the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub shard_type: Option<String>,
    /// Node ids by cluster.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub env_node_ids: BTreeMap<ClusterName, Vec<u64>>,
    /// Log filter of the object store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub log: Option<String>,
    /// Further settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub options: BTreeMap<String, String>,
}

/// What a deployment reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Whether it reports at all.
    pub enabled: bool,
    /// Traces.
    pub traces: bool,
    /// Metrics.
    pub metrics: bool,
    /// Logs.
    pub logs: bool,
    /// Share of requests that are traced, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_rate: Option<f64>,
    /// The name it reports under.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub service_name: Option<String>,
    /// Attributes of everything it reports.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub resource_attributes: BTreeMap<String, String>,
}
