//! Chance: every choice of a run comes from here, and so from its seed.

use std::ops::RangeInclusive;

/// The dice of one run.
#[derive(Debug)]
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.0.f64() < p
    }

    /// A number of `range`.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// An index below `n`, which is not zero.
    pub(crate) fn index(&mut self, n: usize) -> usize {
        self.0.usize(0..n)
    }

    /// One of `choices`, which are not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A seed for what draws by itself.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }
}
