//! Asking again and again: a pace, a deadline, and a server that may be away for a while.

use std::time::Duration;

use tokio::time::Instant;

use crate::{error::Error, term::Out};

/// When to stop asking.
pub(crate) struct Patience {
    began: Instant,
    timeout: Duration,
    pace: Duration,
    is_away: bool,
}

impl Patience {
    /// Asks every `pace` for at most `timeout`.
    pub(crate) fn new(timeout: Duration, pace: Duration) -> Self {
        Self { began: Instant::now(), timeout, pace, is_away: false }
    }

    /// How long there is still to ask.
    pub(crate) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.began.elapsed())
    }

    /// Sleeps until the next time to ask. Returns false where there is none.
    pub(crate) async fn pause(&self) -> bool {
        let left = self.left();
        tokio::time::sleep(self.pace.min(left)).await;
        !left.is_zero()
    }

    /// Passes an answer on; says once that the server is away, and goes on: it may be restarting.
    pub(crate) fn forgive<T>(
        &mut self,
        answer: Result<T, Error>,
        err: &mut Out<'_>,
    ) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => {
                self.is_away = false;
                Ok(Some(answer))
            }
            Err(failure) if failure.is_transient() => {
                if !std::mem::replace(&mut self.is_away, true) {
                    err.line(&format!("{failure}; asking on"));
                }
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The failure that the time is over, with what is missing.
    pub(crate) fn is_over(&self, pending: Vec<String>) -> Error {
        let waited =
            format!("{:#}", jiff::SignedDuration::try_from(self.timeout).unwrap_or_default());
        Error::NotConverged { waited, pending }
    }
}
