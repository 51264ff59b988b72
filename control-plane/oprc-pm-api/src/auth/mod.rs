//! The door: who calls, and what they may do.
//!
//! Invariants:
//! - a request whose route is not in the table ([`routes`]) is refused, whoever makes it;
//! - what a caller may write is decided with the write itself, on the state that the write lands on
//!   ([`Authority`]);
//! - a refusal names what was missing and nothing of what is stored;
//! - no IO: keys are put into the [`KeyRing`] by whoever reads or fetches them.

mod grants;
mod identity;
mod jwks;
mod key;
mod keyring;
mod layers;
pub(crate) mod routes;
mod seen;
mod spki;
mod token;

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeSet, sync::Arc};

pub use self::{
    grants::{Authority, Grants, Missing},
    jwks::{InvalidSet, MAX_SET_BYTES, read as read_jwks},
    key::{Algorithm, InvalidKey, Key, MIN_SECRET_BYTES},
    keyring::KeyRing,
    token::Rules,
};
pub(crate) use self::{
    identity::Identity,
    layers::{
        Caller, Doors, Granted, allows, authenticate, authorize, describe_metrics, is_unchanged,
    },
};

/// Whether callers have to say who they are.
#[derive(Clone)]
pub enum Access {
    /// They need not, and may do everything.
    Open,
    /// They have to, and may do what their roles permit.
    Guarded(Arc<Guard>),
}

impl Access {
    fn has_open_metrics(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Guarded(guard) => guard.has_open_metrics,
        }
    }
}

/// How callers are told apart.
pub struct Guard {
    /// What tokens are checked with.
    keys: Arc<KeyRing>,
    rules: Rules,
    admins: BTreeSet<String>,
    admin_groups: BTreeSet<String>,
    has_open_metrics: bool,
    seen: seen::Seen,
}

impl Guard {
    /// Believes tokens that `keys` have signed and that keep `rules`.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, rules: Rules) -> Self {
        Self {
            keys,
            rules,
            admins: BTreeSet::new(),
            admin_groups: BTreeSet::new(),
            has_open_metrics: false,
            seen: seen::Seen::default(),
        }
    }

    /// With subjects and groups that may do everything, whatever is stored.
    #[must_use]
    pub fn with_admins(
        mut self,
        subjects: impl IntoIterator<Item = String>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        self.admins.extend(subjects);
        self.admin_groups.extend(groups);
        self
    }

    /// With `/metrics` for everybody.
    #[must_use]
    pub fn with_open_metrics(mut self) -> Self {
        self.has_open_metrics = true;
        self
    }
}
