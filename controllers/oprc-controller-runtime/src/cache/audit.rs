//! The second look: whether the cache shows what the store holds.
//!
//! A watch that loses an event without a sign (etcd 3.4.23 can, around a compaction) leaves a cache
//! wrong for ever. So each cache goes through the store now and then, slowly, a page at a time, and
//! compares keys and revisions. It changes nothing: what it finds is listed anew by whom it tells.

use std::time::Duration;

use oprc_cp_storage::{Error, Revision};
use tokio::time::sleep;

use super::{
    Cache,
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
    /// The store is at this revision, and the cache has seen later ones.
    WentBack(Revision),
}

/// Looks, round after round, until something is found.
pub(super) async fn until_found(cache: &Cache) -> Finding {
    loop {
        sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        let parts = cache.read().parts();
        for part in parts {
            // What the store does not answer, or the cache has not got to, is for the next round.
            if let Ok(Some(finding)) = look_at(cache, &part).await {
                return finding;
            }
        }
    }
}

/// Goes through the pages of `part`.
async fn look_at(cache: &Cache, part: &Part) -> Result<Option<Finding>, Error> {
    let prefix = part.prefix();
    let mut after: Option<String> = None;
    loop {
        sleep(PACE).await;
        let seen = cache.position().revision.unwrap_or_default();
        let page = cache.store.list(&prefix, after.as_deref(), PAGE, None).await?;
        // Reads are linearizable.
        if page.revision < seen {
            return Ok(Some(Finding::WentBack(page.revision)));
        }
        if cache.wait_for(page.revision, PATIENCE).await.is_err() {
            return Ok(None);
        }
        let Differences { missed, unsure } =
            cache.read().differences_from(part, after.as_deref(), &page);
        if let Some(key) = missed {
            return Ok(Some(Finding::Missed(key)));
        }
        for listed in unsure {
            // If it is there as it was, it was there all the while.
            let now = cache.store.get(&listed.key).await?;
            if now.is_some_and(|now| now.mod_revision == listed.mod_revision) {
                return Ok(Some(Finding::Missed(listed.key)));
            }
        }
        after = page.items.last().map(|item| item.key.clone());
        if !page.has_more || after.is_none() {
            return Ok(None);
        }
    }
}
