//! Registers the clusters that the environment names.
//!
//! A cluster stays registered when the environment no longer names it: what it holds is not
//! forgotten because a variable was. Its status becomes `NOT_CONFIGURED` and it is not called;
//! `DELETE /api/v1/clusters/{name}` takes it out.

use std::time::Duration;

use oprc_config::pm::Crm;
use oprc_cp_storage::{Op, Precondition, SharedStore, Txn, Write, keys::Key, typed};
use oprc_models::{
    cluster::ClusterSpec,
    meta::{Meta, Stored, Timestamp},
};
use oprc_observability::Report;
use tokio::time::sleep;

/// Between two tries while the store does not take it.
const RETRY: Duration = Duration::from_secs(1);

/// Registers `crms`, trying until the store takes it: a store that is out of reach at start-up must
/// not leave a cluster out.
pub(crate) async fn register_all(
    store: SharedStore,
    crms: Vec<Crm>,
    now: impl Fn() -> Timestamp,
    new_uid: impl Fn() -> String,
) {
    for crm in crms {
        let endpoints = crm.endpoints.iter().map(|url| url.as_str().to_owned()).collect();
        let spec = ClusterSpec { name: crm.name, endpoints };
        while let Err(error) = register(&store, &spec, now(), new_uid()).await {
            tracing::warn!(cluster = %spec.name, error = %Report(&*error), "not registered yet");
            sleep(RETRY).await;
        }
    }
}

/// Writes the registration, unless it is there and the same.
async fn register(
    store: &SharedStore,
    spec: &ClusterSpec,
    now: Timestamp,
    uid: String,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let key = Key::Cluster(spec.name.clone());
    let before = store.get(&key.to_string()).await?;
    let (meta, precondition) = match &before {
        None => (Meta::new(uid, 1, now), Precondition::Absent),
        Some(stored) => {
            let before: Stored<ClusterSpec> = typed::decode(stored)?;
            if before.spec == *spec {
                return Ok(());
            }
            let generation = before.meta.generation + 1;
            let meta = Meta { generation, updated_at: now, ..before.meta };
            (meta, Precondition::At(stored.mod_revision))
        }
    };
    let value = typed::encode(&key, &Stored { meta, spec: spec.clone() })?;
    let write = Write { key: key.to_string(), precondition, op: Op::Put(value) };
    // Where another replica was faster this is a conflict, and the next look finds its registration.
    store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await?;
    tracing::info!(cluster = %spec.name, endpoints = spec.endpoints.join(", "), "cluster registered");
    Ok(())
}
