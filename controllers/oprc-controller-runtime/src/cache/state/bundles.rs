//! Which documents belong to which bundle, as each of them says. No document is looked at twice: the
//! index is kept as they change.

use std::collections::{BTreeMap, BTreeSet};

use oprc_cp_storage::keys::Key;
use oprc_models::{meta::Meta, names::BundleName};

use super::{State, none, remove_from};

/// The documents of each bundle.
pub(super) type Owned = BTreeMap<BundleName, BTreeSet<Key>>;

/// Notes that the document `key` with this `meta` is there.
pub(super) fn own(owned: &mut Owned, meta: &Meta, key: Key) {
    if let Some(bundle) = &meta.bundle {
        owned.entry(bundle.clone()).or_default().insert(key);
    }
}

/// Notes that it is no longer.
pub(super) fn disown(owned: &mut Owned, meta: &Meta, key: &Key) {
    if let Some(bundle) = &meta.bundle {
        remove_from(owned, bundle, key);
    }
}

impl State {
    /// The documents that belong to `bundle`.
    #[must_use]
    pub fn owned_by_bundle(&self, bundle: &BundleName) -> &BTreeSet<Key> {
        self.owned_by_bundle.get(bundle).unwrap_or(none())
    }
}
