//! What a reconcile may do to the loop, and what it may not.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use crate::{
    backoff::Backoff,
    queue::Priority::{Change, Resync},
    shared::Name,
};

type Key = &'static str;

#[derive(Debug, thiserror::Error)]
#[error("the cluster refused")]
struct Refused {
    retry_after: Option<Duration>,
    #[source]
    source: std::fmt::Error,
}

impl ReconcileError for Refused {
    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

fn refused<T>(retry_after: Option<Duration>) -> Result<T, Refused> {
    Err(Refused { retry_after, source: std::fmt::Error })
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn queue() -> Queue<Key> {
    Queue::new(Name::new("test"), Backoff::default(), 1)
}

fn at_once(concurrency: usize) -> Config {
    Config { concurrency: NonZeroUsize::new(concurrency).unwrap(), ..Config::default() }
}

/// A controller at work, and what it tells.
struct Running {
    queue: Queue<Key>,
    stop: CancellationToken,
    loop_: JoinHandle<()>,
    start: Instant,
    /// Each reconcile, as it begins.
    begun: mpsc::UnboundedReceiver<(Key, Instant)>,
    failed: mpsc::UnboundedReceiver<(Key, Failure)>,
}

/// Runs `reconcile`, which is told how often the key was reconciled before.
fn start<Fut>(
    config: Config,
    reconcile: impl Fn(Key, u32) -> Fut + Send + Sync + 'static,
) -> Running
where
    Fut: Future<Output = Result<Requeue, Refused>> + Send + 'static,
{
    let (queue, stop) = (queue(), CancellationToken::new());
    let (begin, begun) = mpsc::unbounded_channel();
    let (fail, failed) = mpsc::unbounded_channel();
    let counts: Mutex<BTreeMap<Key, u32>> = Mutex::default();
    let controller = Controller::new(queue.clone(), config, move |key| {
        begin.send((key, Instant::now())).ok();
        let mut counts = counts.lock();
        let n_before = counts.entry(key).or_default();
        *n_before += 1;
        reconcile(key, *n_before - 1)
    });
    let controller = controller.on_failure(Arc::new(move |key, failure| {
        fail.send((key, failure)).ok();
        Box::pin(std::future::ready(()))
    }));
    let loop_ = tokio::spawn(controller.run(stop.clone()));
    Running { queue, stop, loop_, start: Instant::now(), begun, failed }
}

impl Running {
    /// The next reconcile that begins, and how long after the start.
    async fn next(&mut self) -> (Key, Duration) {
        let (key, at) = within(self.begun.recv()).await.expect("the controller runs");
        (key, at - self.start)
    }

    async fn next_failure(&mut self) -> (Key, Failure) {
        within(self.failed.recv()).await.expect("the controller runs")
    }

    async fn stop(self) -> Duration {
        let start = Instant::now();
        self.stop.cancel();
        within(self.loop_).await.expect("the loop does not panic");
        start.elapsed()
    }
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    timeout(secs(3600), wait).await.expect("within an hour")
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_is_retried_until_it_succeeds() {
    let mut running = start(Config::default(), |_, n_before| async move {
        if n_before < 20 { refused(None) } else { Ok(Requeue::AwaitChange) }
    });
    running.queue.add("a", Change);
    for failures in 1..=20 {
        let message =
            "the cluster refused: an error occurred when formatting an argument".to_owned();
        let (cause, brief) = (Cause::Error, message.clone());
        let want = Failure { cause, failures, message, brief, reason: None, scope: None };
        assert_eq!(running.next_failure().await, ("a", want));
    }
    sleep(secs(3600)).await;
    assert_eq!(running.begun.len(), 21, "once it succeeded it is left alone");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_stays_with_its_key() {
    let mut running = start(at_once(1), |key, _| async move {
        assert!(key != "poison", "cannot read {key}");
        Ok::<_, Refused>(Requeue::AwaitChange)
    });
    running.queue.add("poison", Change);
    running.queue.add("a", Change);
    assert_eq!(running.next().await.0, "poison");
    assert_eq!(running.next().await.0, "a");
    for failures in 1..=5 {
        let want = Failure {
            cause: Cause::Panic,
            failures,
            message: "cannot read poison".into(),
            brief: "cannot read poison".into(),
            reason: None,
            scope: None,
        };
        assert_eq!(running.next_failure().await, ("poison", want));
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_or_in_a_destructor_is_caught_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::panic_any(7);
            }
        }
    }
    let mut running = start(Config::default(), |key, _| {
        assert!(key != "early", "too early");
        async move {
            let _bomb = Bomb;
            sleep(secs(60)).await;
            Ok::<_, Refused>(Requeue::AwaitChange)
        }
    });
    running.queue.add("early", Change);
    assert_eq!(running.next_failure().await.1.message, "too early");
    running.queue.add("late", Change);
    let is_late = |(key, _): &(Key, Failure)| *key == "late";
    let failure = loop {
        let failure = running.next_failure().await;
        if is_late(&failure) {
            break failure.1;
        }
    };
    assert_eq!((failure.cause, &*failure.message), (Cause::Panic, "a panic without a message"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_cut_off_and_others_do_not_wait_for_it() {
    let mut running = start(at_once(2), |key, _| async move {
        if key == "hang" {
            std::future::pending::<()>().await;
        }
        Ok::<_, Refused>(Requeue::AwaitChange)
    });
    running.queue.add("hang", Change);
    running.queue.add("a", Change);
    assert_eq!(running.next().await, ("hang", secs(0)));
    assert_eq!(running.next().await, ("a", secs(0)));
    let message = "not finished after 30s".to_owned();
    let (cause, brief) = (Cause::Deadline, message.clone());
    let want = Failure { cause, failures: 1, message, brief, reason: None, scope: None };
    assert_eq!(running.next_failure().await, ("hang", want));
    let (key, at) = running.next().await;
    assert_eq!(key, "hang");
    assert!(at >= secs(30) && at <= secs(30) + Backoff::default().base, "{at:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_or_hangs_holds_nobody_up() {
    let (queue, stop) = (queue(), CancellationToken::new());
    let n_told = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&n_told);
    let controller = Controller::new(queue.clone(), at_once(1), |_| async { refused(None) });
    let controller = controller.on_failure(Arc::new(move |key, _| {
        told.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            assert!(key != "panic", "cannot tell");
            std::future::pending().await
        })
    }));
    let run = tokio::spawn(controller.run(stop.clone()));
    queue.add("panic", Change);
    queue.add("hang", Change);
    within(async {
        while n_told.load(Ordering::Relaxed) < 20 {
            sleep(secs(1)).await;
        }
    })
    .await;
    stop.cancel();
    within(run).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn runs_no_more_than_its_bound_and_no_key_twice_at_once() {
    const KEYS: [Key; 5] = ["a", "b", "c", "d", "e"];
    let running = Arc::new(Mutex::new(BTreeMap::<Key, usize>::new()));
    let n_most = Arc::new(AtomicUsize::new(0));
    let (of_reconcile, most) = (Arc::clone(&running), Arc::clone(&n_most));
    let mut controller = start(at_once(3), move |key, _| {
        let (running, most) = (Arc::clone(&of_reconcile), Arc::clone(&most));
        async move {
            {
                let mut running = running.lock();
                let n_of_key = running.entry(key).or_default();
                *n_of_key += 1;
                assert_eq!(*n_of_key, 1, "{key} runs twice");
                most.fetch_max(running.values().sum(), Ordering::Relaxed);
            }
            sleep(secs(1)).await;
            running.lock().remove(key);
            Ok(Requeue::AwaitChange)
        }
    });
    for _ in 0..100 {
        for key in KEYS {
            controller.queue.add(key, Change);
        }
        sleep(Duration::from_millis(300)).await;
    }
    // Each key once more, for what was added while it ran, and then no more.
    sleep(secs(10)).await;
    assert_eq!(n_most.load(Ordering::Relaxed), 3);
    assert!(controller.failed.try_recv().is_err(), "no reconcile failed");
    assert!(controller.queue.is_empty());
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn looks_again_when_it_was_asked_to() {
    let mut running = start(Config::default(), |key, n_before| async move {
        match (key, n_before) {
            ("after", _) => Ok(Requeue::After(secs(60))),
            ("refused", 0) => refused(Some(secs(20))),
            _ => Ok(Requeue::AwaitChange),
        }
    });
    running.queue.add("after", Resync);
    assert_eq!(running.next().await, ("after", secs(0)));
    assert_eq!(running.next().await, ("after", secs(60)));
    running.queue.add("refused", Change);
    assert_eq!(running.next().await, ("refused", secs(60)));
    let (key, at) = running.next().await;
    assert_eq!(key, "refused");
    assert!(at >= secs(80) && at <= secs(80) + Backoff::default().base, "{at:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_work_finish_starts_none_and_aborts_the_rest() {
    let n_finished = Arc::new(AtomicUsize::new(0));
    let n_ended = Arc::new(AtomicUsize::new(0));
    let (finished, ended) = (Arc::clone(&n_finished), Arc::clone(&n_ended));
    let work = move |key, _| {
        let (finished, ended) = (Arc::clone(&finished), Arc::clone(&ended));
        async move {
            let _ended = OnDrop(ended);
            sleep(if key == "short" { secs(3) } else { secs(20) }).await;
            finished.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Refused>(Requeue::After(secs(1)))
        }
    };
    let mut running = start(at_once(2), work);
    for key in ["short", "long", "waits"] {
        running.queue.add(key, Change);
    }
    assert_eq!(running.next().await.0, "short");
    assert_eq!(running.next().await.0, "long");
    let queue = running.queue.clone();
    assert_eq!(running.stop().await, secs(5), "the grace");
    assert_eq!(n_finished.load(Ordering::Relaxed), 1);
    assert_eq!(n_ended.load(Ordering::Relaxed), 2, "nothing is left running");
    queue.add("late", Change);
    assert!(queue.is_empty(), "a queue that nobody empties does not fill");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_loop_aborts_its_work_and_closes_the_queue() {
    let n_ended = Arc::new(AtomicUsize::new(0));
    let ended = Arc::clone(&n_ended);
    let mut running = start(Config::default(), move |_, _| {
        let ended = OnDrop(Arc::clone(&ended));
        async move {
            let _ended = ended;
            std::future::pending().await
        }
    });
    running.queue.add("a", Change);
    running.next().await;
    running.loop_.abort();
    assert!(within(running.loop_).await.unwrap_err().is_cancelled());
    sleep(secs(1)).await;
    assert_eq!(n_ended.load(Ordering::Relaxed), 1);
    running.queue.add("b", Change);
    assert!(running.queue.is_empty());
}

/// Counts what is dropped.
struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One seed, one history: what a simulation rests on.
#[test]
fn a_run_can_be_repeated() {
    let history = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut running = start(at_once(2), |_, n_before| async move {
                sleep(Duration::from_millis(10)).await;
                if n_before < 9 { refused(None) } else { Ok(Requeue::AwaitChange) }
            });
            for key in ["a", "b", "c"] {
                running.queue.add(key, Change);
            }
            let mut history = Vec::new();
            for _ in 0..30 {
                history.push(running.next().await);
            }
            running.stop().await;
            history
        })
    };
    assert_eq!(history(), history());
}
