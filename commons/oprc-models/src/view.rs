//! Documents as the API answers them: what the user wrote, and the system's fields beside it.
//!
//! The API writes answers part by part and never builds these; they are for whoever reads answers, and
//! for their description. A test holds the two together.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use crate::{
    cluster::{BreakerState, ClusterSpec, ClusterStatus, Connectivity},
    deployment::OClassDeployment,
    meta::{Generation, Meta, Timestamp},
    names::{ClusterName, DeploymentKey, PackageName},
    package::{OClass, OFunction, OPackage},
    problem::Violation,
    record::StoredRecord,
    role::RoleBinding,
    status::{self, PackageStatus},
};

/// A package as it is answered.
pub type Package = Document<OPackage, PackageStatus>;
/// A deployment as it is answered.
pub type Deployment = Document<OClassDeployment, status::DeploymentStatus>;
/// A cluster's registration as it is answered.
pub type Cluster = Document<Registration, ClusterStatus>;
/// A role binding as it is answered: it has no status.
pub type Binding = Beside<RoleBinding, Marks>;
/// A class of a package.
pub type Class = Beside<OClass, PartOf>;
/// A function of a package.
pub type Function = Beside<OFunction, PartOf>;
/// A record of what a cluster says that it holds.
pub type Record = Beside<StoredRecord, Staleness>;
/// A deployment's status by itself.
pub type DeploymentStatus = Beside<StatusOf, status::DeploymentStatus>;

/// Two types whose fields stand in one object.
///
/// Not `#[serde(flatten)]`: that reads numbers through a form that does not keep their text, see
/// `arbitrary_precision` of `serde_json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside<A, B> {
    /// The first type's fields.
    pub spec: A,
    /// The second type's.
    pub beside: B,
}

impl<'de, A: DeserializeOwned, B: DeserializeOwned> Deserialize<'de> for Beside<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let spec = A::deserialize(&value).map_err(D::Error::custom)?;
        let beside = B::deserialize(&value).map_err(D::Error::custom)?;
        Ok(Self { spec, beside })
    }
}

/// A stored document: what the user wrote, with `meta` and `status` beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<S, T> {
    /// What the user wrote.
    pub spec: S,
    /// The system's fields.
    pub meta: DocumentMeta,
    /// What controllers say of it.
    pub status: T,
    /// Whether nobody leads, so that nobody keeps the status up to date.
    pub is_stale: bool,
}

impl<'de, S: DeserializeOwned, T: DeserializeOwned> Deserialize<'de> for Document<S, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct System<T> {
            meta: DocumentMeta,
            status: Beside<T, Staleness>,
        }
        let Beside { spec, beside } = Beside::<S, System<T>>::deserialize(deserializer)?;
        let System { meta, status } = beside;
        Ok(Self { spec, meta, status: status.spec, is_stale: status.beside.stale })
    }
}

/// A document as a write answers it: without a status, which is still to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<S> {
    /// What the user wrote.
    pub spec: S,
    /// The system's fields.
    pub meta: DocumentMeta,
    /// Keys of other documents that the same write wrote, for example `deployments/shop.cart`.
    pub also_written: Vec<String>,
    /// What is to be said of the document all the same.
    pub warnings: Vec<Violation>,
}

impl<'de, S: DeserializeOwned> Deserialize<'de> for Written<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Beside { spec, beside } = Beside::<S, WriteMarks>::deserialize(deserializer)?;
        let WriteMarks { meta, also_written, warnings } = beside;
        Ok(Self { spec, meta, also_written, warnings })
    }
}

/// What a write's answer has beside the document.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WriteMarks {
    /// The system's fields.
    pub meta: DocumentMeta,
    /// Keys of other documents that the same write wrote.
    #[serde(default)]
    pub also_written: Vec<String>,
    /// What is to be said of the document all the same.
    #[serde(default)]
    pub warnings: Vec<Violation>,
}

/// The system's fields of a document, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentMeta {
    /// The fields.
    pub meta: Meta,
    /// The store's revision of the document: opaque, nothing is to be computed with it.
    pub resource_version: String,
}

impl<'de> Deserialize<'de> for DocumentMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Beside { spec: meta, beside } = Beside::<Meta, Version>::deserialize(deserializer)?;
        Ok(Self { meta, resource_version: beside.resource_version })
    }
}

impl std::ops::Deref for DocumentMeta {
    type Target = Meta;
    fn deref(&self) -> &Meta {
        &self.meta
    }
}

/// The version of a document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// The store's revision of the document: opaque, nothing is to be computed with it.
    pub resource_version: String,
}

/// The system's fields of a document that has no status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Marks {
    /// The fields.
    pub meta: DocumentMeta,
}

/// Whether what is told may be out of date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Staleness {
    /// Nobody leads, so that nobody keeps it up to date; of what a cluster says, also that the cluster
    /// is not heard from.
    #[serde(default)]
    pub stale: bool,
}

/// What a class or a function is part of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PartOf {
    /// The package.
    pub package_name: PackageName,
}

/// The registration of a cluster's CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The registration.
    pub spec: ClusterSpec,
    /// Whether it takes the deployments that name no cluster and cannot be placed otherwise.
    pub is_default: bool,
}

impl<'de> Deserialize<'de> for Registration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Beside { spec, beside } =
            Beside::<ClusterSpec, DefaultMark>::deserialize(deserializer)?;
        Ok(Self { spec, is_default: beside.default })
    }
}

/// Marks the default cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DefaultMark {
    /// Whether it is the cluster for a deployment that names none.
    #[serde(default)]
    pub default: bool,
}

/// Whose status it is, and how far it may be behind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StatusOf {
    /// The deployment.
    pub key: DeploymentKey,
    /// The newest generation of its spec; the status speaks of `observed_generation`.
    pub generation: Generation,
    /// The package's newest generation; the status speaks of `observed_package_generation`.
    #[serde(default)]
    pub package_generation: Option<Generation>,
    /// When its deletion was asked for.
    #[serde(default)]
    pub deletion_requested_at: Option<Timestamp>,
    /// Nobody leads, so that nobody keeps it up to date.
    #[serde(default)]
    pub stale: bool,
}

/// What we make of a cluster, and what it last said of itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ClusterHealth {
    /// The cluster.
    pub cluster_name: ClusterName,
    /// Its own word while it is heard from.
    pub status: HealthWord,
    /// Whether we hear from its CRM.
    pub connectivity: Connectivity,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// Why it is not connected.
    #[serde(default)]
    pub message: Option<String>,
    /// Since when `connectivity` is what it is.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Records there that are not ours, and left alone.
    pub unmanaged_records: u64,
    /// Nobody leads, or the cluster is not heard from: the rest is what it last said.
    pub stale: bool,
    /// The CRM's version.
    #[serde(default)]
    pub crm_version: Option<String>,
    /// Nodes of the cluster.
    #[serde(default)]
    pub node_count: Option<u32>,
    /// Nodes that are ready.
    #[serde(default)]
    pub ready_nodes: Option<u32>,
    /// Share of time that the cluster is up, 0 to 1.
    #[serde(default)]
    pub availability: Option<f64>,
    /// What it can take, in the CRM's own words.
    #[serde(default)]
    pub capacity: Option<Value>,
    /// Labels.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// What the CRM can do beyond the least.
    #[serde(default)]
    pub features: Vec<String>,
}

/// How a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum HealthWord {
    Healthy,
    Degraded,
    Unhealthy,
    /// It is not heard from.
    Unknown,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Page<T> {
    /// What is on it, in name order.
    pub items: Vec<T>,
    /// What to pass as `continue` for the next page; none: this is the last.
    #[serde(default, rename = "continue")]
    pub next: Option<String>,
    /// The store's revision that the page shows at least; of a server that says so.
    #[serde(default)]
    pub revision: u64,
    /// Whether it may be behind the store.
    #[serde(default)]
    pub stale: bool,
    /// What is left out, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
}
