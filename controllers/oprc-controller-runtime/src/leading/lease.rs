//! The lease of a term: renewed, watched over, given back.

use futures::StreamExt;
use oprc_cp_storage::{Change, Error, KeyValue, LeaseId, Revision, Store};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Options, Term, bounded};
use oprc_observability::Report;

/// Why a term was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// No renewal was answered in time: it ended on our clock.
    Unanswered,
    /// The store said that the lease is gone.
    LeaseGone,
    /// The key was removed, or is another's.
    KeyGone,
    /// Our writes have failed for [`Options::write_patience`], and those of another replica may not.
    WritesFail,
}

impl Loss {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::LeaseGone => "lease_gone",
            Self::KeyGone => "key_gone",
            Self::WritesFail => "writes_fail",
        }
    }
}

/// The lease that a term's key lives by.
pub(super) struct Lease<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) options: &'a Options,
    pub(super) id: LeaseId,
    pub(super) term: Term,
}

impl Lease<'_> {
    pub(super) fn term(&self) -> &Term {
        &self.term
    }

    /// Keeps the term until it is lost. Our clock is asked first: an answer that was already there
    /// does not revive a term that has run out.
    pub(super) async fn keep(&self) -> Loss {
        tokio::select! {
            biased;
            loss = self.run_out() => loss,
            loss = self.watch_key() => loss,
            loss = self.renew() => loss,
            loss = self.fail_to_write() => loss,
        }
    }

    /// Gives the lease back, and the key with it. Where that fails it runs out by itself.
    pub(super) async fn resign(&self) {
        revoke(self.store, self.options, self.id).await;
    }

    async fn run_out(&self) -> Loss {
        loop {
            let valid_until = self.term.valid_until();
            sleep_until(valid_until).await;
            if self.term.valid_until() <= Instant::now() {
                return Loss::Unanswered;
            }
        }
    }

    async fn renew(&self) -> Loss {
        // Half of what we give ourselves, so that a lost answer leaves time for a second try.
        let limit = self.options.give_up() / 2;
        loop {
            let sent = Instant::now();
            match bounded(limit, self.store.keep_alive(self.id)).await {
                Ok(()) => self.term.renew(sent + self.options.give_up()),
                Err(Error::LeaseGone(_)) => return Loss::LeaseGone,
                Err(err) => {
                    let term = self.term.revision();
                    tracing::warn!(term = term.0, error = %Report(&err), "the lease was not renewed");
                }
            }
            sleep_until(sent + self.options.renew_every()).await;
        }
    }

    /// Ends when our writes fail though the lease is renewed: etcd renews one without a password.
    ///
    /// A full store does not count. And as no replica stands for election while its own writes fail,
    /// a cause that all replicas share costs each of them at most one term.
    async fn fail_to_write(&self) -> Loss {
        let Some(writes) = &self.options.writes else { return std::future::pending().await };
        loop {
            sleep(self.options.renew_every()).await;
            if writes.is_cut_off_for(self.options.write_patience()) {
                return Loss::WritesFail;
            }
        }
    }

    /// Watches the key, and reads it once in the life of a lease, should the watch miss something.
    async fn watch_key(&self) -> Loss {
        loop {
            match self.see_key_gone().await {
                Ok(loss) => return loss,
                // Not knowing is no loss. Our clock runs.
                Err(err) => {
                    let term = self.term.revision();
                    tracing::warn!(term = term.0, error = %Report(&err), "the election key could not be watched");
                }
            }
            sleep(self.options.renew_every()).await;
        }
    }

    async fn see_key_gone(&self) -> Result<Loss, Error> {
        loop {
            let Seen { holder, revision } = read(self.store, self.options).await?;
            let created = holder.map(|key_value| key_value.create_revision);
            if created != Some(self.term.revision()) {
                return Ok(Loss::KeyGone);
            }
            if changed(self.store, self.options, revision).await? {
                return Ok(Loss::KeyGone);
            }
        }
    }
}

/// The election key as of a revision.
pub(super) struct Seen {
    pub(super) holder: Option<KeyValue>,
    pub(super) revision: Revision,
}

/// Reads the key. A listing, because that tells the revision to watch from even if there is no key.
pub(super) async fn read(store: &dyn Store, options: &Options) -> Result<Seen, Error> {
    let page = bounded(options.give_up(), store.list(&options.key, None, 1, None)).await?;
    let holder = page.items.into_iter().next().filter(|item| item.key == options.key);
    Ok(Seen { holder, revision: page.revision })
}

/// Waits until the key is written or removed after `revision`: true. False after the life of a
/// lease without it: time to read again, for a watch may be broken and not know it.
pub(super) async fn changed(
    store: &dyn Store,
    options: &Options,
    revision: Revision,
) -> Result<bool, Error> {
    let change = async {
        let mut watch = store.watch(&options.key, revision.next()).await?;
        while let Some(batch) = watch.next().await {
            let is_key = |change: &Change| match change {
                Change::Put(key_value) => key_value.key == options.key,
                Change::Delete { key, .. } => *key == options.key,
            };
            if batch?.changes.iter().any(is_key) {
                return Ok(());
            }
        }
        Err(Error::Unavailable { source: "the watch ended".into() })
    };
    match timeout(options.ttl(), change).await {
        Ok(changed) => changed.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Ends a lease as well as can be: where that fails it runs out by itself.
pub(super) async fn revoke(store: &dyn Store, options: &Options, lease: LeaseId) {
    if let Err(err) = bounded(options.renew_every(), store.revoke_lease(lease)).await {
        tracing::warn!(error = %Report(&err), "the lease was not given back and has to run out");
    }
}
