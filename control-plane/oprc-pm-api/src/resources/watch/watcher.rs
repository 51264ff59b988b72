//! One watcher: a cursor into the cache's feed that moves when its client reads.
//!
//! It owns no queue beyond the few events that it has just taken. A client that does not read costs
//! that and its connection; when it reads again and the feed has gone on without it, it is told so
//! and the watch ends.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use metrics::{counter, gauge};
use oprc_controller_runtime::cache::feed::{Cursor, Event, Mark, Object, Snapshot};
use tokio::time::{Duration, Instant, sleep_until};

use super::{
    CUT, EVENTS, WATCHERS,
    frame::{self, Verb},
    initial::Covered,
    selection::Selection,
};
use crate::{auth::is_unchanged, call::App, share::Share};

/// The most events taken at once. They are held until the client has read them.
const TAKEN: usize = 32;

/// Between two looks at whether the caller may still watch: as long as it is told more than it may
/// know after a role was taken from it, or its token has expired.
const CHECK: Duration = Duration::from_secs(1);

/// What the watcher is at.
enum Phase {
    /// Showing what there is.
    Initial(Covered, VecDeque<(Object, Snapshot)>),
    /// Telling what changed while that was shown.
    Settling(Covered),
    /// Telling what changes.
    Following,
    /// The last word was said.
    Over,
}

pub(super) struct Watcher {
    app: Arc<App>,
    selection: Selection,
    cursor: Cursor,
    phase: Phase,
    taken: VecDeque<Arc<Event>>,
    bookmark_due: Instant,
    /// When it is asked again whether the caller may still watch.
    check_due: Instant,
    _share: Share,
    _counted: Counted,
}

/// Counts a watcher for as long as there is one.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!(WATCHERS).increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(WATCHERS).decrement(1.0);
    }
}

impl Watcher {
    /// A watcher that is told what is after `cursor`, and before that, if it `has_initial`, what
    /// there is.
    pub(super) fn new(
        app: Arc<App>,
        selection: Selection,
        cursor: Cursor,
        has_initial: bool,
        share: Share,
    ) -> Self {
        let phase = if has_initial {
            Phase::Initial(Covered::default(), VecDeque::new())
        } else {
            Phase::Following
        };
        let bookmark_due = Instant::now() + app.limits.bookmark_interval;
        let taken = VecDeque::new();
        let _counted = Counted::new();
        let check_due = Instant::now() + CHECK;
        Self {
            app,
            selection,
            cursor,
            phase,
            taken,
            bookmark_due,
            check_due,
            _share: share,
            _counted,
        }
    }

    /// The next event, as soon as there is one; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.app.stopping.is_cancelled() || !self.is_still_allowed() {
                return None;
            }
            if let Some(frame) = self.ready() {
                counter!(EVENTS).increment(1);
                return Some(frame);
            }
            if matches!(self.phase, Phase::Over) {
                return None;
            }
            if matches!(self.phase, Phase::Initial(..)) {
                // A filter that little passes must not keep others from running.
                tokio::task::yield_now().await;
                continue;
            }
            let app = Arc::clone(&self.app);
            tokio::select! {
                biased;
                () = app.stopping.cancelled() => return None,
                () = sleep_until(self.bookmark_due) => return Some(self.bookmark(false)),
                () = app.cache.feed().grown_past(&self.cursor) => (),
            }
        }
    }

    /// Whether the caller may watch as before. Who may not is cut off, and asked for a token and
    /// roles anew when they come back.
    fn is_still_allowed(&mut self) -> bool {
        let now = Instant::now();
        if now < self.check_due {
            return true;
        }
        self.check_due = now + CHECK;
        is_unchanged(&self.app, self.selection.by())
    }

    /// What can be told at once.
    fn ready(&mut self) -> Option<Bytes> {
        match &mut self.phase {
            Phase::Over => return None,
            Phase::Initial(covered, rows) => {
                if let Some((object, snapshot)) = rows.pop_front() {
                    return Some(frame::initial(&self.app, &object, &snapshot));
                }
                match covered.look(&self.app.cache.read(), &self.selection) {
                    Some(found) => rows.extend(found),
                    None => self.phase = Phase::Settling(std::mem::take(covered)),
                }
                if let Phase::Initial(..) = self.phase {
                    return None;
                }
            }
            Phase::Settling(_) | Phase::Following => (),
        }
        loop {
            while let Some(event) = self.taken.pop_front() {
                if let Some(frame) = self.tell(&event) {
                    return Some(frame);
                }
            }
            if let Phase::Settling(covered) = &self.phase
                && self.cursor.mark >= Mark::end_of(covered.newest())
            {
                self.phase = Phase::Following;
                return Some(self.bookmark(true));
            }
            match self.app.cache.feed().take(&mut self.cursor, TAKEN) {
                Ok(events) if events.is_empty() => match &self.phase {
                    // The feed is never behind what was shown, so this is the end of it.
                    Phase::Settling(covered)
                        if self.cursor.mark >= Mark::end_of(covered.newest()) => {}
                    _ => return None,
                },
                Ok(events) => self.taken.extend(events),
                Err(lost) => {
                    self.phase = Phase::Over;
                    counter!(CUT).increment(1);
                    tracing::info!(mark = %self.cursor.mark, "a watcher was cut off");
                    let detail = format!(
                        "{lost}: this watch was too slow, or the server had to begin anew; \
                         list again, and watch from there"
                    );
                    return Some(frame::error("watch_lost", &detail));
                }
            }
        }
    }

    /// What `event` is to this watcher, if it is anything.
    fn tell(&self, event: &Event) -> Option<Bytes> {
        let is_shown = |snapshot: &Option<Snapshot>| {
            snapshot.as_ref().is_some_and(|one| self.selection.shows(&event.object, one))
        };
        let covered = if let Phase::Settling(covered) = &self.phase { Some(covered) } else { None };
        if covered.is_some_and(|covered| covered.has(&event.object, event.mark.revision())) {
            return None;
        }
        let verb = Verb::of(is_shown(&event.before), is_shown(&event.after))?;
        // Whoever is cut off before the initial state is complete must begin with it again.
        Some(frame::change(&self.app, event, verb, covered.is_none()))
    }

    fn bookmark(&mut self, ends_initial: bool) -> Bytes {
        let interval: Duration = self.app.limits.bookmark_interval;
        self.bookmark_due = Instant::now() + interval;
        frame::bookmark(self.cursor.mark, ends_initial)
    }
}
