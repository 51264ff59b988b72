//! Runs something that may panic or hang, and says how it ended.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::timeout;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt<T> {
    Finished(T),
    /// With this message.
    Panicked(String),
    /// It was cut off after this time.
    TimedOut(Duration),
}

/// Runs `work` for at most `deadline`.
///
/// That it is unwind safe is asserted: what it shares with others are the store, the cache and
/// queues, none of which it can leave half changed (their locks are not held across anything that
/// panics), and what is its own is dropped.
pub(super) async fn attempt<T>(
    deadline: Duration,
    work: impl Future<Output = T> + Send,
) -> Attempt<T> {
    // The block drops `work` when it is cut off, so that a panic of its destructors is caught too.
    let bounded = async move { timeout(deadline, work).await };
    match AssertUnwindSafe(bounded).catch_unwind().await {
        Ok(Ok(finished)) => Attempt::Finished(finished),
        Ok(Err(_)) => Attempt::TimedOut(deadline),
        Err(payload) => Attempt::Panicked(message(payload.as_ref())),
    }
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
        .to_owned()
}
