//! The remaining bodies of the contract between the Package Manager and a CRM.

use serde::{Deserialize, Serialize};

use crate::{
    meta::Timestamp,
    names::UnitId,
    record::{DeploymentRecord, RunCondition},
};

/// The header that carries the caller's term, so that a CRM can refuse a deposed leader.
pub const TERM_HEADER: &str = "oprc-term";
/// The header that names the caller's owner, which terms are kept by.
pub const OWNER_HEADER: &str = "oprc-owner";
/// The header that carries the correlation id.
pub const CORRELATION_HEADER: &str = "x-correlation-id";

/// Stable codes of a CRM's problem documents.
pub mod codes {
    /// 409: the CRM has taken a newer generation of this id.
    pub const STALE_GENERATION: &str = "stale_generation";
    /// 409: the CRM has seen a newer term of this owner.
    pub const STALE_TERM: &str = "stale_term";
    /// 400: the unit is not valid.
    pub const INVALID_UNIT: &str = "invalid_unit";
}

/// The answer to the contract's `POST /api/v1/deployments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentResponse {
    /// The unit.
    pub id: UnitId,
    /// How it is.
    #[serde(deserialize_with = "RunCondition::of_crm")]
    pub status: RunCondition,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The answer to the contract's `GET /api/v1/deployments/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// The unit.
    pub id: UnitId,
    /// The newest generation taken.
    pub generation: u64,
    /// The generation that the rest speaks of.
    pub observed_generation: u64,
    /// In one word.
    #[serde(deserialize_with = "RunCondition::of_crm")]
    pub status: RunCondition,
    /// In the CRM's own word.
    #[serde(default)]
    pub phase: String,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last changed.
    pub last_updated: Timestamp,
}

/// One page of the contract's `GET /api/v1/deployment-records`. A listing is complete when a page
/// has no `continue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordPage {
    /// The records.
    pub items: Vec<DeploymentRecord>,
    /// What to pass as `continue` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#continue: Option<String>,
    /// The CRM's revision that the listing is from; pass it to watch from there.
    #[serde(default)]
    pub revision: u64,
}

/// The kinds of a watch's server-sent events, the value of `event:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordEventType {
    /// The record is new.
    Added,
    /// The record changed.
    Modified,
    /// The record is gone.
    Deleted,
    /// Nothing changed up to this revision.
    Bookmark,
}

/// The `data:` of a watch's server-sent event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordEvent {
    /// What happened.
    pub r#type: RecordEventType,
    /// The CRM's revision.
    pub revision: u64,
    /// The record as it is, or last was; none for a bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<DeploymentRecord>,
}
