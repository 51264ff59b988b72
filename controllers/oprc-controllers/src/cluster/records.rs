//! Writes down what was observed of one unit: its record and refusal, from the mirror to the store.

use oprc_controller_runtime::controller::Requeue;
use oprc_cp_storage::{Write, keys::Key};
use oprc_models::{names::UnitId, record::StoredRecord};

use super::agent::Agent;
use crate::{
    context::{put, remove, require_readable},
    error::Error,
};

/// Reconciles the stored record of unit `id` with the mirror.
///
/// # Errors
///
/// [`Error::Store`], [`Error::Behind`], [`Error::Unreadable`].
pub(crate) async fn reconcile(agent: &Agent, id: &UnitId) -> Result<Requeue, Error> {
    if let Some(write) = decide(agent, id)? {
        agent.context.commit(vec![write]).await?;
    }
    Ok(Requeue::AwaitChange)
}

fn decide(agent: &Agent, id: &UnitId) -> Result<Option<Write>, Error> {
    let state = agent.context.cache.read();
    let key = Key::Record(agent.cluster.clone(), id.clone());
    require_readable(&state, |unreadable| *unreadable == key)?;
    let stored = state.record(&agent.cluster, id);

    let (record, refusal, is_listed) = {
        let mirror = agent.mirror.lock();
        let (record, refusal) = mirror.report(id);
        (record, refusal, mirror.is_listed())
    };
    // Before a listing was complete, having no record of it means nothing: what was known stands.
    let known = stored.and_then(|entry| entry.value.record.clone());
    let record = match record {
        Some(record) => Some(record),
        None if is_listed => None,
        None => known,
    };
    let refusal = refusal.or_else(|| {
        let before = &stored.filter(|_| !is_listed)?.value;
        Some((before.refusal.clone()?, before.deployment_key.clone()))
    });
    let (refusal, refused) = refusal.unzip();
    let of_record = record.as_ref().map(|record| record.deployment_key.clone());
    let Some(deployment_key) = of_record.or(refused) else {
        return Ok(stored.map(|entry| remove(&key, entry.revision)));
    };
    let mut new = StoredRecord {
        cluster: agent.cluster.clone(),
        id: id.clone(),
        deployment_key,
        managed: record.as_ref().is_none_or(|record| *record.owner == *agent.context.owner),
        record,
        refusal,
        observed_at: (agent.context.now)(),
    };
    if let Some(entry) = stored {
        let observed_at = std::mem::replace(&mut new.observed_at, entry.value.observed_at);
        if new == *entry.value {
            if let Some(record) = &entry.value.record {
                agent.mirror.lock().share(id, record);
            }
            return Ok(None);
        }
        new.observed_at = observed_at;
    }
    Ok(Some(put(&key, stored.map(|entry| entry.revision), &new)?))
}
