//! Packages, and the deployments that they declare inline.
//!
//! An inline deployment is a document of its own that its package owns. The package keeps what it
//! declared, so that a `GET` answers what was pushed, and so that the next push can be compared
//! with it: a declaration that changed replaces the owned deployment, one that did not leaves it
//! as it is, with the changes that were made to it directly. One that is gone, or going, is made
//! anew by every push that declares it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::{Precondition, keys::Key};
use oprc_models::{
    canonical::Canonical,
    dependency::Dependency,
    deployment::OClassDeployment,
    meta::Stored,
    names::{DeploymentKey, PackageName},
    package::OPackage,
    problem::Violation,
    role::{Kind, Verb},
};
use oprc_planning::resolve::{Found as Resolved, Node, find, needs};

use super::{
    Error,
    decision::{
        Decision, Document, Outcome, Principal, Provenance, Push, Removal, Stamp, Step,
        deleting_meta,
    },
    deployment,
    draft::{Draft, Spec},
    prospect::Prospect,
    references,
    versions::{self, Publication, Publishing},
    view::{Found, View},
};
use crate::auth::{Authority, Missing};

/// What to do about those who depend on a package that is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependants {
    /// Refuse the deletion. The package's own inline deployments do not count: they go with it.
    Refuse,
    /// Delete them too: the deployments of its classes, the packages that need it, and theirs.
    Cascade,
}

pub(super) fn put<'p>(
    view: &View<'_>,
    push: &'p Push<'p, OPackage>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let package = push.spec;
    push.by.authority.require(push.verb.does(), Kind::Package, &package.name)?;
    let key = Key::Package(package.name.clone());
    let found = view.package(&package.name);
    let before = match &found {
        Found::Present(entry) => Some(entry.clone()),
        Found::Absent | Found::Unreadable(_) => None,
    };
    let step = Step::of(&key, found, package)?;
    let live = before.as_ref().filter(|entry| !entry.value.meta.is_deleting());
    let publishing = versions::of(view, push, live, stamp)?;
    step.permit(&key, push)?;
    view.scope.permit_package(&package.name, step.meta())?;
    if !view.scope.has_package(&package.name) {
        refuse_cycles(view, push)?;
    }
    let (created_at, check, replaced) = match (publishing, live) {
        (Publishing::Forward { created_at, check, warning }, _) => (created_at, check, warning),
        (Publishing::Beside { publication, warnings }, Some(live)) => {
            return Ok(beside(view, push, live, publication, warnings, stamp));
        }
        (Publishing::Beside { .. }, None) => unreachable!("there is something beside it"),
    };

    let outcome = step.outcome();
    let outdated = step.outdated(push.conditions);
    let principal = match step {
        Step::Keep(entry) if !view.scope.claims(&entry.value.meta) => kept(key, &entry),
        step => {
            let mut draft = step.draft(key, Spec::Package(package), None, push.by, stamp);
            draft.meta.version_created_at = created_at;
            Principal::Written(view.scope.claimed(draft))
        }
    };
    let mut decision = Decision::new(outcome, principal);
    decision.checks.extend(check);
    declare(view, push, before.as_ref(), stamp, &mut decision)?;
    release(view, push, before.as_ref(), stamp, &mut decision);
    if !decision.others.is_empty() {
        push.by.authority.require(Verb::Update, Kind::Deployment, &package.name)?;
    }
    decision.warnings.extend(outdated.into_iter().chain(replaced));
    decision.warnings.extend(references::of_package(view, push));
    Ok(decision)
}

/// A version of a package that stays what it is; that belongs to the bundle, where one is pushed.
fn beside<'p>(
    view: &View<'_>,
    push: &'p Push<'p, OPackage>,
    live: &Entry<Stored<OPackage>>,
    publication: Option<Box<Publication>>,
    warnings: Vec<Violation>,
    stamp: &Stamp<'_>,
) -> Decision<'p> {
    let key = Key::Package(push.spec.name.clone());
    let principal = if view.scope.claims(&live.value.meta) {
        let spec = Spec::StoredPackage(live.value.clone());
        let draft = Step::Keep(live.clone()).draft(key, spec, None, push.by, stamp);
        Principal::Written(view.scope.claimed(draft))
    } else {
        kept(key, live)
    };
    let outcome = if publication.is_some() { Outcome::Published } else { Outcome::Unchanged };
    let mut decision = Decision::new(outcome, principal);
    decision.publishes = publication;
    decision.warnings = warnings;
    decision.warnings.extend(references::of_package(view, push));
    decision
}

fn kept(key: Key, entry: &Entry<Stored<OPackage>>) -> Principal<'static> {
    Principal::Kept(Document {
        key,
        meta: entry.value.meta.clone(),
        spec: Spec::StoredPackage(entry.value.clone()),
        revision: entry.revision,
    })
}

/// Writes the deployments that are declared and not there, or declared differently than before.
fn declare<'p>(
    view: &View<'_>,
    push: &'p Push<'p, OPackage>,
    before: Option<&Entry<Stored<OPackage>>>,
    stamp: &Stamp<'_>,
    decision: &mut Decision<'p>,
) -> Result<(), Error> {
    let package = push.spec;
    // What a package declared that is being deleted says nothing about its next incarnation.
    let last: BTreeMap<&DeploymentKey, &OClassDeployment> = before
        .filter(|entry| !entry.value.meta.is_deleting())
        .map(|entry| entry.value.spec.deployments.iter().map(|d| (&d.key, d)).collect())
        .unwrap_or_default();
    let mut others_own = Vec::new();
    for (index, declared) in package.deployments.iter().enumerate() {
        let key = Key::Deployment(declared.key.clone());
        let found = view.deployment(&declared.key);
        if let Some(owner) = foreign_owner(view, &found, &package.name) {
            let is_seen = matches!(&found, Found::Present(entry)
                if push.by.authority.sees(&entry.value.spec.package_name));
            let owner = if is_seen { owner } else { "somebody else".to_owned() };
            let message = format!("the deployment {} belongs to {owner}", declared.key);
            others_own.push(Violation::new(format!("/deployments/{index}/key"), message));
            continue;
        }
        let is_declared_as_before =
            last.get(&declared.key).is_some_and(|before| before.is_same(declared));
        let is_owned = |step: &Step<OClassDeployment>| step.owner() == Some(&package.name);
        match Step::of(&key, found.clone(), declared)? {
            step @ Step::Replace(_) if is_declared_as_before && is_owned(&step) => {
                decision.also_check(&key, &found);
            }
            step @ Step::Keep(_) if is_owned(&step) => decision.also_check(&key, &found),
            step => {
                deployment::may_take(push.by.authority, &key, &found)?;
                let owner = Some(package.name.clone());
                let mut draft = step.deployment_draft(key, declared, owner, push.by, stamp);
                draft.meta.bundle = None;
                decision.others.push(draft);
            }
        }
    }
    if others_own.is_empty() { Ok(()) } else { Err(Error::Owned { violations: others_own }) }
}

/// Who else a live deployment belongs to. One that is being deleted can be taken over.
fn foreign_owner(
    view: &View<'_>,
    found: &Found<OClassDeployment>,
    package: &PackageName,
) -> Option<String> {
    let Found::Present(entry) = found else { return None };
    match &entry.value.meta.owner {
        _ if entry.value.meta.is_deleting() => None,
        Some(owner) if owner == package => None,
        _ if view.scope.may_move(&entry.value.meta) => None,
        Some(owner) => Some(format!("the package {owner}")),
        None => Some("nobody: it was created by itself, not by a package".to_owned()),
    }
}

/// Asks for the deletion of the deployments that were declared and no longer are.
fn release<'p>(
    view: &View<'_>,
    push: &Push<'p, OPackage>,
    before: Option<&Entry<Stored<OPackage>>>,
    stamp: &Stamp<'_>,
    decision: &mut Decision<'p>,
) {
    let package = push.spec;
    let declared: BTreeSet<&DeploymentKey> = package.deployments.iter().map(|d| &d.key).collect();
    let mut released: BTreeSet<&DeploymentKey> =
        view.state.owned_by_package(&package.name).iter().collect();
    // Also what the cache may not show yet.
    released.extend(before.iter().flat_map(|e| e.value.spec.deployments.iter().map(|d| &d.key)));
    for key in released.difference(&declared).filter(|key| !view.scope.has_deployment(key)) {
        let found = view.deployment(key);
        match &found {
            Found::Present(entry)
                if entry.value.meta.owner.as_ref() == Some(&package.name)
                    && entry.value.spec.package_name == package.name
                    && !entry.value.meta.is_deleting() =>
            {
                decision.others.push(marked_deployment(key, entry, push.by, stamp));
            }
            Found::Absent | Found::Present(_) | Found::Unreadable(_) => {
                decision.also_check(&Key::Deployment((*key).clone()), &found);
            }
        }
    }
}

pub(super) fn marked_deployment<'p>(
    key: &DeploymentKey,
    entry: &Entry<Stored<OClassDeployment>>,
    by: Provenance<'_>,
    stamp: &Stamp<'_>,
) -> Draft<'p> {
    Draft {
        key: Key::Deployment(key.clone()),
        precondition: Precondition::At(entry.revision),
        meta: deleting_meta(&entry.value.meta, by, stamp),
        spec: Spec::StoredDeployment(entry.value.clone()),
        former: None,
    }
}

pub(super) fn marked_package<'p>(
    name: &PackageName,
    entry: &Entry<Stored<OPackage>>,
    by: Provenance<'_>,
    stamp: &Stamp<'_>,
) -> Draft<'p> {
    Draft {
        key: Key::Package(name.clone()),
        precondition: Precondition::At(entry.revision),
        meta: deleting_meta(&entry.value.meta, by, stamp),
        spec: Spec::StoredPackage(entry.value.clone()),
        former: None,
    }
}

/// The packages that `package` names as dependencies, and where.
pub(super) fn dependencies(
    package: &OPackage,
) -> impl Iterator<Item = (usize, Dependency)> + use<'_> {
    let parsed = package.dependencies.iter().enumerate();
    parsed.filter_map(|(index, text)| Some((index, Dependency::parse(text).ok()?)))
}

/// Packages that a search for cycles looks at, at most: the package controller finds the rest.
const MAX_SEARCHED: usize = 10_000;

/// Refuses a package that would need itself, through others that are stored.
fn refuse_cycles<'p>(view: &View<'p>, push: &'p Push<'p, OPackage>) -> Result<(), Error> {
    let package = push.spec;
    let after = Prospect::of_push(view, push);
    let own = after.node(package);
    let mut violations = Vec::new();
    let mut searched: BTreeSet<Node> = BTreeSet::new();
    for (index, dependency) in dependencies(package) {
        let found = find(&after, &dependency.name, dependency.requirement.as_ref());
        let mut queue: VecDeque<Resolved<'_>> = found.into_iter().collect();
        while let Some(Resolved { node, package: needed }) = queue.pop_front() {
            if node == own {
                let message = format!("{} needs {} in turn", dependency.name, package.name);
                violations.push(Violation::new(format!("/dependencies/{index}"), message));
                break;
            }
            if searched.len() == MAX_SEARCHED || !searched.insert(node) {
                continue;
            }
            queue.extend(needs(&after, &needed).filter_map(|(_, found)| found.ok()));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid { violations }) }
}

/// Marks the package and, before it, those that go with it: at most `batch` documents at once.
pub(super) fn delete<'p>(
    view: &View<'_>,
    name: &PackageName,
    dependants: Dependants,
    batch: usize,
    removal: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let authority = removal.by.authority;
    authority.require(Verb::Delete, Kind::Package, name)?;
    let key = Key::Package(name.clone());
    let entry = match view.package(name) {
        Found::Absent => return Err(Error::NotFound { key: key.to_string() }),
        Found::Unreadable(reason) => {
            return Err(Error::Unreadable { key: key.to_string(), reason });
        }
        Found::Present(entry) => entry,
    };
    removal.conditions.check(&key, Some(&entry))?;
    let is_deleting = entry.value.meta.is_deleting();
    let mut others = match dependants {
        Dependants::Refuse if is_deleting => Vec::new(),
        Dependants::Refuse => {
            refuse_dependants(view, name, authority)?;
            let owned = view.state.owned_by_package(name);
            mark_deployments(view, owned, removal, stamp)
        }
        Dependants::Cascade => cascade(view, name, removal, stamp)?,
    };
    if others.iter().any(|draft| matches!(draft.key, Key::Deployment(_))) {
        authority.require(Verb::Delete, Kind::Deployment, name)?;
    }
    let is_all = others.len() < batch;
    others.truncate(batch);
    let (outcome, principal) = if !is_all {
        (Outcome::Underway, kept(key, &entry))
    } else if is_deleting {
        (Outcome::Deleting, kept(key, &entry))
    } else {
        let marked = marked_package(name, &entry, removal.by, stamp);
        (Outcome::Deleting, Principal::Written(marked))
    };
    Ok(Decision { others, ..Decision::new(outcome, principal) })
}

fn refuse_dependants(
    view: &View<'_>,
    name: &PackageName,
    authority: Authority<'_>,
) -> Result<(), Error> {
    let deployments = view.state.deployments_of_package(name).iter().filter(|key| {
        live_deployment(view, key).is_some_and(|e| e.value.meta.owner.as_ref() != Some(name))
    });
    let packages = view.state.dependants_of_package(name).iter();
    let packages = packages.filter(|other| *other != name && live_package(view, other).is_some());
    let package_or_other = |other: &PackageName| {
        if authority.sees(other) {
            format!("package {other}")
        } else {
            "a package that you may not see".to_owned()
        }
    };
    let mut dependants: Vec<Violation> = deployments
        .map(|key| format!("deployment {key}"))
        .chain(packages.map(package_or_other))
        .map(|dependant| Violation::new("", dependant))
        .collect();
    dependants.dedup();
    if dependants.is_empty() {
        return Ok(());
    }
    Err(Error::HasDependants { key: Key::Package(name.clone()).to_string(), dependants })
}

pub(super) fn live_deployment(
    view: &View<'_>,
    key: &DeploymentKey,
) -> Option<Entry<Stored<OClassDeployment>>> {
    match view.deployment(key) {
        Found::Present(entry) if !entry.value.meta.is_deleting() => Some(entry),
        Found::Absent | Found::Present(_) | Found::Unreadable(_) => None,
    }
}

pub(super) fn live_package(view: &View<'_>, name: &PackageName) -> Option<Entry<Stored<OPackage>>> {
    match view.package(name) {
        Found::Present(entry) if !entry.value.meta.is_deleting() => Some(entry),
        Found::Absent | Found::Present(_) | Found::Unreadable(_) => None,
    }
}

fn mark_deployments<'a, 'p>(
    view: &View<'_>,
    keys: impl IntoIterator<Item = &'a DeploymentKey>,
    removal: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Vec<Draft<'p>> {
    let live = keys.into_iter().filter_map(|key| Some((key, live_deployment(view, key)?)));
    live.map(|(key, entry)| marked_deployment(key, &entry, removal.by, stamp)).collect()
}

/// Everything live that depends on `name`, however indirectly: deployments first, then packages,
/// those that nothing depends on before those they need.
fn cascade<'p>(
    view: &View<'_>,
    name: &PackageName,
    removal: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Result<Vec<Draft<'p>>, Error> {
    let mut reached: BTreeSet<&PackageName> = BTreeSet::from([name]);
    let mut order = vec![name];
    let mut next = 0;
    while let Some(package) = order.get(next) {
        next += 1;
        let found = view.state.dependants_of_package(package).iter();
        order.extend(found.filter(|other| reached.insert(other)));
    }
    for other in order.iter().skip(1).filter(|other| live_package(view, other).is_some()) {
        for kind in [Kind::Package, Kind::Deployment] {
            may_cascade(removal.by.authority, kind, other)?;
        }
    }
    let of_package = |package: &&'_ PackageName| {
        let state = view.state;
        let owned = state.owned_by_package(package).iter();
        state.deployments_of_package(package).iter().chain(owned).collect::<Vec<_>>()
    };
    let deployments: BTreeSet<&DeploymentKey> = order.iter().flat_map(of_package).collect();
    let mut drafts = mark_deployments(view, deployments, removal, stamp);
    for package in order.iter().skip(1).rev() {
        if let Some(entry) = live_package(view, package) {
            drafts.push(marked_package(package, &entry, removal.by, stamp));
        }
    }
    Ok(drafts)
}

/// Whether the caller may delete what is of `package`, which is named only to whom it may be.
pub(super) fn may_cascade(
    authority: Authority<'_>,
    kind: Kind,
    package: &PackageName,
) -> Result<(), Error> {
    authority.require(Verb::Delete, kind, package).map_err(|missing| {
        let package = missing.package.filter(|package| authority.sees(package));
        Error::Forbidden(Missing { package, ..missing })
    })
}
