//! The bell and the watchdog; the order of keys is tested with the work queue.

use tokio::{task::JoinSet, time::advance};

use super::*;
use Priority::Change;

fn queue() -> Queue<&'static str> {
    Queue::new(Name::of_cluster("test", "east"), Backoff::default(), 1)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What `next` answers, and after how long.
async fn next_in(queue: &Queue<&'static str>) -> (Option<&'static str>, Duration) {
    let start = Instant::now();
    let job = tokio::time::timeout(secs(1000), queue.next()).await.expect("within the bound");
    (job.map(|job| job.key), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn waits_for_what_is_due_first() {
    let queue = queue();
    queue.add_after("b", Change, secs(9));
    queue.add_after("a", Change, secs(5));
    assert_eq!(next_in(&queue).await, (Some("a"), secs(5)));
    assert_eq!(next_in(&queue).await, (Some("b"), secs(4)));
    queue.add("c", Change);
    assert_eq!(next_in(&queue).await, (Some("c"), secs(0)));
    queue.done(&"c", Outcome::After(secs(3)));
    assert_eq!(next_in(&queue).await, (Some("c"), secs(3)));
}

#[tokio::test(start_paused = true)]
async fn an_add_wakes_whoever_sleeps() {
    let queue = queue();
    queue.add_after("late", Change, secs(100));
    let add = async {
        tokio::time::sleep(secs(2)).await;
        queue.add_after("soon", Change, secs(1));
    };
    let (next, ()) = tokio::join!(next_in(&queue), add);
    assert_eq!(next, (Some("soon"), secs(3)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_loses_nothing() {
    let queue = queue();
    queue.add_after("a", Change, secs(5));
    assert!(tokio::time::timeout(secs(4), queue.next()).await.is_err());
    assert_eq!(next_in(&queue).await, (Some("a"), secs(1)));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_wait() {
    let queue = queue();
    queue.add_after("a", Change, secs(5));
    let mut waits = JoinSet::new();
    for _ in 0..3 {
        let queue = queue.clone();
        waits.spawn(async move { next_in(&queue).await });
    }
    tokio::time::sleep(secs(1)).await;
    queue.close();
    assert_eq!(waits.join_all().await, [(None, secs(1)); 3]);
    queue.add("b", Change);
    assert_eq!(next_in(&queue).await, (None, secs(0)));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn is_stalled_when_due_work_waits_and_nothing_is_finished() {
    let queue = queue();
    #[track_caller]
    fn check(queue: &Queue<&'static str>, want: bool) {
        assert_eq!(queue.is_stalled(Instant::now()), want);
        queue.observe();
    }
    // Quiet for long: there is nothing to do.
    advance(secs(3600)).await;
    check(&queue, false);
    // Work that is put off is not due.
    queue.add_after("a", Change, secs(600));
    advance(secs(599)).await;
    check(&queue, false);
    // It is due for a minute.
    advance(secs(60)).await;
    check(&queue, false);
    advance(secs(1)).await;
    check(&queue, true);
    // Taken on, there is none that waits.
    assert!(queue.next().await.is_some());
    check(&queue, false);
    // Another waits, but something was finished less than a minute ago.
    queue.add("b", Change);
    advance(secs(59)).await;
    queue.done(&"a", Outcome::Settled);
    advance(secs(59)).await;
    check(&queue, false);
    advance(secs(1)).await;
    check(&queue, true);
    queue.close();
    check(&queue, false);
}
