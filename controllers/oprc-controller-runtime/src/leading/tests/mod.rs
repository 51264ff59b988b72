//! Elections among a few replicas, each with its own way to one store, some of them broken.

mod faulty;
mod writes;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use oprc_cp_storage::{Op, Precondition, Store, Txn, Write};
use tokio::{
    task::JoinHandle,
    time::{Instant, advance, sleep_until},
};

use self::faulty::{Fault, Faulty};
use super::*;

const KEY: &str = "leader/pm";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How a replica's body behaves once its term has ended.
#[derive(Clone, Copy)]
enum Body {
    Ends,
    EndsAfter(Duration),
    EndsByItself,
    NeverEnds,
}

/// A replica that stands for election, and the terms it wins.
struct Replica {
    stop: CancellationToken,
    lead: JoinHandle<()>,
    terms: mpsc::UnboundedReceiver<Term>,
    is_leading: watch::Receiver<Option<Revision>>,
}

/// Counts itself.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn stand(store: &Faulty, identity: &str, body: Body) -> Replica {
    stand_counted(store, identity, body, &Arc::default())
}

fn stand_counted(
    store: &Faulty,
    identity: &str,
    body: Body,
    n_leading: &Arc<AtomicUsize>,
) -> Replica {
    stand_with(store, Options::new(KEY, identity, 7), body, n_leading)
}

fn stand_with(
    store: &Faulty,
    options: Options,
    body: Body,
    n_leading: &Arc<AtomicUsize>,
) -> Replica {
    let election = Election::new(Arc::new(store.clone()), options);
    let is_leading = election.term();
    let (send, terms) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let n_leading = Arc::clone(n_leading);
    let lead = tokio::spawn(async move {
        let run = |term: Term| {
            let counted = Counted::new(&n_leading);
            send.send(term.clone()).ok();
            async move {
                let _counted = counted;
                if !matches!(body, Body::EndsByItself) {
                    term.ended().cancelled().await;
                }
                match body {
                    Body::Ends | Body::EndsByItself => (),
                    Body::EndsAfter(delay) => sleep(delay).await,
                    Body::NeverEnds => std::future::pending().await,
                }
            }
        };
        election.lead(&Handle::current(), stopped, run).await;
    });
    Replica { stop, lead, terms, is_leading }
}

impl Replica {
    /// The next term that it wins.
    async fn next_term(&mut self) -> Term {
        within(self.terms.recv()).await.expect("it stands for election")
    }

    /// Dies: nothing of it runs any more, nothing is given back.
    async fn die(self) {
        self.lead.abort();
        let ended = within(self.lead).await;
        assert!(ended.is_ok() || ended.is_err_and(|err| err.is_cancelled()), "it panicked");
    }

    async fn stop(self) {
        self.stop.cancel();
        within(self.lead).await.expect("it does not panic");
    }
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    timeout(secs(600), wait).await.expect("within ten minutes")
}

/// How long until `term` ended.
async fn ended_in(term: &Term) -> Duration {
    let start = Instant::now();
    within(term.ended().cancelled()).await;
    start.elapsed()
}

/// The revision that the key was created at.
async fn created(store: &Faulty) -> Option<Revision> {
    store.inner.get(KEY).await.unwrap().map(|key_value| key_value.create_revision)
}

/// A write of somebody who believes in `term`.
async fn write(store: &Faulty, term: &Term, key: &str) -> Result<Revision, Error> {
    let write = Write {
        key: key.to_owned(),
        precondition: Precondition::Absent,
        op: Op::Put(Bytes::from_static(b"{}")),
    };
    store.inner.txn(Txn { checks: vec![term.fence()], writes: vec![write] }).await
}

async fn remove_key(store: &Faulty) {
    let revision = store.inner.get(KEY).await.unwrap().expect("somebody leads").mod_revision;
    let precondition = Precondition::At(revision);
    let delete = Write { key: KEY.to_owned(), precondition, op: Op::Delete };
    store.inner.txn(Txn { checks: Vec::new(), writes: vec![delete] }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_leads_the_term_is_the_key_and_the_key_says_who() {
    let store = Faulty::default();
    let mut a = stand(&store, "a", Body::Ends);
    let term = a.next_term().await;
    let mut b = stand(&store.beside(), "b", Body::Ends);
    sleep(secs(60)).await;
    assert!(b.terms.try_recv().is_err() && b.is_leading.borrow().is_none());
    assert_eq!(*a.is_leading.borrow(), Some(term.revision()));
    assert_eq!(created(&store).await, Some(term.revision()));
    assert!(term.is_valid(Instant::now()), "it is renewed");
    let value = store.inner.get(KEY).await.unwrap().unwrap().value;
    let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
    assert_eq!(value["id"], "a");
    write(&store, &term, "units/1").await.unwrap();
    a.stop().await;
    b.stop().await;
    assert_eq!(created(&store).await, None, "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_replaced_within_the_life_of_its_lease() {
    for (n, age) in [0, 1, 2, 3, 1799].into_iter().enumerate() {
        let store = Faulty::default();
        let mut a = stand(&store, "a", Body::Ends);
        let old = a.next_term().await;
        let mut b = stand(&store.beside(), "b", Body::Ends);
        sleep(secs(age) + Duration::from_millis(300)).await;
        a.die().await;
        let died = Instant::now();
        let new = b.next_term().await;
        let replaced = died.elapsed();
        assert!(replaced > secs(3) && replaced <= secs(5), "{replaced:?} in case {n}");
        assert!(new.revision() > old.revision());
        b.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_resigns_is_replaced_at_once_but_not_before_its_work_has_ended() {
    // The last takes longer than the lease lives: it is kept until then.
    for delay in [secs(0), secs(2), Duration::from_millis(6500)] {
        let store = Faulty::default();
        let n_leading = Arc::default();
        let mut a = stand_counted(&store, "a", Body::EndsAfter(delay), &n_leading);
        let old = a.next_term().await;
        let mut b = stand_counted(&store.beside(), "b", Body::Ends, &n_leading);
        sleep(secs(10)).await;
        let start = Instant::now();
        a.stop.cancel();
        assert_eq!(ended_in(&old).await, secs(0), "the body is told at once");
        let new = b.next_term().await;
        assert_eq!(start.elapsed(), delay);
        assert_eq!(n_leading.load(Ordering::Relaxed), 1);
        assert!(new.revision() > old.revision());
        within(a.lead).await.unwrap();
        b.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_never_ends_is_dropped_after_the_grace() {
    let store = Faulty::default();
    let mut a = stand(&store, "a", Body::NeverEnds);
    a.next_term().await;
    let start = Instant::now();
    a.stop().await;
    assert_eq!(start.elapsed(), secs(7));
    assert_eq!(created(&store).await, None);
    // A lost term is no different: the next begins when the body of the last is gone.
    let n_leading = Arc::default();
    let mut a = stand_counted(&store, "a", Body::NeverEnds, &n_leading);
    let old = a.next_term().await;
    remove_key(&store).await;
    let start = Instant::now();
    let new = a.next_term().await;
    assert!(start.elapsed() >= secs(7), "{:?}", start.elapsed());
    assert_eq!(n_leading.load(Ordering::Relaxed), 1);
    assert!(new.revision() > old.revision());
    a.die().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_by_itself_gives_the_term_to_another() {
    let store = Faulty::default();
    let mut a = stand(&store, "a", Body::EndsByItself);
    a.next_term().await;
    let start = Instant::now();
    let mut b = stand(&store.beside(), "b", Body::Ends);
    b.next_term().await;
    assert_eq!(start.elapsed(), secs(0));
    b.stop().await;
    // Alone, it stands again, and does not spin.
    sleep(secs(60)).await;
    let n_terms = std::iter::from_fn(|| a.terms.try_recv().ok()).count();
    assert!((10..=13).contains(&n_terms), "{n_terms} terms in a minute");
    a.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_deposed_cannot_write() {
    let store = Faulty::default();
    let way = store.beside();
    let mut a = stand(&way, "a", Body::Ends);
    let old = a.next_term().await;
    let mut b = stand(&store.beside(), "b", Body::Ends);
    let check = async |term: &Term, key: &str, may_write: bool| {
        let written = write(&store, term, key).await;
        if may_write {
            written.unwrap();
        } else {
            let is_fenced = matches!(&written, Err(Error::Conflict { keys }) if keys == &[KEY]);
            assert!(is_fenced, "{key}: {written:?}");
        }
    };
    check(&old, "units/1", true).await;
    way.set(Fault::Hangs);
    sleep(secs(6)).await;
    // Also if the new one is no leader any more: no key is no proof.
    let new = b.next_term().await;
    check(&old, "units/2", false).await;
    check(&new, "units/2", true).await;
    b.stop().await;
    check(&old, "units/3", false).await;
    check(&new, "units/3", false).await;
    a.die().await;
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_on_our_clock_before_another_can_begin() {
    for fault in [Fault::Hangs, Fault::Unavailable] {
        for delay_ms in [0, 100, 500, 999, 1001, 7300] {
            let store = Faulty::default();
            let way = store.beside();
            let mut a = stand(&way, "a", Body::Ends);
            let old = a.next_term().await;
            let mut b = stand(&store.beside(), "b", Body::Ends);
            sleep(Duration::from_millis(delay_ms)).await;
            way.set(fault);
            let ended = ended_in(&old).await;
            assert!(ended <= secs(3), "{ended:?}");
            assert!(!old.is_valid(Instant::now()));
            assert!(b.terms.try_recv().is_err(), "another began first");
            let start = Instant::now();
            b.next_term().await;
            let gap = start.elapsed();
            assert!(gap >= secs(1) && gap <= secs(2), "{gap:?} for calls to be cut off");
            // Back, it is one of those who wait.
            way.set(Fault::None);
            b.stop().await;
            assert!(a.next_term().await.revision() > old.revision());
            a.stop().await;
        }
    }
}

/// Nothing of ours runs while the process is paused; when it wakes, whoever asks is told.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_knows_on_waking() {
    let store = Faulty::default();
    let mut a = stand(&store, "a", Body::Ends);
    let old = a.next_term().await;
    sleep(secs(10)).await;
    let valid_until = old.valid_until();
    assert!(valid_until > Instant::now() + secs(1));
    assert!(valid_until <= Instant::now() + secs(3));
    assert!(!old.is_valid(valid_until), "the answer needs no task to run");
    advance(secs(60)).await;
    assert!(!old.is_valid(Instant::now()));
    assert_eq!(ended_in(&old).await, secs(0));
    // It does not go on with the old term, though nobody took the key.
    assert!(a.next_term().await.revision() > old.revision());
    a.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_created_is_ours_though_nobody_said_so() {
    let store = Faulty::default();
    store.set(Fault::LosesAnswers);
    let mut a = stand(&store, "a", Body::Ends);
    let start = Instant::now();
    let term = a.next_term().await;
    assert_eq!((start.elapsed(), created(&store).await), (secs(0), Some(term.revision())));
    a.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_term_begins_without_the_key() {
    for fault in [Fault::LosesTxns, Fault::RevokesAfterTxn, Fault::Hangs, Fault::Unavailable] {
        let store = Faulty::default();
        store.set(fault);
        let mut a = stand(&store, "a", Body::Ends);
        // No claim is done for want of a fault; it is tried again, more and more slowly.
        sleep(secs(60)).await;
        assert!(a.terms.try_recv().is_err(), "{fault:?}");
        let n_calls = store.n_calls();
        assert!(n_calls > 10 && n_calls < 400, "{n_calls} calls in a minute, {fault:?}");
        store.set(Fault::None);
        let start = Instant::now();
        a.next_term().await;
        assert!(start.elapsed() <= secs(8), "{:?} after {fault:?}", start.elapsed());
        a.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_when_its_key_does_whatever_keep_alives_say() {
    let check = async |fault, at_most| {
        let store = Faulty::default();
        store.set(fault);
        let mut a = stand(&store, "a", Body::Ends);
        let old = a.next_term().await;
        sleep(secs(30)).await;
        remove_key(&store).await;
        let ended = ended_in(&old).await;
        assert!(ended <= at_most, "{ended:?} with {fault:?}");
        assert!(a.next_term().await.revision() > old.revision());
        a.stop().await;
    };
    check(Fault::None, secs(0)).await;
    check(Fault::IsDeaf, secs(5)).await;
    // The lease is not kept, so it ends by itself before; the watch, or the next reading, tells.
    let store = Faulty::default();
    for (fault, at_most) in [(Fault::FakesKeepAlives, 5), (Fault::FakesKeepAlivesAndIsDeaf, 10)] {
        store.set(fault);
        let mut a = stand(&store, "a", Body::Ends);
        let ended = ended_in(&a.next_term().await).await;
        assert!(ended <= secs(at_most), "{ended:?} with {fault:?}");
        a.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_candidate_does_not_rest_on_its_watch_alone() {
    let store = Faulty::default();
    let mut a = stand(&store, "a", Body::Ends);
    a.next_term().await;
    let way = store.beside();
    way.set(Fault::IsDeaf);
    let mut b = stand(&way, "b", Body::Ends);
    sleep(secs(12)).await;
    let start = Instant::now();
    a.stop().await;
    b.next_term().await;
    assert!(start.elapsed() <= secs(5), "{:?}", start.elapsed());
    b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_of_the_same_name_are_two() {
    let store = Faulty::default();
    let mut first = stand(&store, "same", Body::Ends);
    let old = first.next_term().await;
    let mut second = stand(&store.beside(), "same", Body::Ends);
    sleep(secs(60)).await;
    assert!(second.terms.try_recv().is_err());
    // Nor does one that starts again take its former life for its own.
    first.die().await;
    assert!(second.next_term().await.revision() > old.revision());
    second.stop().await;
}

/// Whatever becomes of the replicas, at most one body runs, and terms only grow.
#[tokio::test(start_paused = true)]
async fn at_most_one_leads_whatever_happens() {
    for seed in 0..10 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let store = Faulty::default();
        let n_leading: Arc<AtomicUsize> = Arc::default();
        let mut ways: Vec<Faulty> = (0..3).map(|_| store.beside()).collect();
        let body = |rng: &mut fastrand::Rng| Body::EndsAfter(secs(rng.u64(0..2)));
        let stand = |way: &Faulty, rng: &mut fastrand::Rng| {
            stand_counted(way, "replica", body(rng), &n_leading)
        };
        let mut replicas: Vec<Replica> = ways.iter().map(|way| stand(way, &mut rng)).collect();
        let mut newest = Revision(0);
        for _ in 0..100 {
            let n = rng.usize(0..ways.len());
            match rng.u8(0..6) {
                0 => {
                    ways[n] = store.beside();
                    let next = stand(&ways[n], &mut rng);
                    std::mem::replace(&mut replicas[n], next).die().await;
                }
                1 => replicas[n].stop.cancel(),
                2 if replicas[n].lead.is_finished() => replicas[n] = stand(&ways[n], &mut rng),
                3 => ways[n].set(Fault::Hangs),
                4 => ways[n].set(Fault::None),
                _ => (),
            }
            let until = Instant::now() + Duration::from_millis(rng.u64(0..4000));
            while Instant::now() < until {
                let n_leading = n_leading.load(Ordering::Relaxed);
                assert!(n_leading <= 1, "{n_leading} lead, seed {seed}");
                sleep_until(until.min(Instant::now() + Duration::from_millis(250))).await;
            }
            let mut terms: Vec<Revision> = Vec::new();
            for replica in &mut replicas {
                terms.extend(
                    std::iter::from_fn(|| replica.terms.try_recv().ok()).map(|it| it.revision()),
                );
            }
            terms.sort();
            for term in terms {
                assert!(term > newest, "term {term} after {newest}, seed {seed}");
                newest = term;
            }
        }
        assert!(newest > Revision(5), "terms changed hands, seed {seed}");
        for replica in replicas {
            replica.die().await;
        }
    }
}

/// The one test in real time: a thread of its own is what it is about.
#[tokio::test]
async fn the_lease_outlives_a_blocked_executor() {
    let runtime = LeaseRuntime::start().unwrap();
    let store = Faulty::default();
    let mut options = Options::new(KEY, "a", 1);
    options.ttl_secs = 1;
    let election = Election::new(Arc::new(store.clone()), options);
    let stop = CancellationToken::new();
    let (send, mut terms) = mpsc::unbounded_channel();
    let body = |term: Term| {
        send.send(term.clone()).ok();
        async move { term.ended().cancelled().await }
    };
    let check = async {
        let term: Term = within(terms.recv()).await.unwrap();
        // Blocks this thread, and with it the only executor that the body has.
        let (_block, blocked) = std::sync::mpsc::channel::<()>();
        blocked.recv_timeout(Duration::from_millis(2500)).unwrap_err();
        assert!(term.is_valid(Instant::now()));
        assert_eq!(created(&store).await, Some(term.revision()));
        stop.cancel();
    };
    tokio::join!(election.lead(runtime.handle(), stop.clone(), body), check);
    assert_eq!(created(&store).await, None);
    drop(runtime);
}
