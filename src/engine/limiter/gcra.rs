//! The smooth limit: a bucket of `burst` units that refills steadily. The arithmetic is governor's.
//!
//! governor asks a clock for the time and a store for its state. Both are ours here: the limiter's one `now` is set
//! by hand, and a question may be asked without being counted.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// What governor reads and writes, in nanoseconds since the limiter was made. The limiter's lock guards both.
#[derive(Debug, Clone, Default)]
struct Hands(Arc<(AtomicU64, AtomicU64)>);

impl Hands {
    fn now(&self) -> &AtomicU64 {
        &self.0.0
    }

    /// When the bucket will be full again.
    fn full_at(&self) -> &AtomicU64 {
        &self.0.1
    }
}

impl Clock for Hands {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.now().load(Ordering::Relaxed).into()
    }
}

impl StateStore for Hands {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, full_at) = decide(Some(self.full_at().load(Ordering::Relaxed).into()))?;
        self.full_at().store(full_at.as_u64(), Ordering::Relaxed);
        Ok(answer)
    }
}

/// The bucket of one limiter.
#[derive(Debug)]
pub(super) struct Gcra {
    governor: RateLimiter<NotKeyed, Hands, Hands, NoOpMiddleware<Nanos>>,
    hands: Hands,
    burst: NonZeroU32,
    interval: Duration,
    made: Instant,
}

impl Gcra {
    /// A full bucket; `None` if a unit would take no time or the bucket more than `longest` to refill.
    pub(super) fn new(max: u64, span: Duration, burst: u64, longest: Duration) -> Option<Self> {
        // Rounded up, so that the rate is never above what was asked for.
        let interval = u64::try_from(span.as_nanos().div_ceil(u128::from(max))).ok()?;
        let burst = NonZeroU32::new(u32::try_from(burst).ok()?)?;
        let refill = interval.checked_mul(u64::from(burst.get()))?;
        let interval = Duration::from_nanos(interval);
        let quota = Quota::with_period(interval)?.allow_burst(burst);
        let hands = Hands::default();
        let governor = RateLimiter::new(quota, hands.clone(), hands.clone());
        (Duration::from_nanos(refill) <= longest).then(|| Self {
            governor,
            hands,
            burst,
            interval,
            made: Instant::now(),
        })
    }

    /// How long it takes at least until the last of `units` more can be admitted.
    pub(super) fn delay(&mut self, now: Instant, units: u64) -> Duration {
        let full_at = self.hands.full_at().load(Ordering::Relaxed);
        let wait = self.take(now, units);
        self.hands.full_at().store(full_at, Ordering::Relaxed);
        let excess = units.saturating_sub(u64::from(self.burst.get()));
        if excess == 0 {
            return wait;
        }
        // The bucket empties before the rest has its turn: what is beyond it drips.
        let empty = Duration::from_nanos(full_at.saturating_sub(self.since_made(now)));
        let drops = u32::try_from(excess).unwrap_or(u32::MAX);
        empty.saturating_add(self.interval.saturating_mul(drops))
    }

    /// Count `units` as admitted at `now`.
    pub(super) fn stamp(&mut self, now: Instant, units: u64) {
        let wait = self.take(now, units);
        debug_assert!(wait.is_zero(), "units were granted that the bucket does not hold");
    }

    /// Take `units`, or as many as the bucket can ever hold, or say how long that must wait.
    fn take(&mut self, now: Instant, units: u64) -> Duration {
        let elapsed = self.since_made(now);
        self.hands.now().store(elapsed, Ordering::Relaxed);
        let cells = u32::try_from(units).ok().and_then(NonZeroU32::new).unwrap_or(self.burst);
        match self.governor.check_n(cells.min(self.burst)) {
            Ok(Ok(())) => Duration::ZERO,
            Ok(Err(later)) => later.wait_time_from(elapsed.into()),
            // Cannot be, as no more than the burst is ever asked for.
            Err(_) => self.interval,
        }
    }

    fn since_made(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.made).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_full_bucket_gives_exactly_its_burst_and_then_one_unit_each_interval() {
        let mut bucket = Gcra::new(10, SECOND, 5, SECOND * 60).unwrap();
        let start = Instant::now();
        let mut stamps = Vec::new();
        for millisecond in 0..1_000_u64 {
            let now = start + Duration::from_millis(millisecond);
            while bucket.delay(now, 1).is_zero() {
                bucket.stamp(now, 1);
                stamps.push(millisecond);
            }
        }
        assert_eq!(stamps, [0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn asking_costs_nothing_and_answers_to_the_nanosecond() {
        let mut bucket = Gcra::new(10, SECOND, 5, SECOND * 60).unwrap();
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(bucket.delay(start, 5), Duration::ZERO);
        }
        assert_eq!(bucket.delay(start, 8), Duration::from_millis(300));
        bucket.stamp(start, 4);
        assert_eq!(bucket.delay(start, 3), Duration::from_millis(200));
        assert_eq!(bucket.delay(start, 7), Duration::from_millis(600));
        let idle = start + SECOND * 30;
        assert_eq!(bucket.delay(idle, 5), Duration::ZERO);
        assert_eq!(bucket.delay(idle, 6), Duration::from_millis(100));
    }

    #[test]
    fn the_steady_rate_is_never_above_the_one_asked_for() {
        let mut bucket = Gcra::new(3, SECOND, 1, SECOND * 60).unwrap();
        let start = Instant::now();
        bucket.stamp(start, 1);
        let third = bucket.delay(start, 3);
        assert!(third >= SECOND && third <= SECOND + Duration::from_nanos(3), "{third:?}");
    }

    #[test]
    fn a_bucket_that_takes_too_long_to_refill_is_refused() {
        assert!(Gcra::new(1, SECOND, 61, SECOND * 60).is_none());
        assert!(Gcra::new(1, SECOND, 60, SECOND * 60).is_some());
    }
}
