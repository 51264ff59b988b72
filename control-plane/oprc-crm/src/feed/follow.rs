//! Following the store: what is written becomes events, timers and the index of tombstones.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use oprc_cp_storage::{Change, KeyValue, MAX_PAGE_ITEMS, Revision, WatchBatch};
use oprc_models::{names::UnitId, record::RunCondition};
use oprc_observability::Report;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Mark, Snapshot};
use crate::{
    Error,
    crm::Crm,
    layout, metric, record,
    tombstones::{MAX_TOMBSTONES, Tombstones},
};

/// Between a store that failed and the next try.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What following looks at in a record.
#[derive(Deserialize)]
struct Fields {
    status: StatusFields,
}

#[derive(Deserialize)]
struct StatusFields {
    condition: RunCondition,
    #[serde(default)]
    phase: String,
}

/// Where following is: what it has loaded or seen.
#[derive(Debug)]
pub(crate) struct Position {
    revision: Revision,
    tombstones: Tombstones,
}

/// Loads everything that is held, and wakes the runtime for what is not settled.
///
/// # Errors
///
/// [`Error::Store`].
pub(crate) async fn load(crm: &Crm) -> Result<Position, Error> {
    let mut records = BTreeMap::new();
    let mut tombstones = Tombstones::default();
    let (mut after, mut at) = (None::<String>, None);
    loop {
        let page = crm.store.list("", after.as_deref(), MAX_PAGE_ITEMS, at).await?;
        for item in &page.items {
            if item.key.starts_with(layout::TOMBSTONES) {
                tombstones.put(&item.key, item.mod_revision);
            } else if let Some((id, snapshot, fields)) = read(item) {
                if !record::is_settled(fields.condition) {
                    wake(crm, &id, item.mod_revision);
                }
                records.insert(id, snapshot);
            }
        }
        at = Some(page.revision);
        after = page.items.last().map(|item| item.key.clone());
        if !page.has_more || after.is_none() {
            crm.feed.reset(page.revision, records);
            return Ok(Position { revision: page.revision, tombstones });
        }
    }
}

/// Follows the store from `position` until `stop`; begins anew when the store's watch breaks.
pub(crate) async fn run(crm: Arc<Crm>, mut position: Position, stop: CancellationToken) {
    loop {
        let followed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            followed = follow(&crm, &mut position) => followed,
        };
        crm.feed.stop_following();
        metric::follow_failed();
        tracing::warn!(error = %Report(&followed), "the store's watch broke");
        position = loop {
            let loaded = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                loaded = async { sleep(RETRY_DELAY).await; load(&crm).await } => loaded,
            };
            match loaded {
                Ok(position) => break position,
                Err(err) => tracing::warn!(error = %Report(&err), "the store cannot be read"),
            }
        };
    }
}

/// Follows until something breaks.
async fn follow(crm: &Crm, position: &mut Position) -> Error {
    let mut batches = match crm.store.watch("", position.revision.next()).await {
        Ok(batches) => batches,
        Err(err) => return err.into(),
    };
    loop {
        let batch = match batches.next().await {
            Some(Ok(batch)) => batch,
            Some(Err(err)) => return err.into(),
            None => {
                let source = "the watch ended".into();
                return Error::Store(oprc_cp_storage::Error::Unavailable { source });
            }
        };
        tell(crm, position, batch);
        if let Some(txn) = position.tombstones.prune(MAX_TOMBSTONES)
            && let Err(err) = crm.commit(txn).await
        {
            // What was in the way comes with the next batch, and the pruning is tried again.
            tracing::debug!(error = %Report(&err), "tombstones were not pruned");
        }
    }
}

/// Makes events, timers and index entries of `batch`.
fn tell(crm: &Crm, position: &mut Position, batch: WatchBatch) {
    let mut events = Vec::with_capacity(batch.changes.len());
    let (mut revision, mut place) = (position.revision, 0);
    for change in batch.changes {
        match change {
            Change::Put(item) => {
                if item.mod_revision > revision {
                    (revision, place) = (item.mod_revision, 0);
                }
                if item.key.starts_with(layout::TOMBSTONES) {
                    position.tombstones.put(&item.key, item.mod_revision);
                } else if let Some((id, snapshot, fields)) = read(&item) {
                    if record::is_news(fields.condition, &fields.phase) {
                        wake(crm, &id, item.mod_revision);
                    }
                    events.push((Mark::of(revision, place), id, Some(snapshot)));
                    place += 1;
                }
            }
            Change::Delete { key, .. } => {
                if key.starts_with(layout::TOMBSTONES) {
                    position.tombstones.remove(&key);
                } else if let Some(id) = key.strip_prefix(layout::RECORDS) {
                    // Of the transaction whose put came before, see `layout`.
                    events.push((Mark::of(revision, place), id.to_owned(), None));
                    place += 1;
                }
            }
        }
    }
    position.revision = position.revision.max(batch.revision);
    crm.feed.extend(events, Mark::end_of(position.revision));
}

/// The id and the contents of a record; `None` for another family, and for what cannot be read.
fn read(item: &KeyValue) -> Option<(String, Arc<Snapshot>, StatusFields)> {
    let id = item.key.strip_prefix(layout::RECORDS)?;
    match serde_json::from_slice::<Fields>(&item.value) {
        Ok(Fields { status }) => {
            let json = item.value.clone();
            let snapshot = Snapshot { condition: status.condition, json };
            Some((id.to_owned(), Arc::new(snapshot), status))
        }
        Err(err) => {
            tracing::error!(unit = id, error = %err, "a stored record cannot be read");
            None
        }
    }
}

/// Has the runtime look at `id` at once.
fn wake(crm: &Crm, id: &str, revision: Revision) {
    if let Ok(id) = id.parse::<UnitId>() {
        crm.timers.set(&id, Instant::now(), revision);
    }
}
