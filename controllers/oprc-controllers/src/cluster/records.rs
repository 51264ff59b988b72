//! Writes down what was observed of one unit: its record and refusal, from the mirror to the store.

use std::sync::Arc;

use oprc_controller_runtime::controller::Requeue;
use oprc_cp_storage::{Write, keys::Key};
use oprc_models::{
    names::UnitId,
    record::{RunCondition, StoredRecord},
};

use super::{agent::Agent, mirror::Reported, observe::is_ours};
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

    let is_listed = agent.mirror.lock().is_listed();
    let Reported { record, unreadable, refusal, is_complete } = agent.mirror.lock().report(id);
    // Before a listing was complete, having no record of it means nothing: what was known stands.
    let known = stored.and_then(|entry| entry.value.record.clone());
    let record = match record {
        Some(record) => Some(record),
        None if is_complete => None,
        None => known,
    };
    // The last one that could be read is kept, but nobody may take it for what is so now.
    let record = match (record, &unreadable) {
        (Some(record), Some(_)) if record.status.condition != RunCondition::Unknown => {
            let mut unknown = (*record).clone();
            unknown.status.condition = RunCondition::Unknown;
            Some(Arc::new(unknown))
        }
        (record, _) => record,
    };
    let refusal = refusal.or_else(|| {
        let before = &stored.filter(|_| !is_listed)?.value;
        Some((before.refusal.clone()?, before.deployment_key.clone()))
    });
    let (refusal, refused) = refusal.unzip();
    let of_record = record.as_ref().map(|record| record.deployment_key.clone());
    // Of an unreadable record that never could be read, the unit says whose it is.
    let of_unit = || {
        let (cluster, deployment) = state.place_of_unit(id)?;
        (unreadable.is_some() && *cluster == agent.cluster).then(|| deployment.clone())
    };
    let Some(deployment_key) = of_record.or(refused).or_else(of_unit) else {
        return Ok(stored.map(|entry| remove(&key, entry.revision)));
    };
    let mut new = StoredRecord {
        cluster: agent.cluster.clone(),
        id: id.clone(),
        deployment_key,
        managed: record.as_ref().is_none_or(|record| is_ours(agent, &state, record)),
        record,
        refusal,
        unreadable,
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
