//! Why the CRM did not do what it was asked.

use oprc_cp_storage::Error as StoreError;
use oprc_models::{names::ClusterName, problem::Violation};

/// Why the CRM did not do what it was asked. Unless a variant says otherwise nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The unit is not valid; every violation.
    #[error("the unit is not valid")]
    InvalidUnit(Vec<Violation>),
    /// The unit is meant for another cluster.
    #[error("the unit is meant for cluster {asked}; this is the CRM of {ours}")]
    WrongCluster {
        /// The cluster that the unit names.
        asked: ClusterName,
        /// The cluster that this CRM serves.
        ours: ClusterName,
    },
    /// A newer generation of this id was taken, or a deletion of this generation.
    #[error("generation {asked} is too old: {current} was taken for this id")]
    StaleGeneration {
        /// The generation of the call.
        asked: u64,
        /// The newest generation that was taken or deleted.
        current: u64,
    },
    /// This generation was taken with other contents.
    #[error("generation {current} was taken with another spec_hash")]
    GenerationConflict {
        /// The generation.
        current: u64,
    },
    /// A call of a newer term was seen from this owner.
    #[error("term {asked} is too old: {current} was seen of this owner")]
    StaleTerm {
        /// The term of the call.
        asked: u64,
        /// The newest term seen.
        current: u64,
    },
    /// A term so far above the last one that it is a mistake. Taken, it would lock the real leader
    /// out for good.
    #[error(
        "term {asked} is implausible: {current} was seen of this owner, and a step is at most {max}"
    )]
    ImplausibleTerm {
        /// The term of the call.
        asked: u64,
        /// The newest term seen; 0: none.
        current: u64,
        /// The largest step.
        max: u64,
    },
    /// Terms are remembered for a bounded number of owners.
    #[error("this CRM remembers the terms of {max} owners and cannot take another")]
    TooManyOwners {
        /// The bound.
        max: usize,
    },
    /// Nothing is held for the id.
    #[error("nothing is held for this id")]
    NotFound,
    /// The revision is no longer kept, or not this CRM's.
    #[error("revision {asked} is not kept: list again")]
    Expired {
        /// The revision asked for.
        asked: u64,
    },
    /// Too many calls changed the same id at once.
    #[error("too many calls at once on this id")]
    Busy,
    /// A stored value cannot be read. It is left as it is.
    #[error("the stored value of {key} cannot be read")]
    Damaged {
        /// Its key.
        key: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed; a write may have landed if the store says so.
    #[error("the store failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for Error {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

impl Error {
    /// Whether someone else wrote first, and reading and deciding again may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(StoreError::Conflict { .. }))
    }
}
