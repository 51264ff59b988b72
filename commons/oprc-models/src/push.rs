//! Pushes of more documents than one transaction holds.
//!
//! Each document gets an *intent* beside what it is: what it becomes once its push is committed.
//! Whether it is committed is said by one key, the push's, so that all its documents change at one
//! moment, for every reader:
//!
//! | the push's key | the push is | a document with an intent of it is shown |
//! |---|---|---|
//! | there, `PENDING` | undecided | as it was |
//! | there, `COMMITTED` | committed | as the intent says |
//! | absent | aborted | as it was |

use serde::{Deserialize, Serialize};

use crate::{
    meta::{Meta, Stored, Timestamp},
    names::{BundleName, PushId},
};

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not decided: its key may still become committed, or vanish.
    Pending,
    /// Its intents are what their documents are.
    Committed,
    /// Its intents are nothing, and never will be.
    Aborted,
}

impl Fate {
    /// Returns the fate in one word, for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }
}

/// How far a push is, as its key says. There is no word for aborted: then there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Progress {
    /// Documents are being given intents. The key is under a lease.
    Pending,
    /// It has taken effect. The key stays until no intent of it is left.
    Committed,
}

/// The value of a push's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// How far it is.
    pub progress: Progress,
    /// When it began. For people only.
    pub begun_at: Timestamp,
    /// How many documents it writes.
    pub n_documents: u64,
    /// The bundle that is pushed, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleName>,
    /// The correlation id of its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What a document becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent<T> {
    /// Once this push is committed.
    pub push: PushId,
    /// The revision at which the document became what it still is; 0 where there is none. It is
    /// shown at that revision until then, so that an intent is not taken for a change.
    pub since: u64,
    /// The system's fields.
    pub meta: Meta,
    /// What the user asks for.
    pub spec: T,
}

/// The whole value of a document's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw<T>")]
pub struct Envelope<T> {
    /// The document; none: there is none yet.
    #[serde(flatten)]
    pub current: Option<Stored<T>>,
    /// What it is to become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent<T>>,
}

/// As it is written: flat, which a decoder reads without an intermediate tree.
#[derive(Deserialize)]
struct Raw<T> {
    meta: Option<Meta>,
    spec: Option<T>,
    intent: Option<Intent<T>>,
}

impl<T> TryFrom<Raw<T>> for Envelope<T> {
    type Error = &'static str;

    fn try_from(raw: Raw<T>) -> Result<Self, Self::Error> {
        let Raw { meta, spec, intent } = raw;
        match (meta, spec) {
            (Some(meta), Some(spec)) => Ok(Self { current: Some(Stored { meta, spec }), intent }),
            (None, None) if intent.is_some() => Ok(Self { current: None, intent }),
            (None, _) => Err("missing field `meta`"),
            (Some(_), None) => Err("missing field `spec`"),
        }
    }
}

impl<T> Envelope<T> {
    /// The document as it is when the push of its intent, if it has one, has had this fate.
    #[must_use]
    pub fn settled(self, fate: Fate) -> Option<Stored<T>> {
        match (self.intent, fate) {
            (Some(Intent { meta, spec, .. }), Fate::Committed) => Some(Stored { meta, spec }),
            (Some(_) | None, _) => self.current,
        }
    }
}

#[cfg(test)]
mod tests;
