//! The simulated store: etcd's semantics by the production state machine, with etcd's faults.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use oprc_cp_storage::{
    Error, KeyValue, LeaseId, Op, Page, Revision, Store, Txn, Watch, WatchBatch, Write,
    mvcc::{Mvcc, Options, Pending},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    damage::{Past, Snapshot},
    world::{Answer, Link, World, note},
};

/// How long a replica waits for the store: etcd's client does as long in production.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how many milliseconds a write that is late lands; its caller may have given up by then.
const LATE: RangeInclusive<u64> = 3_000..=9_000;

/// How long a watch may be silent until the client takes it for broken: its connection is pinged.
const MAX_SILENCE: u64 = 9_000;

/// The most transactions that one delivery tells a watch of.
const MAX_BATCH_TXNS: usize = 64;

struct Watcher {
    replica: usize,
    life: u64,
    prefix: String,
    next: Revision,
    sender: mpsc::UnboundedSender<Result<WatchBatch, Error>>,
    is_scheduled: bool,
    /// Since when it has not heard what there is to hear.
    silent_since: Option<u64>,
}

/// The store itself.
pub(crate) struct StoreServer {
    pub(crate) mvcc: Mvcc,
    /// The beginning, as leases have it.
    epoch: Instant,
    watchers: BTreeMap<u64, Watcher>,
    n_watchers: u64,
    /// The snapshot that was kept.
    pub(crate) backup: Option<Snapshot>,
    /// What it is to go back to.
    pub(crate) past: Option<Past>,
    /// Whether it has gone back, and its revision is lower than it was.
    pub(crate) is_back: bool,
    /// Whether its revision was raised.
    pub(crate) is_bumped: bool,
    /// Grows when it becomes another store: what was sent to the one before does not arrive.
    pub(crate) life: u64,
}

impl StoreServer {
    pub(crate) fn new() -> Self {
        let mvcc = Mvcc::new(Options::default());
        let watchers = BTreeMap::new();
        Self {
            mvcc,
            epoch: Instant::now(),
            watchers,
            n_watchers: 0,
            backup: None,
            past: None,
            is_back: false,
            is_bumped: false,
            life: 0,
        }
    }

    pub(super) fn at(&self, now: u64) -> Instant {
        self.epoch + Duration::from_millis(now)
    }
}

impl World {
    /// Ends the leases that have run out.
    fn expire_leases(&mut self) {
        let now = self.store.at(self.now);
        if self.store.mvcc.next_expiry().is_some_and(|expiry| expiry <= now) {
            let mut pending = Pending::default();
            pending.expire(&self.store.mvcc, now);
            self.publish(None, pending);
        }
    }

    /// Decides and publishes; what came of it is checked and told to the watches.
    pub(crate) fn commit<T>(
        &mut self,
        by: Option<usize>,
        decide: impl FnOnce(&Mvcc, &mut Pending, Instant) -> T,
    ) -> T {
        self.expire_leases();
        let now = self.store.at(self.now);
        let mut pending = Pending::default();
        let answer = decide(&self.store.mvcc, &mut pending, now);
        self.publish(by, pending);
        answer
    }

    /// Publishes what was decided.
    fn publish(&mut self, by: Option<usize>, pending: Pending) {
        let commits = pending.commits().to_vec();
        self.store.mvcc.publish(pending);
        for commit in &commits {
            self.check_commit(by, commit);
        }
        if !commits.is_empty() {
            let ids: Vec<u64> = self.store.watchers.keys().copied().collect();
            for id in ids {
                self.ring(id);
            }
        }
    }

    /// Has the watch look at what is new, in a while.
    fn ring(&mut self, id: u64) {
        let lag = self.weather.watch_lag;
        let late = if lag > 0 { self.dice.within(0..=lag) } else { 0 };
        let delay = self.dice.within(1..=4) + late;
        let Some(watcher) = self.store.watchers.get_mut(&id) else { return };
        if watcher.is_scheduled {
            return;
        }
        watcher.is_scheduled = true;
        if late > 200 {
            self.strike("watch of the store late");
        }
        self.deliver(delay, move |world| world.pump(id));
    }

    /// Delivers to the watch what it has not heard.
    fn pump(&mut self, id: u64) {
        let now = self.now;
        let is_silent = self.weather.watch_silent_until > now;
        let Some(watcher) = self.store.watchers.get_mut(&id) else { return };
        watcher.is_scheduled = false;
        let (replica, life) = (watcher.replica, watcher.life);
        if !self.is_alive(replica, life) {
            self.store.watchers.remove(&id);
            return;
        }
        if let Some((frozen, until)) = self.weather.frozen
            && frozen == replica
            && until > now
        {
            if let Some(watcher) = self.store.watchers.get_mut(&id) {
                watcher.is_scheduled = true;
            }
            self.strike("member of the store lags");
            self.deliver(until - now, move |world| world.pump(id));
            return;
        }
        let is_silent = is_silent || self.is_store_cut(replica);
        let Some(watcher) = self.store.watchers.get_mut(&id) else { return };
        if is_silent {
            let since = *watcher.silent_since.get_or_insert(now);
            if now - since >= MAX_SILENCE {
                self.strike("watch of the store silent");
                self.end_watch(id, Error::Unavailable { source: "it was silent".into() });
            } else {
                watcher.is_scheduled = true;
                self.deliver(500, move |world| world.pump(id));
            }
            return;
        }
        watcher.silent_since = None;
        loop {
            let Some(watcher) = self.store.watchers.get(&id) else { return };
            match self.store.mvcc.changes(&watcher.prefix, watcher.next, MAX_BATCH_TXNS) {
                Ok(None) => return,
                Ok(Some(mut batch)) => {
                    self.lose_some(&mut batch);
                    let Some(watcher) = self.store.watchers.get_mut(&id) else { return };
                    watcher.next = batch.revision.next();
                    if watcher.sender.send(Ok(batch)).is_err() {
                        self.store.watchers.remove(&id);
                        return;
                    }
                }
                Err(error) => {
                    self.strike("watch of the store compacted");
                    self.end_watch(id, error);
                    return;
                }
            }
        }
    }

    /// Loses a change of what a watch is told, without a sign: etcd 3.4.23 may.
    fn lose_some(&mut self, batch: &mut WatchBatch) {
        let share = self.weather.watch_losses;
        if share > 0.0 && !batch.changes.is_empty() && self.dice.chance(share) {
            let lost = batch.changes.remove(self.dice.index(batch.changes.len()));
            note!(self, "a watch loses {lost:?}");
            self.strike("watch of the store lost a change");
            self.checker.is_blind = true;
        }
    }

    fn end_watch(&mut self, id: u64, error: Error) {
        if let Some(watcher) = self.store.watchers.remove(&id) {
            note!(self, "store ends a watch of r{}: {error}", watcher.replica);
            // The replica may have let go of it.
            let _ = watcher.sender.send(Err(error));
        }
    }

    /// Breaks every watch, or says again what was said.
    pub(crate) fn break_watches(&mut self) {
        let ids: Vec<u64> = self.store.watchers.keys().copied().collect();
        for id in ids {
            if self.dice.chance(0.7) {
                self.strike("watch of the store broken");
                self.end_watch(id, Error::Unavailable { source: "the stream broke".into() });
            }
        }
    }

    /// Ends every watch.
    pub(crate) fn end_watches(&mut self) {
        let ids: Vec<u64> = self.store.watchers.keys().copied().collect();
        for id in ids {
            self.end_watch(id, Error::Unavailable { source: "the store went away".into() });
        }
    }

    /// Tells some watches again of what they have heard: etcd 3.4.23 does.
    pub(crate) fn repeat_events(&mut self) {
        let ids: Vec<u64> = self.store.watchers.keys().copied().collect();
        for id in ids {
            let back = self.dice.within(1..=6);
            let Some(watcher) = self.store.watchers.get(&id) else { continue };
            let from = Revision(watcher.next.0.saturating_sub(back).max(1));
            let changes = self.store.mvcc.changes(&watcher.prefix, from, 1);
            if let Ok(Some(batch)) = changes
                && batch.revision < watcher.next
            {
                let _ = watcher.sender.send(Ok(batch));
                self.strike("watch of the store repeats itself");
            }
        }
    }

    /// Forgets the past but for the newest `keep` revisions.
    pub(crate) fn compact_store(&mut self, keep: u64) {
        let revision = Revision(self.store.mvcc.revision().0.saturating_sub(keep));
        note!(self, "store compacted at {revision}");
        self.store.mvcc.compact(revision);
        self.strike("store compacted");
    }

    /// Ends the lease under which somebody leads.
    pub(crate) fn revoke_leader(&mut self) {
        let key = super::replica::LEADER_KEY;
        let lease = self.store.mvcc.get(key).and_then(|item| item.lease);
        if let Some(lease) = lease {
            note!(self, "the leader's lease is revoked");
            self.strike("lease lost");
            self.commit(None, |mvcc, pending, _| pending.end_lease(mvcc, lease));
        }
    }

    pub(crate) fn is_store_cut(&self, replica: usize) -> bool {
        self.weather.store_down || self.weather.store_cut.contains(&replica)
    }

    fn store_latency(&mut self) -> u64 {
        let slow = self.weather.store_slow;
        let further = if slow > 0 { self.dice.within(0..=slow) } else { 0 };
        if further > 1000 {
            self.strike("store slow");
        }
        self.dice.within(1..=3) + further
    }
}

/// What one call of the store may suffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Lease,
}

/// A replica's client of the store.
#[derive(Clone)]
pub(crate) struct StoreClient {
    pub(crate) link: Link,
}

impl StoreClient {
    /// Calls the store: `act` is carried out there, once at most.
    async fn call<T: Send + 'static>(
        &self,
        kind: Kind,
        act: impl FnOnce(&mut World) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let replica = self.link.replica;
        let life = self.link.world.lock().store.life;
        let latency = |world: &mut World| {
            let share = world.weather.store_late_writes;
            if kind == Kind::Write && world.dice.chance(share) {
                world.strike("write landed late");
                return world.dice.within(LATE);
            }
            world.store_latency()
        };
        let at_server = move |world: &mut World, answer: Answer<Result<T, Error>>| {
            let refuses = world.weather.store_refuses;
            if world.store.life != life {
                return;
            }
            if world.is_store_cut(replica) {
                world.strike("store out of reach");
                // Half of the time somebody says so.
                if world.dice.chance(0.5) {
                    answer.send(world, 1, unavailable("connection refused"));
                }
                return;
            }
            if world.dice.chance(refuses) {
                world.strike("store turned a call away");
                answer.send(world, 1, unavailable("no leader"));
                return;
            }
            world.expire_leases();
            let done = act(world);
            let lost = world.weather.store_lost_answers;
            if kind != Kind::Read && world.dice.chance(lost) {
                if done.is_ok() {
                    world.strike("write landed, answer lost");
                }
                // At once, or by the caller's patience.
                if world.dice.chance(0.7) {
                    let error = Error::MaybeDone { source: "the connection was reset".into() };
                    answer.send(world, 1, Err(error));
                }
                return;
            }
            let delay = world.store_latency();
            answer.send(world, delay, done);
        };
        match self.link.ask(PATIENCE, latency, at_server).await {
            Some(answer) => answer,
            None if kind == Kind::Read => unavailable("no answer"),
            None => Err(Error::MaybeDone { source: "no answer".into() }),
        }
    }
}

fn unavailable<T>(why: &'static str) -> Result<T, Error> {
    Err(Error::Unavailable { source: why.into() })
}

#[async_trait]
impl Store for StoreClient {
    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let key = key.to_owned();
        let get = move |world: &mut World| {
            Ok(world.store.mvcc.get(&key).map(|item| item.key_value.clone()))
        };
        self.call(Kind::Read, get).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let list = move |world: &mut World| {
            // Small pages, so that a listing takes several.
            let limit = limit.min(7);
            world.store.mvcc.list(&prefix, after.as_deref(), limit, at)
        };
        self.call(Kind::Read, list).await
    }

    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        let (replica, sent) = (self.link.replica, self.link.now());
        let write = move |world: &mut World| {
            let name = |write: &Write| match write.op {
                Op::Delete => format!("-{}", write.key),
                _ => write.key.clone(),
            };
            let keys: Vec<String> = txn.writes.iter().map(name).collect();
            let result =
                world.commit(Some(replica), |mvcc, pending, now| pending.txn(mvcc, txn, now));
            match &result {
                Ok(revision) => note!(world, "r{replica} wrote {keys:?} at {revision}"),
                Err(error) => note!(world, "r{replica} did not write {keys:?}: {error}"),
            }
            if result.is_ok() {
                world.had_effect(replica);
                world.checker.note_writes(keys, world.now >= sent + *LATE.start());
            }
            result
        };
        self.call(Kind::Write, write).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        let (replica, life, prefix) = (self.link.replica, self.link.life, prefix.to_owned());
        let watch = move |world: &mut World| {
            let next = from.max(Revision(1));
            world.store.mvcc.changes(&prefix, next, 1)?;
            let (sender, receiver) = mpsc::unbounded_channel();
            world.store.n_watchers += 1;
            let id = world.store.n_watchers;
            let (is_scheduled, silent_since) = (false, None);
            let watcher =
                Watcher { replica, life, prefix, next, sender, is_scheduled, silent_since };
            world.store.watchers.insert(id, watcher);
            world.ring(id);
            Ok(receiver)
        };
        let receiver = self.call(Kind::Read, watch).await?;
        let batches = stream::unfold(Some(receiver), |receiver| async {
            let mut receiver = receiver?;
            let batch = receiver.recv().await?;
            let rest = batch.is_ok().then_some(receiver);
            Some((batch, rest))
        });
        Ok(batches.boxed())
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.call(Kind::Read, |world| Ok(world.store.mvcc.revision())).await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        let grant = move |world: &mut World| Ok(world.grant_lease(ttl_secs));
        self.call(Kind::Lease, grant).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let keep = move |world: &mut World| {
            let now = world.store.at(world.now);
            let kept = world.store.mvcc.keep_alive(lease, now);
            world.expect_expiry(super::replica::TTL_SECS);
            if kept.is_err() && world.weather.fake_keep_alives {
                world.strike("keep-alive answered for a lease that is gone");
                return Ok(());
            }
            kept
        };
        match self.call(Kind::Lease, keep).await {
            // A renewal changes nothing that could be half done.
            Err(Error::MaybeDone { source }) => Err(Error::Unavailable { source }),
            kept => kept,
        }
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        let revoke = move |world: &mut World| {
            world.commit(None, |mvcc, pending, _| pending.end_lease(mvcc, lease));
            Ok(())
        };
        self.call(Kind::Lease, revoke).await
    }
}

impl World {
    pub(super) fn grant_lease(&mut self, ttl_secs: u32) -> LeaseId {
        let now = self.store.at(self.now);
        let lease = self.store.mvcc.grant_lease(ttl_secs, now);
        self.expect_expiry(ttl_secs);
        lease
    }

    /// Looks at leases when one that was renewed now would run out.
    pub(super) fn expect_expiry(&mut self, ttl_secs: u32) {
        self.deliver(u64::from(ttl_secs) * 1000 + 1, Self::expire_leases);
    }
}
