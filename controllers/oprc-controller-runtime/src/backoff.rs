//! How long to wait after the n-th failure in a row: exponential, capped, with full jitter.
//!
//! Pure: the caller counts the failures and owns the random numbers. It never gives up: past the cap
//! it goes on at the cap.

use std::time::Duration;

/// The bounds of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure; each further one doubles it.
    pub base: Duration,
    /// The longest wait there is.
    pub cap: Duration,
}

impl Default for Backoff {
    /// 50 ms, doubling to 30 s.
    ///
    /// Why 50 ms: most first failures are a lost compare-and-swap, over as soon as the cache has
    /// seen the other's write, in a few milliseconds; client-go's 5 ms would ask several times
    /// before that. Why 30 s: what heals is noticed within half a minute even where nothing
    /// reports the healing; client-go's 1000 s would leave a user waiting for a quarter of an hour.
    /// It takes ten failures, half a minute on average, to get to the cap.
    fn default() -> Self {
        Self { base: Duration::from_millis(50), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row; none after none.
    ///
    /// Uniform between nothing and the bound ("full jitter"), so that keys that failed together do
    /// not come back together.
    pub fn delay(&self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        self.ceiling(failures).mul_f64(rng.f64())
    }

    /// The bound of the wait after `failures` failures in a row.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_stays_there() {
        let backoff = Backoff::default();
        let ceilings_ms: Vec<u128> =
            (0..12).map(|failures| backoff.ceiling(failures).as_millis()).collect();
        let want = [0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000];
        assert_eq!(ceilings_ms, want);
        for failures in [31, 32, 33, 34, u32::MAX] {
            assert_eq!(backoff.ceiling(failures), backoff.cap, "after {failures} failures");
        }
    }

    #[test]
    fn jitter_fills_the_range_and_is_the_same_for_the_same_seed() {
        let backoff = Backoff::default();
        let draw = || {
            let mut rng = fastrand::Rng::with_seed(7);
            (0..1000).map(|_| backoff.delay(11, &mut rng)).collect::<Vec<_>>()
        };
        let delays = draw();
        assert_eq!(delays, draw());
        assert!(delays.iter().all(|delay| *delay <= backoff.cap));
        let n_short = delays.iter().filter(|delay| **delay < backoff.cap / 2).count();
        assert!((400..600).contains(&n_short), "{n_short} of 1000 in the lower half");
    }
}
