//! The only HTTP client of Class Runtime Managers, and the circuit breaker in front of it.
//!
//! [`Crm`] is the seam: controllers call it, tests put something else behind it, [`HttpCrm`] speaks
//! the contract over HTTP. It never decides what to call, never retries on its own account (but for
//! trying a CRM's other endpoints) and never reads the environment.
//!
//! Invariants:
//! - every call ends within its timeout, and takes no more memory than its body's limit allows;
//! - whatever a CRM answers becomes a value or a [`CallError`], never a panic;
//! - a call that may have been carried out is never reported as one that was not, see
//!   [`CallError::may_have_been_done`].

mod answer;
pub mod breaker;
mod clip;
mod credentials;
mod error;
mod health;
mod http;
mod metrics;
mod options;
mod records;
mod sse;
mod transport;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use oprc_models::{
    cluster::ClusterHealth,
    crm::{DeploymentResponse, RecordEvent, RecordPage},
    names::UnitId,
    record::DeploymentRecord,
    unit::DeploymentUnit,
};

pub use error::{BoxError, CallError};
pub use http::HttpCrm;
pub use metrics::{describe_metrics, record_breaker};
pub use options::{CrmOptions, InvalidOptions, Secret, TokenSource};

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The term that the caller leads in; a CRM refuses one lower than it has seen of this owner.
    /// `None`: an observer, which changes nothing and does not count as a sign of life of the owner.
    pub term: Option<u64>,
    /// Which Package Manager it is.
    pub owner: Arc<str>,
    /// The correlation id of what led to the call.
    pub correlation_id: Option<Arc<str>>,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// 202: taken; the record goes when it is done.
    Begun,
    /// 204 or 404: observed not to be there.
    Gone,
}

/// One page of a listing of records.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records that can be read.
    pub items: Vec<DeploymentRecord>,
    /// The records that cannot. Nothing may be concluded about their units.
    pub unreadable: Vec<Unreadable>,
    /// Token of the next page; `None`: this page is the last.
    pub r#continue: Option<String>,
    /// The CRM's revision that the listing is from; a watch goes on from there.
    pub revision: u64,
}

impl From<RecordPage> for Page {
    fn from(page: RecordPage) -> Self {
        let RecordPage { items, r#continue, revision } = page;
        Self { items, unreadable: Vec::new(), r#continue, revision }
    }
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its unit, if at least that can be read.
    pub id: Option<UnitId>,
    /// Why the record cannot be read, for people.
    pub reason: String,
}

/// An unbroken run of a watch's events. It ends with an error, or when the CRM ends it.
pub type Watch = BoxStream<'static, Result<RecordEvent, CallError>>;

/// The CRM of one cluster.
///
/// # Errors
///
/// Every call fails with the [`CallError`] that says what is known of the world after it.
#[async_trait]
pub trait Crm: Send + Sync + 'static {
    /// How the cluster is, and what the CRM knows of the caller's owner.
    async fn health(&self, caller: &Caller) -> Result<ClusterHealth, CallError>;

    /// Creates `unit`, or brings what the cluster holds under its id up to date.
    async fn apply(
        &self,
        caller: &Caller,
        unit: &DeploymentUnit,
    ) -> Result<DeploymentResponse, CallError>;

    /// Removes what the cluster holds under `id`, if it is of `generation` or older.
    async fn delete(
        &self,
        caller: &Caller,
        id: &UnitId,
        generation: u64,
    ) -> Result<Deleted, CallError>;

    /// One page of the records, at most `limit` of them, from where the page with
    /// `continue` = `after` ended. The listing is complete when a page has no `continue`.
    async fn list(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, CallError>;

    /// Every change of the records after the CRM's revision `from`; [`CallError::Gone`] when that
    /// is too old, and the caller has to list again.
    async fn watch(&self, caller: &Caller, from: u64) -> Result<Watch, CallError>;
}
