//! Reconciles one push: once it is decided, makes its documents what they are, without an intent,
//! and removes its key.
//!
//! A push that is not decided is left alone: its key is under its pusher's lease, and vanishes with
//! it. Only then are its intents nothing.

use std::{collections::BTreeMap, time::Duration};

use oprc_controller_runtime::controller::Requeue;
use oprc_cp_storage::keys::Key;
use oprc_models::{names::PushId, push::Fate};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    context::{Context, MAX_WRITES, remove, require_readable},
    error::Error,
};

/// How long a pusher has to finish its own push: the common case, in which we have nothing to do.
const HEAD_START: Duration = Duration::from_secs(2);

/// Bytes of documents in one transaction: well below its limit, since keys count too.
const MAX_BYTES: usize = 1_000_000;

/// When each push that is not done with was first seen decided.
pub(crate) type Begun = Mutex<BTreeMap<PushId, Instant>>;

/// Reconciles the push `id` once.
///
/// # Errors
///
/// [`Error`]; in each case the next pass reads everything again.
pub(crate) async fn reconcile(
    context: &Context,
    begun: &Begun,
    id: &PushId,
) -> Result<Requeue, Error> {
    loop {
        let (fate, writes) = {
            let state = context.cache.read();
            let key = Key::Push(id.clone());
            require_readable(&state, |unreadable| *unreadable == key)?;
            let fate = state.fate(id);
            let mut writes = state.settling(id, MAX_WRITES, MAX_BYTES);
            // The commit came after the last intent, so whoever sees it and no intent has seen all.
            if writes.is_empty() && fate == Fate::Committed {
                writes.extend(state.pushes.get(id).map(|entry| remove(&key, entry.revision)));
            }
            (fate, writes)
        };
        if writes.is_empty() {
            begun.lock().remove(id);
            return Ok(Requeue::AwaitChange);
        }
        let since = *begun.lock().entry(id.clone()).or_insert_with(Instant::now);
        let left = HEAD_START.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        tracing::info!(push = %id, ?fate, documents = writes.len(), "finishing a push");
        context.commit(writes).await?;
    }
}
