//! Why a call of a CRM did not succeed: a variant for each thing that a caller can do about it.

use std::time::Duration;

/// Any cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call did not succeed, and what is known of the world after it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// 400, 403, 413, 422 and other 4xx: the same call will be refused again. Not carried out.
    #[error("the CRM refused ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The CRM's stable code, if it gave one.
        code: Option<String>,
        /// What the CRM said, clipped.
        message: String,
    },
    /// 401, or our client certificate was turned down. Not carried out; ask again at the breaker's
    /// pace, the file that the credentials are from may be replaced at any time.
    #[error("the CRM refused the credentials: {message}")]
    Unauthorized {
        /// What the CRM said, clipped.
        message: String,
    },
    /// 409: someone newer is at work. Read again, decide again. Not carried out.
    #[error("the CRM has newer ({code}): {message}")]
    Stale {
        /// `stale_generation`, `stale_term`, or what else the CRM called it.
        code: String,
        /// What the CRM said, clipped.
        message: String,
        /// With `stale_generation`: the generation that the CRM already has.
        current_generation: Option<u64>,
        /// With `stale_term`: the term that the CRM has seen, if it says so.
        current_term: Option<u64>,
    },
    /// 429 or 503: ask again later. Also when our own limit of calls in flight left no room within
    /// half of the call's timeout, as status 0.
    #[error("the CRM is busy ({status})")]
    Busy {
        /// How long the CRM asks to be left alone, at most [`CallError::MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// The HTTP status; 0: the CRM was not asked, see [`CallError::is_our_own`].
        status: u16,
    },
    /// 410 of a watch: the revision is too old, list again.
    #[error("the CRM no longer knows the revision to watch from")]
    Gone,
    /// No connection (name not found, refused, TLS handshake): certainly not carried out.
    #[error("the CRM cannot be reached")]
    Unreachable {
        /// Of the endpoint tried last.
        #[source]
        source: BoxError,
    },
    /// Timeout, reset, 5xx or garbage: it may or may not have been carried out.
    #[error("the CRM gave no answer to go by")]
    Unanswered {
        /// Of the endpoint tried last that may have carried it out.
        #[source]
        source: BoxError,
    },
}

impl CallError {
    /// The longest that [`CallError::Busy`] asks for.
    ///
    /// Why 60 s: a CRM that says more (an hour, a date in another century) would otherwise keep its
    /// cluster from healing; asking once a minute costs it nothing.
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

    /// Whether it is a sign that the CRM does not work, rather than of what it was asked.
    ///
    /// A 503 that says when to come back is a CRM at work; one that does not is as likely from a
    /// proxy that has no CRM behind it.
    #[must_use]
    pub fn counts_against_breaker(&self) -> bool {
        match self {
            Self::Unauthorized { .. } | Self::Unreachable { .. } | Self::Unanswered { .. } => true,
            Self::Busy { retry_after, status } => *status == 503 && retry_after.is_none(),
            Self::Refused { .. } | Self::Stale { .. } | Self::Gone => false,
        }
    }

    /// Whether the CRM may have carried the call out all the same, so that what it holds is unknown
    /// until the next complete listing.
    ///
    /// True of a 503 without `Retry-After`: proxies say so too when a CRM's answer is lost.
    #[must_use]
    pub fn may_have_been_done(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            Self::Busy { retry_after, status } => *status == 503 && retry_after.is_none(),
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Stale { .. }
            | Self::Gone
            | Self::Unreachable { .. } => false,
        }
    }

    /// Whether the CRM had no part in it: our own limit of calls in flight left no room. A breaker
    /// learns nothing from that, the call's permit is to be
    /// [abandoned](crate::breaker::Breaker::on_abandoned).
    #[must_use]
    pub fn is_our_own(&self) -> bool {
        matches!(self, Self::Busy { status: 0, .. })
    }

    /// How long the CRM asks to be left alone, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// In one word: a metric's label.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Stale { .. } => "stale",
            Self::Busy { status: 0, .. } => "no_room",
            Self::Busy { .. } => "busy",
            Self::Gone => "gone",
            Self::Unreachable { .. } => "unreachable",
            Self::Unanswered { .. } => "unanswered",
        }
    }
}
