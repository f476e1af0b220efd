//! When a call is late: a quantile of what recent calls of the chain took. Then it is hedged: asked again elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::metrics::Histogram;

/// Nineteen of twenty calls are faster.
const QUANTILE: f64 = 0.95;
/// Calls that are forgotten together.
const PERIOD: Duration = Duration::from_secs(10);
/// What is known from fewer calls is not trusted: then a call is late after this time.
const ENOUGH: u64 = 20;
const UNKNOWN: Duration = Duration::from_millis(500);
/// Below, chance decides; above, a caller has waited long enough.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(5);
/// A quantile is good for so long: it takes microseconds to find.
const FRESH: Duration = Duration::from_millis(100);

/// What recent calls took.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    begun: Instant,
    /// This period and the one before.
    current: Histogram,
    before: Histogram,
    /// What was found last, and when.
    late: Option<(Instant, Duration)>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let (current, before) = (Histogram::default(), Histogram::default());
        Self(Mutex::new(State { begun: now, current, before, late: None }))
    }

    /// A call took so long.
    pub(super) fn took(&self, time: Duration, now: Instant) {
        self.at(now).current.record(time);
    }

    /// After this time a call is late.
    pub(super) fn late_after(&self, now: Instant) -> Duration {
        let mut state = self.at(now);
        if let Some((_, late)) = state.late.filter(|(found, _)| now.saturating_duration_since(*found) < FRESH)
        {
            return late;
        }
        let periods = [&state.current, &state.before];
        let known = periods.into_iter().find(|calls| calls.count() >= ENOUGH);
        let quantile = known.and_then(|calls| calls.quantile(QUANTILE));
        let late = quantile.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let late = late.map_or(UNKNOWN, |late| late.clamp(SHORTEST, LONGEST));
        state.late = Some((now, late));
        late
    }

    /// What is known at `now`.
    fn at(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.begun);
        if passed >= PERIOD {
            let State { begun, current, before, .. } = &mut *state;
            *begun = now;
            std::mem::swap(current, before);
            current.clear();
            if passed >= 2 * PERIOD {
                before.clear();
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn paced(now: Instant, calls: u32, time: Duration) -> Pace {
        let pace = Pace::new(now);
        (0..calls).for_each(|_| pace.took(time, now));
        pace
    }

    #[test]
    fn a_call_is_late_when_nineteen_of_twenty_would_be_there() {
        let now = Instant::now();
        let pace = paced(now, 95, 20 * MS);
        (0..5).for_each(|_| pace.took(3000 * MS, now));
        assert!((19..=21).contains(&pace.late_after(now).as_millis()));
    }

    #[test]
    fn a_few_calls_say_nothing() {
        let now = Instant::now();
        assert_eq!(paced(now, 19, 20 * MS).late_after(now), UNKNOWN);
        assert_ne!(paced(now, 20, 20 * MS).late_after(now), UNKNOWN);
    }

    #[test]
    fn there_are_bounds_to_it() {
        let now = Instant::now();
        assert_eq!(paced(now, 20, MS / 100).late_after(now), SHORTEST);
        assert_eq!(paced(now, 20, 60_000 * MS).late_after(now), LONGEST);
    }

    #[test]
    fn old_calls_are_forgotten_after_two_periods() {
        let now = Instant::now();
        let pace = paced(now, 20, 20 * MS);
        assert_ne!(pace.late_after(now + PERIOD), UNKNOWN);
        assert_eq!(pace.late_after(now + 2 * PERIOD), UNKNOWN);
        let pace = paced(now, 20, 20 * MS);
        assert_eq!(pace.late_after(now + 2 * PERIOD), UNKNOWN);
    }
}
