//! The loop of every controller: takes keys from its queue and reconciles each.
//!
//! Invariants:
//! - what happens in one reconcile stays with its key: an error, a panic and a hang are each told,
//!   counted and tried again after a back-off, and the loop goes on;
//! - at most [`Config::concurrency`] reconciles run at once, each for at most [`Config::deadline`];
//! - work is joined, never detached: when [`Controller::run`] returns, nothing of it runs.
//!
//! It is told nothing of what changed and passes on nothing but the key.

mod attempt;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use metrics::{Label, counter, describe_counter};
use tokio::{
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::attempt::{Attempt, attempt};
use oprc_observability::{Brief, Report};

use crate::{
    queue::{Job, Outcome},
    shared::{Key, Queue, labels},
};

const RECONCILES: &str = "oprc_pm_reconciles_total";

/// What a reconcile that succeeded waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing: a trigger adds the key when something changes.
    AwaitChange,
    /// The time: look again after this long, changed or not.
    After(Duration),
}

/// Why a reconcile failed.
pub trait ReconcileError: std::error::Error + Send + 'static {
    /// When somebody said not to be asked again sooner than this.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Why, in one CamelCase word, where people are to be told.
    fn reason(&self) -> Option<&'static str> {
        None
    }

    /// What the message tells of, where its hearers have to know: see [`Failure::scope`].
    fn scope(&self) -> Option<String> {
        None
    }

    /// The longest back-off, where what failed is not the key's own and ends for all keys at once.
    fn retry_within(&self) -> Option<Duration> {
        None
    }
}

/// The bounds of a controller.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most reconciles that run at once.
    pub concurrency: NonZeroUsize,
    /// How long a reconcile may take until it is cut off and tried again.
    pub deadline: Duration,
    /// How long running reconciles have to finish when the controller is stopped.
    pub grace: Duration,
}

impl Default for Config {
    /// Eight at once, 30 s each, 5 s to finish.
    ///
    /// Why 30 s: a reconcile makes a few calls of at most 10 s each. Why 5 s: half of the ten
    /// seconds that a process has to shut down; the rest is for resigning and for requests.
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::MIN.saturating_add(7),
            deadline: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// How a reconcile failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It returned an error.
    Error,
    /// It panicked.
    Panic,
    /// It had not finished by its deadline.
    Deadline,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Deadline => "deadline",
        }
    }
}

/// A reconcile that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How.
    pub cause: Cause,
    /// How often in a row, this time included.
    pub failures: u32,
    /// Why, with all its causes, on one line: for the log.
    pub message: String,
    /// Why, in short: for users.
    pub brief: String,
    /// What the error says of itself in one word; see [`ReconcileError::reason`].
    pub reason: Option<&'static str>,
    /// What the error's message tells of; see [`ReconcileError::scope`].
    pub scope: Option<String>,
}

/// Told of each failure while the key is still held, so that the key's status can say so: a
/// reconcile that panics cannot. Has the same deadline as a reconcile; what it fails at is logged.
pub type OnFailure<K> = Arc<dyn Fn(K, Failure) -> BoxFuture<'static, ()> + Send + Sync>;

/// Told of each failure when it is known how long the key waits: for people. It must return at once.
pub type OnRetry<K> = Arc<dyn Fn(&K, &Failure, Duration) + Send + Sync>;

/// A queue, and what is done with its keys.
pub struct Controller<K, F> {
    queue: Queue<K>,
    config: Config,
    reconcile: Arc<F>,
    on_failure: Option<OnFailure<K>>,
    on_retry: Option<OnRetry<K>>,
}

impl<K, F, Fut, E> Controller<K, F>
where
    K: Key,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Requeue, E>> + Send + 'static,
    E: ReconcileError,
{
    /// A controller that has not started. It takes its name from the queue.
    pub fn new(queue: Queue<K>, config: Config, reconcile: F) -> Self {
        Self { queue, config, reconcile: Arc::new(reconcile), on_failure: None, on_retry: None }
    }

    /// Tells `hook` of each failure.
    #[must_use]
    pub fn on_failure(mut self, hook: OnFailure<K>) -> Self {
        self.on_failure = Some(hook);
        self
    }

    /// Tells `hook` of each failure, and when the next try comes.
    #[must_use]
    pub fn on_retry(mut self, hook: OnRetry<K>) -> Self {
        self.on_retry = Some(hook);
        self
    }

    /// Reconciles until `stop` is cancelled or the queue is closed.
    ///
    /// Then it starts nothing more, closes the queue, lets what runs finish for the time of
    /// [`Config::grace`], and aborts the rest. Dropped, it aborts at once.
    pub async fn run(self, stop: CancellationToken) {
        let queue = CloseOnDrop(self.queue.clone());
        let mut work = JoinSet::new();
        let mut observe = interval(Duration::from_secs(1));
        observe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_room = work.len() < self.config.concurrency.get();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = observe.tick() => self.queue.observe(),
                Some(joined) = work.join_next() => self.finish(joined),
                job = self.queue.next(), if has_room => match job {
                    Some(job) => drop(work.spawn(self.work_on(job))),
                    None => break,
                },
            }
        }
        drop(queue);
        self.wind_down(work).await;
    }

    /// Reconciles a key, tells of a failure, and answers what is to become of the key.
    fn work_on(&self, job: Job<K>) -> impl Future<Output = Worked<K>> + use<K, F, Fut, E> {
        let Job { key, failures, .. } = job;
        let name = self.queue.name();
        let span = tracing::info_span!(
            "reconcile",
            controller = name.controller,
            cluster = name.cluster,
            key = %key,
            // Of the write that led to it: recorded by the reconcile that knows it.
            correlation_id = tracing::field::Empty,
        );
        let reconcile = Arc::clone(&self.reconcile);
        let on_failure = self.on_failure.clone();
        let deadline = self.config.deadline;
        let mut labels = labels(name);
        let work = async move {
            let of = key.clone();
            let attempted = attempt(deadline, async move { reconcile(of).await }).await;
            let (outcome, failure) = judge(attempted, failures.saturating_add(1));
            let result = failure.as_ref().map_or("success", |failure| failure.cause.as_str());
            labels.push(Label::from_static_parts("result", result));
            counter!(RECONCILES, labels).increment(1);
            if let Some(failure) = &failure {
                tell(failure);
                if let Some(hook) = on_failure {
                    let (of, failure) = (key.clone(), failure.clone());
                    let told = attempt(deadline, async move { hook(of, failure).await }).await;
                    if let Attempt::Panicked(message) = told {
                        tracing::error!(error = message, "telling of a failed reconcile panicked");
                    }
                }
            }
            Worked { key, outcome, failure }
        };
        work.instrument(span)
    }

    /// Gives a key back.
    fn finish(&self, joined: Result<Worked<K>, JoinError>) {
        match joined.map_err(JoinError::try_into_panic) {
            Ok(Worked { key, outcome, failure }) => {
                let waits = self.queue.done(&key, outcome);
                if let (Some(failure), Some(hook), Some(waits)) = (failure, &self.on_retry, waits) {
                    hook(&key, &failure, waits);
                }
            }
            // `attempt` catches the panics of a reconcile: this is one of our own.
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // Aborted, and so was asked to be.
            Err(Err(_)) => {}
        }
    }

    async fn wind_down(&self, mut work: JoinSet<Worked<K>>) {
        let finished = timeout(self.config.grace, async {
            while let Some(joined) = work.join_next().await {
                self.finish(joined);
            }
        });
        if finished.await.is_err() {
            let name = self.queue.name();
            let controller = name.controller;
            tracing::warn!(
                controller,
                cluster = name.cluster,
                n_aborted = work.len(),
                "aborting reconciles"
            );
            work.shutdown().await;
        }
        self.queue.observe();
    }
}

/// A key that was worked on, and what is to become of it.
struct Worked<K> {
    key: K,
    outcome: Outcome,
    failure: Option<Failure>,
}

/// What becomes of a key after `attempted`, and what there is to tell; `failures` counts this one.
fn judge<E: ReconcileError>(
    attempted: Attempt<Result<Requeue, E>>,
    failures: u32,
) -> (Outcome, Option<Failure>) {
    let (mut reason, mut scope, mut brief) = (None, None, None);
    let (outcome, cause, message) = match attempted {
        Attempt::Finished(Ok(Requeue::AwaitChange)) => return (Outcome::Settled, None),
        Attempt::Finished(Ok(Requeue::After(delay))) => return (Outcome::After(delay), None),
        Attempt::Finished(Err(err)) => {
            let within = err.retry_within().map_or(Outcome::Retry, Outcome::RetryWithin);
            reason = err.reason();
            scope = err.scope();
            brief = Some(Brief(&err).to_string());
            let outcome = err.retry_after().map_or(within, Outcome::RetryAfter);
            (outcome, Cause::Error, Report(&err).to_string())
        }
        Attempt::Panicked(message) => (Outcome::Retry, Cause::Panic, message),
        Attempt::TimedOut(deadline) => {
            (Outcome::Retry, Cause::Deadline, format!("not finished after {deadline:?}"))
        }
    };
    let brief = brief.unwrap_or_else(|| message.clone());
    (outcome, Some(Failure { cause, failures, message, brief, reason, scope }))
}

/// Logs a failure: the first, the second, the fourth and so on of a row. A key that fails for as long
/// as it is wanted would otherwise fill the log with one line.
fn tell(failure: &Failure) {
    let Failure { cause, failures, message, .. } = failure;
    if !failures.is_power_of_two() {
        tracing::debug!(failures, error = message, "reconcile failed again");
        return;
    }
    match cause {
        Cause::Error => tracing::warn!(failures, error = message, "reconcile failed"),
        Cause::Panic => tracing::error!(failures, error = message, "reconcile panicked"),
        Cause::Deadline => tracing::error!(failures, error = message, "reconcile hung"),
    }
}

/// Closes the queue however the loop ends, so that nobody fills a queue that nobody empties.
struct CloseOnDrop<K: Key>(Queue<K>);

impl<K: Key> Drop for CloseOnDrop<K> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Describes the metrics of controllers.
pub(crate) fn describe_metrics() {
    describe_counter!(RECONCILES, "Reconciles that ended, by result");
}

#[cfg(test)]
mod tests;
