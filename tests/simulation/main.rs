//! The simulation, as a test: three hundred bad days, and seeds that were once a bug.

use std::thread;

use oprc_tests::simulation::{Cut, Options, Plan, Report, run, stories, tell};

/// Minutes of quiet, more than lie between two full listings: the hour is for `cargo xtask simulate`.
const OPTIONS: Options = Options { quiet_millis: 6 * 60_000, is_printed: false };

/// Seeds that found a bug once, of how many kinds of fault, and which.
const REGRESSIONS: &[(u64, usize, &str)] = &[
    (10120, 43, "a record that a restored store did not hold was never written again"),
    (10164, 43, "and so what the cluster held was not seen, and a generation that it had was sent"),
    (12102, 43, "a unit whose package was gone never got above what its cluster had deleted"),
    (
        24996,
        50,
        "a refusal was told for ever of what a call that was not answered had brought about",
    ),
    (14536, 43, "a unit came back between the plan and the write of its deployment's removal"),
    (90, 51, "a push was tidied up without an intent that a watch had lost"),
    (107, 51, "and so one document of an acknowledged push was lost"),
    (
        219418,
        51,
        "a push whose key a watch had lost was taken for aborted, though it was committed",
    ),
    (213011, 51, "a revision that a watch had lost the removal of was in the way for ever"),
    (
        205619,
        51,
        "what was refused of a paused unit is kept, which the checker took for a left-over",
    ),
    (210200, 51, "a document was damaged in the middle of its push, which the checker did not see"),
    (101767, 51, "a prune left what a watch had lost, which the checker may not ask of it"),
    (
        306178,
        52,
        "a record's creation landed after its removal, which the checker took for forgotten",
    ),
    (
        318053,
        52,
        "a CRM that neither keeps nor reports generations was taken back, which nothing shows",
    ),
    (61184, 50, "a creation came late, of a generation that a restored store had forgotten"),
];

fn assert_well(report: &Report) {
    let (seed, violations) = (report.seed, report.violations.join("\n"));
    assert!(
        report.violations.is_empty(),
        "{}\nseed {seed} violates: {violations}\nsee it again: cargo xtask simulate --seed {seed} --trace",
        report.tail.join("\n")
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..8 {
        let [once, again] = [run(seed, OPTIONS), run(seed, OPTIONS)];
        assert_eq!((once.hash, once.n_lines), (again.hash, again.n_lines), "seed {seed}");
    }
}

#[test]
fn three_hundred_seeds() {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..n_threads {
            scope.spawn(move || {
                for seed in (0..300).skip(first).step_by(n_threads) {
                    assert_well(&run(seed, OPTIONS));
                }
            });
        }
    });
}

#[test]
fn what_was_once_a_bug() {
    for (seed, n_kinds, _) in REGRESSIONS {
        assert_well(&tell(&Plan::draw_of(*seed, *n_kinds), OPTIONS));
    }
}

/// Every thirteenth effect: `cargo xtask simulate --cuts` cuts at each.
#[test]
fn stories_that_are_cut_end_the_same() {
    let options = Options { quiet_millis: 60_000, ..OPTIONS };
    thread::scope(|scope| {
        for story in stories() {
            scope.spawn(move || {
                let uncut = story.tell(1, None, options);
                assert_well(&uncut.report);
                assert!(uncut.made.values().any(|made| made.n_created > 0), "nothing was made");
                for effect in (1..=uncut.n_effects).step_by(13) {
                    for cut in [Cut::Crash(effect), Cut::Freeze(effect)] {
                        let violations = story.tell(1, Some(cut), options).violations(&uncut);
                        assert!(violations.is_empty(), "{}, {cut:?}: {violations:#?}", story.name);
                    }
                }
            });
        }
    });
}
