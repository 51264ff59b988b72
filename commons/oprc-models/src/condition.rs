//! Conditions: what controllers say of an object, in Kubernetes' form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::Timestamp;

/// Types of conditions that controllers write, each with the status that means that all is well:
/// `None` where neither does.
pub const TYPES: [(&str, Option<Truth>); 12] = [
    ("Ready", Some(Truth::True)),
    ("Progressing", None),
    ("Degraded", Some(Truth::False)),
    ("Paused", None),
    ("ReconcileFailed", Some(Truth::False)),
    ("Fenced", Some(Truth::True)),
    ("ListingFailed", Some(Truth::False)),
    ("Orphans", None),
    ("OrphansHeld", Some(Truth::False)),
    ("Shared", Some(Truth::False)),
    ("StoreWentBack", None),
    ("MostClustersVanished", Some(Truth::False)),
];

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Truth {
    True,
    False,
    Unknown,
}

/// One thing that a controller says of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// What is spoken of: `Ready`, `Progressing`, `Degraded`.
    pub r#type: String,
    /// Whether it holds.
    pub status: Truth,
    /// Why, in one CamelCase word to branch on.
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The generation of the spec that this speaks of.
    pub observed_generation: u64,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
}

impl Condition {
    /// A condition that came to be `status` at `now`.
    #[must_use]
    pub fn new(
        r#type: &str,
        status: Truth,
        reason: &str,
        message: String,
        observed_generation: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            r#type: r#type.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            observed_generation,
            last_transition_time: now,
        }
    }
}

/// `new`, with the transition times of `old` where the status has not changed: so that saying the
/// same again changes nothing.
#[must_use]
pub fn carry_transitions(old: &[Condition], mut new: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut new {
        let before = old.iter().find(|before| before.r#type == condition.r#type);
        if let Some(before) = before.filter(|before| before.status == condition.status) {
            condition.last_transition_time = before.last_transition_time;
        }
    }
    new
}

/// The condition of this type, if it was said.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], r#type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.r#type == r#type)
}
