//! Outages: how they begin, and what ends them.

use std::sync::atomic::AtomicU8;

use super::*;
use crate::{
    Write,
    memory::MemoryStore,
    testing::conformance::{delete, put, txn},
};

/// A store whose writes fail as it is set.
#[derive(Default)]
struct Failing {
    inner: MemoryStore,
    fault: AtomicU8,
}

const NONE: u8 = 0;
const FULL: u8 = 1;
const UNAUTHORIZED: u8 = 2;
const SILENT: u8 = 3;
/// Only probes succeed.
const LARGE_ONLY: u8 = 4;

impl Failing {
    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    async fn fault(&self, is_probe: bool) -> Result<(), Error> {
        match self.fault.load(Ordering::SeqCst) {
            FULL => Err(Error::Full { source: "told to be".into() }),
            UNAUTHORIZED => Err(Error::Unauthorized { reason: "told to".to_owned() }),
            SILENT => {
                sleep(Duration::from_secs(5)).await;
                Err(Error::MaybeDone { source: "no answer".into() })
            }
            LARGE_ONLY if !is_probe => Err(Error::Unavailable { source: "told to be".into() }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Failing {
    async fn txn(&self, txn: Txn) -> Result<Revision, Error> {
        self.fault(false).await?;
        self.inner.txn(txn).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.fault(true).await
    }

    async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        self.inner.list(prefix, after, limit, at).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.inner.watch(prefix, from).await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.inner.head().await
    }

    async fn grant_lease(&self, ttl_secs: u32) -> Result<LeaseId, Error> {
        self.inner.grant_lease(ttl_secs).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner.keep_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), Error> {
        self.inner.revoke_lease(lease).await
    }
}

/// A failing store, its measured form and its health.
fn world() -> (Arc<Failing>, Measured, Arc<WriteHealth>) {
    let (store, health) = (Arc::new(Failing::default()), Arc::default());
    let measured = Measured::new(Arc::clone(&store) as SharedStore, Arc::clone(&health));
    (store, measured, health)
}

async fn add(store: &Measured, key: &str) -> Result<Revision, Error> {
    store.txn(txn([put(key, Precondition::Absent, "1")])).await
}

fn reason(health: &WriteHealth) -> Option<Reason> {
    assert_eq!(health.is_failing(), health.outage().is_some());
    health.outage().map(|outage| outage.reason)
}

#[tokio::test(start_paused = true)]
async fn one_failed_write_is_an_outage_until_one_succeeds() {
    for (fault, want) in [
        (FULL, Reason::Full),
        (UNAUTHORIZED, Reason::Unauthorized),
        (SILENT, Reason::Unavailable),
        (LARGE_ONLY, Reason::Unavailable),
    ] {
        let (store, measured, health) = world();
        add(&measured, "before").await.unwrap();
        assert_eq!(reason(&health), None);
        store.set(fault);
        add(&measured, "during").await.unwrap_err();
        assert_eq!(reason(&health), Some(want));
        store.set(NONE);
        add(&measured, "after").await.unwrap();
        assert_eq!(reason(&health), None);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_single_keys_are_no_outage() {
    let (_, measured, health) = world();
    add(&measured, "a").await.unwrap();
    let again = add(&measured, "a").await;
    assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
    let refused = measured.txn(txn([put("head", Precondition::Absent, "1")])).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert_eq!(reason(&health), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_store_still_takes_does_not_end_the_outage() {
    let (store, measured, health) = world();
    let first = add(&measured, "a").await.unwrap();
    store.set(FULL);
    add(&measured, "b").await.unwrap_err();
    // The reserve of a full disk takes changes and deletions.
    store.set(NONE);
    let change = put("a", Precondition::At(first), "2");
    let second = measured.txn(txn([change])).await.unwrap();
    assert_eq!(reason(&health), Some(Reason::Full));
    measured.txn(txn([delete("a", Precondition::At(second))])).await.unwrap();
    assert_eq!(reason(&health), Some(Reason::Full));
    let lease = measured.grant_lease(5).await.unwrap();
    let op = Op::PutLeased("1".into(), lease);
    let leased = Write { key: "leased".to_owned(), precondition: Precondition::Absent, op };
    measured.txn(txn([leased])).await.unwrap();
    assert_eq!(reason(&health), Some(Reason::Full));
    add(&measured, "b").await.unwrap();
    assert_eq!(reason(&health), None);
}

#[tokio::test(start_paused = true)]
async fn write_that_began_before_a_failure_does_not_end_the_outage() {
    let (store, measured, health) = world();
    let began = Instant::now();
    store.set(SILENT);
    add(&measured, "a").await.unwrap_err();
    health.succeeded(began, Proof::Addition);
    assert_eq!(reason(&health), Some(Reason::Unavailable));
    health.succeeded(Instant::now(), Proof::Addition);
    assert_eq!(reason(&health), None);
}

/// A replica that writes nothing learns of an outage from its probe, silent stores included.
#[tokio::test(start_paused = true)]
async fn probe_finds_an_outage_and_its_end() {
    for (fault, want) in
        [(FULL, Reason::Full), (UNAUTHORIZED, Reason::Unauthorized), (SILENT, Reason::Unavailable)]
    {
        let (store, _, health) = world();
        let keeper = tokio::spawn(keep(Arc::clone(&store) as SharedStore, Arc::clone(&health)));
        sleep(PROBE_INTERVAL * 2).await;
        assert_eq!(reason(&health), None);
        store.set(fault);
        sleep(PROBE_INTERVAL + PROBE_PATIENCE).await;
        assert_eq!(reason(&health), Some(want));
        store.set(NONE);
        sleep(PROBE_INTERVAL * 2 + Duration::from_secs(5)).await;
        assert_eq!(reason(&health), None);
        keeper.abort();
    }
}

/// A probe is small: where only larger writes fail, it must not hide that.
#[tokio::test(start_paused = true)]
async fn probe_does_not_hide_writes_that_fail() {
    let (store, measured, health) = world();
    let keeper = tokio::spawn(keep(Arc::clone(&store) as SharedStore, Arc::clone(&health)));
    store.set(LARGE_ONLY);
    for _ in 0..10 {
        add(&measured, "a").await.unwrap_err();
        assert_eq!(reason(&health), Some(Reason::Unavailable));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(reason(&health), Some(Reason::Unavailable));
    }
    assert!(!health.is_cut_off_for(Duration::ZERO), "another replica could write no more");
    // No one writes any more, so nothing is known to fail.
    sleep(WRITE_QUIET + PROBE_INTERVAL).await;
    assert_eq!(reason(&health), None);
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn only_a_cause_that_others_may_not_share_cuts_off() {
    for (fault, is_own) in [(FULL, false), (UNAUTHORIZED, true), (SILENT, true)] {
        let (store, _, health) = world();
        store.set(fault);
        let keeper = tokio::spawn(keep(Arc::clone(&store) as SharedStore, Arc::clone(&health)));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(health.is_cut_off_for(Duration::from_secs(50)), is_own);
        store.set(NONE);
        sleep(Duration::from_secs(10)).await;
        assert!(!health.is_cut_off_for(Duration::ZERO));
        keeper.abort();
    }
}
