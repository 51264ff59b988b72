//! Bundles: what one pipeline pushes together, and so what a later push of it may take away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    meta::{Generation, Source, Timestamp},
    names::BundleName,
};

/// What is known of a bundle. Which documents it owns is said by each of them, in its `meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bundle {
    /// Its name.
    pub name: BundleName,
    /// Grows by one with each push that changed something.
    pub generation: Generation,
    /// When it was first pushed.
    pub created_at: Timestamp,
    /// When a push last changed something.
    pub updated_at: Timestamp,
    /// Packages of the last push.
    pub n_packages: u64,
    /// Deployments of the last push, those inside packages aside.
    pub n_deployments: u64,
    /// The correlation id of the last push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Who pushed last: a subject, where callers have to say who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// Where what was last pushed is kept, if the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}
