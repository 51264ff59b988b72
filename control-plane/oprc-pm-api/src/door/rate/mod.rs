//! How often one caller may ask: token buckets for subjects and for addresses, reads and writes
//! apart, so that a caller who has written too much can still look.
//!
//! Invariants:
//! - the buckets take a bounded amount of memory, however many callers there are;
//! - probes are never counted;
//! - a refusal says when to come back.

mod table;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::table::{Table, Verdict};
use super::{
    audit::{Notes, Untold},
    caller::ClientAddress,
};
use crate::{
    auth::Caller,
    call::{App, Subject},
    error::ApiError,
    front::{Lane, lane},
    share::Admission,
};

const LIMITED: &str = "oprc_pm_rate_limited_requests_total";

/// Buckets of one kind, at most: some 4 MiB. Who comes back after that many others begins anew.
const MAX_BUCKETS: usize = 65_536;

/// How often one caller may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So often a second, in the long run; not 0.
    pub per_sec: u32,
    /// So often at once, after a pause; not 0.
    pub burst: u32,
}

/// How often one caller may ask; `None`: as often as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Reads of one subject.
    pub subject_reads: Option<Rate>,
    /// Writes of one subject.
    pub subject_writes: Option<Rate>,
    /// Reads of one address.
    pub address_reads: Option<Rate>,
    /// Writes of one address.
    pub address_writes: Option<Rate>,
}

/// The buckets.
pub(crate) struct Limiter {
    subjects: Pair<Arc<str>>,
    addresses: Pair<IpAddr>,
}

/// Buckets of reads and of writes.
struct Pair<K> {
    reads: Option<Buckets<K>>,
    writes: Option<Buckets<K>>,
}

struct Buckets<K> {
    rate: Rate,
    table: Mutex<Table<K>>,
}

impl<K: Clone + Eq + std::hash::Hash> Pair<K> {
    fn new(reads: Option<Rate>, writes: Option<Rate>) -> Self {
        let buckets = |rate: Rate| Buckets { rate, table: Mutex::new(Table::new(MAX_BUCKETS)) };
        Self { reads: reads.map(buckets), writes: writes.map(buckets) }
    }

    /// Takes a token of `key`; the answer where there is none.
    fn take(&self, key: &K, lane: Lane, by: &'static str) -> Option<Response> {
        let (buckets, what) = match lane {
            Lane::Probe => return None,
            Lane::Read | Lane::List => (&self.reads, "reads"),
            Lane::Write => (&self.writes, "writes"),
        };
        let Buckets { rate, table } = buckets.as_ref()?;
        let verdict = table.lock().take(key, *rate, Instant::now());
        let Verdict::Wait { wait, is_first } = verdict else { return None };
        counter!(LIMITED, "by" => by, "kind" => what).increment(1);
        let detail = format!("more than {} {what} a second of one {by}", rate.per_sec);
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
        let mut response = error.with_retry_after(whole_secs(wait)).into_response();
        if !is_first {
            response.extensions_mut().insert(Untold);
        }
        Some(response)
    }
}

/// `wait` in seconds, and not too early.
fn whole_secs(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

impl Limiter {
    pub(crate) fn new(rates: &Rates) -> Self {
        Self {
            subjects: Pair::new(rates.subject_reads, rates.subject_writes),
            addresses: Pair::new(rates.address_reads, rates.address_writes),
        }
    }
}

fn lane_of(request: &Request) -> Lane {
    lane(request.method(), request.extensions().get::<MatchedPath>())
}

/// The layer outside authentication: a flood of tokens that are wrong is not even looked at.
pub(crate) async fn by_address(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<ClientAddress>();
    let refusal = address.and_then(|address| {
        app.limiter.addresses.take(&address.network(), lane_of(&request), "address")
    });
    match refusal {
        None => next.run(request).await,
        Some(refusal) => refusal,
    }
}

/// The layer inside authentication, which also notes for the audit log who it was.
pub(crate) async fn by_subject(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(Subject(subject)) = request.extensions().get::<Subject>().cloned() else {
        return next.run(request).await;
    };
    if let Some(notes) = request.extensions().get::<Notes>() {
        let identity = request.extensions().get::<Caller>().map(|Caller(identity)| identity);
        notes.caller(&subject, identity);
    }
    if let Some(refusal) = app.limiter.subjects.take(&subject, lane_of(&request), "subject") {
        return refusal;
    }
    let admission = request.extensions().get::<Admission>();
    match admission.map_or(Ok(()), |admission| admission.count_subject(&subject)) {
        Ok(()) => next.run(request).await,
        Err(full) => full.into_refusal(),
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!(LIMITED, "Requests refused because their caller asks too often");
}

#[cfg(test)]
mod tests;
