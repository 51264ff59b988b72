//! Tests of merging: the suite, and what only merging can get wrong.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

use super::{GroupCommit, Options};
use crate::{
    Check, Error, KeyValue, LeaseId, Op, Page, Precondition, Revision, Store, Txn, Watch, Write,
    etcd::{EtcdOptions, EtcdStore},
    memory::MemoryStore,
    testing::{
        EtcdProcess,
        conformance::{Backend, check_all, put, txn},
    },
};

/// A store in memory that lets one transaction through for each permit, and notes its keys.
#[derive(Clone, Debug, Default)]
struct Gated(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    memory: MemoryStore,
    permits: Semaphore,
    sent: Mutex<Vec<Vec<String>>>,
    fails: Mutex<Option<Error>>,
}

impl Default for Gate {
    fn default() -> Self {
        let (memory, permits) = (MemoryStore::default(), Semaphore::new(0));
        Self { memory, permits, sent: Mutex::default(), fails: Mutex::default() }
    }
}

#[async_trait]
impl Store for Gated {
    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        let keys = txn.writes.iter().map(|write| write.key.clone()).collect();
        self.0.sent.lock().push(keys);
        self.0.permits.acquire().await.unwrap().forget();
        if let Some(err) = self.0.fails.lock().take() {
            return Err(err);
        }
        self.0.memory.txn(txn).await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.0.memory.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.0.memory.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.0.memory.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.0.memory.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.0.memory.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.0.memory.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.0.memory.revoke_lease(lease).await
    }
}

/// One merged transaction in flight, so that the tests say which go together.
fn gated(options: Options) -> (Gated, GroupCommit<Gated>) {
    let gate = Gated::default();
    (gate.clone(), GroupCommit::new(gate, Options { max_in_flight: 1, ..options }))
}

type Call = JoinHandle<Result<Revision, Error>>;

/// Starts `txn` and waits until it is in the queue or sent.
async fn start(store: &GroupCommit<Gated>, txn: Txn) -> Call {
    let store = store.clone();
    let call = tokio::spawn(async move { store.txn(txn).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    call
}

fn new(key: &str) -> Txn {
    txn([put(key, Precondition::Absent, "1")])
}

fn with_check(txn: Txn, key: &str, precondition: Precondition) -> Txn {
    let check = Check { key: key.to_owned(), precondition };
    Txn { checks: vec![check], ..txn }
}

fn sent(gate: &Gated) -> Vec<String> {
    gate.0.sent.lock().iter().map(|keys| keys.join(" ")).collect()
}

#[tokio::test]
async fn conforms_over_memory() {
    tokio::time::pause();
    let memory = MemoryStore::default();
    let compacted = memory.clone();
    let compact = move |revision| {
        compacted.compact(revision);
        std::future::ready(()).boxed()
    };
    let store = GroupCommit::new(memory, Options::default());
    check_all(&Backend { store: Arc::new(store), compact: Box::new(compact) }).await;
}

#[tokio::test]
async fn conforms_over_etcd() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    let store = EtcdStore::connect(EtcdOptions::new(etcd.endpoints(), "/group")).await.unwrap();
    let compacted = store.clone();
    let compact = move |revision| {
        let store = compacted.clone();
        async move { store.compact(revision).await.unwrap() }.boxed()
    };
    let store = GroupCommit::new(store, Options::default());
    check_all(&Backend { store: Arc::new(store), compact: Box::new(compact) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_together_and_a_lone_one_at_once() {
    let (gate, store) = gated(Options::default());
    let lone = start(&store, new("a")).await;
    assert_eq!(sent(&gate), ["a"], "without waiting for a timer");
    let b = start(&store, new("b")).await;
    let again = start(&store, new("b")).await;
    let c = start(&store, new("c")).await;
    gate.0.permits.add_permits(9);
    assert_eq!(lone.await.unwrap().unwrap(), Revision(1));
    assert_eq!(b.await.unwrap().unwrap(), Revision(2));
    assert_eq!(c.await.unwrap().unwrap(), Revision(2));
    let conflict = again.await.unwrap();
    assert!(matches!(conflict, Err(Error::Conflict { keys }) if keys == ["b"]));
    assert_eq!(sent(&gate), ["a", "b c", "b"], "the same key is never in one twice");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_told_to_its_owners_and_the_others_go_again() {
    let (gate, store) = gated(Options::default());
    gate.0.permits.add_permits(1);
    store.txn(new("taken")).await.unwrap();
    let first = start(&store, new("first")).await;
    let fenced = |key: &str| with_check(new(key), "taken", Precondition::Absent);
    let fine = start(&store, new("fine")).await;
    let mut both = new("both");
    both.writes.push(put("taken2", Precondition::At(Revision(9)), "x"));
    let calls = [
        start(&store, fenced("x")).await,
        start(&store, fenced("y")).await,
        start(&store, both).await,
    ];
    gate.0.permits.add_permits(9);
    first.await.unwrap().unwrap();
    fine.await.unwrap().unwrap();
    let mut keys = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Err(Error::Conflict { keys: own }) => keys.push(own.join(" ")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys, ["taken", "taken", "taken2"]);
    assert_eq!(sent(&gate)[2..], ["fine x y both taken2", "fine"]);
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_another_waits_for_it() {
    let (gate, store) = gated(Options::default());
    let calls = [
        start(&store, new("busy")).await,
        // Writes what a later one checks; that one keeps yet another behind it.
        start(&store, new("a")).await,
        start(&store, with_check(new("b"), "a", Precondition::At(Revision(2)))).await,
        start(&store, with_check(new("c"), "b", Precondition::At(Revision(3)))).await,
        // Checks of different things; the same check is shared.
        start(&store, with_check(new("d"), "f", Precondition::Absent)).await,
        start(&store, with_check(new("e"), "f", Precondition::Absent)).await,
    ];
    gate.0.permits.add_permits(9);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(sent(&gate), ["busy", "a d e", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn merged_transactions_are_bounded() {
    let (gate, store) = gated(Options { max_ops: 3, max_bytes: 5000, ..Options::default() });
    let big = |key: &str| txn([put(key, Precondition::Absent, vec![b'x'; 10_000])]);
    let fence = |txn: Txn| with_check(txn, "fence", Precondition::Absent);
    let calls = [
        start(&store, new("busy")).await,
        start(&store, fence(new("a"))).await,
        start(&store, fence(new("b"))).await,
        start(&store, fence(new("c"))).await,
        start(&store, big("big")).await,
        start(&store, new("d")).await,
    ];
    gate.0.permits.add_permits(9);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(sent(&gate), ["busy", "a b", "c", "big", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let (gate, store) = gated(Options::default());
    let in_flight = start(&store, new("flying")).await;
    let waiting = start(&store, new("waiting")).await;
    let other = start(&store, new("other")).await;
    in_flight.abort();
    waiting.abort();
    tokio::task::yield_now().await;
    gate.0.permits.add_permits(9);
    other.await.unwrap().unwrap();
    assert_eq!(sent(&gate), ["flying", "other"], "what was not sent yet is not sent");
    assert!(store.get("flying").await.unwrap().is_some(), "what was sent lands");
}

#[tokio::test(start_paused = true)]
async fn the_stores_trouble_is_told_to_all() {
    let causes = || -> [Error; 3] {
        let source = || std::io::Error::other("why").into();
        [
            Error::MaybeDone { source: source() },
            Error::Unavailable { source: source() },
            Error::Full { source: source() },
        ]
    };
    for (n, _) in causes().iter().enumerate() {
        let (gate, store) = gated(Options::default());
        let first = start(&store, new("first")).await;
        let calls = [start(&store, new("a")).await, start(&store, new("b")).await];
        gate.0.permits.add_permits(1);
        first.await.unwrap().unwrap();
        let [maybe, unavailable, full] = causes();
        *gate.0.fails.lock() = Some([maybe, unavailable, full].into_iter().nth(n).unwrap());
        gate.0.permits.add_permits(1);
        for call in calls {
            let err = call.await.unwrap().unwrap_err();
            assert_eq!(std::error::Error::source(&err).unwrap().to_string(), "why");
            let got = std::mem::discriminant(&err);
            assert_eq!(got, std::mem::discriminant(&causes()[n]), "{err:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_gone_is_told_to_its_owner() {
    let (gate, store) = gated(Options::default());
    let lease = store.grant_lease(60).await.unwrap();
    store.revoke_lease(lease).await.unwrap();
    let op = Op::PutLeased("x".into(), lease);
    let leased = Write { key: "leased".to_owned(), precondition: Precondition::Absent, op };
    let first = start(&store, new("first")).await;
    let a = start(&store, new("a")).await;
    let leased = start(&store, txn([leased])).await;
    gate.0.permits.add_permits(9);
    first.await.unwrap().unwrap();
    a.await.unwrap().unwrap();
    assert!(matches!(leased.await.unwrap(), Err(Error::LeaseGone(gone)) if gone == lease));
    assert_eq!(sent(&gate), ["first", "a leased", "a", "leased"]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let (gate, store) = gated(Options { max_queued: 2, ..Options::default() });
    let _flying = start(&store, new("a")).await;
    let _waiting = start(&store, new("b")).await;
    let refused = timeout(Duration::from_secs(60), store.txn(new("c"))).await.unwrap();
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    drop(gate);
}
