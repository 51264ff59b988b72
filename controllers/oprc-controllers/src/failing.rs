//! Says of an object that its reconcile panicked or hung: which it could not say itself.
//!
//! The condition `ReconcileFailed` is added to what the object's status says already, with the
//! fence of every write. The next reconcile that comes to its end says everything anew, without it.
//!
//! Invariant: what is said already is not written again. A write of a status has its key looked at,
//! so that a key that panics each time would otherwise never be let wait.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use oprc_controller_runtime::{
    cache::State,
    controller::{Cause, Failure, OnFailure, OnRetry},
};
use oprc_cp_storage::{Write, keys::Key};
use oprc_models::{
    condition::{Condition, Truth, find},
    names::{ClusterName, DeploymentKey, PackageName},
    status::{DeploymentStatus, PackageStatus},
};

use crate::{
    context::{Context, put},
    error::Error,
    events::Subject,
};

/// The condition's type.
const FAILED: &str = "ReconcileFailed";

/// The longest of a panic's words that are repeated to users.
const MAX_MESSAGE_CHARS: usize = 500;

/// Why a reconcile did not come to its end, if it did not: in one word, and for people. A failure
/// that the reconcile returned is no such thing: what it means for the object is its own to say.
pub(crate) fn unfinished(failure: &Failure) -> Option<(&'static str, String)> {
    let text: String = failure.message.chars().take(MAX_MESSAGE_CHARS).collect();
    match failure.cause {
        Cause::Error => None,
        Cause::Panic => Some(("Panicked", format!("the reconcile panicked: {text}"))),
        Cause::Deadline => Some(("Hung", format!("the reconcile hung: {text}"))),
    }
}

/// Tells of the reconciles of deployments.
pub(crate) fn of_deployments(context: &Context) -> OnFailure<DeploymentKey> {
    hook(context, |key: &DeploymentKey, say, state| {
        let Some(spec) = state.deployments.get(key) else { return Ok(None) };
        let before = state.deployment_statuses.get(key);
        let uid = &spec.value.meta.uid;
        // What was said of an older incarnation is not said of this one; but numbers go on.
        let mut status = match before {
            Some(before) if before.value.uid == *uid => (*before.value).clone(),
            Some(_) | None => DeploymentStatus {
                uid: uid.clone(),
                unit_generation: before.map_or(0, |before| before.value.unit_generation),
                ..DeploymentStatus::default()
            },
        };
        if !say.add_to(&mut status.conditions, spec.value.meta.generation) {
            return Ok(None);
        }
        let key = Key::DeploymentStatus(key.clone());
        put(&key, before.map(|entry| entry.revision), &status).map(Some)
    })
}

/// Notes each failure for people, with when the next try comes; `about` names its object. An error
/// that knows the package it tells of goes by that.
pub(crate) fn told<K: 'static>(
    context: &Context,
    about: impl Fn(&K) -> Option<Subject> + Send + Sync + 'static,
) -> OnRetry<K> {
    let (recorder, cache) = (context.recorder.clone(), Arc::clone(&context.cache));
    Arc::new(move |key, failure, waits| {
        let (reason, message) = match unfinished(failure) {
            Some((_, message)) => (FAILED, message),
            None => match failure.reason {
                Some(reason) => (reason, failure.brief.clone()),
                None => return,
            },
        };
        let package = failure.scope.as_ref().and_then(|scope| scope.parse().ok());
        if let Some(about) = about(key) {
            let subject = about.or_of(package).shown_by(&cache.read());
            recorder.warning(subject, reason, || format!("{message}; retried in {}", secs(waits)));
        }
    })
}

/// A wait, for people.
fn secs(wait: Duration) -> String {
    let secs = wait.as_secs_f64();
    if secs < 10.0 { format!("{secs:.1} s") } else { format!("{secs:.0} s") }
}

/// Tells of the reconciles of packages.
pub(crate) fn of_packages(context: &Context) -> OnFailure<PackageName> {
    hook(context, |name: &PackageName, say, state| {
        let Some(spec) = state.packages.get(name) else { return Ok(None) };
        let before = state.package_statuses.get(name);
        let uid = &spec.value.meta.uid;
        let mut status = match before {
            Some(before) if before.value.uid == *uid => (*before.value).clone(),
            Some(_) | None => PackageStatus { uid: uid.clone(), ..PackageStatus::default() },
        };
        if !say.add_to(&mut status.conditions, spec.value.meta.generation) {
            return Ok(None);
        }
        let key = Key::PackageStatus(name.clone());
        put(&key, before.map(|entry| entry.revision), &status).map(Some)
    })
}

/// Tells of the reconciles of clusters' statuses.
pub(crate) fn of_clusters(context: &Context) -> OnFailure<ClusterName> {
    hook(context, |name: &ClusterName, say, state| {
        let Some(before) = state.cluster_statuses.get(name) else { return Ok(None) };
        let mut status = (*before.value).clone();
        if !say.add_to(&mut status.conditions, 0) {
            return Ok(None);
        }
        put(&Key::ClusterStatus(name.clone()), Some(before.revision), &status).map(Some)
    })
}

/// What there is to say.
struct Say {
    reason: &'static str,
    message: String,
    context: Context,
}

impl Say {
    /// Adds it to `conditions`, of `generation`; answers whether it is news.
    fn add_to(&self, conditions: &mut Vec<Condition>, generation: u64) -> bool {
        let before = find(conditions, FAILED);
        // Not by its words: a panic may say something else each time.
        if before.is_some_and(|before| {
            before.reason == self.reason && before.observed_generation == generation
        }) {
            return false;
        }
        let (truth, message, now) = (Truth::True, self.message.clone(), (self.context.now)());
        let new = Condition::new(FAILED, truth, self.reason, message, generation, now);
        conditions.retain(|condition| condition.r#type != FAILED);
        conditions.push(new);
        true
    }
}

fn hook<K: Send + Sync + 'static>(
    context: &Context,
    write: impl Fn(&K, &Say, &State) -> Result<Option<Write>, Error> + Clone + Send + Sync + 'static,
) -> OnFailure<K> {
    let context = context.clone();
    Arc::new(move |key, failure| -> BoxFuture<'static, ()> {
        let (context, write) = (context.clone(), write.clone());
        Box::pin(async move {
            let Some((reason, message)) = unfinished(&failure) else { return };
            let say = Say { reason, message, context };
            let told = async {
                let write = write(&key, &say, &say.context.cache.read())?;
                match write {
                    Some(write) => say.context.commit(vec![write]).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = told.await {
                let error = oprc_observability::Report(&error);
                tracing::warn!(%error, "a reconcile that did not end is told in the log alone");
            }
        })
    })
}
