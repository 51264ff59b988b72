//! When the runtime has to look at which unit: one queue of timers.
//!
//! Invariants:
//! - a unit waits at most once, so the queue is bounded by the units held;
//! - an older piece of news never moves a timer that was set with newer knowledge: each entry keeps
//!   the revision that it was set by.

use std::collections::{BTreeMap, BTreeSet};

use oprc_cp_storage::Revision;
use oprc_models::names::UnitId;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

#[cfg(test)]
mod tests;

/// The queue. See the module.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeSet<(Instant, UnitId)>,
    entries: BTreeMap<UnitId, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    known: Revision,
}

impl Timers {
    /// Sets the timer of `id` to `at`, by someone who knows of its changes up to `known`.
    pub(crate) fn set(&self, id: &UnitId, at: Instant, known: Revision) {
        let mut state = self.state.lock();
        if let Some(entry) = state.entries.get(id).copied() {
            if entry.known >= known {
                return;
            }
            state.due.remove(&(entry.at, id.clone()));
        }
        state.entries.insert(id.clone(), Entry { at, known });
        state.due.insert((at, id.clone()));
        drop(state);
        self.bell.notify_one();
    }

    /// Takes up to `n` units whose time has come, the longest due first.
    pub(crate) fn pop_due(&self, now: Instant, n: usize) -> Vec<UnitId> {
        let mut state = self.state.lock();
        let mut popped = Vec::new();
        while popped.len() < n
            && let Some((at, _)) = state.due.first()
            && *at <= now
            && let Some((_, id)) = state.due.pop_first()
        {
            state.entries.remove(&id);
            popped.push(id);
        }
        popped
    }

    /// When the next unit is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.state.lock().due.first().map(|(at, _)| *at)
    }

    /// Ends when a timer was set since the last call of this.
    pub(crate) async fn changed(&self) {
        self.bell.notified().await;
    }
}
