//! Statuses: what all of it means for the user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    condition::Condition,
    meta::{Generation, Meta},
    names::{ClusterName, PackageName, UnitId},
    record::{FunctionStatus, RunCondition},
    unit::Desired,
};

/// What the deployment controller says of a deployment, under `status/deployments/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentStatus {
    /// The incarnation that this speaks of.
    pub uid: String,
    /// Its run state: that of its worst cluster. RUNNING while a refused update leaves what ran.
    pub condition: RunCondition,
    /// The generation of the spec that this speaks of.
    pub observed_generation: Generation,
    /// The version of the package that its units are made of, as it was written; none: it has none, or
    /// none will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The generation of the package that its units were planned on; none: there was no package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_package_generation: Option<Generation>,
    /// `Ready`, `Progressing`, `Degraded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Each cluster that has a unit of it, wanted or on its way out, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterPart>,
    /// Clusters that run it, at whatever generation; none: written by a version that did not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_clusters: Option<u32>,
    /// Clusters that are to run it, those included that are not registered or hold nothing of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_clusters: Option<u32>,
    /// The newest unit generation that was given out; the next is greater.
    #[serde(default)]
    pub unit_generation: u64,
}

impl DeploymentStatus {
    /// Returns `true` if this is the status of the incarnation that `meta` belongs to, in its present
    /// package.
    ///
    /// Until a controller has seen a move to another package, the status is the former package's, which
    /// a caller who sees the present one may not know.
    #[must_use]
    pub fn is_of(&self, meta: &Meta) -> bool {
        self.uid == meta.uid
            && meta.package_since.is_none_or(|since| self.observed_generation >= since)
    }
}

/// A deployment's status on one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterPart {
    /// The cluster.
    pub cluster: ClusterName,
    /// The unit there.
    pub unit_id: UnitId,
    /// Whether it is to be there.
    pub desired: Desired,
    /// The generation to be there.
    pub generation: u64,
    /// The generation that the cluster's record speaks of; none: no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
    /// Its run state, as the cluster that we hear from reports it for `observed_generation`. RUNNING
    /// at an older generation than `generation` only if the cluster refuses that one.
    pub condition: RunCondition,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Each function there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionStatus>,
}

/// What the package controller says of a package, under `status/packages/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackageStatus {
    /// The incarnation that this speaks of.
    pub uid: String,
    /// The generation of the spec that this speaks of.
    pub observed_generation: Generation,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Each dependency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyStatus>,
}

/// How one dependency resolves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DependencyStatus {
    /// The package that is needed.
    pub name: PackageName,
    /// The versions that will do; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<String>,
    /// The version that it resolves to, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_version: Option<String>,
    /// Whether it resolves.
    pub satisfied: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
