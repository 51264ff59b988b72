//! Clusters: the registration of a CRM, what it says of its health, and what we make of it.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    condition::{Condition, find},
    meta::Timestamp,
    names::ClusterName,
};

/// The registration of the CRM of one cluster. Credentials are not part of it: they stay in the
/// environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterSpec {
    /// The cluster.
    pub name: ClusterName,
    /// Base URLs of its one CRM, tried in turn.
    pub endpoints: Vec<String>,
}

/// How a cluster says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum HealthStatus {
    Healthy,
    Degraded,
    Unhealthy,
    /// The cluster is not heard from. A word of the Package Manager's, never of a CRM's.
    Unknown,
}

/// What a CRM says of its cluster: the answer to the contract's `GET /api/v1/health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterHealth {
    /// The cluster that the CRM serves.
    pub cluster_name: ClusterName,
    /// How it is.
    pub status: HealthStatus,
    /// The CRM's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm_version: Option<String>,
    /// When the CRM last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
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
    pub capacity: Option<serde_json::Value>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the CRM can do beyond the least, see [`features`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// What the CRM knows of the owner that asks; absent where the request names none. Not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub caller: Option<KnownCaller>,
}

/// What a CRM knows of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCaller {
    /// The highest term seen; none: the owner never wrote to this CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// Seconds since the owner last called in a term, as far as the CRM's process remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_secs: Option<u64>,
}

/// The words of [`ClusterHealth::features`].
pub mod features {
    /// Records can be watched.
    pub const WATCH: &str = "watch";
    /// Generations are kept: an older one is refused.
    pub const GENERATIONS: &str = "generations";
    /// Terms are kept: a deposed leader's calls are refused.
    pub const TERMS: &str = "terms";
    /// It starts nothing real.
    pub const SIMULATED: &str = "simulated";
    /// Variables of functions may be secrets of the cluster.
    pub const SECRETS: &str = "secrets";
}

/// Whether we hear from a cluster's CRM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Connectivity {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It answers, and a complete listing of its records has been taken.
    Connected,
    /// It does not answer.
    Unreachable,
    /// It refuses our credentials.
    Unauthorized,
    /// It says that it serves another cluster; nothing is sent to it.
    Misidentified,
    /// It is registered and the leader's configuration does not name it, so it is not called.
    NotConfigured,
}

/// The reason of the condition `Fenced` while the CRM refuses the leader's term.
pub const TERM_TOO_OLD: &str = "TermTooOld";

/// State of a cluster's circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BreakerState {
    /// Calls go.
    #[default]
    Closed,
    /// No calls but probes.
    Open,
    /// A probe was answered; calls go, and one failure opens it again.
    HalfOpen,
}

impl BreakerState {
    /// Returns the state in one word, for the log and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What we know of a cluster, under `status/clusters/{name}`. Written by its agent, on change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterStatus {
    /// Whether we hear from its CRM.
    pub connectivity: Connectivity,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// What its CRM last said of it, without `last_seen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ClusterHealth>,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when `connectivity` is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Records there that are not ours, and left alone.
    #[serde(default)]
    pub unmanaged_records: u64,
    /// `Ready` and what else there is to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl ClusterStatus {
    /// Whether what its records say is current.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connectivity == Connectivity::Connected
    }

    /// Returns `false` if the leader's configuration does not name the cluster.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.connectivity != Connectivity::NotConfigured
    }

    /// Returns why its CRM refuses the leader's term, if it does.
    #[must_use]
    pub fn refused_term(&self) -> Option<&str> {
        let fenced = find(&self.conditions, "Fenced")?;
        (fenced.reason == TERM_TOO_OLD).then_some(fenced.message.as_str())
    }

    /// Returns its health: what its CRM said of it while it is heard from, and unknown otherwise.
    #[must_use]
    pub fn current_health(&self) -> HealthStatus {
        let health = self.health.as_ref().filter(|_| self.is_connected());
        health.map_or(HealthStatus::Unknown, |health| health.status)
    }

    /// Returns the status to show. What a CRM said before it fell silent is no longer its health;
    /// neither is what it said before nobody kept this status (`is_stale`).
    #[must_use]
    pub fn shown(&self, is_stale: bool) -> Cow<'_, Self> {
        let known = if is_stale { HealthStatus::Unknown } else { self.current_health() };
        if self.health.as_ref().is_none_or(|health| health.status == known) {
            return Cow::Borrowed(self);
        }
        let mut shown = self.clone();
        if let Some(health) = &mut shown.health {
            health.status = known;
        }
        Cow::Owned(shown)
    }

    /// Whether automatic placement may use it.
    #[must_use]
    pub fn is_placeable(&self) -> bool {
        matches!(self.current_health(), HealthStatus::Healthy | HealthStatus::Degraded)
    }
}
