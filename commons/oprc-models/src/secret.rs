//! References to secrets: what documents hold in their place.
//!
//! A secret itself is kept where its cluster keeps secrets, and only the cluster's CRM reads it. A
//! document, a unit, a record and everything that shows them have its name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::Key;

/// Where a cluster keeps a secret: on Kubernetes, a key of a `Secret` in the namespace that the CRM
/// works in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// The name of what holds it.
    pub name: Key,
    /// Which entry of that.
    pub key: Key,
}
