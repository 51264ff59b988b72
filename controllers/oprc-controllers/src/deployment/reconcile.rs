//! Reconciles one deployment: reads the cache, plans, writes units and status.

use std::collections::{BTreeMap, BTreeSet};

use oprc_controller_runtime::{cache::State, controller::Requeue};
use oprc_cp_storage::{Check, Write, keys::Key};
use oprc_models::{
    names::{ClusterName, DeploymentKey, UnitId},
    record::StoredRecord,
    unit::StoredUnit,
};
use oprc_planning::{
    deployment::{Input, plan},
    place::Clusters as _,
};
use parking_lot::Mutex;
use tracing::Span;

use super::news::{self, News};
use crate::{
    context::{Context, as_it_was, put, remove, require_readable, trim},
    error::Error,
    events::Subject,
    view::View,
};

/// The deployments that wait for a cluster: looked at again when one comes or changes.
pub(crate) type Awaiting = Mutex<BTreeSet<DeploymentKey>>;

/// Reconciles the deployment `key` once.
///
/// # Errors
///
/// [`Error`]; in each case the next pass reads everything again.
pub(crate) async fn reconcile(
    context: &Context,
    awaiting: &Awaiting,
    key: &DeploymentKey,
) -> Result<Requeue, Error> {
    let Decided { basis, writes, news, subject } = decide(context, awaiting, key)?;
    for chunk in context.chunks(writes) {
        context.commit_on(&basis, chunk).await?;
    }
    for News { severity, reason, message } in news {
        context.recorder.note(subject.clone(), severity, reason, || message);
    }
    Ok(Requeue::AwaitChange)
}

/// What is to be written.
struct Decided {
    /// What must still be so. Units are of one spec: written late, when that is gone, they would be
    /// of nothing, and who removes the spec has seen all that were written for it.
    basis: Vec<Check>,
    /// The status last.
    writes: Vec<Write>,
    /// What people may want to know once it is written.
    news: Vec<News>,
    /// The deployment as it was decided on.
    subject: Subject,
}

/// Returns `true` if the plan of the deployment `key` rests on what `unreadable` holds.
fn rests_on(state: &State, key: &DeploymentKey, unreadable: &Key) -> bool {
    match unreadable {
        Key::Deployment(other) | Key::DeploymentStatus(other) | Key::Unit(_, other) => other == key,
        Key::Package(name) => state.deployments_of_package(name).contains(key),
        // It might be the one that is pinned.
        Key::PackageVersion(name, _) => {
            let spec = state.deployments.get(key).map(|entry| &entry.value.spec);
            spec.is_some_and(|it| it.package_name == *name && it.package_version.is_some())
        }
        Key::Cluster(_)
        | Key::Record(..)
        | Key::PackageStatus(_)
        | Key::ClusterStatus(_)
        | Key::PackageRevision(..)
        | Key::DeploymentRevision(..)
        | Key::Bundle(_)
        | Key::Push(_)
        | Key::RoleBinding(_)
        | Key::Events(_)
        | Key::Installation
        | Key::Leader(_) => false,
    }
}

/// The writes that carry out the plan.
fn decide(context: &Context, awaiting: &Awaiting, key: &DeploymentKey) -> Result<Decided, Error> {
    let state = context.cache.read();
    require_readable(&state, |unreadable| rests_on(&state, key, unreadable))?;
    let spec = state.deployments.get(key);
    let status = state.deployment_statuses.get(key);
    let (units, records) = held(&state, key);
    let input = Input {
        spec: spec.map(|entry| &*entry.value),
        units: &units,
        records: &records,
        status: status.map(|entry| &*entry.value),
        owner: context.identity.owner(),
        now: (context.now)(),
    };
    let view = View { state: &state, default_cluster: context.default_cluster.as_ref() };
    let plan = plan(&input, &view);
    // Of what the units change for, else of what is stored.
    let planned = plan.units.values().find_map(|unit| unit.correlation_id.clone());
    let stored = spec.and_then(|entry| entry.value.meta.correlation_id.clone());
    let correlation_id = planned.or(stored);
    if let Some(correlation_id) = &correlation_id {
        Span::current().record("correlation_id", correlation_id);
    }
    let uid = spec.map(|entry| entry.value.meta.uid.clone());
    let uid = uid.or_else(|| status.map(|entry| entry.value.uid.clone()));
    let package = spec.map(|entry| &entry.value.spec.package_name);
    let subject = Subject::deployment(key, package).of_incarnation(uid).following(correlation_id);

    if plan.awaits_cluster {
        awaiting.lock().insert(key.clone());
    } else {
        awaiting.lock().remove(key);
    }
    let (mut basis, mut writes) = (Vec::new(), Vec::new());
    let news = news::of(&plan, &input, |cluster| view.is_registered(cluster));
    if !plan.units.is_empty() {
        // An intent beside the spec does not remove it, whatever becomes of the intent.
        let spec_key = Key::Deployment(key.clone());
        let revision = state.revision_in_store(&spec_key, spec.map(|entry| entry.revision));
        basis.push(Check { key: spec_key.to_string(), precondition: as_it_was(revision) });
    }
    for (cluster, unit) in &plan.units {
        let revision = state.unit(cluster, key).map(|entry| entry.revision);
        tracing::info!(
            deployment = %key, cluster = %cluster, desired = unit.desired.as_str(),
            generation = unit.unit.generation, "unit planned"
        );
        writes.push(put(&Key::Unit(cluster.clone(), key.clone()), revision, unit)?);
    }
    // A push may be about to make it anew; what comes of that is told.
    let is_staged = state.intent(&Key::Deployment(key.clone())).is_some();
    let is_gone = (plan.is_finished || spec.is_none()) && !is_staged;
    let old = trimmed(&state, key, if is_gone { 0 } else { context.history_limit });
    if !old.is_empty() && is_gone {
        // Whoever takes up a document that is on its way out keeps its history.
        let precondition = as_it_was(spec.map(|entry| entry.revision));
        basis.push(Check { key: Key::Deployment(key.clone()).to_string(), precondition });
    }
    writes.extend(old);
    let status_key = Key::DeploymentStatus(key.clone());
    if let Some(new) = &plan.status {
        writes.push(put(&status_key, status.map(|entry| entry.revision), new)?);
    }
    if plan.is_finished && !is_staged {
        tracing::info!(deployment = %key, "nothing of it is left; removing it");
        writes.extend(spec.map(|entry| remove(&Key::Deployment(key.clone()), entry.revision)));
        writes.extend(status.map(|entry| remove(&status_key, entry.revision)));
    }
    Ok(Decided { basis, writes, news, subject })
}

type Units = BTreeMap<ClusterName, StoredUnit>;
type Records<'a> = BTreeMap<(ClusterName, UnitId), &'a StoredRecord>;

/// The units and the records of the deployment.
fn held<'a>(state: &'a State, key: &DeploymentKey) -> (Units, Records<'a>) {
    let units = state
        .units_of_deployment(key)
        .map(|(cluster, entry)| (cluster.clone(), entry.value.unpack()));
    let records = state.records_of_deployment(key).filter_map(|(cluster, id)| {
        let entry = state.record(cluster, id)?;
        entry.value.managed.then(|| ((cluster.clone(), id.clone()), &*entry.value))
    });
    (units.collect(), records.collect())
}

/// Removals of what the deployment was, but for the last `limit` revisions.
fn trimmed(state: &State, key: &DeploymentKey, limit: usize) -> Vec<Write> {
    let archived = state.deployment_revisions.get(key);
    trim(archived, limit, |generation| Key::DeploymentRevision(key.clone(), generation))
}
