//! How long things took: counts by duration, from a microsecond to an hour, with quantiles within 1 %.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram as Counts;

use super::float;

/// Two significant digits: the bucket of a duration is less than 1 % wide.
const DIGITS: u8 = 2;

/// The longest duration that is told apart from longer ones.
pub(super) const LONGEST: Duration = Duration::from_hours(1);

/// A histogram of durations. What took more than an hour counts as an hour.
#[derive(Debug, Default)]
pub struct Histogram(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts of microseconds. They take 26 kB, so they are made at the first record: many histograms stay
    /// empty.
    counts: Option<Counts<u64>>,
    sum: Duration,
    max: Duration,
}

/// What a histogram holds, in seconds. All zero if it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Summary {
    /// How many durations.
    pub count: u64,
    /// All of them together.
    pub sum: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// Ninety-nine of a hundred took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Summary {
    /// The average, or `None` if there was nothing.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / float(self.count))
    }
}

impl Histogram {
    /// Count one duration.
    pub fn record(&self, duration: Duration) {
        let duration = duration.min(LONGEST);
        let mut state = self.state();
        state.sum = state.sum.saturating_add(duration);
        state.max = state.max.max(duration);
        if let Some(counts) = state.counts_mut() {
            counts.saturating_record(micros(duration));
        }
    }

    /// Forget everything.
    pub fn clear(&self) {
        let mut state = self.state();
        state.sum = Duration::ZERO;
        state.max = Duration::ZERO;
        if let Some(counts) = &mut state.counts {
            counts.reset();
        }
    }

    /// Count everything that `other`, another histogram, holds.
    pub fn merge(&self, other: &Self) {
        let other = other.state();
        let mut state = self.state();
        state.sum = state.sum.saturating_add(other.sum);
        state.max = state.max.max(other.max);
        if let (Some(theirs), Some(counts)) = (&other.counts, state.counts_mut()) {
            // All histograms have the same bounds, and only different ones cannot be added.
            counts.add(theirs).ok();
        }
    }

    /// The duration that a share `q` (0 to 1) of all took no longer than, in seconds; `None` if there was
    /// nothing.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let state = self.state();
        (state.len() > 0).then(|| state.quantile(q))
    }

    /// How many durations were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state().len()
    }

    /// Count, sum, quantiles and maximum of one instant.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let state = self.state();
        Summary {
            count: state.len(),
            sum: state.sum.as_secs_f64(),
            p50: state.quantile(0.5),
            p90: state.quantile(0.9),
            p99: state.quantile(0.99),
            max: state.max.as_secs_f64(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn counts_mut(&mut self) -> Option<&mut Counts<u64>> {
        if self.counts.is_none() {
            self.counts = Counts::new_with_bounds(1, micros(LONGEST), DIGITS).ok();
        }
        self.counts.as_mut()
    }

    fn len(&self) -> u64 {
        self.counts.as_ref().map_or(0, Counts::len)
    }

    /// A bucket reports its upper edge, which may lie above everything that was recorded.
    fn quantile(&self, q: f64) -> f64 {
        let value = self.counts.as_ref().map_or(0, |counts| counts.value_at_quantile(q));
        Duration::from_micros(value).min(self.max).as_secs_f64()
    }
}

/// Whole microseconds, rounded to the nearest.
fn micros(duration: Duration) -> u64 {
    let rounded = duration.saturating_add(Duration::from_nanos(500));
    u64::try_from(rounded.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    fn assert_within_a_percent(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 0.01, "{value} is not within 1 % of {expected}");
    }

    #[test]
    fn quantiles_are_within_a_percent_from_a_tenth_of_a_millisecond_to_an_hour() {
        for unit in [1e-7, 1e-5, 1e-3, 0.36] {
            let histogram = Histogram::default();
            for n in 1..=10_000 {
                histogram.record(Duration::from_secs_f64(unit * f64::from(n)));
            }
            let summary = histogram.summary();
            assert_eq!(summary.count, 10_000);
            assert_within_a_percent(summary.p50, unit * 5_000.0);
            assert_within_a_percent(summary.p90, unit * 9_000.0);
            assert_within_a_percent(summary.p99, unit * 9_900.0);
            assert_within_a_percent(summary.max, unit * 10_000.0);
            assert_within_a_percent(summary.mean().unwrap(), unit * 5_000.5);
            assert_within_a_percent(histogram.quantile(0.25).unwrap(), unit * 2_500.0);
        }
    }

    #[test]
    fn microseconds_are_told_apart() {
        let histogram = Histogram::default();
        (1..=3).for_each(|n| histogram.record(Duration::from_micros(n)));
        assert_eq!([0.0, 0.5, 1.0].map(|q| histogram.quantile(q)), [Some(1e-6), Some(2e-6), Some(3e-6)]);
    }

    #[test]
    fn no_quantile_is_above_the_longest_duration() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1001));
        assert_eq!(histogram.quantile(1.0), Some(1.001));
        assert_eq!(histogram.summary().p50, 1.001);
    }

    #[test]
    fn more_than_an_hour_counts_as_an_hour() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        let summary = histogram.summary();
        assert_eq!((summary.p50, summary.max, summary.sum), (3600.0, 3600.0, 3600.0));
    }

    #[test]
    fn an_empty_histogram_has_no_quantile_and_no_mean() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        assert_eq!(histogram.summary(), Summary::default());
        assert_eq!(histogram.summary().mean(), None);
    }

    #[test]
    fn histograms_add_up_and_can_be_cleared() {
        let (left, right) = (Histogram::default(), Histogram::default());
        left.record(Duration::from_secs(1));
        right.record(Duration::from_secs(3));
        left.merge(&right);
        let summary = left.summary();
        assert_eq!((summary.count, summary.sum, summary.max), (2, 4.0, 3.0));
        left.clear();
        assert_eq!(left.summary(), Summary::default());
        left.record(Duration::from_secs(2));
        assert_eq!(left.quantile(1.0), Some(2.0));
        assert_eq!(right.count(), 1);
    }
}
