//! How many events are kept in all.
//!
//! Time alone is no bound: a script that makes and deletes objects all day would fill the store with
//! the events of what is gone. What is deleted has a limit of its own, so that it never costs the
//! events of what is there.

use std::collections::BTreeSet;

use metrics::{counter, describe_counter};
use oprc_controller_runtime::cache::State;
use oprc_cp_storage::{Error as StoreError, Op, Precondition, Revision, Txn, Write, keys::Key};
use oprc_models::{event::About, meta::Timestamp};

use crate::context::Context;

const TRIMMED: &str = "oprc_pm_events_trimmed_total";

/// Limits, in events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Of objects that are deleted.
    pub(super) deleted: usize,
    /// Of all objects.
    pub(super) all: usize,
}

impl Default for Caps {
    /// 20,000 and 200,000: two for each of 100,000 deployments, at a few hundred bytes each.
    fn default() -> Self {
        Self { deleted: 20_000, all: 200_000 }
    }
}

/// Objects written between two looks at how many events there are.
const LOOK_EVERY: usize = 1_000;

/// When to look at how many events there are.
#[derive(Debug)]
pub(super) struct Trimmer {
    n_written: usize,
}

impl Default for Trimmer {
    /// Looks at the first occasion: the term before may have ended before it looked.
    fn default() -> Self {
        Self { n_written: LOOK_EVERY }
    }
}

impl Trimmer {
    /// Notes that the events of `n` objects were written, and removes what is above the caps now and
    /// then.
    pub(super) async fn written(&mut self, context: &Context, n: usize) -> Result<(), StoreError> {
        self.n_written += n;
        if self.n_written < LOOK_EVERY {
            return Ok(());
        }
        self.n_written = 0;
        let victims = victims(&context.cache.read(), Caps::default());
        for chunk in victims.chunks(context.max_writes()) {
            let writes = chunk.iter().map(|(about, revision)| Write {
                key: Key::Events(about.clone()).to_string(),
                precondition: Precondition::At(*revision),
                op: Op::Delete,
            });
            let txn = Txn { checks: vec![context.term.fence()], writes: writes.collect() };
            context.store.txn(txn).await?;
            counter!(TRIMMED).increment(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

/// The objects whose events are above `caps`: those that were last told of the longest ago, of the
/// deleted ones first. A tenth more than needed, so that the next are not removed one by one.
pub(super) fn victims(state: &State, caps: Caps) -> Vec<(About, Revision)> {
    let mut kept: [BTreeSet<(Timestamp, &About)>; 2] = Default::default();
    let mut n_events = [0; 2];
    for (about, entry) in &state.events {
        let is_there = usize::from(is_there(state, about));
        let last = entry.value.events.iter().map(|event| event.last).max();
        n_events[is_there] += entry.value.events.len();
        kept[is_there].insert((last.unwrap_or(Timestamp::MIN), about));
    }
    let [mut n_deleted, mut n_there] = n_events;
    let [mut deleted, mut there] = kept;
    let is_over = n_deleted > caps.deleted || n_deleted + n_there > caps.all;
    if !is_over {
        return Vec::new();
    }
    let (of_deleted, of_all) = (caps.deleted / 10 * 9, caps.all / 10 * 9);
    let n_of = |about: &About| state.events.get(about).map_or(0, |it| it.value.events.len());
    let mut victims = Vec::new();
    while n_deleted > of_deleted || n_deleted + n_there > of_all {
        let (about, n) = if let Some((_, about)) = deleted.pop_first() {
            (about, &mut n_deleted)
        } else if let Some((_, about)) = there.pop_first() {
            (about, &mut n_there)
        } else {
            break;
        };
        *n -= n_of(about);
        victims.extend(state.events.get(about).map(|entry| (about.clone(), entry.revision)));
    }
    victims
}

/// Whether the object is there still.
fn is_there(state: &State, about: &About) -> bool {
    match about {
        About::Package(name) => state.packages.contains_key(name),
        About::Deployment(key) => state.deployments.contains_key(key),
        About::Cluster(name) => state.clusters.contains_key(name),
    }
}

pub(super) fn describe_metrics() {
    describe_counter!(
        TRIMMED,
        "Objects whose events were removed, since there were too many events"
    );
}

#[cfg(test)]
mod tests;
