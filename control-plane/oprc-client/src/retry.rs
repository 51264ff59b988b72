//! When a call is made again.
//!
//! Invariant: at most [`MAX_RETRIES`] times, and never a call that the server refused for good.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::Error;

/// How often a call is repeated. Three with doubling pauses outlast a fail-over of the leader's
/// API endpoint behind a load balancer; more only delays the bad news.
const MAX_RETRIES: u32 = 3;

/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts the repetitions of one call.
#[derive(Debug, Default)]
pub(super) struct Retries {
    made: u32,
}

impl Retries {
    /// How long to wait before making the call again; none: do not.
    ///
    /// Nobody listening is told at once: it is most often a wrong URL.
    pub(super) fn pause(
        &mut self,
        failure: &Error,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let pause = match failure {
            Error::Unanswered { source, .. } if !source.is_timeout() => Duration::ZERO,
            Error::Refused { problem, .. } if problem.status == 503 || problem.status == 429 => {
                retry_after?
            }
            _ => return None,
        };
        if self.made == MAX_RETRIES {
            return None;
        }
        let backoff = FIRST_PAUSE * 2u32.pow(self.made);
        self.made += 1;
        Some(pause.max(backoff).min(LONGEST_PAUSE))
    }
}

/// How long the server asks us to wait: whole seconds. A date is not understood, and so no wish.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
