//! Events: what the controllers tell people about what they decided and met with.
//!
//! A [`Recorder`] takes a note and returns at once: into a bounded buffer, aggregated by object and
//! reason, which a writer of its own empties about once a second in merged transactions under the
//! term's fence. A buffer that is full drops, and counts what it dropped. So events never hold up a
//! reconcile, never fail one, and nothing ever rests on one.
//!
//! Invariants:
//! - nothing is written while nothing notable happens;
//! - there is one small key for each object, whatever happens to it, and it vanishes with its lease;
//! - the events of all objects, and those of deleted ones, are bounded in number ([`cap`]).

mod cap;
mod writer;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use metrics::{counter, describe_counter};
use oprc_models::{
    event::{About, Event, Severity, StoredEvents, clipped},
    meta::Timestamp,
    names::{DeploymentKey, PackageName},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::context::Now;

const DROPPED: &str = "oprc_pm_events_dropped_total";

/// Objects with events that are not written yet. A storm of more tells of the first.
const MAX_BUFFERED: usize = 4096;

/// The object of an event, with the package that decides who sees the event.
pub(crate) struct Subject {
    about: About,
    /// `None`: the object's own.
    package: Option<PackageName>,
}

impl Subject {
    /// The deployment `key`, while it is of `package`.
    pub(crate) fn deployment(key: &DeploymentKey, package: Option<&PackageName>) -> Self {
        Self { about: About::Deployment(key.clone()), package: package.cloned() }
    }

    /// As it is, but of `package` if that is known.
    pub(crate) fn or_of(self, package: Option<PackageName>) -> Self {
        Self { package: package.or(self.package), ..self }
    }
}

impl From<About> for Subject {
    fn from(about: About) -> Self {
        Self { about, package: None }
    }
}

/// Takes notes. Clones share a buffer.
#[derive(Clone)]
pub struct Recorder {
    /// `None`: nobody wants to know.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    now: Now,
    buffer: Mutex<BTreeMap<About, StoredEvents>>,
    filled: Notify,
}

impl Recorder {
    /// A recorder that tells the time by `now`.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let shared = Shared { now, buffer: Mutex::default(), filled: Notify::new() };
        Self { shared: Some(Arc::new(shared)) }
    }

    /// A recorder that forgets.
    #[must_use]
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// Notes that something went as it should.
    pub(crate) fn normal(
        &self,
        about: impl Into<Subject>,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        self.note(about, Severity::Normal, reason, message);
    }

    /// Notes that something did not.
    pub(crate) fn warning(
        &self,
        about: impl Into<Subject>,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        self.note(about, Severity::Warning, reason, message);
    }

    pub(crate) fn note(
        &self,
        about: impl Into<Subject>,
        severity: Severity,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        let Some(shared) = &self.shared else { return };
        let at: Timestamp = (shared.now)();
        let (reason, message) = (reason.to_owned(), clipped(message()));
        let Subject { about, package: package_name } = about.into();
        let event =
            Event { reason, severity, message, package_name, count: 1, first: at, last: at };
        shared.add(about, [event]);
    }
}

impl Shared {
    /// Adds `events`, unless there is no room.
    fn add(&self, about: About, events: impl IntoIterator<Item = Event>) {
        let mut buffer = self.buffer.lock();
        let is_full = buffer.len() >= MAX_BUFFERED;
        let entry = match buffer.entry(about) {
            Entry::Vacant(_) if is_full => {
                counter!(DROPPED).increment(1);
                return;
            }
            Entry::Vacant(entry) => entry.insert(StoredEvents::default()),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        events.into_iter().for_each(|event| entry.add(event));
        drop(buffer);
        self.filled.notify_one();
    }
}

pub(crate) fn describe_metrics() {
    cap::describe_metrics();
    describe_counter!(DROPPED, "Events that were not written, since there were too many");
}
