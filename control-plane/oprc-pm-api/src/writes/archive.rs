//! What was, kept: a document that is replaced is archived under its generation, whole, by the
//! transaction that replaces it. So a create costs no more for it, and no generation is missing. And
//! what a package was published as, under its version, when it becomes another.
//!
//! Invariant: what stands under a generation is what that generation was; what stands under a version
//! is read only while the package is another version, and is written when it becomes one. So
//! archiving early, before the document is replaced, is harmless, and that is what is done where one
//! transaction does not hold both.

use std::sync::Arc;

use bytes::Bytes;
use oprc_cp_storage::{Check, Op, Precondition, Txn, Write, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    package::OPackage,
    version::{StoredVersion, is_same_content},
};

use super::{
    Error,
    decision::{Decision, Principal},
    draft::{self, Draft, Spec},
    versions,
    view::View,
};

/// A document that is to be replaced by another generation of it.
#[derive(Clone)]
pub(super) enum Former {
    Package(Arc<Stored<OPackage>>),
    Deployment(Arc<Stored<OClassDeployment>>),
}

impl From<Arc<Stored<OPackage>>> for Former {
    fn from(stored: Arc<Stored<OPackage>>) -> Self {
        Self::Package(stored)
    }
}

impl From<Arc<Stored<OClassDeployment>>> for Former {
    fn from(stored: Arc<Stored<OClassDeployment>>) -> Self {
        Self::Deployment(stored)
    }
}

impl Former {
    fn key(&self) -> Key {
        match self {
            Self::Package(stored) => {
                Key::PackageRevision(stored.spec.name.clone(), stored.meta.generation)
            }
            Self::Deployment(stored) => {
                Key::DeploymentRevision(stored.spec.key.clone(), stored.meta.generation)
            }
        }
    }

    /// What it is published as, if that has to be archived to remain so when `draft` takes its
    /// place, and where that goes. A new incarnation begins without the versions of the last.
    fn version(&self, draft: &Draft<'_>, view: &View<'_>) -> Option<(Key, Precondition)> {
        let Self::Package(stored) = self else { return None };
        if stored.meta.uid != draft.meta.uid {
            return None;
        }
        let next = match &draft.spec {
            Spec::Package(package) => Some(*package),
            _ => Some(&stored.spec),
        };
        let (name, version) = versions::replaced(stored, next)?;
        let precondition = match view.archived_version(&name, &version) {
            // It stands there already, unless what was archived early was replaced since.
            Some(entry)
                if *entry.value.uid == *stored.meta.uid
                    && is_same_content(&entry.value.unpack().spec, &stored.spec) =>
            {
                return None;
            }
            Some(entry) => Precondition::At(entry.revision),
            None => Precondition::Absent,
        };
        Some((Key::PackageVersion(name, version), precondition))
    }

    fn encode_version(&self) -> Result<Bytes, serde_json::Error> {
        match self {
            Self::Package(stored) => Ok(serde_json::to_vec(&StoredVersion::of(stored))?.into()),
            Self::Deployment(_) => unreachable!("a deployment has no version"),
        }
    }

    fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let text = match self {
            Self::Package(stored) => serde_json::to_vec(&**stored),
            Self::Deployment(stored) => serde_json::to_vec(&**stored),
        };
        Ok(text?.into())
    }
}

/// One document to archive.
pub(super) struct Archived {
    former: Former,
    /// Under its generation, or under its version.
    key: Key,
    /// What stands there: nothing, unless it was archived early before.
    precondition: Precondition,
    /// That it is still what is to be replaced.
    basis: Check,
}

impl Archived {
    fn write(&self) -> Result<Write, Error> {
        let value = match self.key {
            Key::PackageVersion(..) => self.former.encode_version()?,
            _ => self.former.encode()?,
        };
        let (key, precondition) = (self.key.to_string(), self.precondition);
        Ok(Write { key, precondition, op: Op::Put(value) })
    }
}

/// What `decisions` replace, and where it goes: under its generation only if history is kept.
pub(super) fn of(decisions: &[Decision<'_>], view: &View<'_>, has_history: bool) -> Vec<Archived> {
    let archived = |draft: &Draft<'_>| {
        let former = draft.former.clone().into_iter();
        let places = former.flat_map(|former| {
            let (key, version) = (former.key(), former.version(draft, view));
            let revision = has_history.then(|| (key.clone(), view.archived(&key)));
            let places = revision.into_iter().chain(version);
            places.map(move |(key, precondition)| (former.clone(), key, precondition))
        });
        let basis = Check { key: draft.key.to_string(), precondition: draft.precondition };
        let archived = places.map(|(former, key, precondition)| Archived {
            former,
            key,
            precondition,
            basis: basis.clone(),
        });
        archived.collect::<Vec<_>>()
    };
    let drafts = decisions.iter().flat_map(|decision| {
        let principal = match &decision.principal {
            Principal::Written(draft) => Some(draft),
            Principal::Kept(_) | Principal::Removed(_) => None,
        };
        principal.into_iter().chain(&decision.others)
    });
    drafts.flat_map(archived).collect()
}

/// Adds to `txn` the writes that archive, where it holds them; else answers transactions, of at most
/// `max_ops` each, that are to land before it.
pub(super) fn join(
    txn: &mut Txn,
    archived: &[Archived],
    max_ops: usize,
) -> Result<Vec<Txn>, Error> {
    let holds = |txn: &Txn| draft::fits(txn, max_ops).is_ok();
    let writes = archived.iter().map(Archived::write).collect::<Result<Vec<_>, _>>()?;
    let n_writes = txn.writes.len();
    txn.writes.extend(writes);
    if holds(&*txn) {
        return Ok(Vec::new());
    }
    let writes = txn.writes.split_off(n_writes);
    let mut early: Vec<Txn> = Vec::new();
    for (write, one) in writes.into_iter().zip(archived) {
        let mut last = early.pop().unwrap_or_default();
        last.writes.push(write);
        last.checks.push(one.basis.clone());
        if !holds(&last) && last.writes.len() > 1 {
            let (write, check) = (last.writes.pop(), last.checks.pop());
            early.push(last);
            last = Txn { writes: write.into_iter().collect(), checks: check.into_iter().collect() };
        }
        early.push(last);
    }
    Ok(early)
}
