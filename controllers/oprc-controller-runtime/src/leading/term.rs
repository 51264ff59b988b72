//! One spell of leadership, and the fencing token that proves it.

use std::sync::Arc;

use oprc_cp_storage::{Check, Precondition, Revision};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One spell of leadership. Clones are the same term.
///
/// It ends once and for all: on our own clock unless it is renewed, when the key is seen to be
/// another's, or when we resign.
#[derive(Clone, Debug)]
pub struct Term {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    key: String,
    revision: Revision,
    valid_until: Mutex<Instant>,
    ended: CancellationToken,
}

impl Term {
    /// The term that began when `key` was created at `revision`. Nobody renews it: elections do so
    /// themselves, and tests of what runs in a term need no election.
    #[must_use]
    pub fn new(key: impl Into<String>, revision: Revision, valid_until: Instant) -> Self {
        let valid_until = Mutex::new(valid_until);
        let ended = CancellationToken::new();
        Self { shared: Arc::new(Shared { key: key.into(), revision, valid_until, ended }) }
    }

    /// The term's number, which grows from term to term: the revision that the key was created at.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.revision
    }

    /// The check that each transaction of this term carries: a leader that was deposed fails it.
    #[must_use]
    pub fn fence(&self) -> Check {
        let precondition = Precondition::CreatedAt(self.shared.revision);
        Check { key: self.shared.key.clone(), precondition }
    }

    /// Cancelled when the term has ended.
    ///
    /// By a task, which may run late: before a call that the store does not fence, ask
    /// [`is_valid`](Self::is_valid), which needs no task.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.shared.ended
    }

    /// When the term ends unless it is renewed. The store keeps the lease for longer than that.
    #[must_use]
    pub fn valid_until(&self) -> Instant {
        *self.shared.valid_until.lock()
    }

    /// Whether the term has not ended at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Instant) -> bool {
        !self.shared.ended.is_cancelled() && now < self.valid_until()
    }

    /// Puts the end off. What has ended stays so.
    pub(super) fn renew(&self, valid_until: Instant) {
        let mut current = self.shared.valid_until.lock();
        *current = valid_until.max(*current);
    }

    pub(super) fn end(&self) {
        self.shared.ended.cancel();
    }
}
