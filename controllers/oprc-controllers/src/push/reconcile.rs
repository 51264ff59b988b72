//! Reconciles one push: once it is decided, makes its documents what they are, without an intent,
//! and removes its key.
//!
//! A push that is not decided is left alone: its key is under its pusher's lease, and vanishes with
//! it. Only then are its intents nothing.

use std::{collections::BTreeMap, time::Duration};

use oprc_controller_runtime::{
    cache::{Entry, State},
    controller::Requeue,
};
use oprc_cp_storage::keys::Key;
use oprc_models::{
    names::PushId,
    push::{Envelope, Fate, PushRecord},
};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::{
    context::{Context, remove, require_readable},
    error::Error,
};

/// How long a pusher has to finish its own push: the common case, in which we have nothing to do.
const HEAD_START: Duration = Duration::from_secs(2);

/// Bytes of documents in one transaction: well below its limit, since keys count too.
const MAX_BYTES: usize = 1_000_000;

/// Documents in one page, where all have to be looked at.
const PAGE: usize = 500;

/// The pushes that were seen decided and are not done with.
pub(crate) type Begun = Mutex<BTreeMap<PushId, Sight>>;

/// How a push looked when it was first seen decided.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    at: Instant,
    /// Whether as many intents were seen as it has: then it is known of all of them what becomes of
    /// them. Otherwise its pusher has begun to finish it, or a watch has lost some.
    is_whole: bool,
}

impl Sight {
    fn of(state: &State, id: &PushId) -> Self {
        let n_seen = u64::try_from(state.intents_of_push(id).len()).unwrap_or(u64::MAX);
        let of_all = |push: &Entry<PushRecord>| push.value.n_documents == n_seen;
        Self { at: Instant::now(), is_whole: state.pushes.get(id).is_some_and(of_all) }
    }
}

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
        let key = Key::Push(id.clone());
        let (fate, writes, sight, is_last) = {
            let state = context.cache.read();
            require_readable(&state, |unreadable| *unreadable == key)?;
            let fate = state.fate(id);
            let mut writes = state.settling(id, context.max_writes(), MAX_BYTES);
            let is_last = writes.is_empty();
            // The commit came after the last intent, so whoever sees it and no intent has seen all.
            if is_last && fate == Fate::Committed {
                writes.extend(state.pushes.get(id).map(|entry| remove(&key, entry.revision)));
            }
            if writes.is_empty() {
                begun.lock().remove(id);
                return Ok(Requeue::AwaitChange);
            }
            let sight = *begun.lock().entry(id.clone()).or_insert_with(|| Sight::of(&state, id));
            (fate, writes, sight, is_last)
        };
        let left = HEAD_START.saturating_sub(sight.at.elapsed());
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        if is_last && !sight.is_whole {
            none_is_left(context, id).await?;
        }
        tracing::info!(push = %id, fate = fate.as_str(), documents = writes.len(), "finishing a push");
        context.commit(writes).await?;
    }
}

/// Asks the store itself whether a document has an intent of the push `id`: without its key, that
/// would be nothing, and a part of an acknowledged push would be lost.
async fn none_is_left(context: &Context, id: &PushId) -> Result<(), Error> {
    for family in ["packages/", "deployments/"] {
        let mut after: Option<String> = None;
        loop {
            let page = context.store.list(family, after.as_deref(), PAGE, None).await?;
            for item in &page.items {
                let read = serde_json::from_slice::<Envelope<IgnoredAny>>(&item.value);
                let of_push = |read: Envelope<_>| read.intent.is_some_and(|it| it.push == *id);
                // What cannot be read may have one.
                if read.map_or(true, of_push) {
                    context.cache.doubt(std::slice::from_ref(&item.key));
                    return Err(Error::Unseen { key: item.key.clone() });
                }
            }
            after = page.items.last().map(|item| item.key.clone());
            if !page.has_more || after.is_none() {
                break;
            }
        }
    }
    Ok(())
}
