//! The handlers, a file for each resource, and what they share.

pub(crate) mod access;
pub(crate) mod apply;
pub(crate) mod bundles;
pub(crate) mod clusters;
pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod packages;
pub(crate) mod parts;
pub(crate) mod probes;
mod pushed;
pub(crate) mod records;
pub(crate) mod revisions;
pub(crate) mod role_bindings;
pub(crate) mod rollout;
pub(crate) mod statuses;
pub(crate) mod versions;
mod visible;
pub(crate) mod watch;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash},
    ops::Bound,
};

use oprc_controller_runtime::cache::{Criterion, Entry, State};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{
    cluster::ClusterSpec,
    deployment::OClassDeployment,
    meta::Stored,
    package::OPackage,
    role::RoleBinding,
    selector::{InvalidSelector, LabelSelector},
};

use crate::{error::ApiError, list::Item, params::Params};

/// Values of `label` and `tag`, at most.
pub(crate) const MAX_WORDS: usize = 16;

/// A document as it was looked up: shared with the cache, serialized after its lock is let go.
pub(crate) struct Row<S, T> {
    pub(crate) entry: Entry<Stored<S>>,
    /// The status, if it speaks of this incarnation.
    pub(crate) status: Option<Entry<T>>,
    /// `true` if the status may be out of date.
    pub(crate) is_stale: bool,
}

impl<S, T> Row<S, T> {
    pub(crate) fn status_revision(&self) -> Option<Revision> {
        self.status.as_ref().map(|status| status.revision)
    }

    /// The entity tag.
    pub(crate) fn tag(&self) -> String {
        crate::etag::document(self.entry.revision, self.status_revision(), self.is_stale)
    }
}

/// A spec, and the name that it is listed by.
pub(crate) trait Named {
    fn listed_name(&self) -> &str;
}

impl Named for OPackage {
    fn listed_name(&self) -> &str {
        self.name.as_str()
    }
}

impl Named for OClassDeployment {
    fn listed_name(&self) -> &str {
        self.key.as_str()
    }
}

impl Named for ClusterSpec {
    fn listed_name(&self) -> &str {
        self.name.as_str()
    }
}

impl Named for RoleBinding {
    fn listed_name(&self) -> &str {
        self.name.as_str()
    }
}

impl<S: Named, T> Item for Row<S, T> {
    fn names(&self) -> Vec<&str> {
        vec![self.entry.value.spec.listed_name()]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        // A revision alone would do but for documents of one transaction.
        self.entry.value.spec.listed_name().hash(hasher);
        (self.entry.revision, self.status_revision(), self.is_stale).hash(hasher);
    }
}

/// What follows `after` in `map`.
pub(crate) fn following<'m, K: Ord, V>(
    map: &'m BTreeMap<K, V>,
    after: Option<&K>,
) -> std::collections::btree_map::Range<'m, K, V> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((from, Bound::Unbounded))
}

/// Why there is no document under `key`: it cannot be read, or it is not there.
pub(crate) fn missing(state: &State, key: &Key, what: &str, name: &str) -> ApiError {
    match state.unreadable.get(key) {
        Some(reason) => ApiError::unreadable(&key.to_string(), reason),
        None => ApiError::not_found(what, name),
    }
}

/// Label selectors, all of which must hold.
#[derive(Debug, Hash)]
pub(crate) struct Labels(Vec<LabelSelector>);

impl Labels {
    /// Reads the parameter `label`, which may be repeated.
    pub(crate) fn new(params: &mut Params) -> Result<Self, ApiError> {
        let selectors = words(params, "label")?;
        let parsed = selectors.iter().map(|selector| selector.parse());
        let selectors = parsed.collect::<Result<_, InvalidSelector>>().map_err(|error| {
            ApiError::bad_request("invalid_parameter", format!("label: {error}"))
        })?;
        Ok(Self(selectors))
    }

    pub(crate) fn match_all(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|selector| selector.matches(labels))
    }

    /// The requirements that an index helps with.
    fn criteria(&self) -> impl Iterator<Item = Criterion> {
        let requirements = self.0.iter().flat_map(|selector| &selector.requirements);
        requirements.filter_map(Criterion::of_label)
    }
}

/// The values of a parameter that may be given several times.
pub(crate) fn words(params: &mut Params, name: &'static str) -> Result<Vec<String>, ApiError> {
    let words = params.all(name);
    if words.len() > MAX_WORDS {
        let detail = format!("{name}: want at most {MAX_WORDS} of it");
        return Err(ApiError::bad_request("invalid_parameter", detail));
    }
    Ok(words)
}

/// Whether `name` holds `part`, if one is asked for.
pub(crate) fn holds(name: &str, part: Option<&String>) -> bool {
    part.is_none_or(|part| name.contains(part.as_str()))
}
