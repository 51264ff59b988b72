//! The last changes of what users watch, for any number of watchers.
//!
//! The cache follows the store once and keeps what changed in one ring of events. A watcher owns no
//! queue: it is a [`Cursor`] into the ring that moves when it is asked to. So a watcher costs the
//! store nothing, one that does not read costs its cursor, and one that falls behind the ring is told
//! so. What an event looks like to people is made by the first who needs it, once, and shared.
//!
//! Invariants:
//! - every event has a [`Mark`] of its own, and marks only grow; who resumes after a mark misses
//!   nothing and is told nothing twice, at whichever replica;
//! - the ring holds every event after `forgotten`, without a gap;
//! - events are told in whole revisions: none of a revision can be taken before all of it can.

mod capture;
mod mark;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use oprc_cp_storage::Revision;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(super) use self::capture::Capture;
pub use self::{
    mark::{InvalidMark, Mark},
    snapshot::{Contents, Documented, Object, Snapshot},
};

/// The most events kept: some seconds of the fastest change there is, minutes of a busy system.
const MAX_EVENTS: usize = 20_000;
/// About the most bytes that the events keep, text included.
const MAX_BYTES: usize = 32 << 20;

const EVENTS: &str = "oprc_pm_watch_ring_events";
const BYTES: &str = "oprc_pm_watch_ring_bytes";
const RESETS: &str = "oprc_pm_watch_ring_resets_total";

/// An event, before it is in the ring.
pub(super) struct Draft {
    mark: Mark,
    object: Object,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    is_unreadable: bool,
    n_bytes: usize,
}

/// One change of one object: all that one revision did to its spec and its status.
#[derive(Debug)]
pub struct Event {
    /// Its place among all events.
    pub mark: Mark,
    /// What changed.
    pub object: Object,
    /// How it was.
    pub before: Option<Snapshot>,
    /// How it is now.
    pub after: Option<Snapshot>,
    /// Whether it is there, and cannot be read.
    pub is_unreadable: bool,
    n_bytes: usize,
    /// By [`Side`].
    texts: [OnceLock<Bytes>; 2],
    n_text_bytes: Arc<AtomicUsize>,
}

/// The state of an object that an event's text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// [`Event::before`]: for watchers who lose sight of the object.
    Before,
    /// [`Event::after`].
    After,
}

impl Event {
    /// The event as text that shows `side`. The first caller's `render` makes it.
    pub fn text(&self, side: Side, render: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        let [before, after] = &self.texts;
        let slot = match side {
            Side::Before => before,
            Side::After => after,
        };
        if slot.get().is_none() && self.n_text_bytes.load(Relaxed) > MAX_BYTES {
            return render(self).into(); // No room: many old events are wanted at once.
        }
        let make = || {
            let mut text = render(self);
            text.shrink_to_fit();
            self.n_text_bytes.fetch_add(text.len(), Relaxed);
            text.into()
        };
        slot.get_or_init(make).clone()
    }

    fn n_text_bytes(&self) -> usize {
        self.texts.iter().filter_map(OnceLock::get).map(Bytes::len).sum()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.n_text_bytes.fetch_sub(self.n_text_bytes(), Relaxed);
    }
}

/// Where a watcher is.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// It has been told everything up to here.
    pub mark: Mark,
    /// The life of the ring that it is a place in.
    life: u64,
}

/// The events after a cursor are not to be had: it fell behind, or the cache lost the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changes since then are no longer known")]
pub struct Lost;

#[derive(Default)]
struct Ring {
    /// How often it was begun anew.
    life: u64,
    forgotten: Mark,
    /// Everything up to here is known.
    known: Mark,
    events: VecDeque<Arc<Event>>,
    n_bytes: usize,
}

/// The ring, and the bell that is rung when it has grown.
pub struct Feed {
    ring: Mutex<Ring>,
    grown: Notify,
    n_text_bytes: Arc<AtomicUsize>,
    meters: Meters,
}

struct Meters {
    events: Gauge,
    bytes: Gauge,
    resets: Counter,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::default(),
            grown: Notify::new(),
            n_text_bytes: Arc::default(),
            meters: Meters {
                events: gauge!(EVENTS),
                bytes: gauge!(BYTES),
                resets: counter!(RESETS),
            },
        }
    }

    /// Begins anew at `revision`, without a past.
    pub(super) fn reset(&self, revision: Revision) {
        let mark = Mark::end_of(revision);
        let mut ring = self.ring.lock();
        let life = ring.life + 1;
        let old = std::mem::replace(
            &mut *ring,
            Ring { life, forgotten: mark, known: mark, ..Ring::default() },
        );
        drop(ring);
        drop(old);
        self.meters.resets.increment(1);
        self.grown.notify_waiters();
    }

    /// Adds events, and that everything up to `known` is told by then.
    pub(super) fn extend(&self, drafts: Vec<Draft>, known: Revision) {
        let mut gone = Vec::new();
        let mut ring = self.ring.lock();
        for draft in drafts {
            // What is neither before nor after was never seen by anybody.
            if draft.before.is_none() && draft.after.is_none() {
                continue;
            }
            ring.n_bytes += draft.n_bytes;
            let Draft { mark, object, before, after, is_unreadable, n_bytes } = draft;
            ring.events.push_back(Arc::new(Event {
                mark,
                object,
                before,
                after,
                is_unreadable,
                n_bytes,
                texts: Default::default(),
                n_text_bytes: Arc::clone(&self.n_text_bytes),
            }));
        }
        ring.known = ring.known.max(Mark::end_of(known));
        let mut n_text_bytes = self.n_text_bytes.load(Relaxed);
        while ring.events.len() > MAX_EVENTS || ring.n_bytes + n_text_bytes > MAX_BYTES {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.n_bytes -= oldest.n_bytes;
            n_text_bytes -= oldest.n_text_bytes().min(n_text_bytes);
            ring.forgotten = oldest.mark;
            gone.push(oldest);
        }
        #[expect(clippy::cast_precision_loss, reason = "gauges are f64, and these are small")]
        {
            self.meters.events.set(ring.events.len() as f64);
            self.meters.bytes.set((ring.n_bytes + n_text_bytes) as f64);
        }
        drop(ring);
        drop(gone);
        self.grown.notify_waiters();
    }

    /// A cursor at the end: what is told to it begins with the next change.
    #[must_use]
    pub fn end(&self) -> Cursor {
        let ring = self.ring.lock();
        Cursor { mark: ring.known, life: ring.life }
    }

    /// A cursor after `mark`.
    ///
    /// # Errors
    ///
    /// [`Lost`] when the ring does not reach back to it, or not yet to it.
    pub fn after(&self, mark: Mark) -> Result<Cursor, Lost> {
        let ring = self.ring.lock();
        let is_here = ring.forgotten <= mark && mark <= ring.known;
        is_here.then_some(Cursor { mark, life: ring.life }).ok_or(Lost)
    }

    /// The events after `cursor`, at most `limit`, which it is moved past: to the end of all that is
    /// known where they are fewer.
    ///
    /// # Errors
    ///
    /// [`Lost`].
    pub fn take(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Arc<Event>>, Lost> {
        let ring = self.ring.lock();
        if cursor.life != ring.life || cursor.mark < ring.forgotten {
            return Err(Lost);
        }
        let start = ring.events.partition_point(|event| event.mark <= cursor.mark);
        let events: Vec<_> = ring.events.range(start..).take(limit).cloned().collect();
        cursor.mark = match events.last() {
            Some(last) if start + events.len() < ring.events.len() => last.mark,
            Some(_) | None => ring.known.max(cursor.mark),
        };
        Ok(events)
    }

    /// Waits until there is something after `cursor`.
    pub async fn grown_past(&self, cursor: &Cursor) {
        loop {
            // Made before the look, it hears of everything that happens after it.
            let grown = self.grown.notified();
            {
                let ring = self.ring.lock();
                if ring.life != cursor.life || ring.known > cursor.mark {
                    return;
                }
            }
            grown.await;
        }
    }
}

pub(super) fn describe_metrics() {
    describe_gauge!(EVENTS, "Changes kept for watches");
    describe_gauge!(BYTES, "About what the changes kept for watches take, in bytes");
    describe_counter!(RESETS, "Times that the changes kept for watches were begun anew");
}
