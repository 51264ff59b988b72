//! Waiting for a state, with a bound.

use std::{fmt::Debug, panic::Location, time::Duration};

use tokio::time::{Instant, sleep};

/// The longest that anything may take which has no bound of its own: far above what is normal, for
/// a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `look` answers `Ok`; fails with its last `Err` after [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    eventually_within(PATIENCE, what, look)
}

/// Looks until `look` answers `Ok`; fails with its last `Err` after `limit`.
#[track_caller]
pub(crate) fn eventually_within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let began = Instant::now();
        loop {
            match look().await {
                Ok(found) => return found,
                Err(last) if began.elapsed() > limit => {
                    panic!("{caller}: not within {limit:?}: {what}: {last:?}")
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}
