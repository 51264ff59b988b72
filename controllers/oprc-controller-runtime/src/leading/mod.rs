//! Leading: at most one replica runs the controllers, and its writes carry the proof.
//!
//! Election is a key under a lease. Whoever creates it leads; its create revision is the [`Term`]'s
//! number, which grows from term to term and which every write of the term is checked against.
//!
//! Invariants:
//! - a term ends on our monotonic clock before its lease can end on the store's: renewals count
//!   from the moment before they were sent, and none answered for [`Options::give_up`] ends it;
//! - the key is the only witness: a term begins when the key was *read* to be ours, and ends when it
//!   is seen not to be, whatever keep-alives are answered (etcd 3.4.23 answers them after a
//!   revocation) and whatever a transaction answered, or did not;
//! - one term's body has ended before the lease is given back and before the next begins.
//!
//! What it does not give is mutual exclusion: a paused process may believe in its term for an
//! instant too long. [`Term::fence`] is what keeps such a leader from writing; leading itself only
//! keeps two of them from wasting calls.

mod campaign;
mod lease;
mod runtime;
mod term;

use std::{sync::Arc, time::Duration};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use oprc_cp_storage::{Error, Revision, SharedStore, health::WriteHealth};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    campaign::Candidate,
    lease::{Lease, Loss},
};
pub use self::{runtime::LeaseRuntime, term::Term};

const STATE: &str = "oprc_pm_leader_state";
const TERM: &str = "oprc_pm_leader_term_revision";
const TRANSITIONS: &str = "oprc_pm_leader_transitions_total";

/// The election that a replica takes part in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The key whose holder leads, for example `leader/pm`.
    pub key: String,
    /// Who we are, for people to read in the key. Two replicas with the same one do no harm.
    pub identity: String,
    /// How long the lease lives after its last renewal, in seconds: a leader that died is replaced
    /// after at most this long. Everything else is a part of it.
    pub ttl_secs: u32,
    /// How long the body has to end, once its term has, until it is dropped.
    pub grace: Duration,
    /// The seed of the jitter with which a candidate retries.
    pub seed: u64,
    /// Whether this replica's writes succeed. A leader whose writes fail gives its term up, and a
    /// candidate does not stand; `None`: neither.
    pub writes: Option<Arc<WriteHealth>>,
}

impl Options {
    /// An election for `key` with a lease of 5 s and a grace of 7 s.
    ///
    /// Why 5 s: five renewals a second apart, three of which may be lost, outlast an election inside
    /// etcd (a second or two); and nobody waits longer than that for a leader that died. Why 7 s:
    /// more than a controller's own grace, less than the ten seconds that a process has to shut
    /// down.
    #[must_use]
    pub fn new(key: impl Into<String>, identity: impl Into<String>, seed: u64) -> Self {
        let grace = Duration::from_secs(7);
        Self { key: key.into(), identity: identity.into(), ttl_secs: 5, grace, seed, writes: None }
    }

    /// How long the lease lives.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_secs.into())
    }

    /// How often the lease is renewed: five times in its life.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.ttl() / 5
    }

    /// How long the writes of a leader may fail until it gives its term up: twice the lease's life, so
    /// that an election inside etcd is over by then.
    #[must_use]
    pub fn write_patience(&self) -> Duration {
        self.ttl() * 2
    }

    /// `true` while this replica's writes fail for a reason that others may not share.
    fn is_cut_off(&self) -> bool {
        self.writes.as_ref().is_some_and(|writes| writes.is_cut_off_for(Duration::ZERO))
    }

    /// How long after the last renewal that was answered the term ends: 0.6 of the lease's life.
    ///
    /// The rest of it is for calls under way to be cut off, and for clocks that run at different
    /// speeds.
    #[must_use]
    pub fn give_up(&self) -> Duration {
        self.ttl() * 3 / 5
    }
}

/// A replica's part in an election.
pub struct Election {
    store: SharedStore,
    options: Options,
    term: watch::Sender<Option<Revision>>,
}

/// A term that has begun. The lease is kept until `released` is cancelled or the term is lost.
struct Mandate {
    term: Term,
    released: CancellationToken,
}

impl Election {
    /// Takes no part yet. `store` is used for the election alone and should have a connection of its
    /// own, made on the runtime that [`lead`](Self::lead) is given, so that load cannot starve it.
    #[must_use]
    pub fn new(store: SharedStore, options: Options) -> Self {
        Self { store, options, term: watch::Sender::new(None) }
    }

    /// The term that we lead in, `None` while we do not: what is shown, not what is decided on.
    #[must_use]
    pub fn term(&self) -> watch::Receiver<Option<Revision>> {
        self.term.subscribe()
    }

    /// Runs `body` once in each term that is won, until `stop` is cancelled.
    ///
    /// `body` returns when [`Term::ended`] is cancelled: because the term was lost or because of
    /// `stop`. If it takes longer than [`Options::grace`] it is dropped. The lease is kept until it
    /// has ended, and then given back, so that the successor starts at once. A body that ends by
    /// itself gives up its term; we stand again after the life of a lease.
    ///
    /// The lease is kept by a task on `lease_runtime`: in production that of a [`LeaseRuntime`], a
    /// thread of its own, so that whatever the controllers do to the executor, renewals are sent in
    /// time; in simulations the current one.
    pub async fn lead<F, Fut>(self, lease_runtime: &Handle, stop: CancellationToken, body: F)
    where
        F: Fn(Term) -> Fut,
        Fut: Future<Output = ()>,
    {
        let grace = self.options.grace;
        let (mandates, mut granted) = mpsc::channel(1);
        let keeper = AbortOnDropHandle::new(lease_runtime.spawn(self.stand(mandates, stop)));
        while let Some(Mandate { term, released }) = granted.recv().await {
            let _released = released.drop_guard();
            let _ended = term.ended().clone().drop_guard();
            let overdue = async {
                term.ended().cancelled().await;
                sleep(grace).await;
            };
            tokio::select! {
                biased;
                () = body(term.clone()) => (),
                () = overdue => {
                    tracing::error!(term = term.revision().0, "dropping work that outlasts its term");
                }
            }
        }
        if let Err(err) = keeper.await
            && let Ok(panic) = err.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    /// Campaigns, and keeps each term that is won, until `stop`.
    async fn stand(self, mandates: mpsc::Sender<Mandate>, stop: CancellationToken) {
        // Said from the start: a standby that never led is not a replica that says nothing.
        gauge!(STATE).set(0.0);
        let mut candidate = Candidate::new(&self.store, &self.options);
        while let Some(lease) = candidate.campaign(&stop).await {
            let term = lease.term();
            let mandate = Mandate { term: term.clone(), released: CancellationToken::new() };
            let released = mandate.released.clone();
            if mandates.send(mandate).await.is_err() {
                released.cancel();
            }
            self.show(Some(term), "won");
            let is_ours = self.hold(&lease, &released, &stop).await;
            lease.resign().await;
            if is_ours && !stop.is_cancelled() {
                tracing::warn!(term = term.revision().0, "the work of the term ended by itself");
                tokio::select! {
                    biased;
                    () = stop.cancelled() => (),
                    () = sleep(self.options.ttl()) => (),
                }
            }
        }
    }

    /// Keeps the lease until the body has ended; answers whether it was ours to the end.
    async fn hold(
        &self,
        lease: &Lease<'_>,
        released: &CancellationToken,
        stop: &CancellationToken,
    ) -> bool {
        let term = lease.term();
        let mut keep = std::pin::pin!(lease.keep());
        let loss = tokio::select! {
            biased;
            loss = &mut keep => Some(loss),
            () = released.cancelled() => None,
            () = stop.cancelled() => None,
        };
        term.end();
        self.show(None, loss.map_or("resigned", Loss::as_str));
        if let Some(loss) = loss {
            tracing::warn!(term = term.revision().0, reason = loss.as_str(), "lost the term");
            released.cancelled().await;
            return false;
        }
        // The successor may start when the lease ends, so it is kept for as long as the body takes;
        // not for ever, though: what it still writes after that is fenced off.
        let ended = timeout(self.options.grace + self.options.renew_every(), released.cancelled());
        tokio::select! {
            biased;
            _ = ended => true,
            _ = keep => false,
        }
    }

    /// Tells everyone who asks that `term` has begun, or that we do not lead any more.
    fn show(&self, term: Option<&Term>, reason: &'static str) {
        let revision = term.map(Term::revision);
        if let Some(term) = revision {
            tracing::info!(term = term.0, "leading");
            // Exact up to 2^53, which no store's revision reaches.
            gauge!(TERM).set(term.0 as f64);
        }
        gauge!(STATE).set(if revision.is_some() { 1.0 } else { 0.0 });
        counter!(TRANSITIONS, "reason" => reason).increment(1);
        self.term.send_replace(revision);
    }
}

/// Bounds a call of the store: one that takes longer has no answer.
async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, call).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(Error::MaybeDone { source: elapsed.into() }),
    }
}

/// Describes the metrics of leading.
pub(crate) fn describe_metrics() {
    describe_gauge!(STATE, "1 while this replica leads, else 0");
    describe_gauge!(TERM, "The revision that this replica's newest term began at");
    describe_counter!(TRANSITIONS, "Times that a term of this replica began or ended, by reason");
}

#[cfg(test)]
mod tests;
