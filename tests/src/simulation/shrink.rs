//! Shrinking: tells a story that fails again and again with less and less of it, as long as it
//! fails in the same way.
//!
//! Delta debugging (Zeller's ddmin, without its complements): parts of half the acts, then of a
//! quarter, and so on to single ones, are left out where that still fails.

use super::{
    plan::Plan,
    run::{Options, Report, tell},
};

/// A story that fails, made short.
#[derive(Debug)]
pub struct Shrunk {
    /// What is left of it.
    pub plan: Plan,
    /// How it fails.
    pub report: Report,
    /// How often it was told to find out.
    pub n_runs: usize,
}

/// What kind of violation `text` tells of: without the names and numbers.
fn kind(text: &str) -> String {
    let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let what = text.split(':').next().unwrap_or_default();
    let words = what.split_whitespace();
    let words: Vec<&str> = words.map(|word| if has_digit(word) { "…" } else { word }).collect();
    words.join(" ")
}

/// Makes `plan`, which fails as `report` tells, as short as `max_runs` runs allow; `progress` hears
/// the number of runs and what is left after each.
#[must_use]
pub fn shrink(
    plan: Plan,
    report: Report,
    options: Options,
    max_runs: usize,
    mut progress: impl FnMut(usize, usize),
) -> Shrunk {
    let options = Options { is_printed: false, ..options };
    let mut best = Shrunk { plan, report, n_runs: 0 };
    let Some(want) = best.report.violations.first().map(|text| kind(text)) else { return best };
    let mut size = best.plan.acts.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let before = best.plan.acts.len();
        while from < best.plan.acts.len() {
            if best.n_runs == max_runs {
                return best;
            }
            let mut shorter = best.plan.clone();
            let until = (from + size).min(shorter.acts.len());
            shorter.acts.drain(from..until);
            let report = tell(&shorter, options);
            best.n_runs += 1;
            if report.violations.first().is_some_and(|text| kind(text) == want) {
                (best.plan, best.report) = (shorter, report);
            } else {
                from = until;
            }
            progress(best.n_runs, best.plan.acts.len());
        }
        // What could not go alone may be able to, now that others are gone.
        if size > 1 || best.plan.acts.len() == before {
            size /= 2;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn names_and_numbers_do_not_make_a_kind() {
        let check = |text, want| assert_eq!(kind(text), want);
        check("converges: c0 does not hold x", "converges");
        check(
            "RUNNING is said of d1 on c0 generation 3, which never ran",
            "RUNNING is said of … on … generation … which never ran",
        );
        check("c0 went back to 3 of d1.c0", "… went back to … of …");
    }
}
