//! Making events of changes, while they are applied.

use oprc_cp_storage::{Change, Revision, keys::Key};

use super::{
    super::{Changed, State},
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
    touched: Vec<(Object, Option<Snapshot>, usize)>,
}

impl Capture {
    /// Applies `change` to `state`; answers what changed, or `None` for a key of no known family.
    pub(in crate::cache) fn apply(&mut self, state: &mut State, change: Change) -> Option<Changed> {
        if change.revision() != self.revision {
            self.close(state);
            self.revision = change.revision();
        }
        let (key, stored): (Key, _) = match change {
            Change::Put(stored) => (stored.key.parse().ok()?, Some(stored)),
            Change::Delete { key, .. } => (key.parse().ok()?, None),
        };
        if let Some(object) = Object::of(&key) {
            let n_bytes = stored.as_ref().map_or(0, |stored| stored.value.len() * UNPACKED);
            match self.touched.iter_mut().find(|(touched, ..)| *touched == object) {
                Some((.., so_far)) => *so_far += n_bytes,
                None => {
                    let before = state.snapshot(&object);
                    self.touched.push((object, before, n_bytes + EVENT_BYTES));
                }
            }
        }
        Some(state.take(key, stored))
    }

    /// The events, when everything has been applied.
    pub(in crate::cache) fn finish(mut self, state: &State) -> Vec<Draft> {
        self.close(state);
        self.drafts
    }

    /// Ends the revision: what was touched is now as it is in `state`.
    fn close(&mut self, state: &State) {
        let mut touched = std::mem::take(&mut self.touched);
        // The same order at every replica, whatever the backend's: a mark counts on it.
        touched.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let n_events = touched.len();
        let drafts = touched.into_iter().enumerate().map(|(place, (object, before, n_bytes))| {
            let mark = Mark::of(self.revision, place, n_events);
            let after = state.snapshot(&object);
            let is_unreadable = after.is_none() && state.unreadable.contains_key(&object.key());
            Draft { mark, object, before, after, is_unreadable, n_bytes }
        });
        self.drafts.extend(drafts);
    }
}
