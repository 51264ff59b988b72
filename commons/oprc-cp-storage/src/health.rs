//! Whether writes get through: from the results of all writes, and from a probe where there are none.
//!
//! Reads, watches and keep-alives go on while a store refuses writes: a full disk, etcd's space alarm,
//! withdrawn credentials. An observation that cannot be stored must not look current, so statuses,
//! readiness and leading depend on [`WriteHealth`].
//!
//! Invariants:
//! - one failed write of a kind that would fail for any key reports an outage at once;
//! - only a write or a probe that began after the last failure ends it.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Error, KeyValue, LeaseId, Op, Page, Precondition, Revision, SharedStore, Store, Txn, Watch,
};

/// Between two probes while no other write succeeds. A healthy follower learns this late that the
/// leader's writes fail too.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// A probe without an answer for this long counts as a failure. Its call still goes on.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// A probe does not end an outage that a write reported less than this ago: the probe is small and may
/// pass where writes do not. Controllers repeat a failed write sooner than this.
const WRITE_QUIET: Duration = Duration::from_secs(3);

/// Between two log lines of one outage.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

const WRITABLE: &str = "oprc_pm_store_writable_state";
const FAILURES: &str = "oprc_pm_store_write_failures_total";

/// Describes the metrics of this module.
pub(crate) fn describe_metrics() {
    describe_gauge!(WRITABLE, "1 while writes to the store succeed, else 0");
    describe_counter!(FAILURES, "Failed writes that would fail for any key, by reason");
}

/// Why writes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The store has no room.
    Full,
    /// The store refuses the credentials.
    Unauthorized,
    /// The store cannot be reached or does not answer.
    Unavailable,
}

impl Reason {
    /// The reason that `error` is an instance of; `None` if it concerns single keys only.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Full { .. } => Some(Self::Full),
            Error::Unauthorized { .. } => Some(Self::Unauthorized),
            Error::Unavailable { .. } | Error::MaybeDone { .. } => Some(Self::Unavailable),
            Error::Conflict { .. }
            | Error::Compacted { .. }
            | Error::LeaseGone(_)
            | Error::Refused { .. } => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::Unauthorized => "the store refuses our credentials",
            Self::Unavailable => "the store does not take writes",
        })
    }
}

/// A time in which writes fail.
#[derive(Clone, Debug)]
pub struct Outage {
    /// When the first write failed.
    pub since: Instant,
    /// Why the last write failed.
    pub reason: Reason,
    /// The error of the last write, for the log.
    message: String,
    last_failure: Instant,
    /// The last failure of a write that was no probe.
    last_write_failure: Option<Instant>,
    next_line: Instant,
}

#[derive(Debug, Default)]
struct State {
    outage: Option<Outage>,
    /// The beginning of the newest call that proved that writes succeed.
    proven: Option<Instant>,
    /// Since when each probe has failed for a reason that may be this process's own.
    probe_failing_since: Option<Instant>,
}

/// Whether writes get through. Shared by reference.
#[derive(Debug, Default)]
pub struct WriteHealth {
    is_failing: AtomicBool,
    state: Mutex<State>,
}

/// How a call proves that writes succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It added a key, which needs room.
    Addition,
    /// It changed or checked keys. A full store may still do that.
    Change,
    /// It was a probe.
    Probe,
}

impl WriteHealth {
    /// `true` while writes fail.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// The outage, while writes fail.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.state.lock().outage.clone()
    }

    /// `true` if no probe and no write has succeeded for `patience`, for a reason that another replica
    /// may not share. A full store is full for all replicas.
    #[must_use]
    pub fn is_cut_off_for(&self, patience: Duration) -> bool {
        let since = self.state.lock().probe_failing_since;
        since.is_some_and(|since| since.elapsed() >= patience)
    }

    fn succeeded(&self, began: Instant, proof: Proof) {
        let mut state = self.state.lock();
        state.proven = state.proven.max(Some(began));
        if state.probe_failing_since.is_some_and(|since| began >= since) {
            state.probe_failing_since = None;
        }
        let Some(outage) = &state.outage else { return };
        let quiet = |last: Instant| began.saturating_duration_since(last) >= WRITE_QUIET;
        let ends = began >= outage.last_failure
            && match proof {
                Proof::Addition => true,
                Proof::Change => outage.reason != Reason::Full,
                Proof::Probe => outage.last_write_failure.is_none_or(quiet),
            };
        if ends {
            let lasted_secs = outage.since.elapsed().as_secs();
            state.outage = None;
            self.is_failing.store(false, Ordering::Release);
            gauge!(WRITABLE).set(1.0);
            drop(state);
            tracing::info!(lasted_secs, "writes to the store succeed again");
        }
    }

    fn failed(&self, error: &Error, is_probe: bool) {
        let Some(reason) = Reason::of(error) else { return };
        counter!(FAILURES, "reason" => reason.as_str()).increment(1);
        let message = error_chain(error);
        let now = Instant::now();
        let mut state = self.state.lock();
        if is_probe && reason == Reason::Full {
            state.probe_failing_since = None;
        } else if is_probe {
            state.probe_failing_since.get_or_insert(now);
        }
        let outage = state.outage.get_or_insert_with(|| Outage {
            since: now,
            reason,
            message: String::new(),
            last_failure: now,
            last_write_failure: None,
            next_line: now,
        });
        let is_other = outage.reason != reason;
        outage.reason = reason;
        outage.message = message;
        outage.last_failure = now;
        if !is_probe {
            outage.last_write_failure = Some(now);
        }
        if is_other {
            outage.next_line = now;
        }
        self.is_failing.store(true, Ordering::Release);
        gauge!(WRITABLE).set(0.0);
        drop(state);
        self.log_if_due();
    }

    /// Logs an outage when it begins, when its reason changes, and every [`LOG_INTERVAL`].
    fn log_if_due(&self) {
        let due = {
            let mut state = self.state.lock();
            let now = Instant::now();
            let outage = state.outage.as_mut().filter(|outage| outage.next_line <= now);
            outage.map(|outage| {
                outage.next_line = now + LOG_INTERVAL;
                outage.clone()
            })
        };
        if let Some(Outage { since, reason, message, .. }) = due {
            tracing::error!(
                reason = reason.as_str(),
                error = message,
                for_secs = since.elapsed().as_secs(),
                "writes to the store fail; statuses are stale"
            );
        }
    }

    fn is_proven_within(&self, span: Duration) -> bool {
        let state = self.state.lock();
        state.outage.is_none() && state.proven.is_some_and(|proven| proven.elapsed() < span)
    }
}

/// The error and its causes, in one line.
fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Probes `store`, whenever no write has succeeded lately; forever.
pub async fn keep(store: SharedStore, health: Arc<WriteHealth>) {
    gauge!(WRITABLE).set(1.0);
    loop {
        if !health.is_proven_within(PROBE_INTERVAL) {
            probe(&*store, &health).await;
        }
        health.log_if_due();
        sleep(PROBE_INTERVAL).await;
    }
}

async fn probe(store: &dyn Store, health: &WriteHealth) {
    let began = Instant::now();
    let mut call = pin!(store.probe());
    let answer = match timeout(PROBE_PATIENCE, &mut call).await {
        Ok(answer) => answer,
        Err(elapsed) => {
            health.failed(&Error::MaybeDone { source: elapsed.into() }, true);
            call.await
        }
    };
    match answer {
        Ok(()) if began.elapsed() < PROBE_PATIENCE => health.succeeded(began, Proof::Probe),
        // It proves that writes succeed now, though it was late.
        Ok(()) => health.succeeded(Instant::now(), Proof::Probe),
        Err(error) => health.failed(&error, true),
    }
}

/// A store whose writes are measured.
pub struct Measured {
    store: SharedStore,
    health: Arc<WriteHealth>,
}

impl Measured {
    /// Reports the results of the writes to `store` to `health`.
    #[must_use]
    pub fn new(store: SharedStore, health: Arc<WriteHealth>) -> Self {
        Self { store, health }
    }
}

#[async_trait]
impl Store for Measured {
    fn max_txn_ops(&self) -> usize {
        self.store.max_txn_ops()
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        let is_put = |op: &Op| matches!(op, Op::Put(_) | Op::PutLeased(..));
        if !txn.writes.iter().any(|write| is_put(&write.op)) {
            // A full store takes reads and deletions.
            return self.store.txn(txn).await;
        }
        let adds = txn.writes.iter().any(|write| {
            write.precondition == Precondition::Absent && matches!(write.op, Op::Put(_))
        });
        let began = Instant::now();
        let answer = self.store.txn(txn).await;
        match &answer {
            Ok(_) if adds => self.health.succeeded(began, Proof::Addition),
            Ok(_) | Err(Error::Conflict { .. }) => self.health.succeeded(began, Proof::Change),
            Err(error) => self.health.failed(error, false),
        }
        answer
    }

    async fn probe(&self) -> Result<(), Error> {
        self.store.probe().await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.store.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.store.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.store.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.store.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.store.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.revoke_lease(lease).await
    }
}
