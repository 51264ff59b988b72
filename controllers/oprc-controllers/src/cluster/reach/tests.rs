//! When most clusters count as vanished together.

use super::*;

/// Of `n_clusters`, these fall silent at these seconds and come back at those: is there an alarm?
#[track_caller]
fn check(n_clusters: usize, lost_at: &[u64], found_at: &[u64], want: bool) {
    let mut reach = Reach::default();
    let start = Instant::now();
    let name = |n: usize| format!("c{n}").parse().unwrap();
    let lost = lost_at.iter().enumerate().map(|(n, at)| (*at, n, true));
    let found = found_at.iter().enumerate().map(|(n, at)| (*at, n, false));
    let mut events: Vec<_> = lost.chain(found).collect();
    events.sort_unstable();
    for (at, n, is_lost) in events {
        let (now, before) = (start + Duration::from_secs(at), reach.is_alarmed());
        let alarm = if is_lost {
            reach.lose(&name(n), n_clusters, now)
        } else {
            reach.find(&name(n), n_clusters, now)
        };
        assert_eq!(alarm == Alarm::Turned, before != reach.is_alarmed());
    }
    assert_eq!(reach.is_alarmed(), want, "{n_clusters}: {lost_at:?}, {found_at:?}");
}

#[test]
fn most_at_once_is_told_from_one_after_another() {
    check(5, &[0, 1, 2], &[], true);
    check(5, &[0, 1], &[], false);
    check(6, &[0, 1, 2], &[], false);
    check(10, &[0, 10, 20, 30, 40, 60], &[], true);
    check(10, &[0, 10, 20, 30, 40, 61], &[], false);
    check(5, &[0, 600, 1200, 1800, 2400], &[], false);
    // Of few clusters, one or two in trouble are most of them.
    check(1, &[0], &[], false);
    check(2, &[0, 0], &[], false);
    check(3, &[0, 0, 0], &[], true);
}

#[test]
fn it_lasts_until_most_are_heard_again() {
    check(5, &[0, 0, 0, 0], &[900], true);
    check(5, &[0, 0, 0, 0], &[900, 900], false);
    // One that was silent long before, and stays so, does not begin it.
    check(10, &[0, 900, 900, 900, 900, 900], &[], false);
    check(10, &[0, 900, 900, 900, 900, 900, 901], &[], true);
}
