//! The second look: whether the cache shows what the store holds.
//!
//! A watch that loses an event without a sign (etcd 3.4.23 can, around a compaction) leaves a cache
//! wrong for ever. So each cache goes through the store now and then, slowly, a page at a time, and
//! compares keys and revisions; and at once where a write has met a key that is not as the cache shows
//! it. It changes nothing: what it finds is listed anew by whom it tells.

use std::{collections::BTreeSet, time::Duration};

use oprc_cp_storage::{Error, Page, Revision};
use oprc_models::names::PushId;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use super::{
    Behind, Cache, State,
    state::{Differences, Part},
};

/// From the end of one round to the beginning of the next, on average: it is drawn from half of it
/// to one and a half, so that replicas do not go together.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// Between two pages. A hundred thousand deployments take minutes, and cost the store next to
/// nothing.
const PACE: Duration = Duration::from_secs(1);

/// Keys in one page.
const PAGE: usize = 500;

/// How long the cache may take to get to where a page is from.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with a cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It has missed a change of this key.
    Missed(String),
    /// It was never told of this push, and has seen an intent of it.
    Unknown(PushId),
    /// The store is at this revision, and the cache has seen later ones.
    WentBack(Revision),
}

/// Keys that are in doubt at once, at most. More come again: whoever met them tries again.
const MAX_DOUBTS: usize = 16;

/// Why a look ends before it is through.
enum End {
    Found(Finding),
    /// The store does not answer, or the cache has not got so far: for the next time.
    Later,
}

impl From<Error> for End {
    fn from(_: Error) -> Self {
        Self::Later
    }
}

impl From<Behind> for End {
    fn from(_: Behind) -> Self {
        Self::Later
    }
}

/// Keys that a write did not find as the cache shows them.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    keys: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Doubts {
    pub(super) fn add(&self, keys: &[String]) {
        {
            let mut doubted = self.keys.lock();
            let free = MAX_DOUBTS.saturating_sub(doubted.len());
            doubted.extend(keys.iter().take(free).cloned());
        }
        self.added.notify_one();
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.keys.lock())
    }
}

/// Looks until something is found.
pub(super) async fn until_found(cache: &Cache) -> Finding {
    tokio::select! {
        biased;
        finding = in_doubt(cache) => finding,
        finding = in_turn(cache) => finding,
    }
}

/// Looks at what is in doubt.
async fn in_doubt(cache: &Cache) -> Finding {
    loop {
        cache.doubts.added.notified().await;
        // What was only late has come by then, and a storm of conflicts costs the store little.
        sleep(PACE).await;
        for key in cache.doubts.take() {
            // The key itself is the first of those that begin with it.
            let looked =
                look(cache, &key, None, 1, |state, page| state.difference_of(&key, page)).await;
            if let Err(End::Found(finding)) = looked {
                return finding;
            }
        }
    }
}

/// Looks at everything, round after round.
async fn in_turn(cache: &Cache) -> Finding {
    loop {
        sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        let parts = cache.read().parts();
        for part in parts {
            if let Err(End::Found(finding)) = look_at(cache, &part).await {
                return finding;
            }
        }
    }
}

/// Goes through the pages of `part`.
async fn look_at(cache: &Cache, part: &Part) -> Result<(), End> {
    let prefix = part.prefix();
    let mut after: Option<String> = None;
    loop {
        sleep(PACE).await;
        let page = look(cache, &prefix, after.as_deref(), PAGE, |state, page| {
            state.differences_from(part, after.as_deref(), page)
        });
        let page = page.await?;
        after = page.items.last().map(|item| item.key.clone());
        if !page.has_more || after.is_none() {
            return Ok(());
        }
    }
}

/// Looks at one page: of `limit` keys that begin with `prefix`, after `after`.
async fn look(
    cache: &Cache,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    differences: impl Fn(&State, &Page) -> Differences,
) -> Result<Page, End> {
    let seen = cache.position().revision.unwrap_or_default();
    let page = cache.store.list(prefix, after, limit, None).await?;
    // Reads are linearizable.
    if page.revision < seen {
        return Err(End::Found(Finding::WentBack(page.revision)));
    }
    cache.wait_for(page.revision, PATIENCE).await?;
    let Differences { missed, unsure } = differences(&cache.read(), &page);
    if let Some(key) = missed {
        return Err(End::Found(Finding::Missed(key)));
    }
    for listed in unsure {
        // If it is there as it was, it was there all the while.
        let now = cache.store.get(&listed.key).await?;
        if now.is_some_and(|now| now.mod_revision == listed.mod_revision) {
            return Err(End::Found(Finding::Missed(listed.key)));
        }
    }
    Ok(page)
}
