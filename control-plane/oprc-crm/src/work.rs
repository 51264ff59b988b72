//! A CRM at work, without a socket: what a server and a simulation start alike.

use std::sync::Arc;

use oprc_cp_storage::SharedStore;
use oprc_models::names::ClusterName;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    clock::Clock,
    crm::Crm,
    driver,
    feed::follow::{self, Position},
    runtime::Runtime,
};

/// What must run for a CRM to do more than answer: it follows the store and takes the units' steps.
#[derive(Debug)]
pub struct Work {
    crm: Arc<Crm>,
    position: Position,
}

/// Opens the CRM of `cluster` over what `store` holds.
///
/// # Errors
///
/// [`Error::Store`] when the store cannot be read.
pub async fn open(
    cluster: ClusterName,
    store: SharedStore,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
) -> Result<(Arc<Crm>, Work), Error> {
    let crm = Arc::new(Crm::new(cluster, store, runtime, clock));
    let position = follow::load(&crm).await?;
    Ok((Arc::clone(&crm), Work { crm, position }))
}

impl Work {
    /// Works until `stop`; a transition that was begun is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let Self { crm, position } = self;
        let following = follow::run(Arc::clone(&crm), position, stop.clone());
        tokio::join!(following, driver::run(crm, stop));
    }
}
