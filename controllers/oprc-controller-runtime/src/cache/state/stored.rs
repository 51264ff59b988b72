//! Reading stored values, and putting them in maps and indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use oprc_cp_storage::KeyValue;
use oprc_models::{dependency::Dependency, names::PackageName, package::OPackage};

use super::Entry;

/// The packages that `package` names as dependencies, whether they are there or not.
pub(super) fn dependencies(package: &OPackage) -> impl Iterator<Item = PackageName> {
    let parsed = package.dependencies.iter().filter_map(|text| Dependency::parse(text).ok());
    parsed.map(|dependency| dependency.name)
}

/// The object that is `stored`; `None` where it was removed or cannot be read, which `flaw` tells.
pub(super) fn decode<T: serde::de::DeserializeOwned + Clone>(
    stored: Option<&KeyValue>,
    flaw: &mut Option<String>,
) -> Option<Entry<T>> {
    // The decoder leaves room at the end of every list, which a copy does not have.
    read(stored, flaw, |text| {
        let roomy: T = serde_json::from_slice(&text)?;
        Ok(roomy.clone())
    })
}

/// What `parse` makes of what is `stored`; as [`decode`].
pub(super) fn read<T>(
    stored: Option<&KeyValue>,
    flaw: &mut Option<String>,
    parse: impl FnOnce(Bytes) -> Result<T, serde_json::Error>,
) -> Option<Entry<T>> {
    let stored = stored?;
    match parse(stored.value.clone()) {
        Ok(value) => Some(Entry { value: Arc::new(value), revision: stored.mod_revision }),
        Err(error) => {
            *flaw = Some(error.to_string());
            None
        }
    }
}

/// Puts or removes `key`; answers what was there.
pub(super) fn set<K: Ord + Clone, T>(
    map: &mut BTreeMap<K, Entry<T>>,
    key: &K,
    new: Option<Entry<T>>,
) -> Option<Entry<T>> {
    match new {
        Some(entry) => map.insert(key.clone(), entry),
        None => map.remove(key),
    }
}

pub(super) fn remove_from<K: Ord, V: Ord>(
    index: &mut BTreeMap<K, BTreeSet<V>>,
    key: &K,
    value: &V,
) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
