//! How an endpoint does: a peak-sensitive moving average of what its answers took, by method, and what it carries now.
//!
//! Finagle's Peak EWMA: a slower answer counts at once, faster ones win the trust back over time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After this time an observation counts for about a third.
const DECAY: Duration = Duration::from_secs(3);
/// What a failure counts as.
const PENALTY: Duration = Duration::from_secs(1);
/// How many methods are told apart at most; the others go by the average of all.
const METHODS: usize = 128;

/// The score of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Score {
    in_flight: AtomicUsize,
    averages: Mutex<Averages>,
}

#[derive(Debug, Default)]
struct Averages {
    all: Option<Average>,
    methods: HashMap<Box<str>, Average>,
}

#[derive(Debug, Clone, Copy)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl Score {
    /// A request is sent to it, until the guard is dropped.
    pub(super) fn carry(&self) -> Carried<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Carried(self)
    }

    /// An answer to `method` took so long.
    pub(super) fn took(&self, method: &str, time: Duration, now: Instant) {
        let mut averages = self.lock();
        averages.all = Some(Average::after(averages.all, time, now));
        let known = averages.methods.get(method).copied();
        if known.is_some() || averages.methods.len() < METHODS {
            let average = Average::after(known, time, now);
            match averages.methods.get_mut(method) {
                Some(known) => *known = average,
                None => drop(averages.methods.insert(method.into(), average)),
            }
        }
    }

    /// A call of `method` failed.
    pub(super) fn failed(&self, method: &str, now: Instant) {
        self.took(method, PENALTY, now);
    }

    /// Forget everything: the endpoint was away.
    pub(super) fn forget(&self) {
        *self.lock() = Averages::default();
    }

    /// What one more call of `method` is expected to cost; an endpoint that nobody has tried costs nothing.
    pub(super) fn cost(&self, method: &str, now: Instant) -> f64 {
        let averages = self.lock();
        let average = averages.methods.get(method).copied().or(averages.all);
        drop(averages);
        // A count of requests in flight is far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let load = (self.in_flight.load(Ordering::Relaxed) + 1) as f64;
        average.map_or(0.0, |average| average.now(now) * load)
    }

    /// The average of `method`, or of all where it is not known.
    pub(super) fn usual(&self, method: &str) -> Duration {
        let averages = self.lock();
        let average = averages.methods.get(method).or(averages.all.as_ref());
        average.and_then(|average| Duration::try_from_secs_f64(average.seconds).ok()).unwrap_or_default()
    }

    /// The average over all methods.
    pub(super) fn average(&self) -> Option<Duration> {
        self.lock().all.and_then(|average| Duration::try_from_secs_f64(average.seconds).ok())
    }

    fn lock(&self) -> MutexGuard<'_, Averages> {
        self.averages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Average {
    fn after(before: Option<Self>, time: Duration, now: Instant) -> Self {
        let seconds = time.as_secs_f64();
        let Some(before) = before else { return Self { seconds, at: now } };
        let weight = before.weight(now);
        let smooth = before.seconds * weight + seconds * (1.0 - weight);
        Self { seconds: seconds.max(smooth), at: now }
    }

    /// A bad time is forgotten by and by, or nobody would ever try again.
    fn now(self, now: Instant) -> f64 {
        self.seconds * self.weight(now)
    }

    fn weight(self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Carried<'a>(&'a Score);

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(10);
    const SLOW: Duration = Duration::from_millis(500);

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let (score, now) = (Score::default(), Instant::now());
        (0..100).for_each(|_| score.took("a", FAST, now));
        assert!((score.cost("a", now) - 0.01).abs() < 1e-9);
        score.took("a", SLOW, now);
        assert!((score.cost("a", now) - 0.5).abs() < 1e-9);
        (0..100).for_each(|step| score.took("a", FAST, now + Duration::from_millis(10 * step)));
        assert!(score.cost("a", now + Duration::from_secs(1)) > 0.1);
        let later = now + Duration::from_secs(30);
        score.took("a", FAST, later);
        assert!(score.cost("a", later) < 0.011);
    }

    #[test]
    fn what_it_carries_makes_it_dearer_until_it_is_done() {
        let (score, now) = (Score::default(), Instant::now());
        score.took("a", FAST, now);
        let carried = [score.carry(), score.carry()];
        assert!((score.cost("a", now) - 0.03).abs() < 1e-9);
        drop(carried);
        assert!((score.cost("a", now) - 0.01).abs() < 1e-9);
    }

    #[test]
    fn methods_are_told_apart_and_an_unknown_one_goes_by_all() {
        let (score, now) = (Score::default(), Instant::now());
        assert!(score.cost("a", now) < 1e-9);
        score.took("a", FAST, now);
        score.took("b", SLOW, now);
        assert!(score.cost("a", now) < 0.02 && score.cost("b", now) > 0.4 && score.cost("c", now) > 0.4);
        score.failed("a", now);
        assert!(score.cost("a", now) > 0.9);
    }

    #[test]
    fn the_memory_of_methods_is_bounded() {
        let (score, now) = (Score::default(), Instant::now());
        (0..10 * METHODS).for_each(|number| score.took(&number.to_string(), FAST, now));
        assert_eq!(score.lock().methods.len(), METHODS);
    }
}
