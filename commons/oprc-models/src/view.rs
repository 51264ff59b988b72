//! Documents as the API answers them: what the user wrote, and the system's fields beside it.
//!
//! The API writes answers part by part and never builds these; they are for whoever reads answers, and
//! for their description. A test holds the two together.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use crate::{
    bundle::Bundle,
    cluster::{BreakerState, ClusterSpec, ClusterStatus, Connectivity, HealthStatus},
    deployment::OClassDeployment,
    difference::{Change, Difference},
    event,
    history::{Revision, Was},
    meta::{Generation, Meta, Timestamp},
    names::{ClusterName, DeploymentKey, PackageName},
    package::{OClass, OFunction, OPackage},
    problem::Violation,
    record::StoredRecord,
    role::RoleBinding,
    schema::merged,
    status::{self, PackageStatus},
    version::{Published, PublishedAs},
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
/// A document as it was at one generation.
pub type RevisionDocument<S> = Beside<S, Was>;
/// What is published of a package under a version.
pub type PublishedPackage = Beside<OPackage, PublishedAs>;
/// What differs between two generations of a document.
pub type Comparison = Beside<Compared, Difference>;
/// A bundle, with the documents that it owns.
pub type BundleDocument = Beside<Bundle, Owned>;
/// What was decided about an object and met with, for one reason.
pub type Event = Beside<EventAbout, event::Event>;
/// A deployment's status by itself.
pub type DeploymentStatus = Beside<StatusOf, status::DeploymentStatus>;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "Told")]
pub struct EventAbout {
    /// `KIND/NAME`.
    pub about: String,
}

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

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Beside<A, B> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}{}", A::schema_name(), B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merged(A::json_schema(generator), B::json_schema(generator))
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

impl<S: JsonSchema, T: JsonSchema> JsonSchema for Document<S, T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Document", S::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        #[expect(dead_code, reason = "only its schema is used")]
        #[derive(JsonSchema)]
        struct System<T> {
            /// The system's fields.
            meta: DocumentMeta,
            /// What controllers say of it.
            status: Beside<T, Staleness>,
        }
        merged(S::json_schema(generator), System::<T>::json_schema(generator))
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
    /// `true` if nothing was written: this is what would be.
    pub dry_run: bool,
    /// What is to be said of the document all the same.
    pub warnings: Vec<Violation>,
}

impl<'de, S: DeserializeOwned> Deserialize<'de> for Written<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Beside { spec, beside } = Beside::<S, WriteMarks>::deserialize(deserializer)?;
        let WriteMarks { meta, also_written, dry_run, warnings } = beside;
        Ok(Self { spec, meta, also_written, dry_run, warnings })
    }
}

impl<S: JsonSchema> JsonSchema for Written<S> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Written", S::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merged(S::json_schema(generator), WriteMarks::json_schema(generator))
    }
}

/// What a write's answer has beside the document.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct WriteMarks {
    /// The system's fields.
    pub meta: DocumentMeta,
    /// Keys of other documents that the same write wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_written: Vec<String>,
    /// `true` if nothing was written: this is what would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What is to be said of the document all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Violation>,
}

/// Several documents as one write answers them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct WrittenList {
    /// Each, as it is stored now.
    pub items: Vec<Written<OClassDeployment>>,
    /// What is to be said of the whole body all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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

impl JsonSchema for DocumentMeta {
    fn schema_name() -> Cow<'static, str> {
        "DocumentMeta".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merged(Meta::json_schema(generator), Version::json_schema(generator))
    }
}

impl std::ops::Deref for DocumentMeta {
    type Target = Meta;
    fn deref(&self) -> &Meta {
        &self.meta
    }
}

/// The version of a document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Version {
    /// The store's revision of the document: opaque, nothing is to be computed with it.
    pub resource_version: String,
}

/// The system's fields of a document that has no status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "Document")]
pub struct Marks {
    /// The fields.
    pub meta: DocumentMeta,
}

/// Whether what is told may be out of date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "Observed")]
pub struct Staleness {
    /// Nobody leads, so that nobody keeps it up to date; of what a cluster says, also that the cluster
    /// is not heard from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// What a class or a function is part of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "OfPackage")]
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

impl JsonSchema for Registration {
    fn schema_name() -> Cow<'static, str> {
        "Cluster".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merged(ClusterSpec::json_schema(generator), DefaultMark::json_schema(generator))
    }
}

/// Marks the default cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct DefaultMark {
    /// Whether it is the cluster for a deployment that names none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// Whose status it is, and how far it may be behind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "The")]
pub struct StatusOf {
    /// The deployment.
    pub key: DeploymentKey,
    /// The newest generation of its spec; the status speaks of `observed_generation`.
    pub generation: Generation,
    /// The package's newest generation; the status speaks of `observed_package_generation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_generation: Option<Generation>,
    /// When its deletion was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_requested_at: Option<Timestamp>,
    /// Nobody leads, so that nobody keeps it up to date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// What we make of a cluster, and what it last said of itself.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "ObservedHealth")]
pub struct ClusterHealth {
    /// The cluster.
    pub cluster_name: ClusterName,
    /// Its own word while it is heard from.
    pub status: HealthStatus,
    /// Whether we hear from its CRM.
    pub connectivity: Connectivity,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when `connectivity` is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Records there that are not ours, and left alone.
    pub unmanaged_records: u64,
    /// Nobody leads, or the cluster is not heard from: the rest is what it last said.
    pub stale: bool,
    /// The CRM's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm_version: Option<String>,
    /// Nodes of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_count: Option<u32>,
    /// Nodes that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<u32>,
    /// Share of time that the cluster is up, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<f64>,
    /// What it can take, in the CRM's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Value>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the CRM can do beyond the least.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// What is on it, in name order.
    pub items: Vec<T>,
    /// What to pass as `continue` for the next page; none: this is the last.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The store's revision that the page shows at least; of a server that says so.
    #[serde(default)]
    pub revision: u64,
    /// Whether it may be behind the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// What is left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The revisions of a document that are kept, the newest first.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct Revisions {
    /// Each: who wrote it, when and why.
    pub items: Vec<Revision>,
}

/// What is published of a package, the highest version first.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct Versions {
    /// Each: which it is, since when, and whether it is what the package is now.
    pub items: Vec<Published>,
}

/// Which two generations are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Compared {
    /// The one that changes start from.
    pub from: Generation,
    /// The one that they lead to.
    pub to: Generation,
}

/// The documents that a bundle owns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Owned {
    /// Each.
    pub documents: Vec<DocumentName>,
}

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct DocumentName {
    /// `Package` or `Deployment`.
    pub kind: String,
    /// Its name or key.
    pub name: String,
}

/// What became of each document of a push, or would.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct Applied {
    /// Whether nothing was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The bundle as it is now, if one was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// In the order of the push, deployments inside a package after it, then what was pruned.
    pub items: Vec<AppliedItem>,
    /// Of a dry run: what each cluster would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<BTreeMap<ClusterName, ClusterChanges>>,
    /// Of a dry run: whether there were more deployments than are planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clusters_cut: bool,
    /// What is to be said of the documents all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Violation>,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct AppliedItem {
    /// `Package` or `Deployment`.
    pub kind: String,
    /// Its name or key.
    pub name: String,
    /// What became of it.
    pub outcome: AppliedOutcome,
    /// Its generation now.
    pub generation: Generation,
    /// Where it stands in the push; none: it was pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The package that declares it inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PackageName>,
    /// Of a dry run: the fields that would differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// Whether there are more of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// What becomes of a document that is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AppliedOutcome {
    Created,
    Replaced,
    Published,
    Unchanged,
    Deleted,
}

/// What one cluster would do: deployments, by what becomes of their units there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct ClusterChanges {
    /// Units that are new there.
    pub created: Vec<DeploymentKey>,
    /// Units that become another generation.
    pub replaced: Vec<DeploymentKey>,
    /// Units that go.
    pub removed: Vec<DeploymentKey>,
}
