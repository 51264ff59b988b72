//! What documents were, as the API tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::{Generation, Meta, Source, Timestamp};

/// One revision in a list: who wrote it, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// The generation that it was.
    pub generation: Generation,
    /// Whether it is what the document is now.
    pub current: bool,
    /// The incarnation of the document.
    pub uid: String,
    /// When it was accepted.
    pub updated_at: Timestamp,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// Where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// Why it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The correlation id of the request that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// When its deletion was asked for, where the document was created anew meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_requested_at: Option<Timestamp>,
}

impl Revision {
    /// What `meta` says of a revision that is `current`, or no longer.
    #[must_use]
    pub fn new(meta: Meta, current: bool) -> Self {
        Self {
            generation: meta.generation,
            current,
            uid: meta.uid,
            updated_at: meta.updated_at,
            written_by: meta.written_by,
            source: meta.source,
            note: meta.revision_note,
            correlation_id: meta.correlation_id,
            deletion_requested_at: meta.deletion_requested_at,
        }
    }
}

/// What a revision has beside the user's fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Was {
    /// The system's fields, as they were.
    pub meta: Meta,
    /// Whether it is what the document is now.
    pub current: bool,
}
