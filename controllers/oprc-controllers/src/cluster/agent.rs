//! The agent of one cluster: what its parts share.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use oprc_controller_runtime::{queue::Priority, shared::Queue};
use oprc_crm_client::{
    CallError, Caller, Crm,
    breaker::{self, Breaker, Permit},
    record_breaker,
};
use oprc_models::{
    cluster::{BreakerState, ClusterHealth},
    event::About,
    names::{ClusterName, DeploymentKey, UnitId},
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    listing::Budget,
    mirror::{Mirror, Verdict},
    reach::Reach,
};
use crate::context::Context;

/// How agents behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two looks at a CRM's health.
    pub health_interval: Duration,
    /// Between two listings of a CRM that cannot be watched and holds still.
    pub poll_interval: Duration,
    /// Between two listings of a CRM that is watched.
    pub relist_interval: Duration,
    /// Calls for units in flight at once, per cluster.
    pub max_in_flight: usize,
    /// The longest that a reconcile may take, its call included.
    pub deadline: Duration,
    /// The breaker.
    pub breaker: breaker::Config,
    /// What one CRM may make us hold.
    pub budget: Budget,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            health_interval: Duration::from_secs(5),
            poll_interval: Duration::from_secs(10),
            relist_interval: Duration::from_secs(300),
            max_in_flight: 12,
            deadline: Duration::from_secs(60),
            breaker: breaker::Config::default(),
            budget: Budget::default(),
        }
    }
}

/// What a worker of the units' queue is to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    /// The unit of this deployment.
    Unit(DeploymentKey),
    /// A record of ours that no unit asks for.
    Orphan(UnitId),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(deployment) => deployment.fmt(f),
            Self::Orphan(id) => id.fmt(f),
        }
    }
}

/// What the agent knows of its cluster as a whole.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What the CRM last said of itself.
    pub(crate) health: Option<ClusterHealth>,
    /// Whether it said so for this cluster; `None`: not heard yet.
    pub(crate) is_identified: Option<bool>,
    /// Whether it refused our credentials.
    pub(crate) is_unauthorized: bool,
    /// The last failure, while there is one.
    pub(crate) failure: Option<String>,
    /// Why the last listing is not, or not fully, taken: a reason in one word, and for people.
    pub(crate) listing_failure: Option<(&'static str, String)>,
    /// Records there that are not ours.
    pub(crate) n_unmanaged: u64,
    /// Orphans that are left alone, since they are too many at once.
    pub(crate) n_held_orphans: usize,
    /// Orphans that are to be deleted.
    pub(crate) n_orphans: usize,
    /// Other owners that have records there, as far as [`MAX_OTHERS`] goes.
    pub(crate) others: BTreeSet<String>,
    /// The term that the CRM has seen of this owner, where it is above ours.
    pub(crate) newer_term: Option<u64>,
    /// `true` if the CRM's health tells which term it has seen.
    pub(crate) tells_term: bool,
    /// How the store went back, while what it lost may still be running there; and the complete
    /// listings since then.
    pub(crate) went_back: Option<(String, u8)>,
}

/// Other owners of records that are named.
pub(crate) const MAX_OTHERS: usize = 4;

/// The agent of one cluster.
pub(crate) struct Agent {
    pub(crate) context: Context,
    pub(crate) cluster: ClusterName,
    pub(crate) settings: Settings,
    pub(crate) crm: Arc<dyn Crm>,
    pub(crate) mirror: Mutex<Mirror>,
    pub(crate) view: Mutex<View>,
    breaker: Mutex<Breaker>,
    /// Units to bring about.
    pub(crate) units: Queue<Work>,
    /// Records to write down.
    pub(crate) records: Queue<UnitId>,
    /// Clusters whose status is to be written, shared by all agents.
    pub(crate) statuses: Queue<ClusterName>,
    /// Which clusters are out of reach, shared by all agents.
    pub(crate) reach: Arc<Mutex<Reach>>,
    /// Work that waits for the breaker or for a complete listing.
    parked: Mutex<BTreeSet<Work>>,
    /// Wakes the health loop: the breaker changed.
    pub(crate) breaker_changed: Notify,
    /// Wakes the mirror's loop: a listing is wanted.
    pub(crate) listing_wanted: Notify,
}

/// Why a call was not made or did not succeed.
pub(crate) enum Failure {
    /// The breaker lets nothing through: the work is parked.
    Parked,
    /// The call failed.
    Call(CallError),
}

/// The queues that an agent is given, and what else it has in common with others.
pub(crate) struct Queues {
    pub(crate) units: Queue<Work>,
    pub(crate) records: Queue<UnitId>,
    pub(crate) statuses: Queue<ClusterName>,
    pub(crate) reach: Arc<Mutex<Reach>>,
}

impl Agent {
    pub(crate) fn new(
        context: Context,
        cluster: ClusterName,
        crm: Arc<dyn Crm>,
        settings: Settings,
        queues: Queues,
    ) -> Self {
        // Breakers of different clusters must not probe in step.
        let salt = cluster
            .as_str()
            .bytes()
            .fold(0_u64, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let seed = settings.breaker.seed ^ salt;
        let breaker = Breaker::new(breaker::Config { seed, ..settings.breaker.clone() });
        Self {
            context,
            cluster,
            settings,
            crm,
            mirror: Mutex::default(),
            view: Mutex::default(),
            breaker: Mutex::new(breaker),
            units: queues.units,
            records: queues.records,
            statuses: queues.statuses,
            reach: queues.reach,
            parked: Mutex::default(),
            breaker_changed: Notify::new(),
            listing_wanted: Notify::new(),
        }
    }

    /// The term that calls are made in, as CRMs see it.
    pub(crate) fn term(&self) -> u64 {
        self.context.identity.term(self.context.term.revision().0)
    }

    /// Notes that the CRM has seen the term `seen` of this owner. One above ours means that it refuses
    /// all that we ask for.
    pub(crate) fn note_term(&self, seen: u64) {
        let newer = Some(seen).filter(|seen| *seen > self.term());
        let before = std::mem::replace(&mut self.view.lock().newer_term, newer);
        if before == newer {
            return;
        }
        if newer.is_none() {
            self.release();
        }
        if let Some(seen) = newer {
            tracing::error!(cluster = %self.cluster, term = self.term(), seen, "the CRM refuses our term");
        }
        self.status_changed();
    }

    /// Returns `true` if the CRM is known to refuse our term, and will tell when it does no more.
    pub(crate) fn is_refused(&self) -> bool {
        let view = self.view.lock();
        view.newer_term.is_some() && view.tells_term
    }

    /// Who calls for no write in particular.
    pub(crate) fn caller(&self) -> Caller {
        self.caller_for(None)
    }

    /// Who calls because of the write with this correlation id.
    pub(crate) fn caller_for(&self, correlation_id: Option<&str>) -> Caller {
        Caller {
            term: Some(self.term()),
            owner: Arc::clone(self.context.identity.owner()),
            correlation_id: correlation_id.map(Arc::from),
        }
    }

    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker.lock().state()
    }

    /// When the next probe is due; `None`: the breaker is not open.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.breaker.lock().next_probe(Instant::now())
    }

    /// Whether the CRM may be asked for anything but its health.
    pub(crate) fn may_call(&self) -> bool {
        self.view.lock().is_identified == Some(true) && self.breaker_state() != BreakerState::Open
    }

    /// Makes `work` wait until the CRM was listed again.
    pub(crate) fn park(&self, work: Work) {
        self.parked.lock().insert(work);
    }

    /// Lets all parked work go on.
    pub(crate) fn release(&self) {
        let parked = std::mem::take(&mut *self.parked.lock());
        for work in parked {
            self.units.add(work, Priority::Change);
        }
    }

    /// Asks for a listing, as soon as one may be made.
    pub(crate) fn want_listing(&self) {
        self.listing_wanted.notify_one();
    }

    /// Lists the CRM at once, since the store went back: there may be units that it no longer knows.
    pub(crate) fn store_went_back(&self, how: &str) {
        self.view.lock().went_back = Some((how.to_owned(), 0));
        let about = About::Cluster(self.cluster.clone());
        self.context.recorder.warning(about, "StoreWentBack", || {
            format!("{how}; everything is listed anew, and what no unit asks for is removed")
        });
        self.want_listing();
        self.status_changed();
    }

    /// Asks for the cluster's status to be written.
    pub(crate) fn status_changed(&self) {
        self.statuses.add(self.cluster.clone(), Priority::Change);
    }

    /// Makes a call, if the breaker lets it: a probe only when it is open.
    ///
    /// None once the term has run out on our clock, which needs no task to be noticed: a process
    /// that was paused wakes in the middle of its work, and a CRM may not know of terms.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Failure> {
        if !self.context.term.is_valid(Instant::now()) {
            return Err(Failure::Parked);
        }
        let Some(permit) = self.breaker.lock().begin(Instant::now()) else {
            return Err(Failure::Parked);
        };
        self.judge(permit, call).await.map_err(Failure::Call)
    }

    /// Makes a call that tells whether the CRM is there: the breaker's probe while it is open.
    /// `None`: no probe is due.
    pub(crate) async fn probe<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Option<Result<T, CallError>> {
        let now = Instant::now();
        let permit = {
            let mut breaker = self.breaker.lock();
            if breaker.state() == BreakerState::Open {
                breaker.begin_probe(now)
            } else {
                breaker.begin(now)
            }
        };
        Some(self.judge(permit?, call).await)
    }

    async fn judge<T>(
        &self,
        permit: Permit,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut permit = Abandon { agent: self, permit: Some(permit) };
        let result = call.await;
        let is_failure = result.as_ref().is_err_and(CallError::counts_against_breaker);
        // A call that found no room was not made: its permit goes back.
        let was_made = !result.as_ref().is_err_and(CallError::is_our_own);
        if let Some(permit) = permit.permit.take_if(|_| was_made) {
            let now = Instant::now();
            let changed = {
                let mut breaker = self.breaker.lock();
                if is_failure {
                    breaker.on_failure(permit, now)
                } else {
                    breaker.on_success(permit, now)
                }
            };
            if let Some(state) = changed {
                self.breaker_turned(state);
            }
        }
        result
    }

    fn breaker_turned(&self, state: BreakerState) {
        tracing::info!(cluster = %self.cluster, to = state.as_str(), "breaker changed");
        record_breaker(&self.cluster, state);
        let (recorder, about) = (&self.context.recorder, About::Cluster(self.cluster.clone()));
        let failure = || self.view.lock().failure.clone().unwrap_or_default();
        match state {
            BreakerState::Open => recorder.warning(about, "BreakerOpened", || {
                format!("its work waits until it answers again: {}", failure())
            }),
            BreakerState::HalfOpen => (),
            BreakerState::Closed => {
                recorder
                    .normal(about, "BreakerClosed", || "it answers; its work goes on".to_owned());
            }
        }
        match state {
            // What it holds is not known any more, until it was listed again.
            BreakerState::Open => self.mirror.lock().distrust(),
            BreakerState::HalfOpen => self.want_listing(),
            // Work that found the half-open breaker busy.
            BreakerState::Closed if self.mirror.lock().is_listed() => self.release(),
            BreakerState::Closed => (),
        }
        self.breaker_changed.notify_one();
        self.status_changed();
    }

    /// Notes what became of a call for `id`, and has it written down.
    pub(crate) fn note(&self, id: &UnitId, verdict: Verdict) {
        self.mirror.lock().note(id, verdict, Instant::now());
        self.records.add(id.clone(), Priority::Change);
    }
}

/// Gives a permit back when its call was dropped: cut off by a deadline or by the end of the term.
struct Abandon<'a> {
    agent: &'a Agent,
    permit: Option<Permit>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.agent.breaker.lock().on_abandoned(permit);
        }
    }
}
