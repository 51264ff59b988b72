//! Tables of the breaker's steps, and a random walk for what must always hold.

use super::*;

/// What happens to a breaker, in milliseconds since it was made.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call begins and is answered.
    Ok,
    /// A call begins and fails.
    Fail,
    /// A call must not begin.
    Parked,
    /// A probe begins when it is due, and is answered.
    ProbeOk,
    /// A probe begins when it is due, and fails.
    ProbeFail,
    /// Time passes.
    Pass(u64),
}
use BreakerState::{Closed, HalfOpen, Open};
use Step::{Fail, Ok, Parked, Pass, ProbeFail, ProbeOk};

fn config() -> Config {
    Config { failures_to_open: 3, successes_to_close: 2, ..Config::default() }
}

/// Carries out `steps` on a new breaker; `want` is the state that they leave it in.
#[track_caller]
fn check(steps: &[Step], want: BreakerState) -> (Breaker, Instant) {
    let mut breaker = Breaker::new(config());
    let mut now = Instant::now();
    for (i, step) in steps.iter().enumerate() {
        match step {
            Ok => {
                let permit = breaker.begin(now).unwrap_or_else(|| panic!("{i}: parked"));
                breaker.on_success(permit, now);
            }
            Fail => {
                let permit = breaker.begin(now).unwrap_or_else(|| panic!("{i}: parked"));
                breaker.on_failure(permit, now);
            }
            Parked => {
                assert!(!breaker.may_call(now), "{i}: a call must not go");
                assert!(breaker.begin(now).is_none(), "{i}: a call must not go");
            }
            ProbeOk | ProbeFail => {
                now = breaker.next_probe(now).unwrap_or_else(|| panic!("{i}: no probe to come"));
                let permit = breaker.begin_probe(now).unwrap();
                assert!(breaker.begin_probe(now).is_none(), "{i}: a second probe at once");
                match step {
                    ProbeOk => breaker.on_success(permit, now),
                    _ => breaker.on_failure(permit, now),
                };
            }
            Pass(ms) => now += Duration::from_millis(*ms),
        }
    }
    assert_eq!(breaker.state(), want, "{steps:?}");
    (breaker, now)
}

#[test]
fn opens_probes_and_closes() {
    check(&[], Closed);
    check(&[Fail, Fail], Closed);
    check(&[Fail, Fail, Ok, Fail, Fail], Closed);
    check(&[Fail, Fail, Fail, Parked], Open);
    check(&[Fail, Fail, Fail, ProbeFail, Parked, ProbeFail, Parked], Open);
    check(&[Fail, Fail, Fail, ProbeOk], HalfOpen);
    check(&[Fail, Fail, Fail, ProbeOk, Ok], HalfOpen);
    check(&[Fail, Fail, Fail, ProbeOk, Ok, Ok], Closed);
    check(&[Fail, Fail, Fail, ProbeOk, Fail, Parked], Open);
    check(&[Fail, Fail, Fail, ProbeOk, Ok, Fail, Parked], Open);
    check(&[Fail, Fail, Fail, ProbeOk, Ok, Ok, Fail, Fail], Closed);
    check(&[Fail, Fail, Fail, ProbeOk, Ok, Ok, Fail, Fail, Fail], Open);
}

/// How long after `steps` the next probe is due.
#[track_caller]
fn check_spacing(steps: &[Step], want_ms: u128) {
    let (breaker, now) = check(steps, Open);
    let wait = (breaker.next_probe(now).unwrap() - now).as_millis();
    let (least, most) = (want_ms * 9 / 10 - 1, want_ms * 11 / 10 + 1);
    assert!((least..=most).contains(&wait), "{steps:?}: {wait} ms, not about {want_ms}");
}

#[test]
fn probes_at_a_pace_that_grows_with_the_outage() {
    let minute = Pass(60_000);
    let hour = Pass(3_600_000);
    check_spacing(&[Fail, Fail, Fail], 750);
    check_spacing(&[Fail, Fail, Fail, ProbeFail], 750);
    check_spacing(&[Fail, Fail, Fail, minute, ProbeFail], 60_000 / 22);
    check_spacing(&[Fail, Fail, Fail, hour, ProbeFail], 10_000);
    // Failing half open goes on with the outage's clock.
    check_spacing(&[Fail, Fail, Fail, minute, ProbeOk, Fail], 60_000 / 22);
    // Flapping does too: it was not closed for long enough to forget.
    check_spacing(&[Fail, Fail, Fail, hour, ProbeOk, Ok, Ok, Fail, Fail, Fail], 10_000);
    let flap = [Fail, Fail, Fail, hour, ProbeOk, Ok, Ok, Pass(59_000), Fail, Fail, Fail];
    check_spacing(&flap, 10_000);
    // Settled: a new outage.
    let settled = [Fail, Fail, Fail, hour, ProbeOk, Ok, Ok, minute, Fail, Fail, Fail];
    check_spacing(&settled, 750);
}

#[test]
fn result_of_a_call_from_before_the_breaker_opened_changes_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::new(config());
    let (slow_ok, slow_failure) = (breaker.begin(now).unwrap(), breaker.begin(now).unwrap());
    let (late_ok, late_failure) = (breaker.begin(now).unwrap(), breaker.begin(now).unwrap());
    for _ in 0..3 {
        let permit = breaker.begin(now).unwrap();
        breaker.on_failure(permit, now);
    }
    assert_eq!(breaker.on_success(slow_ok, now), None);
    assert_eq!(breaker.on_failure(slow_failure, now), None);
    assert_eq!(breaker.state(), Open);

    let now = breaker.next_probe(now).unwrap();
    let probe = breaker.begin_probe(now).unwrap();
    assert_eq!(breaker.on_success(probe, now), Some(HalfOpen));
    assert_eq!(breaker.on_success(late_ok, now), None);
    assert_eq!(breaker.on_failure(late_failure, now), None);
    assert_eq!(breaker.state(), HalfOpen);
}

#[test]
fn half_open_lets_few_calls_go_at_a_time() {
    let (mut breaker, now) = check(&[Fail, Fail, Fail, ProbeOk], HalfOpen);
    let first = breaker.begin(now).unwrap();
    let _second = breaker.begin(now).unwrap();
    assert!(breaker.begin(now).is_none(), "a third call at once");
    breaker.on_abandoned(first);
    assert!(breaker.begin(now).is_some(), "an abandoned call makes room");
    assert!(breaker.begin(now).is_none());
    let later = now + config().lost_after;
    assert!(breaker.begin(later).is_some(), "calls without a result are taken for lost");
}

#[test]
fn lost_probe_is_replaced_and_its_late_failure_does_not_end_the_new_one() {
    let (mut breaker, now) = check(&[Fail, Fail, Fail], Open);
    let began = breaker.next_probe(now).unwrap();
    let lost = breaker.begin_probe(began).unwrap();
    let later = breaker.next_probe(began).unwrap();
    assert_eq!(later, began + config().lost_after);
    let _new = breaker.begin_probe(later).unwrap();
    breaker.on_failure(lost, later);
    assert!(breaker.begin_probe(later).is_none(), "the new probe is still under way");
}

#[test]
fn abandoned_probe_is_made_again() {
    let (mut breaker, now) = check(&[Fail, Fail, Fail], Open);
    let began = breaker.next_probe(now).unwrap();
    let probe = breaker.begin_probe(began).unwrap();
    breaker.on_abandoned(probe);
    let again = breaker.next_probe(began).unwrap();
    assert_eq!(again, began + config().probe_min, "and not at once");
    assert!(breaker.begin_probe(again).is_some());
}

/// A dead cluster costs few calls, and one that comes back is asked within a 20th of the outage.
#[test]
fn outage_costs_few_probes_and_heals_within_a_twentieth() {
    for (outage_secs, most_probes) in [(10, 15), (60, 60), (600, 160), (86_400, 9_800)] {
        let (mut breaker, start) = check(&[Fail, Fail, Fail], Open);
        let (mut now, mut probes) = (start, 0);
        let heals = start + Duration::from_secs(outage_secs);
        loop {
            now = breaker.next_probe(now).unwrap();
            let probe = breaker.begin_probe(now).unwrap();
            if now >= heals {
                breaker.on_success(probe, now);
                break;
            }
            probes += 1;
            breaker.on_failure(probe, now);
        }
        let delay = now - heals;
        let most = Duration::from_secs(outage_secs) / 20;
        assert!(delay <= most.max(Duration::from_millis(825)), "{outage_secs} s: {delay:?}");
        assert!(probes <= most_probes, "{outage_secs} s: {probes} probes");
    }
}

/// Random calls, results, losses and times; what the module promises holds after each step.
#[test]
fn random_walk_keeps_the_invariants() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut breaker = Breaker::new(Config { seed, ..config() });
        let mut now = Instant::now();
        let mut calls: Vec<(Permit, BreakerState)> = Vec::new();
        let (mut last_probe, mut probe_out) = (None::<Instant>, None::<Instant>);
        for _ in 0..2_000 {
            let before = breaker.state();
            match rng.u8(0..10) {
                0..3 => now += Duration::from_millis(rng.u64(0..2_000)),
                3..5 => {
                    let may = breaker.may_call(now);
                    let permit = breaker.begin(now);
                    assert_eq!(permit.is_some(), may);
                    assert!(!(before == Open && may), "seed {seed}: a call while open");
                    calls.extend(permit.map(|permit| (permit, before)));
                }
                5..7 => {
                    if let Some(permit) = breaker.begin_probe(now) {
                        assert_eq!(before, Open, "seed {seed}: a probe while {before:?}");
                        let lost = config().lost_after;
                        assert!(probe_out.is_none_or(|began| now - began >= lost), "seed {seed}");
                        let apart = Duration::from_millis(675);
                        assert!(last_probe.is_none_or(|last| now - last >= apart), "seed {seed}");
                        (last_probe, probe_out) = (Some(now), Some(now));
                        calls.push((permit, Open));
                    }
                }
                _ if calls.is_empty() => (),
                result => {
                    let (permit, began_in) = calls.swap_remove(rng.usize(0..calls.len()));
                    let is_current = permit.epoch == breaker.epoch;
                    if probe_out == Some(permit.began) {
                        probe_out = None;
                    }
                    match result {
                        7 => drop(breaker.on_success(permit, now)),
                        8 => drop(breaker.on_failure(permit, now)),
                        _ => breaker.on_abandoned(permit),
                    }
                    let after = breaker.state();
                    assert!(is_current || after == before, "seed {seed}: a stale result counted");
                    assert!(!is_current || began_in == before, "seed {seed}");
                    let is_edge = matches!(
                        (before, after),
                        (Closed, Open) | (Open, HalfOpen) | (HalfOpen, Open | Closed)
                    );
                    assert!(before == after || is_edge, "seed {seed}: {before:?} to {after:?}");
                    if after != Open {
                        probe_out = None;
                    }
                }
            }
            // Whatever happened, it is never stuck.
            let open = breaker.state() == Open;
            assert_eq!(breaker.next_probe(now).is_some(), open, "seed {seed}");
            let later = now + config().lost_after.max(config().probe_max * 2);
            assert!(open || breaker.may_call(later), "seed {seed}: stuck");
            assert!(!open || breaker.next_probe(later) == Some(later), "seed {seed}: stuck");
        }
    }
}
