//! How long to leave an endpoint alone that refuses connections: longer after each failure, and by chance, so that
//! those who wait for one node do not come back together.
//!
//! At least half of each delay is waited for, so that there are fewer than ten attempts in any second; the longest is
//! half a second, so that a node that listens again is found within that time.

use std::time::Duration;

use super::chance::fraction;

/// The longest delay after the first failure. It doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(500);

/// Failures in a row.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether the last attempt failed.
    pub(super) const fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// One more failure.
    pub(super) const fn grow(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// How long to wait before the next attempt.
    pub(super) fn delay(&self) -> Duration {
        self.longest().mul_f64(0.5 + fraction() / 2.0)
    }

    fn longest(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(8);
        FIRST.saturating_mul(1 << doublings).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_half_a_second_and_half_of_each_is_certain() {
        let mut backoff = Backoff::default();
        assert!(!backoff.is_on());
        for longest in [100, 200, 400, 500, 500].map(Duration::from_millis) {
            backoff.grow();
            let delays: Vec<_> = (0..200).map(|_| backoff.delay()).collect();
            assert!(delays.iter().all(|delay| (longest / 2..=longest).contains(delay)), "{delays:?}");
            let spread = delays.iter().max().unwrap().abs_diff(*delays.iter().min().unwrap());
            assert!(spread > longest / 4, "{delays:?}");
        }
        (0..100).for_each(|_| backoff.grow());
        assert!(backoff.delay() <= LONGEST);
    }
}
