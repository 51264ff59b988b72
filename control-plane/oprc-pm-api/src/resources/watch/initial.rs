//! The initial state of a watch, chunk by chunk.
//!
//! Each chunk is looked up under the lock and shows a revision of its own, since the lock is let go
//! in between. What changes meanwhile is told afterwards, but for the changes that a later chunk has
//! shown already: [`Covered`] knows which those are. So the initial state costs no copy of the
//! world, and who follows it is still told everything, once, and never an older state after a newer.

use std::ops::Bound;

use oprc_controller_runtime::cache::{
    State,
    feed::{Object, Snapshot},
};
use oprc_cp_storage::Revision;
use oprc_models::names::{ClusterName, DeploymentKey};

use super::{
    super::following,
    selection::{Kind, Selection},
};

/// Objects looked at under one lock: some tens of microseconds.
const CHUNK: usize = 512;

/// Which revision of each object has been shown.
#[derive(Debug, Default)]
pub(super) struct Covered {
    /// The chunks, each with the last object that it looked at.
    chunks: Vec<(Object, Revision)>,
    /// The revision of the last chunk, which goes to the end.
    last: Option<Revision>,
}

impl Covered {
    /// Whether a change of `object` at `revision` was shown with it.
    pub(super) fn has(&self, object: &Object, revision: Revision) -> bool {
        let index = self.chunks.partition_point(|(last, _)| last < object);
        let shown = self.chunks.get(index).map(|(_, at)| *at).or(self.last);
        shown.is_some_and(|shown| revision <= shown)
    }

    /// The newest revision that was shown of anything.
    pub(super) fn newest(&self) -> Revision {
        self.last.unwrap_or_default()
    }

    /// Looks at the next chunk of `state`; answers what of it `selection` shows, or `None` after the
    /// last chunk.
    pub(super) fn look(
        &mut self,
        state: &State,
        selection: &Selection,
    ) -> Option<Vec<(Object, Snapshot)>> {
        if self.last.is_some() {
            return None;
        }
        let after = self.chunks.last().map(|(last, _)| last.clone());
        let mut found = Vec::new();
        let mut last = None;
        for (n, object) in objects(state, selection, after.as_ref()).enumerate() {
            if let Some(last) = last.take_if(|_| n >= CHUNK) {
                self.chunks.push((last, state.revision()));
                return Some(found);
            }
            let snapshot = state.snapshot(&object);
            let shown = snapshot.filter(|snapshot| selection.shows(&object, snapshot));
            found.extend(shown.map(|snapshot| (object.clone(), snapshot)));
            last = Some(object);
        }
        self.last = Some(state.revision());
        Some(found)
    }
}

/// An iterator over objects of a state.
type Objects<'s> = Box<dyn Iterator<Item = Object> + 's>;

/// The objects after `after` that `selection` may show, in their order.
fn objects<'s>(
    state: &'s State,
    selection: &'s Selection,
    after: Option<&'s Object>,
) -> Objects<'s> {
    // A kind is begun, gone on with, or behind us.
    let begun = after.map(|object| Kind::of(object) as u8);
    let is_open = |kind: Kind| selection.has(kind) && begun.is_none_or(|begun| begun <= kind as u8);
    let mut all: Vec<Objects<'s>> = Vec::new();
    if is_open(Kind::Package) {
        let after = if let Some(Object::Package(name)) = after { Some(name) } else { None };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let seen = selection.by().grants().visible(&state.packages, from);
        all.push(Box::new(seen.map(|(name, _)| Object::Package(name.clone()))));
    }
    if is_open(Kind::Deployment) {
        let after = if let Some(Object::Deployment(key)) = after { Some(key) } else { None };
        all.push(deployments(state, selection, after));
    }
    if is_open(Kind::Cluster) {
        let after = if let Some(Object::Cluster(name)) = after { Some(name) } else { None };
        let names = following(&state.clusters, after).map(|(name, _)| name);
        all.push(Box::new(names.cloned().map(Object::Cluster)));
    }
    if is_open(Kind::Record) {
        all.push(records(state, after));
    }
    Box::new(all.into_iter().flatten())
}

/// Of one package alone, where no other is asked for.
fn deployments<'s>(
    state: &'s State,
    selection: &Selection,
    after: Option<&'s DeploymentKey>,
) -> Objects<'s> {
    match selection.package() {
        Some(package) => {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let keys = state.deployments_of_package(package);
            let keys = keys.range::<DeploymentKey, _>((from, Bound::Unbounded));
            Box::new(keys.cloned().map(Object::Deployment))
        }
        None => {
            let keys = following(&state.deployments, after).map(|(key, _)| key);
            Box::new(keys.cloned().map(Object::Deployment))
        }
    }
}

/// Cluster by cluster, so that the first one after the place is found without a scan.
fn records<'s>(state: &'s State, after: Option<&'s Object>) -> Objects<'s> {
    let after = match after {
        Some(Object::Record(cluster, id)) => Some((cluster, id)),
        _ => None,
    };
    let from = after.map_or(Bound::Unbounded, |(cluster, _)| Bound::Included(cluster));
    let clusters = state.records.range::<ClusterName, _>((from, Bound::Unbounded));
    Box::new(clusters.flat_map(move |(cluster, records)| {
        let after = after.filter(|(begun, _)| *begun == cluster).map(|(_, id)| id);
        following(records, after).map(|(id, _)| Object::Record(cluster.clone(), id.clone()))
    }))
}
