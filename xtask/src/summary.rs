//! The outcome of all checks: how many passed, failed and were skipped, and why.

use std::{collections::BTreeMap, fmt};

/// Counts of checks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    n_passed: u64,
    n_failed: u64,
    /// How many were skipped for each reason.
    skipped: BTreeMap<String, u64>,
}

impl Summary {
    /// Counts a check that is no test of its own by its outcome; `Some` is why it was skipped.
    pub(crate) fn check<E>(&mut self, outcome: &Result<Option<String>, E>) {
        match outcome {
            Ok(None) => self.n_passed += 1,
            Ok(Some(reason)) => self.skip(reason),
            Err(_) => self.n_failed += 1,
        }
    }

    fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }

    /// Adds what a line of `cargo test` counts, if it counts something:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn read_line(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        for count in counts.split([';', '.']) {
            let mut words = count.split_whitespace();
            let (Some(Ok(n)), Some(what)) = (words.next().map(str::parse::<u64>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.n_passed += n,
                "failed" => self.n_failed += n,
                "ignored" if n > 0 => {
                    *self.skipped.entry("marked as ignored".to_owned()).or_default() += n;
                }
                _ => {}
            }
        }
    }

    /// Moves tests that skipped themselves from those that passed. A line of `told` is a test and its
    /// reason, with a tab in between; a test may be named several times.
    pub(crate) fn read_skips(&mut self, told: &str) {
        let tests: BTreeMap<&str, &str> =
            told.lines().filter_map(|line| line.split_once('\t')).collect();
        for reason in tests.values() {
            self.n_passed = self.n_passed.saturating_sub(1);
            self.skip(reason);
        }
    }

    /// Counts a run that failed though no test of it did: it did not compile, or ended early.
    pub(crate) fn failed_somehow(&mut self) {
        self.n_failed = self.n_failed.max(1);
    }

    /// Whether anything failed.
    pub(crate) fn has_failures(&self) -> bool {
        self.n_failed > 0
    }
}

/// The reasons, and one last line.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (reason, n) in &self.skipped {
            writeln!(f, "skipped {n}: {reason}")?;
        }
        let n_skipped: u64 = self.skipped.values().sum();
        write!(f, "{} passed, {} failed, {n_skipped} skipped", self.n_passed, self.n_failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn counts_of_several_runs_become_one_line() {
        let mut summary = Summary::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.02s",
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ] {
            summary.read_line(line);
        }
        summary.read_skips("a::b\tno etcd\nc\tno etcd\na::b\tno etcd\nd\tno Docker\nodd\n");
        summary.check::<()>(&Ok(None));
        summary.check::<()>(&Ok(Some("no python3".to_owned())));
        let want = "skipped 1: marked as ignored\nskipped 1: no Docker\nskipped 2: no etcd\n\
                    skipped 1: no python3\n6 passed, 2 failed, 5 skipped";
        assert_eq!(summary.to_string(), want);
        assert!(summary.has_failures());
    }

    #[test]
    fn a_run_that_ends_early_is_a_failure() {
        let mut summary = Summary::default();
        summary.failed_somehow();
        assert_eq!(summary.to_string(), "0 passed, 1 failed, 0 skipped");
    }
}
