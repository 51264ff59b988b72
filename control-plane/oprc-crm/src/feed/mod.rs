//! The last changes of the records, for watches.
//!
//! One watch of the store feeds one ring of events; every client's watch is a cursor into it. Why
//! not a watch of the store for each client: the store does not tell what a removed record was, an
//! event is encoded once and not once for each client, and a client that does not read costs
//! nothing but its cursor. Who falls behind the ring is cut off and must list again.
//!
//! Invariants:
//! - every event has a [`Mark`] of its own, and marks only grow: a client that has seen a mark has
//!   seen everything up to it, so that resuming after it skips nothing and repeats nothing;
//! - `events` holds every event after `forgotten`, without a gap.

pub(crate) mod follow;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::Write as _,
    sync::Arc,
};

use bytes::Bytes;
use oprc_cp_storage::{MAX_TXN_OPS, Revision};
use oprc_models::record::RunCondition;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::listing::Filter;

/// The most events kept. At 10,000 units, one change of each.
const MAX_EVENTS: usize = 20_000;
/// The most bytes of records kept in events.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// Events of one transaction that a mark tells apart.
const MARKS_PER_REVISION: u64 = 128;
const _: () = assert!((MAX_TXN_OPS as u64) < MARKS_PER_REVISION, "a transaction has more events");

/// A revision as callers see it: the store's, and a place within its transaction. The store has one
/// revision for all changes of a transaction; a client cut off between two of them could not
/// say which it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(pub(crate) u64);

impl Mark {
    /// The mark of the `place`th event of `revision`.
    fn of(revision: Revision, place: u64) -> Self {
        Self(revision.0.saturating_mul(MARKS_PER_REVISION).saturating_add(place))
    }

    /// After every event of `revision`.
    pub(crate) fn end_of(revision: Revision) -> Self {
        Self::of(revision, MARKS_PER_REVISION - 1)
    }

    /// The store's revision in it.
    pub(crate) fn revision(self) -> Revision {
        Revision(self.0 / MARKS_PER_REVISION)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record as it was at some time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    condition: RunCondition,
    json: Bytes,
}

/// One change of one record.
#[derive(Debug)]
struct Event {
    mark: Mark,
    before: Option<Arc<Snapshot>>,
    after: Option<Arc<Snapshot>>,
}

impl Event {
    fn n_bytes(&self) -> usize {
        // `before` is the `after` of an older event, and counted there.
        256 + self.after.as_ref().map_or(0, |snapshot| snapshot.json.len())
    }
}

/// What happened while nobody who passed the filter looked: see the module.
#[derive(Debug, Default)]
struct Ring {
    is_following: bool,
    forgotten: Mark,
    /// Everything up to here is known.
    known: Mark,
    events: VecDeque<Event>,
    n_bytes: usize,
    records: BTreeMap<String, Arc<Snapshot>>,
    counts: BTreeMap<RunCondition, usize>,
}

/// The ring, and the bell that is rung when it has grown.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    ring: Mutex<Ring>,
    bell: watch::Sender<()>,
}

/// What a client's watch gets at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Server-sent events; empty: none passed the filter.
    pub(crate) frames: Vec<u8>,
    /// Where to go on.
    pub(crate) mark: Mark,
}

/// The client fell behind the ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

impl Feed {
    /// Begins anew with what is held at `revision`.
    fn reset(&self, revision: Revision, records: BTreeMap<String, Arc<Snapshot>>) {
        let mut ring = self.ring.lock();
        let mark = Mark::end_of(revision);
        let mut counts = BTreeMap::new();
        for record in records.values() {
            *counts.entry(record.condition).or_default() += 1;
        }
        let (events, n_bytes) = (VecDeque::new(), 0);
        *ring = Ring {
            is_following: true,
            forgotten: mark,
            known: mark,
            events,
            n_bytes,
            records,
            counts,
        };
        drop(ring);
        self.bell.send_replace(());
    }

    /// Adds changes, each with the id of its record and what it is now, and that everything up to
    /// `known` is told.
    fn extend(
        &self,
        changes: impl IntoIterator<Item = (Mark, String, Option<Arc<Snapshot>>)>,
        known: Mark,
    ) {
        let mut ring = self.ring.lock();
        for (mark, id, after) in changes {
            ring.push(mark, id, after);
        }
        ring.known = ring.known.max(known);
        drop(ring);
        self.bell.send_replace(());
    }

    /// Says that the store is not being followed for now.
    fn stop_following(&self) {
        self.ring.lock().is_following = false;
    }

    /// Whether the ring follows the store.
    pub(crate) fn is_following(&self) -> bool {
        self.ring.lock().is_following
    }

    /// How many records there are in each condition.
    pub(crate) fn counts(&self) -> BTreeMap<RunCondition, usize> {
        self.ring.lock().counts.clone()
    }

    /// Everything up to this mark is forgotten.
    pub(crate) fn forgotten(&self) -> Mark {
        self.ring.lock().forgotten
    }

    /// A receiver that notices each growth of the ring.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// The events after `mark` that pass `filter`, in at most about `max_bytes`.
    pub(crate) fn take(
        &self,
        filter: &Filter,
        mark: Mark,
        max_bytes: usize,
    ) -> Result<Taken, Lost> {
        let ring = self.ring.lock();
        if mark < ring.forgotten {
            return Err(Lost);
        }
        let mut taken = Taken { frames: Vec::new(), mark };
        let start = ring.events.partition_point(|event| event.mark <= mark);
        for event in ring.events.range(start..) {
            if taken.frames.len() >= max_bytes {
                return Ok(taken);
            }
            write_event(&mut taken.frames, event, filter);
            taken.mark = event.mark;
        }
        taken.mark = taken.mark.max(ring.known);
        Ok(taken)
    }
}

impl Ring {
    fn push(&mut self, mark: Mark, id: String, after: Option<Arc<Snapshot>>) {
        let before = match &after {
            Some(after) => self.records.insert(id, Arc::clone(after)),
            None => self.records.remove(&id),
        };
        if let Some(before) = &before
            && let Some(count) = self.counts.get_mut(&before.condition)
        {
            *count = count.saturating_sub(1);
        }
        if let Some(after) = &after {
            *self.counts.entry(after.condition).or_default() += 1;
        }
        if before.is_none() && after.is_none() {
            return;
        }
        let event = Event { mark, before, after };
        self.n_bytes += event.n_bytes();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.n_bytes > MAX_EVENT_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.n_bytes -= oldest.n_bytes();
            self.forgotten = oldest.mark;
        }
    }
}

/// Writes what `event` means to somebody who sees what passes `filter`.
fn write_event(frames: &mut Vec<u8>, event: &Event, filter: &Filter) {
    let passes = |snapshot: &&Arc<Snapshot>| filter.passes(&snapshot.json);
    let before = event.before.as_ref().filter(passes);
    let after = event.after.as_ref().filter(passes);
    let (name, shown) = match (before, after) {
        (None, None) => return,
        (None, Some(after)) => ("ADDED", after),
        (Some(_), Some(after)) => ("MODIFIED", after),
        // As it is now, if it only left the filter.
        (Some(before), None) => ("DELETED", event.after.as_ref().unwrap_or(before)),
    };
    write_frame(frames, name, event.mark, Some(&shown.json));
}

/// The bookmark that says that nothing more happened up to `mark`.
pub(crate) fn bookmark(mark: Mark) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(&mut frame, "BOOKMARK", mark, None);
    frame
}

/// One server-sent event with a `RecordEvent`. JSON as we write it has no line breaks.
fn write_frame(frames: &mut Vec<u8>, name: &str, mark: Mark, record: Option<&Bytes>) {
    // Writing to memory cannot fail.
    let _ = write!(
        frames,
        "event: {name}\nid: {mark}\ndata: {{\"type\":\"{name}\",\"revision\":{mark}"
    );
    if let Some(record) = record {
        frames.extend_from_slice(b",\"record\":");
        frames.extend_from_slice(record);
    }
    frames.extend_from_slice(b"}\n\n");
}
