//! A place in the order of all events.

use std::{fmt, str::FromStr};

use oprc_cp_storage::Revision;

/// A place in the order of events: a revision of the store, and a place among the events of its
/// transaction. Who has seen a mark has seen every event up to it.
///
/// As text it is `7` at the end of revision 7, and `7.2` after its third event where more follow. A
/// transaction may change several objects, and a client that was cut off between two of its events
/// must be able to say which of them it has seen.
///
/// The events of a revision are in the order of their objects, so a mark means the same to every
/// replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    revision: Revision,
    place: u32,
}

/// The place of the last event of a revision.
const LAST: u32 = u32::MAX;

impl Mark {
    /// After every event of `revision`.
    #[must_use]
    pub const fn end_of(revision: Revision) -> Self {
        Self { revision, place: LAST }
    }

    /// Of the `place`th of `n_events` of `revision`.
    pub(super) fn of(revision: Revision, place: usize, n_events: usize) -> Self {
        let is_last = place + 1 >= n_events;
        let place = if is_last { LAST } else { u32::try_from(place).unwrap_or(LAST) };
        Self { revision, place }
    }

    /// The store's revision in it.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.revision
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            LAST => write!(f, "{}", self.revision),
            place => write!(f, "{}.{place}", self.revision),
        }
    }
}

/// What is no mark.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("want a revision, such as 1234 or 1234.0")]
pub struct InvalidMark;

impl FromStr for Mark {
    type Err = InvalidMark;

    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        // `u64` takes a sign, which no mark has.
        if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(InvalidMark);
        }
        let (revision, place) = match text.split_once('.') {
            Some((revision, place)) => (revision, place.parse().map_err(|_| InvalidMark)?),
            None => (text, LAST),
        };
        let revision = revision.parse().map(Revision).map_err(|_| InvalidMark)?;
        Ok(Self { revision, place })
    }
}
