//! Tables for each rule, then random runs beside a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::{line::MAX_PASSED_OVER, *};
use Outcome::{After, Retry, RetryAfter, RetryWithin, Settled};
use Priority::{Change, Resync};

/// What a table does to the queue, and what it wants to see.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(&'static str, Priority),
    AddAfter(&'static str, Priority, u64),
    /// Moves the clock on, in seconds.
    Wait(u64),
    Pop(&'static str),
    PopNone,
    Done(&'static str, Outcome),
    Close,
}

use Step::{Add, AddAfter, Close, Done, Pop, PopNone, Wait};

const BACKOFF: Backoff = Backoff { base: secs(1), cap: secs(8) };

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[track_caller]
fn check(steps: &[Step]) {
    let mut now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    for (n, step) in steps.iter().enumerate() {
        let pop = |queue: &mut WorkQueue<&'static str>| queue.pop(now).map(|job| job.key);
        match *step {
            Add(key, priority) => queue.add(key, priority, now),
            AddAfter(key, priority, delay) => queue.add_after(key, priority, secs(delay), now),
            Wait(delay) => now += secs(delay),
            Pop(key) => assert_eq!(pop(&mut queue), Some(key), "step {n} of {steps:?}"),
            PopNone => assert_eq!(pop(&mut queue), None, "step {n} of {steps:?}"),
            Done(key, outcome) => drop(queue.done(&key, outcome, now)),
            Close => queue.close(),
        }
    }
}

#[test]
fn a_key_waits_once_however_often_it_is_added() {
    check(&[Add("a", Change), Add("a", Change), Add("a", Resync), Pop("a"), PopNone]);
}

#[test]
fn keys_that_are_due_go_in_the_order_they_became_due() {
    check(&[Add("b", Change), Add("a", Change), Add("b", Change), Pop("b"), Pop("a"), PopNone]);
    let later = [AddAfter("a", Change, 3), AddAfter("b", Change, 1), Wait(2), Add("c", Change)];
    check(&[&later[..], &[Wait(2), Pop("b"), Pop("c"), Pop("a"), PopNone]].concat());
}

#[test]
fn a_key_is_worked_on_once_at_a_time_and_no_add_is_lost() {
    // Added during the work: not to a second worker, but again afterwards, and once.
    let during = [Add("a", Change), Pop("a"), Add("a", Change), PopNone, Add("a", Change), PopNone];
    for outcome in [Settled, After(secs(60)), Retry, RetryWithin(secs(2)), RetryAfter(secs(60))] {
        let wait = if matches!(outcome, RetryAfter(_)) { 60 } else { 0 };
        let again = [Done("a", outcome), Wait(wait), Pop("a"), PopNone];
        check(&[&during[..], &again].concat());
        // The second run has no mark left over from the first.
        check(&[&during[..], &again, &[Done("a", Settled), PopNone, Wait(100), PopNone]].concat());
    }
    // Not added: not again.
    check(&[Add("a", Change), Pop("a"), Done("a", Settled), Wait(100), PopNone]);
    // Added for later: later.
    let later = [Add("a", Change), Pop("a"), AddAfter("a", Change, 5), Done("a", Settled)];
    check(&[&later[..], &[Wait(4), PopNone, Wait(1), Pop("a")]].concat());
}

#[test]
fn a_key_waits_for_the_earliest_time_asked_for() {
    let wait_for = |first: u64, second: u64, pops_after: u64| {
        let add = [AddAfter("a", Change, first), AddAfter("a", Change, second)];
        check(&[&add[..], &[Wait(pops_after - 1), PopNone, Wait(1), Pop("a"), PopNone]].concat());
        // The same when both were asked for during the work.
        let during = [Add("a", Change), Pop("a"), add[0], add[1], Done("a", Settled)];
        check(&[&during[..], &[Wait(pops_after - 1), PopNone, Wait(1), Pop("a")]].concat());
        // And when one comes from the outcome.
        let outcome = [Add("a", Change), Pop("a"), add[0], Done("a", After(secs(second)))];
        check(&[&outcome[..], &[Wait(pops_after - 1), PopNone, Wait(1), Pop("a")]].concat());
    };
    wait_for(5, 9, 5);
    wait_for(9, 5, 5);
    wait_for(5, 5, 5);
    // The later time is not kept for a second run.
    let forgotten = [AddAfter("a", Change, 9), Add("a", Change), Pop("a"), Done("a", Settled)];
    check(&[&forgotten[..], &[Wait(100), PopNone]].concat());
}

#[test]
fn changes_go_before_resyncs() {
    check(&[Add("a", Resync), Add("b", Change), Pop("b"), Pop("a"), PopNone]);
    // A key is as urgent as the most urgent that asked for it.
    check(&[Add("a", Resync), Add("b", Resync), Add("b", Change), Pop("b"), Pop("a")]);
    check(&[Add("a", Resync), Add("b", Change), Add("b", Resync), Pop("b"), Pop("a")]);
    // One that is not due yet does not hold up one that is.
    check(&[AddAfter("a", Change, 1), Add("b", Resync), Pop("b"), PopNone, Wait(1), Pop("a")]);
    // A retry is as urgent as the try; the look after a success is a resync.
    let retried = |outcome, first, second| {
        let fail = [Add("a", Change), Pop("a"), Done("a", outcome), Wait(8)];
        check(&[&fail[..], &[Add("b", Resync), Pop(first), Pop(second)]].concat());
        check(&[&fail[..], &[Add("b", Change), Pop("a")], &[Pop("b")]].concat());
    };
    retried(Retry, "a", "b");
    retried(RetryAfter(secs(1)), "a", "b");
    let settled = [Add("a", Change), Pop("a"), Done("a", After(secs(1))), Wait(1)];
    check(&[&settled[..], &[Add("b", Change), Pop("b"), Pop("a")]].concat());
}

#[test]
fn a_resync_gets_one_turn_in_sixteen() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    for n in 0..1000_u32 {
        queue.add((true, n), Change, now);
        queue.add((false, n), Resync, now);
    }
    let are_changes: Vec<bool> =
        std::iter::from_fn(|| Some(queue.pop(now)?.key.0)).take(160).collect();
    let want = std::iter::repeat_n(true, MAX_PASSED_OVER as usize).chain([false]).cycle();
    assert_eq!(are_changes, want.take(160).collect::<Vec<_>>());
}

#[test]
fn a_closed_queue_forgets_and_ignores() {
    check(&[Add("a", Change), AddAfter("b", Change, 1), Close, PopNone, Wait(1), PopNone]);
    check(&[Close, Add("a", Change), PopNone]);
    for outcome in [Settled, After(secs(0)), Retry] {
        let active = [Add("a", Change), Pop("a"), Add("a", Change), Close, Add("a", Change)];
        check(&[&active[..], &[Done("a", outcome), Wait(100), PopNone]].concat());
    }
}

#[test]
#[should_panic(expected = "done() is for a key that pop() handed out")]
fn a_key_that_was_not_handed_out_cannot_be_given_back() {
    check(&[Add("a", Change), Done("a", Settled)]);
}

/// Fails `a` once more and answers how long it waits.
fn fail(queue: &mut WorkQueue<&'static str>, now: &mut Instant, outcome: Outcome) -> Duration {
    queue.add("a", Change, *now);
    assert!(queue.pop(*now).is_some());
    queue.done(&"a", outcome, *now);
    let due = queue.next_due().expect("a key that failed waits");
    let delay = due - *now;
    *now = due;
    delay
}

#[test]
fn failures_slow_a_key_down_until_it_succeeds() {
    let ceilings = |queue: &mut WorkQueue<_>, now: &mut Instant| {
        for ceiling_secs in [1, 2, 4, 8, 8, 8] {
            let delay = fail(queue, now, Retry);
            assert!(delay <= secs(ceiling_secs), "{delay:?} is over {ceiling_secs} s");
        }
    };
    let mut now = Instant::now();
    for success in [Settled, After(secs(1))] {
        let mut queue = WorkQueue::new(BACKOFF, 1);
        ceilings(&mut queue, &mut now);
        assert_eq!(queue.pop(now).map(|job| job.failures), Some(6));
        queue.done(&"a", success, now);
        ceilings(&mut queue, &mut now);
    }
    // The longest of many waits shows that the bound did grow.
    let mut queue = WorkQueue::new(BACKOFF, 1);
    let longest = (0..100).map(|_| fail(&mut queue, &mut now, Retry)).max();
    assert!(longest > Some(secs(7)), "{longest:?}");
}

#[test]
fn an_added_key_does_not_wait_for_its_back_off_and_keeps_its_failures() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    for failures in 0..5 {
        queue.add("a", Change, now);
        assert_eq!(queue.pop(now).map(|job| job.failures), Some(failures));
        queue.done(&"a", Retry, now);
    }
}

#[test]
fn retry_after_is_obeyed_up_to_its_limit() {
    let mut now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    for (asked_secs, at_least_secs) in [(0, 0), (20, 20), (300, 300), (100_000, 300)] {
        let delay = fail(&mut queue, &mut now, RetryAfter(secs(asked_secs)));
        let range = secs(at_least_secs)..=secs(at_least_secs) + BACKOFF.cap;
        assert!(range.contains(&delay), "{delay:?} for {asked_secs} s");
    }
}

#[test]
fn nobody_brings_a_key_forward_that_was_told_when_to_come_back() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    queue.add("a", Change, now);
    queue.pop(now);
    // Asked for while it was worked on, and after.
    queue.add("a", Change, now);
    assert_eq!(queue.done(&"a", RetryAfter(secs(60)), now).waits, Some(secs(60)));
    queue.add("a", Change, now + secs(1));
    assert_eq!(queue.next_due(), Some(now + secs(60)));
    assert!(queue.pop(now + secs(59)).is_none());
    assert!(queue.pop(now + secs(60)).is_some());
}

#[test]
fn an_offer_brings_no_key_forward() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    queue.offer("a", Resync, now);
    assert!(queue.pop(now).is_some(), "a key that does not wait is taken up");
    queue.offer("a", Resync, now);
    let waits = queue.done(&"a", Retry, now).waits;
    queue.offer("a", Change, now);
    assert_eq!(queue.next_due(), waits.map(|waits| now + waits));
    queue.add("a", Change, now);
    assert_eq!(queue.next_due(), Some(now), "news does");
}

#[test]
fn what_ends_for_all_keys_at_once_slows_none_down_for_long() {
    let mut now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    let longest = (0..100).map(|_| fail(&mut queue, &mut now, RetryWithin(secs(2)))).max();
    assert!((secs(1)..=secs(2)).contains(&longest.unwrap()), "{longest:?}");
    // Its own failures begin where they were.
    assert!(fail(&mut queue, &mut now, Retry) <= secs(4));

    // Many keys do not come back all together.
    let backoff = Backoff { cap: secs(60), ..BACKOFF };
    let mut queue = WorkQueue::new(backoff, 1);
    for key in 0..6_000 {
        queue.add(key, Change, now);
        for _ in 0..3 {
            queue.add(key, Change, now);
            assert!(queue.pop(now).is_some());
            queue.done(&key, RetryWithin(secs(2)), now);
        }
    }
    // Each of the last thousand waits for up to the six seconds that all of them take.
    let due = (5_000..6_000).map(|key| queue.waiting[&key].wish.due - now);
    let n_late = due.filter(|delay| *delay > secs(3)).count();
    assert!((350..550).contains(&n_late), "{n_late} of 1000 in the second half");
}

#[test]
fn no_delay_overflows() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    queue.add_after("a", Change, Duration::MAX, now);
    assert_eq!(queue.next_due(), Some(now + MAX_DELAY));
    queue.add("a", Change, now);
    assert!(queue.pop(now).is_some());
    queue.done(&"a", After(Duration::MAX), now);
    assert_eq!(queue.next_due(), Some(now + MAX_DELAY));
}

#[test]
fn tells_what_waits_and_what_runs() {
    let start = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, 1);
    queue.add("a", Change, start);
    queue.add("b", Resync, start);
    queue.add_after("c", Resync, secs(9), start);
    let now = start + secs(3);
    assert_eq!((queue.len(), queue.n_due(now), queue.next_due()), (3, 2, Some(start)));
    assert_eq!(queue.pop(now), Some(Job { key: "a", waited: secs(3), failures: 0 }));
    assert_eq!((queue.len(), queue.n_due(now), queue.is_empty()), (2, 1, false));
    let later = now + secs(2);
    assert_eq!(queue.running(later).collect::<Vec<_>>(), [(&"a", secs(2))]);
    assert_eq!(queue.done(&"a", Settled, later), super::Done { worked: secs(2), waits: None });
    assert_eq!(queue.running(later).count(), 0);
    // What it waits for now is the sooner of its back-off and what was asked for meanwhile, but not
    // less than it was told to wait.
    queue.pop(later);
    let waits = queue.done(&"b", After(secs(7)), later).waits;
    assert_eq!(waits, Some(secs(7)));
    queue.add("a", Change, later);
    queue.pop(later);
    queue.add_after("a", Change, secs(3), later);
    assert_eq!(queue.done(&"a", RetryAfter(secs(5)), later).waits, Some(secs(5)));
}

/// The queue as a list of wishes: nothing is merged, so nothing can be merged wrongly.
#[derive(Default)]
struct Model {
    wishes: Vec<(u8, Wish)>,
    /// With the priority each was handed out at, and its failures.
    active: BTreeMap<u8, (Priority, u32)>,
    failures: BTreeMap<u8, u32>,
    not_before: BTreeMap<u8, Instant>,
    n_passed_over: u32,
}

impl Model {
    /// What each key that is not worked on waits for.
    fn waiting(&self) -> BTreeMap<u8, Wish> {
        let keys: BTreeSet<u8> = self.wishes.iter().map(|(key, _)| *key).collect();
        let idle = keys.into_iter().filter(|key| !self.active.contains_key(key));
        idle.map(|key| {
            let of_key = || self.wishes.iter().filter(|(k, _)| *k == key).map(|(_, wish)| wish);
            let priority = of_key().map(|wish| wish.priority).max().unwrap();
            let due = of_key().map(|wish| wish.due).min().unwrap();
            let due = self.not_before.get(&key).map_or(due, |earliest| due.max(*earliest));
            (key, Wish { priority, due })
        })
        .collect()
    }

    /// Checks that `popped` may be handed out now, and hands it out.
    fn pop(&mut self, popped: Option<&Job<u8>>, now: Instant) {
        let due: BTreeMap<u8, Wish> =
            self.waiting().into_iter().filter(|(_, wish)| wish.due <= now).collect();
        let Some(job) = popped else {
            assert!(due.is_empty(), "nothing was handed out though {due:?} are due");
            return;
        };
        let wish = *due.get(&job.key).expect("only a key that is due, and idle, is handed out");
        let has = |priority| due.values().any(|wish| wish.priority == priority);
        if has(Change) && has(Resync) {
            let is_change = self.n_passed_over < 15;
            assert_eq!(wish.priority == Change, is_change, "changes first, one in sixteen");
            self.n_passed_over = if is_change { self.n_passed_over + 1 } else { 0 };
        } else if wish.priority == Resync {
            self.n_passed_over = 0;
        }
        let rivals = due.values().filter(|rival| rival.priority == wish.priority);
        assert!(rivals.into_iter().all(|rival| rival.due >= wish.due), "the earliest goes first");
        assert_eq!(job.waited, now - wish.due);
        let failures = self.failures.remove(&job.key).unwrap_or(0);
        self.not_before.remove(&job.key);
        assert_eq!(job.failures, failures);
        self.wishes.retain(|(key, _)| *key != job.key);
        self.active.insert(job.key, (wish.priority, failures));
    }
}

#[test]
fn agrees_with_the_model_whatever_is_done_to_it() {
    for seed in 0..300 {
        random_run(seed);
    }
}

/// A few hundred random steps over few keys and few moments, so that they meet often.
fn random_run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut now = Instant::now();
    let mut queue = WorkQueue::new(BACKOFF, seed);
    let mut model = Model::default();
    for _ in 0..400 {
        let key = rng.u8(0..6);
        match rng.u8(0..10) {
            0..4 => {
                let priority = if rng.bool() { Change } else { Resync };
                let delay = secs(if rng.bool() { 0 } else { rng.u64(0..8) });
                if rng.u8(0..4) == 0 {
                    queue.offer(key, priority, now);
                    let is_idle = !model.active.contains_key(&key);
                    if is_idle && !model.waiting().contains_key(&key) {
                        model.wishes.push((key, Wish { priority, due: now }));
                    }
                    continue;
                }
                queue.add_after(key, priority, delay, now);
                model.wishes.push((key, Wish { priority, due: now + delay }));
            }
            4..7 => {
                let popped = queue.pop(now);
                model.pop(popped.as_ref(), now);
            }
            7..9 => {
                let busy: Vec<u8> = model.active.keys().copied().collect();
                let Some(key) = rng.choice(busy) else { continue };
                finish(&mut queue, &mut model, key, &mut rng, now);
            }
            _ => now += secs(rng.u64(0..4)),
        }
        let waiting = model.waiting();
        assert_eq!(queue.len(), waiting.len(), "seed {seed}");
        assert_eq!(queue.next_due(), waiting.values().map(|wish| wish.due).min(), "seed {seed}");
        assert_eq!(queue.n_due(now), waiting.values().filter(|wish| wish.due <= now).count());
        assert!(queue.running(now).map(|(key, _)| key).eq(model.active.keys()), "seed {seed}");
    }
}

/// Gives `key` back with a random outcome. The model learns the jittered time from the queue, after
/// checking it against its bounds.
fn finish(
    queue: &mut WorkQueue<u8>,
    model: &mut Model,
    key: u8,
    rng: &mut fastrand::Rng,
    now: Instant,
) {
    let outcome = match rng.u8(0..5) {
        0 => Settled,
        1 => After(secs(rng.u64(0..8))),
        2 => Retry,
        3 => RetryWithin(secs(2)),
        _ => RetryAfter(secs(rng.u64(0..8))),
    };
    queue.done(&key, outcome, now);
    let (priority, failures) = model.active.remove(&key).unwrap();
    let jittered = |queue: &WorkQueue<u8>, at_least| {
        let due = queue.waiting.get(&key).expect("a key that failed waits").wish.due;
        assert!(due <= now + at_least + BACKOFF.ceiling(failures + 1));
        due
    };
    let wish = match outcome {
        Settled => None,
        After(delay) => Some(Wish { priority: Resync, due: now + delay }),
        Retry | RetryWithin(_) => Some(Wish { priority, due: jittered(queue, secs(0)) }),
        RetryAfter(at_least) => Some(Wish { priority, due: jittered(queue, at_least) }),
    };
    match outcome {
        RetryAfter(at_least) => {
            model.failures.insert(key, failures + 1);
            model.not_before.insert(key, now + at_least);
        }
        Retry => drop(model.failures.insert(key, failures + 1)),
        RetryWithin(_) => drop(model.failures.insert(key, failures.max(2.min(failures + 1)))),
        Settled | After(_) => (),
    }
    model.wishes.extend(wish.map(|wish| (key, wish)));
}
