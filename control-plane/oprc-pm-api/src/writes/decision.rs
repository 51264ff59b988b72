//! What decisions are made of: the request, what is stored, and what is to become of it.

use std::sync::Arc;

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::{Check, Precondition, Revision, keys::Key};
use oprc_models::{
    canonical::Canonical,
    deployment::OClassDeployment,
    document::ReadAs,
    meta::{Meta, Source, Stored, Timestamp},
    names::PackageName,
    problem::Violation,
    role,
    version::VersionPolicy,
};

use super::{
    Error,
    archive::Former,
    draft::{Draft, Spec},
    versions::Publication,
    view::Found,
};
use crate::auth::Authority;

/// What a push means to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Nothing, or the same (POST).
    Create,
    /// Whatever is there (PUT).
    Apply,
    /// Whatever is there, a newer version of a package too (a rollback).
    Restore,
}

/// Entity tags of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever is there.
    Any,
    /// Specs last written at one of these revisions.
    Of(Vec<Revision>),
}

/// The conditions of a write. A document that is being deleted counts as absent for
/// `if_none_match: *`, since a write may take its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// It must be there, as one of these.
    pub if_match: Option<Tags>,
    /// It must not be there, as any of these.
    pub if_none_match: Option<Tags>,
    /// The stored document that the pushed one was read from, if it says.
    pub read_as: Option<ReadAs>,
    /// `true` if the write is refused where the document changed since it was read.
    pub if_unchanged: bool,
}

impl Conditions {
    fn hold(&self, found: Option<(&Meta, Revision)>) -> bool {
        let matches = match (&self.if_match, found) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Tags::Any), Some(_)) => true,
            (Some(Tags::Of(revisions)), Some((_, at))) => revisions.contains(&at),
        };
        let none_matches = match (&self.if_none_match, found) {
            (None, _) | (Some(_), None) => true,
            (Some(Tags::Any), Some((meta, _))) => meta.is_deleting(),
            (Some(Tags::Of(revisions)), Some((_, at))) => !revisions.contains(&at),
        };
        matches && none_matches
    }

    /// Describes the change of `entry` since the pushed document was read; `None` if there was none.
    ///
    /// An equal generation is no change even if the revision moved on: it does so for what the system
    /// keeps beside the spec.
    fn outdated<T>(&self, entry: &Entry<Stored<T>>) -> Option<Violation> {
        let read = self.read_as.as_ref()?;
        let meta = &entry.value.meta;
        let is_same_spec =
            read.generation == Some(meta.generation) && read.uid.as_deref() == Some(&meta.uid);
        if is_same_spec || Revision(read.resource_version) >= entry.revision {
            return None;
        }
        let by = meta.written_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let message = format!(
            "this was read at resource_version {}, and {} is there since: generation {}, written{by} \
             at {}",
            read.resource_version, entry.revision, meta.generation, meta.updated_at
        );
        Some(Violation::new(OUTDATED_AT, message))
    }

    pub(super) fn check<T>(
        &self,
        key: &Key,
        entry: Option<&Entry<Stored<T>>>,
    ) -> Result<(), Error> {
        if self.hold(entry.map(|entry| (&entry.value.meta, entry.revision))) {
            return Ok(());
        }
        let generation = entry.map(|entry| entry.value.meta.generation);
        Err(Error::PreconditionFailed { key: key.to_string(), generation })
    }
}

/// Where a document says what it was read as.
const OUTDATED_AT: &str = "/meta/resource_version";

/// Who asks for a write, from where and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// The request's correlation id.
    pub correlation_id: Option<&'a str>,
    /// The caller, where it had to say who it is.
    pub subject: Option<&'a str>,
    /// What the caller may do.
    pub authority: Authority<'a>,
    /// Where the document is kept, if the caller said so.
    pub source: Option<&'a Source>,
    /// What is to be remembered of the write itself.
    pub note: Option<&'a str>,
}

impl Provenance<'_> {
    /// `meta`, written by this.
    pub(super) fn stamped(self, meta: Meta) -> Meta {
        Meta {
            correlation_id: self.correlation_id.map(str::to_owned),
            written_by: self.subject.map(str::to_owned),
            source: self.source.cloned().map(Box::new),
            revision_note: self.note.map(str::to_owned),
            ..meta
        }
    }
}

/// A document that someone wants stored. It was validated.
#[derive(Clone, Debug)]
pub struct Push<'a, T> {
    /// The document.
    pub spec: &'a T,
    /// What to find.
    pub verb: Verb,
    /// What must hold.
    pub conditions: &'a Conditions,
    /// Who asks for it, and why; stored with the write.
    pub by: Provenance<'a>,
}

/// A document that someone wants gone.
#[derive(Clone, Copy, Debug)]
pub struct Removal<'a> {
    /// What must hold.
    pub conditions: &'a Conditions,
    /// Who asks for it, and why; stored with the write.
    pub by: Provenance<'a>,
    /// `true` if nothing is to be written: the answer says what would be.
    pub is_dry_run: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The document is new, or a new incarnation of one that was being deleted.
    Created,
    /// The document has a new generation.
    Replaced,
    /// The document meant the same already.
    Unchanged,
    /// It is published as a version, and the package stays what it is.
    Published,
    /// Its deletion is asked for, now or before.
    Deleting,
    /// Of a cascade: a part was marked, and the rest is to follow. Never returned by
    /// [`super::Writes`].
    Underway,
    /// It is gone.
    Removed,
}

/// The surroundings of one decision: time, uids, and the installation's rules.
pub(super) struct Stamp<'a> {
    pub(super) now: Timestamp,
    pub(super) new_uid: &'a (dyn Fn() -> String + Send + Sync),
    pub(super) version_policy: VersionPolicy,
}

/// The document that a request is about.
pub(super) enum Principal<'p> {
    Written(Draft<'p>),
    Kept(Document<'p>),
    Removed(Document<'p>),
}

/// A document as it is stored.
pub(super) struct Document<'p> {
    pub(super) key: Key,
    pub(super) meta: Meta,
    pub(super) spec: Spec<'p>,
    pub(super) revision: Revision,
}

/// What is to be done about a request.
pub(super) struct Decision<'p> {
    pub(super) outcome: Outcome,
    pub(super) principal: Principal<'p>,
    /// Other documents to write with it.
    pub(super) others: Vec<Draft<'p>>,
    /// Other keys to remove with it, last written at these revisions.
    pub(super) removals: Vec<(Key, Revision)>,
    /// A version to publish with it.
    pub(super) publishes: Option<Box<Publication>>,
    /// What else was looked at, and must still be so.
    pub(super) checks: Vec<Check>,
    pub(super) warnings: Vec<Violation>,
}

impl<'p> Decision<'p> {
    pub(super) fn new(outcome: Outcome, principal: Principal<'p>) -> Self {
        Self {
            outcome,
            principal,
            others: Vec::new(),
            removals: Vec::new(),
            publishes: None,
            checks: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The keys of the documents that it writes or rests on.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let principal = match &self.principal {
            Principal::Written(draft) => &draft.key,
            Principal::Kept(document) | Principal::Removed(document) => &document.key,
        };
        let others = self.others.iter().map(|draft| draft.key.clone());
        let checked = self.checks.iter().filter_map(|check| check.key.parse().ok());
        [principal.clone()].into_iter().chain(others).chain(checked)
    }

    pub(super) fn writes_something(&self) -> bool {
        !matches!(self.principal, Principal::Kept(_))
            || !self.others.is_empty()
            || !self.removals.is_empty()
            || self.publishes.is_some()
    }

    /// `key` must still be as it was found.
    pub(super) fn also_check<T>(&mut self, key: &Key, found: &Found<T>) {
        let precondition = match found {
            Found::Absent => Precondition::Absent,
            Found::Present(entry) => Precondition::At(entry.revision),
            // Nothing is concluded from it, and its revision is not known.
            Found::Unreadable(_) => return,
        };
        self.checks.push(Check { key: key.to_string(), precondition });
    }
}

/// Whether `decisions` can be tried: they write something, so that the store tells whether they
/// were made on the newest state, and warn of nothing that only a cache that is behind may miss.
pub(super) fn may_land(decisions: &[Decision<'_>], is_fresh: bool) -> bool {
    decisions.iter().any(Decision::writes_something)
        && (is_fresh || decisions.iter().all(|decision| decision.warnings.is_empty()))
}

impl Verb {
    /// What it does, as roles speak of it.
    pub(super) fn does(self) -> role::Verb {
        match self {
            Self::Create => role::Verb::Create,
            Self::Apply | Self::Restore => role::Verb::Update,
        }
    }
}

/// What a pushed spec is to what is stored.
pub(super) enum Step<T> {
    Create,
    /// A new incarnation in the place of one that is being deleted.
    Recreate(Entry<Stored<T>>),
    Replace(Entry<Stored<T>>),
    Keep(Entry<Stored<T>>),
}

impl<T: Canonical> Step<T> {
    pub(super) fn of(key: &Key, found: Found<T>, spec: &T) -> Result<Self, Error> {
        match found {
            Found::Absent => Ok(Self::Create),
            Found::Present(entry) if entry.value.meta.is_deleting() => Ok(Self::Recreate(entry)),
            Found::Present(entry) if entry.value.spec.is_same(spec) => Ok(Self::Keep(entry)),
            Found::Present(entry) => Ok(Self::Replace(entry)),
            Found::Unreadable(reason) => Err(Error::Unreadable { key: key.to_string(), reason }),
        }
    }

    /// Refuses what the request's conditions and verb do not allow.
    ///
    /// A condition does not refuse a repetition of the very request that was accepted, which its
    /// correlation id tells: a caller whose answer was lost learns that it had succeeded.
    pub(super) fn permit(&self, key: &Key, push: &Push<'_, T>) -> Result<(), Error> {
        let entry = self.entry();
        let is_repeated = matches!(self, Self::Keep(entry)
            if push.by.correlation_id.is_some()
                && entry.value.meta.correlation_id.as_deref() == push.by.correlation_id);
        if !is_repeated {
            push.conditions.check(key, entry)?;
            self.require_unchanged(push.conditions)?;
        }
        match (self, push.verb) {
            (Self::Replace(entry), Verb::Create) => Err(Error::AlreadyExists {
                key: key.to_string(),
                generation: entry.value.meta.generation,
            }),
            _ => Ok(()),
        }
    }
}

impl Step<OClassDeployment> {
    /// As [`Step::draft`], of a deployment: the draft remembers since when it is of its package.
    pub(super) fn deployment_draft<'p>(
        &self,
        key: Key,
        deployment: &'p OClassDeployment,
        owner: Option<PackageName>,
        by: Provenance<'_>,
        stamp: &Stamp<'_>,
    ) -> Draft<'p> {
        let mut draft = self.draft(key, Spec::Deployment(deployment), owner, by, stamp);
        if let Some(before) = self.entry() {
            let is_moved = before.value.spec.package_name != deployment.package_name;
            let moved = is_moved.then_some(draft.meta.generation);
            draft.meta.package_since = moved.or(before.value.meta.package_since);
        }
        draft
    }
}

impl<T> Step<T> {
    /// Warns that the push replaces what another wrote since the document was read.
    pub(super) fn outdated(&self, conditions: &Conditions) -> Option<Violation> {
        match self {
            Self::Replace(entry) => conditions.outdated(entry),
            Self::Create | Self::Recreate(_) | Self::Keep(_) => None,
        }
    }

    /// Refuses to write over a change since the document was read, if that is a condition.
    fn require_unchanged(&self, conditions: &Conditions) -> Result<(), Error> {
        if !conditions.if_unchanged {
            return Ok(());
        }
        let outdated = match (self, &conditions.read_as) {
            (Self::Create | Self::Recreate(_), Some(_)) => {
                Some(Violation::new(OUTDATED_AT, "it was deleted since this was read"))
            }
            _ => self.outdated(conditions),
        };
        match outdated {
            Some(violation) => Err(Error::Outdated { violations: vec![violation] }),
            None => Ok(()),
        }
    }

    fn entry(&self) -> Option<&Entry<Stored<T>>> {
        match self {
            Self::Create => None,
            Self::Recreate(entry) | Self::Replace(entry) | Self::Keep(entry) => Some(entry),
        }
    }

    /// What the system keeps beside what is stored.
    pub(super) fn meta(&self) -> Option<&Meta> {
        self.entry().map(|entry| &entry.value.meta)
    }

    /// Who owns what is stored.
    pub(super) fn owner(&self) -> Option<&PackageName> {
        self.entry().and_then(|entry| entry.value.meta.owner.as_ref())
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Create | Self::Recreate(_) => Outcome::Created,
            Self::Replace(_) => Outcome::Replaced,
            Self::Keep(_) => Outcome::Unchanged,
        }
    }

    /// The document with `spec` in the place of what is stored.
    pub(super) fn draft<'p>(
        &self,
        key: Key,
        spec: Spec<'p>,
        owner: Option<PackageName>,
        by: Provenance<'_>,
        stamp: &Stamp<'_>,
    ) -> Draft<'p>
    where
        Former: From<Arc<Stored<T>>>,
    {
        let former = match self {
            Self::Recreate(entry) | Self::Replace(entry) => Some(Arc::clone(&entry.value).into()),
            // It stays of its generation.
            Self::Create | Self::Keep(_) => None,
        };
        Draft { former, ..self.draft_without_history(key, spec, owner, by, stamp) }
    }

    /// As [`Step::draft`]; what it takes the place of is not kept.
    pub(super) fn draft_without_history<'p>(
        &self,
        key: Key,
        spec: Spec<'p>,
        owner: Option<PackageName>,
        by: Provenance<'_>,
        stamp: &Stamp<'_>,
    ) -> Draft<'p> {
        let (precondition, meta) = match self {
            Self::Create => (Precondition::Absent, first_meta(owner, stamp)),
            Self::Recreate(entry) => {
                let generation = entry.value.meta.generation.saturating_add(1);
                let meta = Meta { generation, ..first_meta(owner, stamp) };
                (Precondition::At(entry.revision), meta)
            }
            Self::Replace(entry) => {
                let meta = next_meta(&entry.value.meta, stamp);
                (Precondition::At(entry.revision), Meta { owner, ..meta })
            }
            // Written for what the system keeps: the spec is the same, so the generation is too.
            Self::Keep(entry) => {
                (Precondition::At(entry.revision), Meta { owner, ..entry.value.meta.clone() })
            }
        };
        Draft { key, precondition, meta: by.stamped(meta), spec, former: None }
    }
}

fn first_meta(owner: Option<PackageName>, stamp: &Stamp<'_>) -> Meta {
    Meta { owner, ..Meta::new((stamp.new_uid)(), 1, stamp.now) }
}

/// `meta` after an accepted change of its spec.
pub(super) fn next_meta(meta: &Meta, stamp: &Stamp<'_>) -> Meta {
    Meta { generation: meta.generation.saturating_add(1), updated_at: stamp.now, ..meta.clone() }
}

/// `meta` after its deletion was asked for. The spec is the same, so the generation is too.
pub(super) fn deleting_meta(meta: &Meta, by: Provenance<'_>, stamp: &Stamp<'_>) -> Meta {
    by.stamped(Meta { deletion_requested_at: Some(stamp.now), ..meta.clone() })
}
