//! Which revisions of documents are archived: their numbers alone.

use std::collections::BTreeMap;

use oprc_cp_storage::{KeyValue, Revision};
use oprc_models::meta::Generation;

/// The generations of documents that are archived, by name, and the revisions of those writes.
pub type Archive<K> = BTreeMap<K, BTreeMap<Generation, Revision>>;

/// Notes that a generation is archived, or no longer.
pub(super) fn set<K: Ord + Clone>(
    archive: &mut Archive<K>,
    name: &K,
    generation: Generation,
    stored: Option<&KeyValue>,
) {
    if let Some(stored) = stored {
        let revisions = archive.entry(name.clone()).or_default();
        revisions.insert(generation, stored.mod_revision);
    } else if let Some(revisions) = archive.get_mut(name) {
        revisions.remove(&generation);
        if revisions.is_empty() {
            archive.remove(name);
        }
    }
}

/// Calls `found` with each archived generation that differs.
pub(super) fn differing<K: Ord + Clone>(
    before: &Archive<K>,
    after: &Archive<K>,
    mut found: impl FnMut(K, Generation),
) {
    let nothing = BTreeMap::new();
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        let [old, new] = [before, after].map(|archive| archive.get(name).unwrap_or(&nothing));
        for (generation, revision) in new {
            if old.get(generation) != Some(revision) {
                found(name.clone(), *generation);
            }
        }
        for generation in old.keys().filter(|generation| !new.contains_key(*generation)) {
            found(name.clone(), *generation);
        }
    }
}
