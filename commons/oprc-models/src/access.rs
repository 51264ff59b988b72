//! Who a caller is to the API, and what they may do, as it answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::role::{Pattern, Role};

/// Who the caller is: the answer to `GET /api/v1/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// The caller, as their token or certificate names them.
    pub subject: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// How they showed who they are: `token`, `certificate` or, not at all, `anonymous`.
    pub authenticated_by: String,
    /// Their roles.
    pub roles: Vec<Grant>,
}

/// A role, and the packages that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The packages.
    pub packages: Vec<Pattern>,
}

/// Whether something may be done: the answer to `GET /api/v1/can-i`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// What is missing, if it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
