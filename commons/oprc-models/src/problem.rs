//! Problem documents (RFC 9457): how every refusal is told, by the API and by CRMs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// Where: a JSON pointer (RFC 6901) into the document; empty: all of it.
    pub pointer: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Violation {
    /// A violation at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A URI for the kind of problem; `about:blank` where the code says it all.
    #[serde(default = "about_blank")]
    pub r#type: String,
    /// The kind, for people.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// This one, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The kind, to branch on; stable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Each violation, where a document was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
    /// The request's correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// With `stale_generation`: the generation that the CRM already has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_generation: Option<u64>,
    /// With `stale_term`: the highest term that the CRM has seen of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub current_term: Option<u64>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}
