//! The installation: what all replicas over one store are to CRMs.
//!
//! Several Package Managers may share a CRM, by mistake too, and most of them have the default name.
//! Each store therefore holds a random id, made once, and the owner of a unit is `{name}/{id}`.
//! Units that were written before installations had ids have the bare name as their owner; they are
//! adopted by the installation whose store has a unit of their id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::meta::Timestamp;

/// The installation, under the key `installation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// Random, made once for this store. Without `/`.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Added to the revision at which a leader began: the term that CRMs see.
    ///
    /// A store that was restored counts revisions again that CRMs have seen as terms. `oprc-pm
    /// recover` raises the offset, so that terms go on above them.
    #[serde(default)]
    pub term_offset: u64,
    /// When the store was recovered, until a leader has reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
}

impl Installation {
    /// A new installation.
    #[must_use]
    pub fn new(id: String, now: Timestamp) -> Self {
        Self { id, created_at: now, term_offset: 0, recovered_at: None }
    }

    /// Returns the owner that CRMs know this installation by, where its configured name is `name`.
    #[must_use]
    pub fn owner(&self, name: &str) -> String {
        format!("{name}/{}", self.id)
    }

    /// Raises the terms to come above `seen`, in a store whose revision is `revision`.
    pub fn raise_terms(&mut self, seen: u64, revision: u64) {
        // A term begins at a revision above the store's.
        self.term_offset = self.term_offset.max(seen.saturating_sub(revision));
    }
}

/// The identity of an installation towards CRMs.
#[derive(Clone, Debug)]
pub struct Identity {
    name: Arc<str>,
    id: Arc<str>,
    owner: Arc<str>,
    term_offset: u64,
}

impl Identity {
    /// The identity of `installation` with the configured `name`.
    #[must_use]
    pub fn new(name: &str, installation: &Installation) -> Self {
        Self {
            name: name.into(),
            id: installation.id.as_str().into(),
            owner: installation.owner(name).into(),
            term_offset: installation.term_offset,
        }
    }

    /// The owner of what this installation writes.
    #[must_use]
    pub fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// Returns the term that CRMs see of a leader that began at `revision`.
    #[must_use]
    pub fn term(&self, revision: u64) -> u64 {
        self.term_offset.saturating_add(revision)
    }

    /// Returns `true` if `owner` is this installation, under this or an earlier name.
    #[must_use]
    pub fn is(&self, owner: &str) -> bool {
        owner.rsplit_once('/').is_some_and(|(_, id)| *id == *self.id)
    }

    /// Returns `true` if a record of `owner` may be from before this installation had an id. It is
    /// adopted if the store has a unit of its id, with the owner `of_unit`.
    #[must_use]
    pub fn may_adopt(&self, owner: &str, of_unit: impl FnOnce() -> Option<String>) -> bool {
        // A name has no slash.
        !owner.contains('/') && of_unit().is_some_and(|unit| *owner == *self.name || owner == unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: &str) -> Identity {
        let installation = Installation::new(id.to_owned(), Timestamp::UNIX_EPOCH);
        Identity::new("oprc-pm", &installation)
    }

    #[test]
    fn records_of_other_installations_are_not_adopted() {
        let ours = identity("a1");
        assert_eq!(&**ours.owner(), "oprc-pm/a1");
        assert!(ours.is("oprc-pm/a1") && ours.is("former-name/a1"));
        for other in ["oprc-pm/b2", "oprc-pm", "a1", "oprc-pm/a1/b2", ""] {
            assert!(!ours.is(other), "{other}");
        }
        let unit = |owner: &str| Some(owner.to_owned());
        assert!(ours.may_adopt("oprc-pm", || unit("oprc-pm/a1")));
        assert!(ours.may_adopt("former", || unit("former")));
        assert!(!ours.may_adopt("oprc-pm", || None), "no unit of ours has its id");
        assert!(!ours.may_adopt("other", || unit("oprc-pm")));
        assert!(!ours.may_adopt("oprc-pm/b2", || unit("oprc-pm/b2")), "it has an id, not ours");
    }

    #[test]
    fn terms_continue_above_what_was_seen() {
        let mut installation = Installation::new("a1".to_owned(), Timestamp::UNIX_EPOCH);
        installation.raise_terms(102, 15);
        let identity = Identity::new("oprc-pm", &installation);
        assert!(identity.term(16) > 102);
        installation.raise_terms(50, 40);
        assert_eq!(Identity::new("oprc-pm", &installation).term(16), identity.term(16));
        installation.raise_terms(u64::MAX, 0);
        assert_eq!(Identity::new("oprc-pm", &installation).term(16), u64::MAX, "no overflow");
    }
}
