//! The circuit breaker of one cluster: whether its CRM may be called, and when to ask whether it
//! works again.
//!
//! A state machine without I/O or a clock of its own: `now` is an argument. While it is open a
//! cluster's work waits with it, so that a dead cluster costs one probe at a time and heals as
//! fast as its work takes:
//!
//! ```text
//!            N failures in a row                probe answered
//!  Closed ─────────────────────────► Open ─────────────────────────► HalfOpen
//!    ▲                                ▲        a failure                │  │
//!    │                                └─────────────────────────────────┘  │
//!    └─────────────────────────────────────────────────────────────────────┘
//!                                M successes
//! ```
//!
//! Invariants:
//! - while it is open, at most one probe is under way, and two begin at least
//!   [`Config::probe_min`] apart (less jitter);
//! - a call counts only in the state that it began in: one that began before the breaker opened
//!   cannot close it, and one that began before it half opened cannot open it again;
//! - a probe or call whose result never comes holds nothing up for longer than
//!   [`Config::lost_after`];
//! - two breakers given the same configuration and the same calls do the same.

use std::time::Duration;

use oprc_models::cluster::BreakerState;
use tokio::time::Instant;

/// Share of an outage that passes between two probes, as a divisor: a 22nd, which with the jitter
/// is a 20th at most. So work begins again within 5 % of the outage that it waited for.
const OUTAGE_PER_PROBE: u32 = 22;

/// Jitter of the probes' spacing, to either side: the clusters behind one broken switch shall not
/// be asked in step.
const JITTER: f64 = 0.1;

/// How a [`Breaker`] behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many failures in a row open it.
    pub failures_to_open: u32,
    /// How many successes after an answered probe close it; also how many calls go at a time
    /// until then, so that a CRM that has only just come up is not run over.
    pub successes_to_close: u32,
    /// The shortest time between the beginnings of two probes.
    ///
    /// Why 750 ms: under 1.4 wasted calls a second, and short outages heal within a second.
    pub probe_min: Duration,
    /// The longest time between the beginnings of two probes.
    ///
    /// Why 10 s: after days of silence nobody minds ten seconds, and a probe costs nothing.
    pub probe_max: Duration,
    /// How long it must have been closed for the next outage to be a new one. Until then a
    /// flapping cluster is probed at the pace that its troubles have reached so far.
    pub settle: Duration,
    /// After how long a probe or call without a result is taken for lost. Longer than any call's
    /// timeout.
    pub lost_after: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures_to_open: 5,
            successes_to_close: 3,
            probe_min: Duration::from_millis(750),
            probe_max: Duration::from_secs(10),
            settle: Duration::from_secs(60),
            lost_after: Duration::from_secs(60),
            seed: 0,
        }
    }
}

/// A call under way. Its result goes to [`Breaker::on_success`], [`Breaker::on_failure`] or, if
/// there will be none, [`Breaker::on_abandoned`].
#[derive(Debug)]
#[must_use = "the breaker waits for the result"]
pub struct Permit {
    /// Which of the breaker's states the call began in.
    epoch: u64,
    began: Instant,
}

#[derive(Debug)]
enum State {
    Closed {
        /// How many calls failed since one last succeeded, and when the first of them did.
        failures: u32,
        failing_since: Option<Instant>,
    },
    Open {
        /// When the next probe may begin.
        due: Instant,
        /// When the probe under way began.
        probing: Option<Instant>,
    },
    HalfOpen {
        successes: u32,
        in_flight: u32,
        /// When a call last began.
        last_began: Instant,
    },
}

/// The circuit breaker of one cluster.
#[derive(Debug)]
pub struct Breaker {
    config: Config,
    rng: fastrand::Rng,
    state: State,
    /// Counts the states that it has been in.
    epoch: u64,
    /// When the outage began that is under way, or was the last.
    outage_since: Option<Instant>,
    /// When it last closed.
    closed_at: Option<Instant>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(config.seed),
            config,
            state: State::Closed { failures: 0, failing_since: None },
            epoch: 0,
            outage_since: None,
            closed_at: None,
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Since when the cluster has been in trouble; none while the breaker is closed.
    #[must_use]
    pub fn outage_since(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { .. } | State::HalfOpen { .. } => self.outage_since,
        }
    }

    /// Whether an ordinary call may begin.
    #[must_use]
    pub fn may_call(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { .. } => false,
            State::HalfOpen { in_flight, last_began, .. } => {
                in_flight < self.config.successes_to_close || self.is_lost(last_began, now)
            }
        }
    }

    /// When the next probe may begin: none unless the breaker is open. While one is under way,
    /// when it would be taken for lost.
    #[must_use]
    pub fn next_probe(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Open { due, probing: None } => Some(due.max(now)),
            State::Open { probing: Some(began), .. } => {
                Some((began + self.config.lost_after).max(now))
            }
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Begins an ordinary call; none unless [`Breaker::may_call`].
    pub fn begin(&mut self, now: Instant) -> Option<Permit> {
        if !self.may_call(now) {
            return None;
        }
        let lost_after = self.config.lost_after;
        if let State::HalfOpen { in_flight, last_began, .. } = &mut self.state {
            let all_lost = now.saturating_duration_since(*last_began) >= lost_after;
            *in_flight = if all_lost { 1 } else { *in_flight + 1 };
            *last_began = now;
        }
        Some(Permit { epoch: self.epoch, began: now })
    }

    /// Begins a probe; none unless [`Breaker::next_probe`] is due.
    pub fn begin_probe(&mut self, now: Instant) -> Option<Permit> {
        if self.next_probe(now)? > now {
            return None;
        }
        if let State::Open { probing, .. } = &mut self.state {
            *probing = Some(now);
        }
        Some(Permit { epoch: self.epoch, began: now })
    }

    /// The CRM answered, be it with a refusal. Returns the breaker's state if that changed it.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used once")]
    pub fn on_success(&mut self, permit: Permit, now: Instant) -> Option<BreakerState> {
        if permit.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed { failures, failing_since } => {
                (*failures, *failing_since) = (0, None);
                None
            }
            State::Open { .. } => {
                Some(self.enter(State::HalfOpen { successes: 0, in_flight: 0, last_began: now }))
            }
            State::HalfOpen { successes, in_flight, .. } => {
                *successes += 1;
                *in_flight = in_flight.saturating_sub(1);
                if *successes < self.config.successes_to_close {
                    return None;
                }
                self.closed_at = Some(now);
                Some(self.enter(State::Closed { failures: 0, failing_since: None }))
            }
        }
    }

    /// The call failed in a way that [counts](crate::CallError::counts_against_breaker). Returns
    /// the breaker's state if that changed it.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used once")]
    pub fn on_failure(&mut self, permit: Permit, now: Instant) -> Option<BreakerState> {
        if permit.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed { failures, failing_since } => {
                *failures += 1;
                let since = *failing_since.get_or_insert(now);
                if *failures < self.config.failures_to_open {
                    return None;
                }
                let has_settled = self
                    .closed_at
                    .is_none_or(|at| since.saturating_duration_since(at) >= self.config.settle);
                if has_settled || self.outage_since.is_none() {
                    self.outage_since = Some(since);
                }
                Some(self.open(now))
            }
            State::HalfOpen { .. } => Some(self.open(now)),
            State::Open { probing, .. } => {
                // A lost probe that comes back after all leaves the one that replaced it alone.
                if *probing == Some(permit.began) {
                    *probing = None;
                    let due = permit.began + self.spacing(now);
                    self.state = State::Open { due, probing: None };
                }
                None
            }
        }
    }

    /// The call was given up before it had a result.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used once")]
    pub fn on_abandoned(&mut self, permit: Permit) {
        if permit.epoch != self.epoch {
            return;
        }
        match &mut self.state {
            State::Closed { .. } => (),
            State::Open { due, probing } => {
                if *probing == Some(permit.began) {
                    *probing = None;
                    *due = (*due).max(permit.began + self.config.probe_min);
                }
            }
            State::HalfOpen { in_flight, .. } => *in_flight = in_flight.saturating_sub(1),
        }
    }

    fn open(&mut self, now: Instant) -> BreakerState {
        let due = now + self.spacing(now);
        self.enter(State::Open { due, probing: None })
    }

    fn enter(&mut self, state: State) -> BreakerState {
        self.epoch += 1;
        self.state = state;
        self.state()
    }

    fn is_lost(&self, began: Instant, now: Instant) -> bool {
        now.saturating_duration_since(began) >= self.config.lost_after
    }

    /// The time from the beginning of one probe to that of the next.
    fn spacing(&mut self, now: Instant) -> Duration {
        let outage =
            self.outage_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let Config { probe_min, probe_max, .. } = self.config;
        let spacing = (outage / OUTAGE_PER_PROBE).min(probe_max).max(probe_min);
        spacing.mul_f64(1.0 - JITTER + 2.0 * JITTER * self.rng.f64())
    }
}

#[cfg(test)]
mod tests;
