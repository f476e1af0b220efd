//! When to try again a server that did not answer: soon at first, less often the longer it lasts.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// After so long without a failure the next one counts as the first.
const HEALED: Duration = Duration::from_secs(10);

/// Stands between the limit and its server. Only one question at a time gets through while it is open.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// While it is open: the next try.
    retry: Option<Instant>,
    last_failure: Option<Instant>,
}

impl Breaker {
    /// When the server may be asked, if not at once.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.retry
    }

    pub(super) fn fail(&mut self, now: Instant) {
        if self.retry.is_none() && self.last_failure.is_some_and(|last| now - last > HEALED) {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures += 1;
        self.last_failure = Some(now);
        // Processes that lost the server together do not come back together.
        let jitter = RandomState::new().build_hasher().finish() % 256;
        self.retry = Some(now + pause / 2 + pause * u32::try_from(jitter).unwrap_or_default() / 512);
    }

    pub(super) fn succeed(&mut self) {
        self.retry = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after a failure at `now`.
    fn pause(breaker: &mut Breaker, now: Instant) -> Duration {
        breaker.fail(now);
        breaker.retry().unwrap() - now
    }

    #[test]
    fn pauses_grow_to_a_bound_and_shrink_only_after_a_time_without_failures() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert!(pause(&mut breaker, start) <= FIRST);
        for _ in 0..10 {
            pause(&mut breaker, start);
        }
        assert!(pause(&mut breaker, start) >= LONGEST / 2);
        assert!(pause(&mut breaker, start) <= LONGEST);
        breaker.succeed();
        assert_eq!(breaker.retry(), None);
        assert!(pause(&mut breaker, start + HEALED) >= LONGEST / 2, "one good answer heals nothing");
        breaker.succeed();
        assert!(pause(&mut breaker, start + HEALED * 3) <= FIRST);
    }
}
