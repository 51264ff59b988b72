//! Leases: how long keys written under them live. Time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{KeyChange, Mvcc};
use crate::{Error, LeaseId};

/// The leases that were granted and have not ended.
#[derive(Debug, Default)]
pub(super) struct Leases {
    last_id: i64,
    live: BTreeMap<i64, Lease>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    expires: Instant,
    keys: BTreeSet<String>,
}

impl Leases {
    /// Follows `change` in the sets of keys.
    pub(super) fn note(&mut self, change: &KeyChange) {
        if let Some(LeaseId(id)) = change.before.as_ref().and_then(|item| item.lease)
            && let Some(lease) = self.live.get_mut(&id)
        {
            lease.keys.remove(&change.key);
        }
        if let Some(LeaseId(id)) = change.after.as_ref().and_then(|item| item.lease)
            && let Some(lease) = self.live.get_mut(&id)
        {
            lease.keys.insert(change.key.clone());
        }
    }

    pub(super) fn remove(&mut self, ended: &BTreeSet<i64>) {
        self.live.retain(|id, _| !ended.contains(id));
    }
}

impl Mvcc {
    /// A new lease that lives until `now + ttl_secs`.
    pub fn grant_lease(&mut self, ttl_secs: u32, now: Instant) -> LeaseId {
        let ttl = Duration::from_secs(ttl_secs.max(1).into());
        self.leases.last_id += 1;
        let lease = Lease { ttl, expires: now + ttl, keys: BTreeSet::new() };
        self.leases.live.insert(self.leases.last_id, lease);
        LeaseId(self.leases.last_id)
    }

    /// Lets the lease live for its whole time again, from `now`.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseGone`], also when it has run out and nobody has removed it yet.
    pub fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> Result<(), Error> {
        match self.leases.live.get_mut(&lease.0) {
            Some(live) if live.expires > now => {
                live.expires = now + live.ttl;
                Ok(())
            }
            Some(_) | None => Err(Error::LeaseGone(lease)),
        }
    }

    /// When the first lease runs out.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.leases.live.values().map(|lease| lease.expires).min()
    }

    /// Whether the lease is there and has not run out.
    #[must_use]
    pub fn is_lease_live(&self, lease: LeaseId, now: Instant) -> bool {
        self.leases.live.get(&lease.0).is_some_and(|lease| lease.expires > now)
    }

    /// The leases that have run out.
    pub(super) fn expired_leases(&self, now: Instant) -> Vec<LeaseId> {
        let expired = self.leases.live.iter().filter(|(_, lease)| lease.expires <= now);
        expired.map(|(id, _)| LeaseId(*id)).collect()
    }

    /// The keys that the lease holds, in order; none when it is gone.
    pub(super) fn leased_keys(&self, lease: LeaseId) -> impl Iterator<Item = &String> {
        self.leases.live.get(&lease.0).into_iter().flat_map(|lease| &lease.keys)
    }
}
