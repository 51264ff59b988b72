//! Why a write was not accepted.

use oprc_controller_runtime::cache::Stale;
use oprc_cp_storage::{BoxError, Error as StoreError};
use oprc_models::{names::BundleName, problem::Violation};

use crate::auth::Missing;

/// Why a write was not accepted. Nothing was written, except perhaps after
/// [`Error::MaybeDone`] and [`Error::Full`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not do this.
    #[error(transparent)]
    Forbidden(#[from] Missing),
    /// The key is taken by what the caller may not write. That much a key that is shared by all
    /// packages cannot hide.
    #[error("{key} is not yours to write")]
    NotYours {
        /// The key.
        key: String,
    },
    /// There is no such document.
    #[error("there is no {key}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// A create of what is there already and differs.
    #[error("{key} is there already and differs (generation {generation}); use PUT to replace it")]
    AlreadyExists {
        /// Its key.
        key: String,
        /// The generation that is there.
        generation: u64,
    },
    /// A version that is published with another content.
    #[error("{what} is published, and is something else: push this as another version")]
    VersionExists {
        /// The version and its package.
        what: String,
        /// What differs.
        violations: Vec<Violation>,
    },
    /// Documents that belong to another package or another bundle.
    #[error("a document that is declared here belongs to someone else")]
    Owned {
        /// Which, and whose.
        violations: Vec<Violation>,
    },
    /// A deletion of what others depend on.
    #[error("{key} is in use by {} others", dependants.len())]
    HasDependants {
        /// Its key.
        key: String,
        /// Who; the pointer is empty.
        dependants: Vec<Violation>,
    },
    /// A pruning push that would delete every document of its bundle.
    #[error(
        "the push has no document of bundle {bundle} and would delete all {n_documents} that it \
         owns: check what was pushed, or allow it with allow_empty=true (oprc: --allow-empty)"
    )]
    WouldEmpty {
        /// The bundle.
        bundle: BundleName,
        /// Number of documents that would be deleted.
        n_documents: usize,
    },
    /// A removal by force of what can go without.
    #[error("{key} is not removed by force: {why}")]
    ForceRefused {
        /// Its key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("the condition does not hold: {key} is {}", found(*generation))]
    PreconditionFailed {
        /// Its key.
        key: String,
        /// The generation that is there; none: it is absent.
        generation: Option<u64>,
    },
    /// Documents that were changed since those that are pushed were read.
    #[error(
        "a document was changed since it was read: read it again, or push without if_unchanged"
    )]
    Outdated {
        /// Which, and how.
        violations: Vec<Violation>,
    },
    /// What is stored cannot be read, and is left alone.
    #[error("the stored value of {key} cannot be read and is not overwritten: {reason}")]
    Unreadable {
        /// Its key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The document contradicts others.
    #[error("the document is not valid")]
    Invalid {
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// More than one transaction holds.
    #[error("{given} {unit} in one transaction: want at most {max}")]
    TooLarge {
        /// How much.
        given: usize,
        /// The most.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// Others wrote first, again and again.
    #[error("{key} is being written by many at once")]
    Contended {
        /// Its key.
        key: String,
    },
    /// The cache has not been filled yet.
    #[error("starting: what is stored has not been read yet")]
    NotReady,
    /// The current state is not known.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The store could not be reached.
    #[error("the store is unavailable; nothing was written")]
    Unavailable {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The store did not answer. Repeating the same request is safe: it writes nothing again.
    #[error("the store did not answer: the write may have landed; repeating it is safe")]
    MaybeDone {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The store has no room. Repeating the same request is safe: it writes nothing again.
    #[error("the store is full; a write that met the end of its room may have landed")]
    Full {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The store refused our credentials; nothing was written.
    #[error("the store refuses the credentials of this server; nothing was written")]
    Unauthorized {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The store refused, and would again.
    #[error("the store refused the write")]
    Refused {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The document has no JSON form.
    #[error("the document cannot be stored")]
    Encode(#[from] serde_json::Error),
}

fn found(generation: Option<u64>) -> String {
    match generation {
        Some(generation) => format!("there, at generation {generation}"),
        None => "absent".to_owned(),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { source } => Self::Unavailable { source },
            StoreError::MaybeDone { source } => Self::MaybeDone { source },
            StoreError::Full { source } => Self::Full { source },
            StoreError::Unauthorized { .. } => Self::Unauthorized { source: Box::new(error) },
            StoreError::Conflict { .. }
            | StoreError::Compacted { .. }
            | StoreError::LeaseGone(_)
            | StoreError::Refused { .. } => Self::Refused { source: Box::new(error) },
        }
    }
}
