//! The last minute: how many operations there were, how many errors, and how long the operations took.

use std::time::Duration;

use tokio::time::Instant;

use super::{Histogram, float};

/// Counts are kept for each second.
const SECONDS: usize = 60;

/// Durations are kept for each ten seconds: a histogram is too large to have one a second.
const TENS: usize = 6;

/// The operations and errors of the last minute.
#[derive(Debug)]
pub(super) struct Recent {
    start: Instant,
    counts: Ring<Tally, SECONDS>,
    durations: Ring<Histogram, TENS>,
}

#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    errors: u64,
}

impl Recent {
    pub fn new() -> Self {
        Self { start: Instant::now(), counts: Ring::default(), durations: Ring::default() }
    }

    pub fn record_duration(&mut self, duration: Duration) {
        let second = self.second();
        self.counts.slot(second, |tally| *tally = Tally::default()).operations += 1;
        self.durations.slot(second / 10, |histogram| histogram.clear()).record(duration);
    }

    pub fn record_error(&mut self) {
        let second = self.second();
        self.counts.slot(second, |tally| *tally = Tally::default()).errors += 1;
    }

    /// Errors divided by operations. An error whose duration was not recorded is an operation all the same.
    pub fn error_rate(&self) -> f64 {
        let (mut operations, mut errors) = (0, 0);
        for tally in self.counts.live(self.second()) {
            operations += tally.operations;
            errors += tally.errors;
        }
        if errors == 0 { 0.0 } else { float(errors) / float(errors.max(operations)) }
    }

    pub fn quantile(&self, q: f64) -> Option<f64> {
        let all = Histogram::default();
        self.durations.live(self.second() / 10).for_each(|part| all.merge(part));
        all.quantile(q)
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }
}

/// The last `N` periods, each in a slot that is used again when it is too old to matter.
#[derive(Debug)]
struct Ring<T, const N: usize>([(u64, T); N]);

impl<T: Default, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| (0, T::default())))
    }
}

impl<T, const N: usize> Ring<T, N> {
    /// The slot of this period; what an earlier one left there is cleared first.
    fn slot(&mut self, period: u64, clear: impl FnOnce(&mut T)) -> &mut T {
        let (since, content) = &mut self.0[usize::try_from(period % N as u64).unwrap_or(0)];
        if *since != period {
            *since = period;
            clear(content);
        }
        content
    }

    /// What belongs to this period and the `N - 1` before it.
    fn live(&self, period: u64) -> impl Iterator<Item = &T> {
        let age = move |since: &u64| period.saturating_sub(*since);
        self.0.iter().filter(move |(since, _)| age(since) < N as u64).map(|(_, content)| content)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use tokio::time::advance;

    use super::*;

    async fn pass(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_rate_is_that_of_the_last_minute() {
        let mut recent = Recent::new();
        assert_eq!(recent.error_rate(), 0.0);
        (0..4).for_each(|_| recent.record_duration(Duration::ZERO));
        recent.record_error();
        assert_eq!(recent.error_rate(), 0.25);
        pass(30).await;
        (0..4).for_each(|_| recent.record_duration(Duration::ZERO));
        assert_eq!(recent.error_rate(), 0.125);
        pass(29).await;
        assert_eq!(recent.error_rate(), 0.125);
        pass(1).await;
        assert_eq!(recent.error_rate(), 0.0);
        recent.record_error();
        assert_eq!(recent.error_rate(), 0.25);
        pass(30).await;
        assert_eq!(recent.error_rate(), 1.0);
        pass(3600).await;
        assert_eq!(recent.error_rate(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_without_durations_never_make_a_rate_above_one() {
        let mut recent = Recent::new();
        recent.record_duration(Duration::ZERO);
        (0..3).for_each(|_| recent.record_error());
        assert_eq!(recent.error_rate(), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn durations_of_more_than_a_minute_ago_are_forgotten() {
        let mut recent = Recent::new();
        assert_eq!(recent.quantile(0.5), None);
        (0..10).for_each(|_| recent.record_duration(Duration::from_secs(8)));
        pass(45).await;
        recent.record_duration(Duration::from_secs(1));
        assert_eq!(recent.quantile(0.99), Some(8.0));
        pass(15).await;
        assert_eq!(recent.quantile(0.99), Some(1.0));
        recent.record_duration(Duration::from_secs(2));
        assert_eq!(recent.quantile(0.99), Some(2.0));
        pass(60).await;
        assert_eq!(recent.quantile(0.99), None);
    }
}
