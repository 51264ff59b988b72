//! The REST API: handlers over the store and its cache.
//!
//! Writes are compare-and-swap transactions on specs ([`writes`], which knows no HTTP); reads are
//! answered from the watch cache, shown to be fresh unless the caller asks for less.
//!
//! Invariants:
//! - it cannot call a CRM and knows no controller: a dead cluster cannot slow a request;
//! - it writes specs only, never a unit, a record or a status;
//! - every refusal is a problem document (RFC 9457) with a stable code, and a refused request has
//!   written nothing;
//! - the cache's lock is held while entries are looked up, never while they are serialized;
//! - it reads no clock and draws no random number but those it is given.

mod answer;
pub mod auth;
mod body;
mod call;
mod door;
mod error;
mod etag;
mod front;
mod list;
mod openapi;
mod params;
mod peer;
mod reading;
mod resources;
mod router;
mod share;
mod splice;
pub mod writes;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use oprc_controller_runtime::cache::{Cache, Freshness};
use oprc_cp_storage::SharedStore;
use oprc_models::{meta::Timestamp, names::ClusterName, version::VersionPolicy};
use tokio_util::sync::CancellationToken;

pub use door::{Door, Rate, Rates};
pub use peer::Peer;
pub use router::router;

/// Tells the time, for people to read in `meta`.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Makes an identifier that was never used before.
pub type NewUid = Arc<dyn Fn() -> String + Send + Sync>;

/// What one request, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The largest body of a push of many documents, in bytes.
    pub max_apply_bytes: usize,
    /// The most documents of one push.
    pub max_apply_documents: usize,
    /// Pushes of many documents at once, counted from when their body is here.
    pub max_pushes: usize,
    /// Bytes of bodies in memory at once: those that are arriving, and those that are being read.
    pub max_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take altogether.
    pub request_timeout: Duration,
    /// Writes at once; more are told to come back. A write waits for the store, so this also
    /// bounds what one replica asks of it.
    pub max_writes: usize,
    /// Reads of one object at once. They wait for one shared answer of the store, and cost little.
    pub max_reads: usize,
    /// Lists at once. Each may serialize a thousand objects; kept apart so that whoever lists
    /// everything starves nobody who reads one thing.
    pub max_lists: usize,
    /// Revisions that are kept of a document besides what it is now; 0: none are archived.
    pub max_revisions: usize,
    /// Treatment of pushes that change what is published under their version.
    pub version_policy: VersionPolicy,
    /// Watches open at once. Each has a connection of its own, so it must be well below the
    /// connections that are served.
    pub max_watches: usize,
    /// The longest pause between two bookmarks of a watch.
    pub bookmark_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_apply_bytes: 16 << 20,
            max_apply_documents: 10_000,
            max_pushes: 8,
            max_bytes: 128 << 20,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_writes: 512,
            max_reads: 4096,
            max_lists: 64,
            max_revisions: writes::DEFAULT_MAX_REVISIONS,
            version_policy: VersionPolicy::default(),
            max_watches: 1024,
            bookmark_interval: Duration::from_secs(30),
        }
    }
}

/// What the API stands on.
#[derive(Clone)]
pub struct ApiState {
    /// Where specs are written.
    pub store: SharedStore,
    /// Where reads are answered from.
    pub cache: Arc<Cache>,
    /// Shows that the cache is fresh.
    pub freshness: Freshness,
    /// Who we are towards CRMs, for what a dry run plans.
    pub owner: Arc<str>,
    /// The time.
    pub now: Clock,
    /// Uids of documents, and correlation ids of requests that bring none.
    pub new_uid: NewUid,
    /// Who may do what.
    pub access: auth::Access,
    /// Limits.
    pub limits: Limits,
    /// Renders `/metrics`; without it the route is not there.
    pub metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// Why the process is not ready, the cache aside; empty: it is.
    pub readiness: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The cluster that is marked `default` where clusters are shown.
    pub default_cluster: Option<ClusterName>,
    /// Ends all watches at once.
    pub stopping: CancellationToken,
    /// What stands between callers and the routes.
    pub door: Door,
}

/// Describes this crate's metrics to the recorder, once, after it was installed.
pub fn describe_metrics() {
    door::describe_metrics();
    auth::describe_metrics();
    front::describe_metrics();
    share::describe_metrics();
    resources::watch::describe_metrics();
    writes::describe_metrics();
}
