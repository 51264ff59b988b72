//! Whether the stored statuses are kept up to date.

use std::sync::Arc;

use oprc_cp_storage::health::WriteHealth;

use super::State;

impl State {
    /// An empty state, whose statuses are stale while `writes` reports an outage.
    pub(in crate::cache) fn measured_by(writes: Arc<WriteHealth>) -> Self {
        Self { writes, ..Self::default() }
    }

    /// `true` if stored statuses may be out of date: no replica leads, or writes fail, so that what is
    /// observed cannot be stored.
    #[must_use]
    pub fn are_statuses_stale(&self) -> bool {
        self.leaders.is_empty() || self.writes.is_failing()
    }
}
