//! What the system keeps beside every stored document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{BundleName, PackageName};

/// A point in time, RFC 3339 in UTC. For people only: no decision rests on comparing two.
pub type Timestamp = jiff::Timestamp;

/// Version of a spec: 1 when it is created, one more with each accepted change.
pub type Generation = u64;

/// The system's own fields of a stored document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meta {
    /// Identifies one incarnation: a document deleted and created again has another.
    pub uid: String,
    /// Grows by one with each accepted change of the spec, across incarnations too.
    pub generation: Generation,
    /// When this incarnation was accepted.
    pub created_at: Timestamp,
    /// When the spec last changed.
    pub updated_at: Timestamp,
    /// When its deletion was asked for; the document goes once nothing of it is left anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_requested_at: Option<Timestamp>,
    /// The package that declared it inline, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PackageName>,
    /// The bundle that it belongs to, if it was pushed with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleName>,
    /// The correlation id of the request that last wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Who last wrote it: a subject, where callers have to say who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// Where what was last written is kept, if the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// Why it was last written, for example a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_note: Option<String>,
    /// Of a package with a version: when that version was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_created_at: Option<Timestamp>,
    /// Of a deployment that moved to another package: the first generation in the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_since: Option<Generation>,
    /// Of a deployment: since when nothing of it is to be sent to a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// Of a deployment: the generation that last asked every cluster to start it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Generation>,
}

/// Where a document comes from, in its author's version control. Kept as it was told: nothing here
/// looks there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The repository, for example `https://git.example/shop/deploy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Meta {
    /// Of a document that was written at `now` for the first time, by nobody in particular.
    #[must_use]
    pub fn new(uid: String, generation: Generation, now: Timestamp) -> Self {
        Self {
            uid,
            generation,
            created_at: now,
            updated_at: now,
            deletion_requested_at: None,
            owner: None,
            bundle: None,
            correlation_id: None,
            written_by: None,
            source: None,
            revision_note: None,
            version_created_at: None,
            package_since: None,
            paused_at: None,
            restart: None,
        }
    }

    /// Whether its deletion was asked for.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.deletion_requested_at.is_some()
    }
}

/// A document as the store holds it: what the user asked for, and the system's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored<T> {
    /// The system's fields.
    pub meta: Meta,
    /// What the user asked for.
    pub spec: T,
}
