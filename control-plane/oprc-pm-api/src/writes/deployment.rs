//! Deployments that are written by themselves.

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::{Precondition, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::{ClusterName, DeploymentKey, PackageName},
    problem::Violation,
    role::{Kind, Verb},
};

use super::{
    Error,
    decision::{
        Decision, Document, Outcome, Principal, Push, Removal, Stamp, Step, deleting_meta,
        next_meta,
    },
    draft::{Draft, Spec},
    references,
    view::{Found, View},
};
use crate::auth::Authority;

pub(super) fn put<'p>(
    view: &View<'_>,
    push: &'p Push<'p, OClassDeployment>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let deployment = push.spec;
    let authority = push.by.authority;
    authority.require(push.verb.does(), Kind::Deployment, &deployment.package_name)?;
    let key = Key::Deployment(deployment.key.clone());
    let found = view.deployment(&deployment.key);
    may_take(authority, &key, &found)?;
    let step = Step::of(&key, found, deployment)?;
    step.permit(&key, push)?;
    view.scope.permit_deployment(&deployment.key, step.meta())?;

    let package = view.package_after(&deployment.package_name);
    let outcome = step.outcome();
    let outdated = step.outdated(push.conditions);
    let mut decision = match step {
        Step::Keep(entry) if !view.scope.claims(&entry.value.meta) => {
            Decision::new(outcome, kept(key, &entry))
        }
        step @ (Step::Keep(_) | Step::Replace(_)) => {
            // What is pushed with its bundle belongs to that, and no longer to a package.
            // One that moves to another package is no longer its former package's own.
            let owner = step
                .owner()
                .filter(|owner| !view.scope.is_bundle() && **owner == deployment.package_name);
            let draft = step.deployment_draft(key, deployment, owner.cloned(), push.by, stamp);
            let draft = view.scope.claimed(draft);
            Decision::new(outcome, Principal::Written(draft))
        }
        step @ (Step::Create | Step::Recreate(_)) => {
            let owner = declared_by(&package, deployment);
            let owner = view.scope.permit_declared(&deployment.key, owner)?;
            let draft = step.deployment_draft(key, deployment, owner, push.by, stamp);
            let draft = view.scope.claimed(draft);
            let mut decision = Decision::new(outcome, Principal::Written(draft));
            if let Found::Present(entry) = &package
                && !entry.value.spec.deployments.is_empty()
                && !view.scope.has_package(&deployment.package_name)
            {
                // Whether it declares this one decides who owns it.
                let package_key = Key::Package(deployment.package_name.clone());
                decision.also_check(&package_key, &package);
            }
            decision
        }
    };
    decision.warnings.extend(outdated);
    decision.warnings.extend(references::of_deployment(view, &package, deployment));
    Ok(decision)
}

/// Refuses to write over what the caller may not write: a key is one for all packages, so what is
/// stored under it may be of another one.
pub(super) fn may_take(
    authority: Authority<'_>,
    key: &Key,
    found: &Found<OClassDeployment>,
) -> Result<(), Error> {
    let may = match found {
        Found::Absent => true,
        Found::Unreadable(_) => authority.sees_all(),
        Found::Present(entry) => {
            let package = &entry.value.spec.package_name;
            authority.require(Verb::Update, Kind::Deployment, package).is_ok()
        }
    };
    if may { Ok(()) } else { Err(Error::NotYours { key: key.to_string() }) }
}

/// The package that declares `deployment` inline, and so owns it however it came to be: deleting
/// an inline deployment and creating it again by hand leads back to where it was.
fn declared_by(
    package: &Found<oprc_models::package::OPackage>,
    deployment: &OClassDeployment,
) -> Option<PackageName> {
    let Found::Present(entry) = package else { return None };
    let declares = entry.value.spec.deployments.iter().any(|inline| inline.key == deployment.key);
    let is_live = !entry.value.meta.is_deleting();
    (is_live && declares).then(|| deployment.package_name.clone())
}

pub(super) fn kept(key: Key, entry: &Entry<Stored<OClassDeployment>>) -> Principal<'static> {
    Principal::Kept(Document {
        key,
        meta: entry.value.meta.clone(),
        spec: Spec::StoredDeployment(entry.value.clone()),
        revision: entry.revision,
    })
}

/// What is stored and can be read, if the removal's conditions hold and the caller may do `verb` to
/// it. What the caller may not see is not there.
pub(super) fn existing(
    view: &View<'_>,
    key: &DeploymentKey,
    verb: Verb,
    removal: &Removal<'_>,
) -> Result<Entry<Stored<OClassDeployment>>, Error> {
    let store_key = Key::Deployment(key.clone());
    let authority = removal.by.authority;
    let found = match view.deployment(key) {
        Found::Unreadable(_) if !authority.sees_all() => Found::Absent,
        Found::Present(entry) if !authority.sees(&entry.value.spec.package_name) => Found::Absent,
        found => found,
    };
    match found {
        Found::Absent => Err(Error::NotFound { key: store_key.to_string() }),
        Found::Unreadable(reason) => Err(Error::Unreadable { key: store_key.to_string(), reason }),
        Found::Present(entry) => {
            let package = &entry.value.spec.package_name;
            authority.require(verb, Kind::Deployment, package)?;
            removal.conditions.check(&store_key, Some(&entry))?;
            Ok(entry)
        }
    }
}

pub(super) fn delete<'p>(
    view: &View<'_>,
    key: &DeploymentKey,
    removal: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = existing(view, key, Verb::Delete, removal)?;
    let key = Key::Deployment(key.clone());
    if entry.value.meta.is_deleting() {
        return Ok(Decision::new(Outcome::Deleting, kept(key, &entry)));
    }
    let meta = deleting_meta(&entry.value.meta, removal.by, stamp);
    let precondition = Precondition::At(entry.revision);
    let spec = Spec::StoredDeployment(entry.value);
    let draft = Draft { key, precondition, meta, spec, former: None };
    Ok(Decision::new(Outcome::Deleting, Principal::Written(draft)))
}

pub(super) fn exclude<'p>(
    view: &View<'_>,
    key: &DeploymentKey,
    cluster: &ClusterName,
    removal: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = existing(view, key, Verb::Delete, removal)?;
    let key = Key::Deployment(key.clone());
    let stored = &*entry.value;
    if stored.meta.is_deleting() || stored.spec.excluded_envs.contains(cluster) {
        return Ok(Decision::new(Outcome::Unchanged, kept(key, &entry)));
    }
    if !is_known(view, &stored.spec, cluster) {
        return Err(Error::NotFound { key: Key::Cluster(cluster.clone()).to_string() });
    }
    let mut spec = Box::new(stored.spec.clone());
    spec.excluded_envs.push(cluster.clone());
    let meta = removal.by.stamped(next_meta(&stored.meta, stamp));
    let mut warnings = Vec::new();
    if !spec.target_envs.is_empty()
        && spec.target_envs.iter().all(|t| spec.excluded_envs.contains(t))
    {
        let message = "every target is excluded now: the deployment has no cluster left";
        warnings.push(Violation::new("/excluded_envs", message));
    }
    let precondition = Precondition::At(entry.revision);
    let former = Some(entry.value.clone().into());
    let draft = Draft { key, precondition, meta, spec: Spec::Excluding(spec), former };
    Ok(Decision { warnings, ..Decision::new(Outcome::Replaced, Principal::Written(draft)) })
}

/// Whether `cluster` is registered, or else named by the deployment or holding a unit of it: what
/// is neither is a slip of the pen.
fn is_known(view: &View<'_>, spec: &OClassDeployment, cluster: &ClusterName) -> bool {
    view.state.clusters.contains_key(cluster)
        || view.state.unreadable.contains_key(&Key::Cluster(cluster.clone()))
        || view.state.unit(cluster, &spec.key).is_some()
        || spec.target_envs.contains(cluster)
        || spec.available_envs.contains(cluster)
}
