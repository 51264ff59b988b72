//! Why a reconcile did not succeed. It is tried again in every case.

use std::time::Duration;

use oprc_controller_runtime::cache::Behind;
use oprc_crm_client::CallError;
use oprc_models::names::{ClusterName, PackageName};

/// Why a reconcile did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not take a write. After a conflict or a lost answer the next pass decides on
    /// what is there then.
    #[error("the store did not take the write")]
    Store(#[from] oprc_cp_storage::Error),
    /// What was written has not come back through the watch yet.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// A stored value that this key depends on cannot be read: nothing is decided without it.
    #[error("{key} cannot be read: {reason}")]
    Unreadable {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A value could not be written as JSON.
    #[error(transparent)]
    Encode(#[from] oprc_cp_storage::typed::CodecError),
    /// The CRM did not do what it was asked.
    #[error("{cluster}, generation {generation}")]
    Call {
        /// The cluster.
        cluster: ClusterName,
        /// Of which generation of the unit.
        generation: u64,
        /// The cause.
        #[source]
        source: Box<CallError>,
        /// Package of the unit.
        package: Option<PackageName>,
        /// How long to wait at the least.
        retry_after: Option<Duration>,
    },
    /// What the cluster holds is not known: a call was not answered, and it was not listed since.
    #[error("what {cluster} holds is not known")]
    NotObserved {
        /// The cluster.
        cluster: ClusterName,
    },
    /// The store holds what the cache does not know of, or what cannot be read.
    #[error("{key} is not what it was seen to be: waiting for the cache to look again")]
    Unseen {
        /// The key.
        key: String,
    },
}
