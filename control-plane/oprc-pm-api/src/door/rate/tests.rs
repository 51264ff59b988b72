use std::time::Duration;

use tokio::time::Instant;

use super::{
    Rate,
    table::{Table, Verdict},
    whole_secs,
};

const RATE: Rate = Rate { per_sec: 10, burst: 3 };

#[test]
fn a_bucket_empties_and_fills() {
    let start = Instant::now();
    let mut table = Table::new(8);
    let mut at = |ms: u64| table.take(&"a", RATE, start + Duration::from_millis(ms));
    let wait = |ms: u64, is_first| Verdict::Wait { wait: Duration::from_millis(ms), is_first };
    assert_eq!([at(0), at(0), at(0)], [Verdict::Go; 3], "the burst");
    assert_eq!([at(0), at(0)], [wait(100, true), wait(100, false)]);
    assert_eq!(at(60), wait(40, false), "asking in vain does not put it off");
    assert_eq!(at(100), Verdict::Go);
    assert_eq!(at(100), wait(100, true), "the first of a new row");
    assert_eq!([at(10_000), at(10_000), at(10_000)], [Verdict::Go; 3], "no more than the burst");
    assert_eq!(at(10_000), wait(100, true));
}

#[test]
fn in_the_long_run_it_is_the_rate() {
    let start = Instant::now();
    let mut table = Table::new(8);
    // A thousand requests a second for ten seconds.
    let n_taken = (0..10_000)
        .filter(|ms| table.take(&"a", RATE, start + Duration::from_millis(*ms)) == Verdict::Go);
    assert_eq!(n_taken.count(), 3 + 99);
}

#[test]
fn callers_have_buckets_of_their_own() {
    let now = Instant::now();
    let mut table = Table::new(8);
    for _ in 0..100 {
        table.take(&"flood", RATE, now);
    }
    assert_eq!(table.take(&"other", RATE, now), Verdict::Go);
}

#[test]
fn a_flood_of_callers_is_bounded_and_forgets_the_silent_first() {
    let now = Instant::now();
    let mut table = Table::new(1000);
    for _ in 0..4 {
        table.take(&u64::MAX, RATE, now);
    }
    for n in 0..100_000 {
        table.take(&n, RATE, now);
        assert!(table.len() <= 1001);
        // Who goes on asking stays refused.
        if n % 100 == 0 {
            assert_ne!(table.take(&u64::MAX, RATE, now), Verdict::Go, "after {n}");
        }
    }
}

#[test]
fn nobody_is_told_to_come_back_too_early() {
    for (ms, want) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
        assert_eq!(whole_secs(Duration::from_millis(ms)), want, "{ms}");
    }
}
