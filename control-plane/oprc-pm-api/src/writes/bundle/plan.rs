//! What is to be done about a push: each document's decision, what is pruned, the bundle's record.

use std::collections::BTreeSet;

use oprc_cp_storage::{Check, Op, Precondition, Txn, Write, keys::Key, typed};
use oprc_models::{
    bundle::Bundle,
    deployment::OClassDeployment,
    meta::{Meta, Timestamp},
    names::{PackageName, PushId},
    package::OPackage,
    problem::Violation,
    version::StoredVersion,
};

use super::{Applied, BundlePush, BundleWritten, DocumentSpec, Touched, check, prune};
use crate::writes::{
    Error, Outcome, Push, Verb, Writes,
    archive::{self, Archived, Former},
    bundle::scope::Scope,
    decision::{Decision, Principal, Stamp},
    deployment,
    draft::{Draft, Spec},
    package,
    versions::Publication,
    view::{self, Seen, StoredAt, View},
};

/// Documents decided on in one look at the cache: well below a millisecond.
const CHUNK: usize = 64;

/// The most violations and warnings of one answer.
const MAX_TOLD: usize = 100;

/// A push, as its documents' decisions need it.
pub(super) struct Parts<'p> {
    pub(super) push: &'p BundlePush<'p>,
    documents: Vec<(&'p str, Part<'p>)>,
    pushed: BTreeSet<Key>,
    pub(super) scope: Scope,
}

enum Part<'p> {
    Package(Push<'p, OPackage>),
    Deployment(Push<'p, OClassDeployment>),
}

impl<'p> Parts<'p> {
    pub(super) fn new(push: &'p BundlePush<'p>) -> Self {
        let mut scope = Scope::new(push.bundle.cloned(), push.force);
        let mut pushed = BTreeSet::new();
        let (verb, by) = (Verb::Apply, push.by);
        let documents = push.documents.iter().map(|document| {
            let conditions = &document.conditions;
            let part = match &document.spec {
                DocumentSpec::Package(spec) => {
                    scope.add_package(spec);
                    pushed.insert(Key::Package(spec.name.clone()));
                    let inline = spec.deployments.iter();
                    pushed.extend(inline.map(|inline| Key::Deployment(inline.key.clone())));
                    Part::Package(Push { spec, verb, conditions, by })
                }
                DocumentSpec::Deployment(spec) => {
                    scope.add_deployment(&spec.key);
                    pushed.insert(Key::Deployment(spec.key.clone()));
                    Part::Deployment(Push { spec, verb, conditions, by })
                }
            };
            (document.at.as_str(), part)
        });
        Self { push, documents: documents.collect(), pushed, scope }
    }
}

/// What is to be done about a push.
pub(super) struct Plan<'p> {
    items: Vec<Item<'p>>,
    bundle: Option<BundleRecord>,
    pub(super) now: Timestamp,
    /// What is to be archived.
    pub(super) archived: Vec<Archived>,
    pub(super) stored_at: StoredAt,
    /// Pushes that are in the way.
    pub(super) undecided: BTreeSet<PushId>,
    pub(super) push: &'p BundlePush<'p>,
    has_history: bool,
    /// Number of documents that the bundle owns, where pruning would remove all of them.
    emptied: Option<usize>,
}

struct Item<'p> {
    /// None: pruned.
    at: Option<&'p str>,
    decision: Decision<'p>,
}

/// A bundle's record as it is to be.
struct BundleRecord {
    value: Bundle,
    /// None: it is so already.
    precondition: Option<Precondition>,
}

pub(super) fn plan<'p>(writes: &Writes, parts: &'p Parts<'p>) -> Result<Plan<'p>, Error> {
    let mut refusals = Refusals::default();
    refusals.violations.extend(check::duplicates(parts.push.documents));
    refusals.violations.extend(check::cycles(&writes.cache, &parts.scope, parts.push.documents));
    let now = (writes.now)();
    let stamp = writes.stamp(now);
    let mut plan = Plan {
        items: Vec::with_capacity(parts.documents.len()),
        bundle: None,
        now,
        archived: Vec::new(),
        stored_at: StoredAt::default(),
        undecided: BTreeSet::new(),
        push: parts.push,
        has_history: writes.max_revisions > 0,
        emptied: None,
    };
    let seen = Seen::default();
    for chunk in parts.documents.chunks(CHUNK) {
        let state = writes.cache.read();
        let view = View::new(&state, &seen, &parts.scope);
        for (at, part) in chunk {
            let decided = match part {
                Part::Package(push) => package::put(&view, push, &stamp),
                Part::Deployment(push) => deployment::put(&view, push, &stamp),
            };
            match decided {
                Ok(decision) => plan.add(&view, Some(at), decision),
                Err(error) => refusals.add(at, error)?,
            }
        }
    }
    plan.prune(writes, parts, &stamp, &mut refusals)?;
    refusals.finish()?;
    plan.bundle = record(writes, &plan, now)?;
    Ok(plan)
}

impl<'p> Plan<'p> {
    fn add(&mut self, view: &View<'_>, at: Option<&'p str>, decision: Decision<'p>) {
        let decisions = std::slice::from_ref(&decision);
        let (stored_at, undecided) = view::intents(view.state, &Seen::default(), decisions);
        self.stored_at.extend(stored_at);
        self.undecided.extend(undecided);
        self.archived.extend(archive::of(decisions, view, self.has_history));
        self.items.push(Item { at, decision });
    }

    fn prune(
        &mut self,
        writes: &Writes,
        parts: &'p Parts<'p>,
        stamp: &Stamp<'_>,
        refusals: &mut Refusals,
    ) -> Result<(), Error> {
        let Some(bundle) = parts.push.bundle.filter(|_| parts.push.prune) else { return Ok(()) };
        let is_pushed = |key: &Key| parts.pushed.contains(key);
        let (keys, n_owned) = {
            let state = writes.cache.read();
            (prune::unpushed(&state, bundle, is_pushed), state.owned_by_bundle(bundle).len())
        };
        let going: BTreeSet<&Key> = keys.iter().collect();
        let mut n_pruned = 0;
        let seen = Seen::default();
        for chunk in keys.chunks(CHUNK) {
            let state = writes.cache.read();
            let view = View::new(&state, &seen, &parts.scope);
            for key in chunk {
                let is_going = |other: &Key| going.contains(other);
                match prune::decide(&view, key, is_going, parts.push.by, stamp) {
                    Ok(Some(decision)) => {
                        n_pruned += 1;
                        self.add(&view, None, decision);
                    }
                    Ok(None) => {}
                    Err(error) => refusals.add("", error)?,
                }
            }
        }
        // Documents whose deletion was requested before are neither pruned nor kept.
        let keeps_nothing = keys.len() == n_owned;
        self.emptied = (n_pruned > 0 && keeps_nothing).then_some(n_pruned);
        Ok(())
    }

    /// Refuses to prune every document of the bundle unless the caller allows it. The usual cause is
    /// a push of the wrong files, or of none.
    pub(super) fn refuse_emptying(&self) -> Result<(), Error> {
        match (self.emptied, self.push.bundle) {
            (Some(n_documents), Some(bundle)) if !self.push.allow_empty => {
                Err(Error::WouldEmpty { bundle: bundle.clone(), n_documents })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn writes_something(&self) -> bool {
        self.items.iter().any(|item| item.decision.writes_something())
            || self.bundle.as_ref().is_some_and(|record| record.precondition.is_some())
    }

    /// The documents to write.
    pub(super) fn drafts(&self) -> impl Iterator<Item = &Draft<'p>> {
        self.items.iter().flat_map(|item| {
            let principal = match &item.decision.principal {
                Principal::Written(draft) => Some(draft),
                Principal::Kept(_) | Principal::Removed(_) => None,
            };
            principal.into_iter().chain(&item.decision.others)
        })
    }

    /// Adds to `txn` the versions to publish, and that their packages are as they were found.
    pub(super) fn publish(&self, txn: &mut Txn) -> Result<(), Error> {
        for Decision { principal, publishes, .. } in self.items.iter().map(|item| &item.decision) {
            let Some(publication) = publishes else { continue };
            txn.writes.push(publication.write()?);
            if let Principal::Kept(document) = principal {
                let (key, shown) = (document.key.to_string(), Precondition::At(document.revision));
                let precondition = self.stored_at.of(&key, shown);
                txn.checks.push(Check { key, precondition });
            }
        }
        Ok(())
    }

    /// The versions that are published beside what their packages are.
    pub(super) fn published(&self) -> impl Iterator<Item = &StoredVersion> {
        self.publications().map(|publication| &publication.stored)
    }

    pub(super) fn publications(&self) -> impl Iterator<Item = &Publication> {
        self.items.iter().filter_map(|item| item.decision.publishes.as_deref())
    }

    /// What must still be so besides what is written, that which decides the most first.
    pub(super) fn checks(&self) -> Vec<Check> {
        let written: BTreeSet<String> = self.drafts().map(|draft| draft.key.to_string()).collect();
        let mut seen = BTreeSet::new();
        let looked_at = self.items.iter().flat_map(|item| item.decision.checks.iter().cloned());
        let kept = self.items.iter().filter_map(|item| match &item.decision.principal {
            Principal::Kept(document) => Some(Check {
                key: document.key.to_string(),
                precondition: Precondition::At(document.revision),
            }),
            Principal::Written(_) | Principal::Removed(_) => None,
        });
        let mut checks: Vec<Check> = looked_at.chain(kept).collect();
        checks.retain(|check| !written.contains(&check.key) && seen.insert(check.key.clone()));
        for check in &mut checks {
            check.precondition = self.stored_at.of(&check.key, check.precondition);
        }
        checks
    }

    /// The write of the bundle's record, if it changes.
    pub(super) fn bundle_write(&self) -> Result<Option<Write>, Error> {
        let Some(record) = &self.bundle else { return Ok(None) };
        let Some(precondition) = record.precondition else { return Ok(None) };
        let key = Key::Bundle(record.value.name.clone());
        let value = typed::encode(&key, &record.value).map_err(|error| error.source)?;
        Ok(Some(Write { key: key.to_string(), precondition, op: Op::Put(value) }))
    }

    /// All that is about to be written.
    pub(super) fn touched(&self) -> Vec<Touched> {
        let applied = self.items.iter().flat_map(|item| applied(item, &mut 0));
        let of = |(applied, package): (Applied, PackageName)| Touched {
            key: applied.key,
            package,
            outcome: applied.outcome,
        };
        applied.map(of).collect()
    }

    /// What became of each document.
    pub(super) fn written(self) -> BundleWritten {
        let mut n_warnings = 0;
        let applied = self.items.iter().flat_map(|item| applied(item, &mut n_warnings));
        BundleWritten {
            applied: applied.map(|(applied, _)| applied).collect(),
            bundle: self.bundle.map(|record| record.value),
        }
    }
}

/// What became of the documents of one decision, and which package they are of.
fn applied(item: &Item<'_>, n_warnings: &mut usize) -> Vec<(Applied, PackageName)> {
    let Decision { outcome, principal, others, warnings, .. } = &item.decision;
    let mut warnings = warnings.clone();
    warnings.truncate(MAX_TOLD.saturating_sub(*n_warnings));
    *n_warnings += warnings.len();
    let (key, meta, spec) = match principal {
        Principal::Written(draft) => (&draft.key, &draft.meta, &draft.spec),
        Principal::Kept(document) | Principal::Removed(document) => {
            (&document.key, &document.meta, &document.spec)
        }
    };
    let one = |key: &Key, meta: &Meta, outcome, warnings| Applied {
        at: item.at.map(str::to_owned),
        key: key.clone(),
        outcome,
        generation: meta.generation,
        owner: meta.owner.clone(),
        warnings,
    };
    let mut all = vec![(one(key, meta, *outcome, warnings), package_of(key, spec))];
    for draft in others {
        let applied = one(&draft.key, &draft.meta, outcome_of(draft), Vec::new());
        all.push((applied, package_of(&draft.key, &draft.spec)));
    }
    all
}

/// What becomes of a deployment that is written with its package.
fn outcome_of(draft: &Draft<'_>) -> Outcome {
    let former = draft.former.as_ref().map(|former| match former {
        Former::Package(stored) => &stored.meta,
        Former::Deployment(stored) => &stored.meta,
    });
    match former {
        _ if draft.meta.is_deleting() => Outcome::Deleting,
        Some(former) if former.uid == draft.meta.uid => Outcome::Replaced,
        Some(_) => Outcome::Created,
        None if draft.precondition == Precondition::Absent => Outcome::Created,
        // It changed hands.
        None => Outcome::Unchanged,
    }
}

fn package_of(key: &Key, spec: &Spec<'_>) -> PackageName {
    match (key, spec) {
        (_, Spec::Package(package)) => package.name.clone(),
        (_, Spec::StoredPackage(stored)) => stored.spec.name.clone(),
        (_, Spec::Deployment(deployment)) => deployment.package_name.clone(),
        (_, Spec::StoredDeployment(stored)) => stored.spec.package_name.clone(),
        (_, Spec::Excluding(deployment)) => deployment.package_name.clone(),
        (_, Spec::StoredCluster(_) | Spec::RoleBinding(_) | Spec::StoredRoleBinding(_)) => {
            unreachable!("a push has packages and deployments alone")
        }
    }
}

/// The bundle's record after `plan`.
fn record(writes: &Writes, plan: &Plan<'_>, now: Timestamp) -> Result<Option<BundleRecord>, Error> {
    let BundlePush { bundle: Some(name), documents, by, .. } = plan.push else { return Ok(None) };
    let before = {
        let state = writes.cache.read();
        let key = Key::Bundle((*name).clone());
        // A name that is taken by what the caller may not see is not theirs to take over.
        let mut owned = state.owned_by_bundle(name).iter().peekable();
        if owned.peek().is_some() && !owned.any(|key| super::sees(&state, by.authority, key)) {
            return Err(Error::NotYours { key: key.to_string() });
        }
        if let Some(reason) = state.unreadable.get(&key) {
            let (key, reason) = (key.to_string(), reason.clone());
            return Err(Error::Unreadable { key, reason });
        }
        state.bundles.get(*name).cloned()
    };
    let is_package = |spec: &DocumentSpec| matches!(spec, DocumentSpec::Package(_));
    let n_packages = documents.iter().filter(|document| is_package(&document.spec)).count();
    let count = |n| u64::try_from(n).unwrap_or(u64::MAX);
    let is_changed = plan.items.iter().any(|item| item.decision.writes_something());
    let old = before.as_ref().map(|entry| &*entry.value);
    let value = Bundle {
        name: (*name).clone(),
        generation: old.map_or(0, |old| old.generation) + 1,
        created_at: old.map_or(now, |old| old.created_at),
        updated_at: now,
        n_packages: count(n_packages),
        n_deployments: count(documents.len() - n_packages),
        correlation_id: by.correlation_id.map(str::to_owned),
        written_by: by.subject.map(str::to_owned),
        source: by.source.cloned(),
    };
    let precondition = match &before {
        None => Precondition::Absent,
        Some(entry) => {
            let old = &*entry.value;
            let is_same = old.source == value.source
                && (old.n_packages, old.n_deployments) == (value.n_packages, value.n_deployments);
            if is_same && !is_changed {
                return Ok(Some(BundleRecord { value: old.clone(), precondition: None }));
            }
            Precondition::At(entry.revision)
        }
    };
    Ok(Some(BundleRecord { value, precondition: Some(precondition) }))
}

/// Why a push is refused, of all its documents.
#[derive(Default)]
struct Refusals {
    violations: Vec<Violation>,
    outdated: Vec<Violation>,
    published: Vec<Violation>,
    owned: Vec<Violation>,
    dependants: Vec<Violation>,
}

impl Refusals {
    /// Takes the refusal of the document `at`, or answers it where the rest makes no difference.
    fn add(&mut self, at: &str, error: Error) -> Result<(), Error> {
        let (told, list) = match error {
            Error::Invalid { violations } => (violations, &mut self.violations),
            Error::Outdated { violations } => (violations, &mut self.outdated),
            Error::VersionExists { violations, .. } => (violations, &mut self.published),
            Error::Owned { violations } => (violations, &mut self.owned),
            Error::HasDependants { dependants, .. } => (dependants, &mut self.dependants),
            other => return Err(other),
        };
        list.extend(told.into_iter().map(|violation| Violation {
            pointer: format!("{at}{}", violation.pointer),
            message: violation.message,
        }));
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        let lists = [
            &mut self.violations,
            &mut self.outdated,
            &mut self.published,
            &mut self.owned,
            &mut self.dependants,
        ];
        for list in lists {
            if list.len() > MAX_TOLD {
                list.truncate(MAX_TOLD);
                list.push(Violation::new("", "and more"));
            }
        }
        let Self { violations, outdated, published, owned, dependants } = self;
        if !violations.is_empty() {
            return Err(Error::Invalid { violations });
        }
        if !outdated.is_empty() {
            return Err(Error::Outdated { violations: outdated });
        }
        if !published.is_empty() {
            let what = "a version of a package that is pushed here".to_owned();
            return Err(Error::VersionExists { what, violations: published });
        }
        if !owned.is_empty() {
            return Err(Error::Owned { violations: owned });
        }
        if !dependants.is_empty() {
            let key = "what is pruned".to_owned();
            return Err(Error::HasDependants { key, dependants });
        }
        Ok(())
    }
}
