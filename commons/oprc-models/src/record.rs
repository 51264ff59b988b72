//! Deployment records: what a CRM says that it holds.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IntoDeserializer as _, value::Error as ValueError},
};

use crate::{
    meta::Timestamp,
    names::{ClusterName, DeploymentKey, Key, PackageName, UnitId},
};

/// How a unit, or a deployment as a whole, is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunCondition {
    /// Nothing has begun.
    #[default]
    Pending,
    /// Under way.
    Deploying,
    /// Serving.
    Running,
    /// Not serving.
    Down,
    /// Being removed, or removed.
    Deleted,
    /// The state is not known: the cluster has not been heard from, or its CRM used a word that is
    /// not one of the above.
    Unknown,
}

impl RunCondition {
    /// Deserializes the word of a CRM: one that is not known is [`RunCondition::Unknown`].
    ///
    /// # Errors
    ///
    /// The value is no text.
    pub fn of_crm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known: Result<Self, ValueError> = Self::deserialize(word.as_str().into_deserializer());
        Ok(known.unwrap_or(Self::Unknown))
    }
}

/// What a CRM says that it holds for one unit.
///
/// Invariant of the contract: it exists exactly while the CRM holds something for the id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentRecord {
    /// The unit's id.
    pub id: UnitId,
    /// The deployment.
    pub deployment_key: DeploymentKey,
    /// The package of the class.
    pub package_name: PackageName,
    /// The class.
    pub class_key: Key,
    /// The cluster that the unit was meant for.
    pub target_environment: ClusterName,
    /// The cluster that holds it.
    pub cluster_name: ClusterName,
    /// Which Package Manager asked for it; empty or another: not ours.
    #[serde(default)]
    pub owner: String,
    /// The generation that the record speaks of.
    #[serde(default)]
    pub generation: u64,
    /// The hash that came with that generation.
    #[serde(default)]
    pub spec_hash: String,
    /// How it is.
    pub status: RecordStatus,
    /// Whether the requirements are met, as the CRM measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfr_compliance: Option<serde_json::Value>,
    /// What the CRM made for it, a word each, for example `Deployment/cart-4k9a2mz0qp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_refs: Vec<String>,
    /// Its running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Vec<RuntimeState>>,
    /// When the CRM first took it.
    pub created_at: Timestamp,
    /// When the CRM last changed the record.
    pub updated_at: Timestamp,
}

/// How a unit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordStatus {
    /// In one word.
    #[serde(deserialize_with = "RunCondition::of_crm")]
    pub condition: RunCondition,
    /// In the CRM's own word.
    #[serde(default)]
    pub phase: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last changed.
    pub last_updated: Timestamp,
    /// Each function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionStatus>,
}

/// How one function of a unit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionStatus {
    /// The function.
    pub function_key: Key,
    /// Whether it serves.
    pub ready: bool,
    /// How many replicas serve.
    #[serde(default)]
    pub replicas_ready: u32,
    /// Where it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why it does not, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One running instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeState {
    /// Its id at the CRM.
    pub instance_id: String,
    /// How it is, in the CRM's word.
    #[serde(default)]
    pub status: String,
    /// What it measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<RuntimeMetrics>,
}

/// What an instance measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RuntimeMetrics {
    /// Processor cores in use.
    pub cpu: f64,
    /// Memory in use, in bytes.
    pub memory: u64,
    /// Requests since it began.
    pub request_count: u64,
    /// Requests that failed.
    pub error_count: u64,
    /// Mean latency in milliseconds.
    pub average_latency_ms: f64,
}

/// A refusal of a unit by its CRM: the same call would be refused again. Or why we ourselves failed
/// at the unit before its CRM could answer: then the status is [`Refusal::BY_US`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The generation that was refused.
    pub generation: u64,
    /// Package of the unit that was refused. `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<PackageName>,
    /// The HTTP status; 0 where it was not the CRM.
    pub status: u16,
    /// The CRM's stable code, if it gave one; `Panicked` or `Hung` where it was not the CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the CRM said.
    pub message: String,
    /// The generation that the CRM already has, where it refused an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_generation: Option<u64>,
    /// When.
    pub at: Timestamp,
}

impl Refusal {
    /// The status of a failure of our own, which no CRM can answer with.
    pub const BY_US: u16 = 0;
}

/// What a cluster's agent last learned of one unit, under `records/{cluster}/{unit id}`.
///
/// Invariant: it has a record, a refusal or an unreadable record; else the key is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredRecord {
    /// The cluster.
    pub cluster: ClusterName,
    /// The unit.
    pub id: UnitId,
    /// The deployment.
    pub deployment_key: DeploymentKey,
    /// Whether it is ours: asked for by this Package Manager.
    pub managed: bool,
    /// What the CRM said that it holds; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Arc<DeploymentRecord>>,
    /// Why the CRM does not take the unit's newest generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Why the CRM's current record cannot be read. `record` is then the last one that could be read,
    /// with the condition `UNKNOWN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// When this was first observed to be so.
    pub observed_at: Timestamp,
}
