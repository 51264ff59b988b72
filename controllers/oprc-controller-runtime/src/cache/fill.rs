//! Filling the cache and keeping it up to date: list, watch, resume or list again.

use std::{pin::pin, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use oprc_cp_storage::{Error, Revision, WatchBatch};

use super::{
    Cache, Changed, Position, State,
    audit::{self, Finding},
    feed::Capture,
};

/// Keys in one page of a listing.
const PAGE: usize = 1000;

/// The longest pause between two tries to reach the store.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// How long the store may take to tell the past. A process that begins is of more use without it
/// than late.
const PAST_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two tries to reach the store: 50 ms, doubled up to [`MAX_DELAY`], with jitter. Short,
/// since everything waits for it, and one replica makes one call per try.
fn reconnects() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Why following ended.
enum End {
    Broken(Error),
    Found(Finding),
}

/// Fills and follows, forever.
pub(super) async fn keep(cache: &Cache) {
    let mut delays = reconnects();
    let mut audit = pin!(audit::until_found(cache));
    let mut must_list = true;
    loop {
        let revision = cache.position().revision.filter(|_| !must_list);
        let end = match revision {
            None => match fill(cache).await {
                Ok(()) => {
                    must_list = false;
                    continue;
                }
                Err(error) => End::Broken(error),
            },
            Some(revision) => tokio::select! {
                biased;
                followed = follow(cache, revision) => {
                    followed.map_or_else(End::Broken, End::Found)
                }
                finding = &mut audit => End::Found(finding),
            },
        };
        if revision.is_some() && cache.position().revision > revision {
            delays = reconnects();
        }
        cache.position.update(|at| at.is_live = false);
        cache.meters.live.set(0.0);
        match end {
            End::Broken(Error::Compacted { asked }) => {
                tracing::warn!(revision = asked.0, "revision was compacted; listing again");
                cache.meters.relists.increment(1);
                must_list = true;
            }
            End::Broken(error) => {
                tracing::warn!(error = %error, "store is out of reach; answers may be stale");
            }
            End::Found(finding) => {
                cache.tell(&finding);
                must_list = true;
                audit.set(audit::until_found(cache));
            }
        }
        // Before a listing too: a store that compacts faster than it is listed slows it down.
        tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY)).await;
    }
}

/// Reads everything, as it is now, and puts it in the place of what was there.
async fn fill(cache: &Cache) -> Result<(), Error> {
    let before = cache.position().revision;
    let state = match before {
        // Only at the first time: whoever watches here has not been told of what comes now.
        None if cache.past > 0 => match fill_with_past(cache).await? {
            Some(state) => state,
            None => fill_without_past(cache).await?,
        },
        Some(_) | None => fill_without_past(cache).await?,
    };
    let revision = state.revision;
    let went_back = before.filter(|before| *before > revision);
    if let Some(before) = went_back {
        // A listing is linearizable, so the store itself has gone back: it was restored from an
        // older snapshot. What it now says is what is desired.
        tracing::error!(
            revision = revision.0,
            before = before.0,
            "the store has gone back in time"
        );
        cache.meters.went_back.increment(1);
    }
    // Only this task writes, so what is compared is what is replaced; readers go on meanwhile.
    let mut changes = state.differences(&cache.state.read());
    // And everything else is looked at again: a write of ours that the store took, that we never
    // saw, and that was undone when it was restored, makes no difference here.
    changes.extend(state.differences(&State::default()));
    changes.extend(before.map(|_| Changed::Relisted));
    changes.extend(went_back.map(|before| Changed::WentBack(before, revision)));
    *cache.state.write() = state;
    // The watch that makes it live is still to come.
    cache.position.update(|at| *at = Position { revision: Some(revision), is_live: false });
    cache.measure(revision);
    cache.notify(&changes);
    tracing::info!(revision = revision.0, changes = changes.len(), "cache filled");
    Ok(())
}

/// The state as it is now; the feed begins with it.
async fn fill_without_past(cache: &Cache) -> Result<State, Error> {
    let state = list(cache, None).await?;
    cache.feed.reset(state.revision);
    Ok(state)
}

/// The state as it is now, made from an older one and from all that the store says has happened
/// since, which the feed then begins with. `None` where the store has forgotten.
async fn fill_with_past(cache: &Cache) -> Result<Option<State>, Error> {
    let head = cache.store.head().await?;
    let past = async {
        let mut past = cache.past;
        let mut state = loop {
            // No revision is zero, and to etcd zero is now.
            let from = Revision(head.0.saturating_sub(past).max(1));
            match list(cache, Some(from)).await {
                // How much it has forgotten, it does not say.
                Err(Error::Compacted { .. }) if past > 1 => past /= 2,
                listed => break listed?,
            }
        };
        cache.feed.reset(state.revision);
        let mut watch = cache.store.watch("", state.revision.next()).await?;
        while state.revision < head {
            let batch = watch.next().await.ok_or_else(ended)??;
            apply(cache, &mut state, batch);
        }
        Ok(state)
    };
    match tokio::time::timeout(PAST_TIMEOUT, past).await {
        Ok(Ok(state)) => Ok(Some(state).filter(|state| state.unknown_push().is_none())),
        Ok(Err(Error::Compacted { .. })) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            tracing::warn!("the past is slow to come; beginning with the present");
            Ok(None)
        }
    }
}

/// Lists everything at one revision: `at`, or now.
async fn list(cache: &Cache, mut at: Option<Revision>) -> Result<State, Error> {
    let mut state = State::measured_by(Arc::clone(&cache.writes));
    let mut after: Option<String> = None;
    loop {
        let page = cache.store.list("", after.as_deref(), PAGE, at).await?;
        at = Some(page.revision);
        after = page.items.last().map(|item| item.key.clone());
        for item in page.items {
            state.apply(oprc_cp_storage::Change::Put(item));
        }
        if !page.has_more || after.is_none() {
            break;
        }
    }
    state.revision = at.unwrap_or_default();
    Ok(state)
}

/// Takes all of `batch` into `state` and into the feed; answers what changed.
fn apply(cache: &Cache, state: &mut State, batch: WatchBatch) -> Vec<Changed> {
    let mut changes: Vec<Changed> = Vec::with_capacity(batch.changes.len());
    let mut capture = Capture::default();
    changes.extend(batch.changes.into_iter().flat_map(|change| capture.apply(state, change)));
    state.revision = batch.revision;
    cache.feed.extend(capture.finish(state), batch.revision);
    changes
}

fn ended() -> Error {
    Error::Unavailable { source: "the watch ended".into() }
}

/// Takes change after change from `revision` on, until the watch ends or has lost a push.
async fn follow(cache: &Cache, revision: Revision) -> Result<Finding, Error> {
    let mut watch = cache.store.watch("", Revision(revision.0 + 1)).await?;
    let mut reached = revision;
    cache.position.update(|at| at.is_live = true);
    cache.meters.live.set(1.0);
    while let Some(batch) = watch.next().await {
        let batch = batch?;
        if batch.revision < reached {
            continue;
        }
        reached = batch.revision;
        // Before the position moves: a watch may be asked for from wherever a list was read at.
        let changes = apply(cache, &mut cache.state.write(), batch);
        cache.position.update(|at| at.revision = Some(reached));
        cache.measure(reached);
        cache.notify(&changes);
        if let Some(push) = cache.read().unknown_push() {
            return Ok(Finding::Unknown(push.clone()));
        }
    }
    Err(ended())
}
