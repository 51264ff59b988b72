//! Making events of changes, while they are applied.

use std::collections::{BTreeMap, btree_map::Entry};

use oprc_cp_storage::{Change, Revision, keys::Key};

use super::{
    super::{Changed, Intent, State},
    Draft, Mark, Object, Snapshot,
};

/// What an event weighs beside what was written: the event itself, names, what is around them.
const EVENT_BYTES: usize = 512;

/// An object takes about as much more than its text once it is read.
const UNPACKED: usize = 3;

/// Applies changes to a state, and makes of each revision one event for each object in it.
#[derive(Default)]
pub(in crate::cache) struct Capture {
    drafts: Vec<Draft>,
    revision: Revision,
    /// The objects of `revision` so far, as they were before it.
    touched: BTreeMap<Object, (Option<Snapshot>, usize)>,
}

impl Capture {
    /// Applies `change` to `state`; answers what changed: nothing for a key of no known family.
    pub(in crate::cache) fn apply(&mut self, state: &mut State, change: Change) -> Vec<Changed> {
        if change.revision() != self.revision {
            self.close(state);
            self.revision = change.revision();
        }
        let (key, stored) = match change {
            Change::Put(stored) => (stored.key.parse::<Key>(), Some(stored)),
            Change::Delete { key, .. } => (key.parse(), None),
        };
        let Ok(key) = key else { return Vec::new() };
        let n_bytes = stored.as_ref().map_or(0, |stored| stored.value.len());
        if let Key::Push(push) = &key {
            // It may change all its documents at once.
            for document in state.intents_of_push(push) {
                let n_bytes = state.intent(document).map_or(0, Intent::n_bytes);
                self.touch(state, document, n_bytes);
            }
        }
        self.touch(state, &key, n_bytes);
        let changed = state.take(key.clone(), stored);
        state.note_unknown_push(&key);
        changed
    }

    /// Notes how the object of `key` is before it changes, and the records of a deployment with it:
    /// the deployment's package decides who sees them.
    fn touch(&mut self, state: &State, key: &Key, n_bytes: usize) {
        let Some(object) = Object::of(key) else { return };
        if let Key::Deployment(deployment) = key {
            for (cluster, id) in state.records_of_deployment(deployment) {
                self.touch_object(state, Object::Record(cluster.clone(), id.clone()), 0);
            }
        }
        self.touch_object(state, object, n_bytes);
    }

    fn touch_object(&mut self, state: &State, object: Object, n_bytes: usize) {
        let n_bytes = n_bytes * UNPACKED;
        match self.touched.entry(object) {
            Entry::Occupied(mut touched) => touched.get_mut().1 += n_bytes,
            Entry::Vacant(place) => {
                let before = state.snapshot(place.key());
                place.insert((before, n_bytes + EVENT_BYTES));
            }
        }
    }

    /// The events, when everything has been applied.
    pub(in crate::cache) fn finish(mut self, state: &State) -> Vec<Draft> {
        self.close(state);
        self.drafts
    }

    /// Ends the revision: what was touched is now as it is in `state`.
    fn close(&mut self, state: &State) {
        let touched = std::mem::take(&mut self.touched).into_iter();
        let changed = touched.filter_map(|(object, (before, n_bytes))| {
            let after = state.snapshot(&object);
            // An intent that was put beside a document is no change of it.
            let is_same = before.as_ref().zip(after.as_ref()).is_some_and(|(b, a)| b.is_same(a));
            (!is_same).then_some((object, before, after, n_bytes))
        });
        // The same order at every replica, whatever the backend's: a mark counts on it.
        let changed: Vec<_> = changed.collect();
        let n_events = changed.len();
        let drafts = changed.into_iter().enumerate().map(|(place, changed)| {
            let (object, before, after, n_bytes) = changed;
            let mark = Mark::of(self.revision, place, n_events);
            let is_unreadable = after.is_none() && state.unreadable.contains_key(&object.key());
            Draft { mark, object, before, after, is_unreadable, n_bytes }
        });
        self.drafts.extend(drafts);
    }
}
