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
use oprc_controller_runtime::cache::State;
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

/// The object of an event, with the package that decides who sees the event; and as far as they are
/// known its incarnation and the write that led to the event.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    about: About,
    /// `None`: the object's own.
    package: Option<PackageName>,
    uid: Option<String>,
    correlation_id: Option<String>,
}

impl Subject {
    /// The deployment `key`, while it is of `package`.
    pub(crate) fn deployment(key: &DeploymentKey, package: Option<&PackageName>) -> Self {
        Self { package: package.cloned(), ..About::Deployment(key.clone()).into() }
    }

    /// As it is, but of `package` if that is known.
    pub(crate) fn or_of(self, package: Option<PackageName>) -> Self {
        Self { package: package.or(self.package), ..self }
    }

    /// As it is, of this incarnation.
    pub(crate) fn of_incarnation(self, uid: Option<String>) -> Self {
        Self { uid, ..self }
    }

    /// As it is, led to by the write with this correlation id.
    pub(crate) fn following(self, correlation_id: Option<String>) -> Self {
        Self { correlation_id, ..self }
    }

    /// Returns the correlation id of the write that led to the event.
    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// As it is, of the incarnation and after the write that `state` shows.
    pub(crate) fn shown_by(self, state: &State) -> Self {
        let meta = match &self.about {
            About::Package(name) => state.packages.get(name).map(|entry| &entry.value.meta),
            About::Deployment(key) => state.deployments.get(key).map(|entry| &entry.value.meta),
            About::Cluster(name) => state.clusters.get(name).map(|entry| &entry.value.meta),
        };
        let uid = meta.map(|meta| meta.uid.clone());
        let correlation_id = meta.and_then(|meta| meta.correlation_id.clone());
        Self { uid, correlation_id, ..self }
    }
}

impl From<About> for Subject {
    fn from(about: About) -> Self {
        Self { about, package: None, uid: None, correlation_id: None }
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
        subject: impl Into<Subject>,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        self.note(subject, Severity::Normal, reason, message);
    }

    /// Notes that something did not.
    pub(crate) fn warning(
        &self,
        subject: impl Into<Subject>,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        self.note(subject, Severity::Warning, reason, message);
    }

    pub(crate) fn note(
        &self,
        subject: impl Into<Subject>,
        severity: Severity,
        reason: &str,
        message: impl FnOnce() -> String,
    ) {
        let Some(shared) = &self.shared else { return };
        let at: Timestamp = (shared.now)();
        let Subject { about, package: package_name, uid, correlation_id } = subject.into();
        let event = Event {
            reason: reason.to_owned(),
            uid,
            correlation_id,
            severity,
            message: clipped(message()),
            package_name,
            count: 1,
            first: at,
            last: at,
        };
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
