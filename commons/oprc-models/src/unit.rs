//! Deployment units: what one cluster must hold for one deployment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    canonical::Canonical,
    deployment::{NfrRequirements, TelemetryConfig},
    is_default,
    meta::Timestamp,
    names::{ClusterName, DeploymentKey, Key, PackageName, UnitId},
    package::{FunctionBinding, FunctionType, ProvisionConfig, StateSpec},
    secret::SecretRef,
};

/// Partitions of each collection where a deployment does not say.
pub const DEFAULT_PARTITIONS: u32 = 1;

/// Replicas of each partition where a deployment does not say.
pub const DEFAULT_REPLICAS: u32 = 1;

/// The fewest replicas of a function where it does not say.
pub const DEFAULT_SCALE: u32 = 1;

/// One deployment on one cluster, complete: who carries it out has no choice left to make.
///
/// The body of the contract's `POST /api/v1/deployments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentUnit {
    /// Chosen by the Package Manager, see [`UnitId::derive`].
    pub id: UnitId,
    /// The deployment.
    pub deployment_key: DeploymentKey,
    /// The package of the class.
    pub package_name: PackageName,
    /// The class.
    pub class_key: Key,
    /// The package's version, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The cluster.
    pub target_env: ClusterName,
    /// Only ever grows for an id; a CRM refuses an older one.
    pub generation: u64,
    /// Hash of everything that the CRM acts on, see [`DeploymentUnit::compute_spec_hash`].
    pub spec_hash: String,
    /// Which Package Manager asks for it.
    pub owner: String,
    /// The functions to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<UnitFunction>,
    /// The class's methods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub function_bindings: Vec<FunctionBinding>,
    /// The class's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_spec: Option<StateSpec>,
    /// How its objects are kept on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odgm_config: Option<UnitOdgmConfig>,
    /// The CRM template to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_template: Option<String>,
    /// What it reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetryConfig>,
    /// How available and fast it must be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nfr_requirements: NfrRequirements,
    /// What it was last asked to start anew by: the same functions under another number are to be
    /// replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<u64>,
    /// When this generation was planned.
    pub created_at: Timestamp,
}

impl DeploymentUnit {
    /// The canonical form of what the CRM acts on: all fields but `generation`, `spec_hash` and
    /// `created_at`, which say when and not what.
    fn content(&self) -> Self {
        Self {
            generation: 0,
            spec_hash: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
            ..self.canonical()
        }
    }

    /// Whether both ask a CRM for the same. Their hashes may differ all the same, if one is from a
    /// version that hashed lists in the order in which they were written.
    #[must_use]
    pub fn has_same_content(&self, other: &Self) -> bool {
        self.content() == other.content()
    }

    /// Hash of everything that the CRM acts on: 32 hexadecimal digits (128 bits of BLAKE3).
    #[must_use]
    pub fn compute_spec_hash(&self) -> String {
        let what = self.content();
        // Serializing plain data to memory cannot fail; were it to, an empty text would make every
        // unit look alike, so the id keeps them apart.
        let text = serde_json::to_vec(&what).unwrap_or_else(|_| self.id.as_str().into());
        let mut hex = blake3::hash(&text).to_hex().to_string();
        hex.truncate(32);
        hex
    }
}

/// One function of a unit, with the deployment's overrides applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitFunction {
    /// The function's key as bindings name it.
    pub key: Key,
    /// What kind of code it is.
    pub function_type: FunctionType,
    /// What it runs in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub provision_config: ProvisionConfig,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Variables whose values the CRM takes from its cluster's secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretRef>,
    /// How many replicas.
    pub replicas: Replicas,
    /// How fast and available it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_requirement: Option<NfrRequirements>,
    /// Where it may run: a word for the CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_location: Option<String>,
}

/// How many replicas of a function. Invariant: `min ≤ target`, and `target ≤ max` where a
/// maximum is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// The fewest.
    pub min: u32,
    /// The most; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// How many to begin with.
    pub target: u32,
}

/// How a class's objects are kept on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitOdgmConfig {
    /// The collections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
    /// Partitions of each collection.
    pub partition_count: u32,
    /// Replicas of each partition.
    pub replica_count: u32,
    /// How a shard is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_type: Option<String>,
    /// This cluster's node ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_ids: Vec<u64>,
    /// Which node keeps which partition: `[partition][replica]` → node id; empty: the CRM decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shard_assignments: Vec<Vec<u64>>,
    /// Log filter of the object store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Further settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Whether a cluster must hold a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    /// It must hold the unit, at its generation.
    Present,
    /// It must not hold the unit. The entry stays until the cluster is observed not to.
    Absent,
}

impl Desired {
    /// Returns the word for it, for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
        }
    }
}

/// A unit as the store holds it, under `units/{cluster}/{deployment}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredUnit {
    /// Whether the cluster must hold it.
    pub desired: Desired,
    /// The incarnation of the deployment that it is part of.
    pub deployment_uid: String,
    /// Whether nothing is to be sent for it, for now.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// The correlation id of the write that led to this generation, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The unit. Of an absent one, `generation` is the one to delete with.
    pub unit: DeploymentUnit,
}
