//! The controllers: what closes the difference between desired and observed, forever.
//!
//! Four kinds, all alike inside — `triggers.rs` says which keys a change makes worth a look,
//! `reconcile.rs` reads, decides (in `oprc-planning`), acts and reports:
//! - *package*: whether what a package depends on is there;
//! - *deployment*: the planner, from specs to units and statuses;
//! - *push*: finishing what pushes of several transactions left half-way;
//! - *cluster*: one agent per cluster, from units to calls of its CRM, and from what the CRM says
//!   to records.
//!
//! Invariants:
//! - controllers do not call each other: they speak through the store;
//! - every write carries the term's fence, so a deposed leader's write fails;
//! - nothing is decided before the cache shows all that earlier terms wrote.

mod cluster;
mod context;
mod deployment;
mod error;
mod events;
mod failing;
pub mod installation;
mod package;
mod push;
mod queues;
#[cfg(test)]
mod tests;
mod view;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use oprc_controller_runtime::{
    backoff::Backoff,
    controller::{Config, Controller, ReconcileError},
    queue::Priority,
    shared::{Name, Queue},
};
use oprc_crm_client::CallError;
use oprc_models::{
    event::About,
    names::{DeploymentKey, PackageName, PushId},
};
use tokio_util::sync::CancellationToken;

use self::{cluster::Fleet, deployment::Awaiting, events::Subject, queues::QueueFactory};
pub use self::{
    cluster::{Budget, Connect, Settings},
    context::{Context, Now},
    error::Error,
    events::Recorder,
    queues::Watchdog,
};

/// Reconciles of one controller at once. They mostly wait for the store, which merges their writes.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// How long running reconciles have when a term ends. Short: what is cut off is found out by the
/// next term's ordinary loop, and the successor should not wait for a slow CRM.
const GRACE: Duration = Duration::from_millis(100);

/// The longest wait of a key that the store took no write for, since it took none of anybody's: when
/// it is mended, all keys are to go on. At most [`AT_ONCE`] of them ask at a time.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

impl ReconcileError for Error {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call { retry_after, .. } => *retry_after,
            Self::Store(_)
            | Self::Behind(_)
            | Self::Unreadable { .. }
            | Self::Encode(_)
            | Self::NotObserved { .. }
            | Self::Unseen { .. } => None,
        }
    }

    fn scope(&self) -> Option<String> {
        match self {
            Self::Call { package, .. } => package.as_ref().map(ToString::to_string),
            Self::Store(_)
            | Self::Behind(_)
            | Self::Unreadable { .. }
            | Self::Encode(_)
            | Self::NotObserved { .. }
            | Self::Unseen { .. } => None,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Call { source, .. } => match **source {
                CallError::Refused { .. } | CallError::Stale { .. } => Some("Refused"),
                _ => Some("CallFailed"),
            },
            Self::Unreadable { .. } => Some("Unreadable"),
            // Someone else wrote first, or nobody can write: no news of this key.
            Self::Store(_) | Self::Behind(_) => None,
            Self::Encode(_) | Self::NotObserved { .. } | Self::Unseen { .. } => None,
        }
    }

    fn retry_within(&self) -> Option<Duration> {
        matches!(self, Self::Store(error) if is_of_all_keys(error)).then_some(STORE_PATIENCE)
    }
}

/// Whether the store would refuse any other write as well.
fn is_of_all_keys(error: &oprc_cp_storage::Error) -> bool {
    use oprc_cp_storage::Error;
    match error {
        Error::Unavailable { .. }
        | Error::MaybeDone { .. }
        | Error::Full { .. }
        | Error::Unauthorized { .. } => true,
        Error::Conflict { .. }
        | Error::Compacted { .. }
        | Error::LeaseGone(_)
        | Error::Refused { .. } => false,
    }
}

/// Describes this crate's metrics to the recorder, once, after it was installed.
pub fn describe_metrics() {
    cluster::describe_metrics();
    events::describe_metrics();
}

/// What the controllers of every term are made of.
#[derive(Clone)]
pub struct Controllers {
    /// How agents behave.
    pub settings: Settings,
    /// Makes the clients of CRMs.
    pub connect: Connect,
    /// How failing keys slow down.
    pub backoff: Backoff,
    /// Watches the queues.
    pub watchdog: Watchdog,
    /// Of all jitter.
    pub seed: u64,
}

impl Controllers {
    /// Runs all controllers for one term, until `stop`.
    pub async fn run(&self, context: Context, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = caught_up(&context) => (),
        }
        let seed = self.seed ^ context.term.revision().0;
        let queues = QueueFactory::new(self.backoff, self.watchdog.clone(), seed);
        let packages = queues.queue(Name::new("package"));
        let deployments = queues.queue(Name::new("deployment"));
        // With a jitter of its own, so that it changes nobody else's.
        let of_pushes = QueueFactory::new(self.backoff, self.watchdog.clone(), !seed);
        let pushes = of_pushes.queue(Name::new("push"));
        let awaiting = Arc::new(Awaiting::default());
        let fleet =
            Fleet::new(context.clone(), self.settings.clone(), Arc::clone(&self.connect), queues);

        let subscription = {
            let (packages, deployments) = (packages.clone(), deployments.clone());
            let history_limit = context.history_limit;
            let pushes = pushes.clone();
            let (fleet, awaiting) = (Arc::clone(&fleet), Arc::clone(&awaiting));
            context.cache.subscribe(Arc::new(move |changed, state| {
                for name in package::keys(changed, state, history_limit) {
                    packages.add(name, Priority::Change);
                }
                for key in deployment::keys(changed, state, &awaiting.lock(), history_limit) {
                    deployments.add(key, Priority::Change);
                }
                if let Some(id) = push::keys(changed, state) {
                    pushes.add(id, Priority::Change);
                }
                fleet.trigger(changed);
            }))
        };
        all_there(&context, &packages, &deployments);
        pushes_left(&context, &pushes);
        fleet.resync();

        let config = Config { concurrency: AT_ONCE, grace: GRACE, ..Config::default() };
        let of_packages = context.clone();
        let packages = Controller::new(packages, config, move |name| {
            let context = of_packages.clone();
            async move { package::reconcile(&context, &name).await }
        });
        let (of_pushes, begun) = (context.clone(), Arc::new(push::Begun::default()));
        let pushes = Controller::new(pushes, config, move |id| {
            let (context, begun) = (of_pushes.clone(), Arc::clone(&begun));
            async move { push::reconcile(&context, &begun, &id).await }
        });
        let packages = packages
            .on_failure(failing::of_packages(&context))
            .on_retry(failing::told(&context, |name: &PackageName| {
                Some(About::Package(name.clone()).into())
            }));
        let of_failures = failing::of_deployments(&context);
        let seen_by = context.clone();
        let of_retries =
            failing::told(&context, move |key: &DeploymentKey| Some(subject_of(&seen_by, key)));
        let of_events = context.clone();
        let events = of_events.recorder.keep(&of_events, stop.clone());
        let deployments = Controller::new(deployments, config, move |key| {
            let (context, awaiting) = (context.clone(), Arc::clone(&awaiting));
            async move { deployment::reconcile(&context, &awaiting, &key).await }
        });
        let deployments = deployments.on_failure(of_failures).on_retry(of_retries);
        let (packages, deployments) = (packages.run(stop.clone()), deployments.run(stop.clone()));
        let (pushes, fleet) = (pushes.run(stop.clone()), fleet.run(stop));
        tokio::join!(packages, deployments, pushes, fleet, events);
        drop(subscription);
        self.watchdog.clear();
    }
}

/// Returns the subject of events about a deployment.
fn subject_of(context: &Context, key: &DeploymentKey) -> Subject {
    let state = context.cache.read();
    let package = state.deployments.get(key).map(|it| &it.value.spec.package_name);
    Subject::deployment(key, package)
}

/// Has a look at all packages and deployments, what is left of those that are gone included.
fn all_there(context: &Context, packages: &Queue<PackageName>, deployments: &Queue<DeploymentKey>) {
    let state = context.cache.read();
    let names = state.packages.keys().chain(state.package_statuses.keys());
    let kept_beside = state.package_revisions.keys().chain(state.package_versions.keys());
    for name in names.chain(kept_beside) {
        packages.add(name.clone(), Priority::Resync);
    }
    let keys = state.deployments.keys().chain(state.units.keys().map(|(key, _)| key));
    let keys = keys.chain(state.deployment_statuses.keys());
    for key in keys.chain(state.deployment_revisions.keys()) {
        deployments.add(key.clone(), Priority::Resync);
    }
}

/// Has a look at the pushes that are not done with.
fn pushes_left(context: &Context, pushes: &Queue<PushId>) {
    for id in context.cache.read().unfinished_pushes() {
        pushes.add(id.clone(), Priority::Resync);
    }
}

/// Waits until the cache shows the term's own beginning, and so all that earlier terms wrote.
async fn caught_up(context: &Context) {
    let patience = Duration::from_secs(60);
    while let Err(behind) = context.cache.wait_for(context.term.revision(), patience).await {
        tracing::warn!(error = %behind, "cache has not caught up; nothing is done yet");
    }
}
