//! The limit that nobody has told: found by asking. Additive increase while callers want more, multiplicative decrease
//! when the other side refuses, as TCP shares a line.
//!
//! Units go on in even steps, so that no window of the other side, wherever it begins, holds more than the rate says.

use std::time::Duration;

use tokio::time::Instant;

/// Where the search begins, in units a second: nearly every service allows that.
const FIRST: f64 = 10.0;
/// One unit in a minute, and a billion a second.
const RATES: std::ops::RangeInclusive<f64> = (1.0 / 60.0)..=1e9;
/// Until the first refusal the rate doubles in a second.
const DOUBLING: f64 = 2.0;
/// The first refusal comes when a second held more than the limit. At a rate that doubles in a second, the second holds
/// 1/(2 ln 2) = 0.72 of what the rate is by then; a little less is sure to be below.
const FIRST_CUT: f64 = 0.65;
/// What a refusal leaves of the rate once it is known about,
const CUT: f64 = 0.95;
/// and one that follows another soon: the limit has changed.
const CUT_AGAIN: f64 = 0.7;
const SOON: Duration = Duration::from_millis(2500);
/// What was on its way when the rate was cut is refused, too, and says nothing new.
const STORM: Duration = Duration::from_millis(950);
/// How much the rate grows in a second near the rate that was refused last,
const GROWTH: f64 = 1.0025;
const NEAR: f64 = 0.93;
/// and below it, or when there was no refusal for so long: the limit must have grown.
const SEARCH: f64 = 1.05;
const QUIET: Duration = Duration::from_secs(30);
/// By how much a unit may be early: timers are that coarse.
const EARLY: Duration = Duration::from_millis(5);

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    /// Units a second.
    pub rate: f64,
    /// How often it was too fast.
    pub refusals: u64,
}

/// The pace of one limiter.
#[derive(Debug)]
pub(super) struct Pace {
    learned: Learned,
    /// When the next unit is due.
    due: Instant,
    /// When the rate was last made to grow.
    grown: Instant,
    /// When it was last cut, and what it was before.
    cut: Option<(Instant, f64)>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { learned: Learned { rate: FIRST, refusals: 0 }, due: now, grown: now, cut: None }
    }

    pub(super) fn learned(&self) -> Learned {
        self.learned
    }

    /// How long it takes until the last of `units` more can be admitted.
    pub(super) fn delay(&self, now: Instant, units: u64) -> Duration {
        let last = self.due + self.time_of(units.saturating_sub(1));
        last.saturating_duration_since(now + EARLY)
    }

    pub(super) fn stamp(&mut self, now: Instant, units: u64) {
        // Whoever comes later than it was due does not want more.
        let is_wanted = self.due + EARLY.max(self.time_of(1)) >= now;
        let passed = now.saturating_duration_since(self.grown).min(Duration::from_secs(1));
        self.grown = now;
        if is_wanted {
            let growth = match self.cut {
                None => DOUBLING,
                Some((cut, _)) if now.saturating_duration_since(cut) > QUIET => SEARCH,
                Some((_, refused)) if self.learned.rate < refused * NEAR => SEARCH,
                Some(_) => GROWTH,
            };
            self.set(self.learned.rate * growth.powf(passed.as_secs_f64()));
        }
        self.due = self.due.max(now) + self.time_of(units);
    }

    /// The other side has refused a call for its rate.
    pub(super) fn refused(&mut self, now: Instant) {
        let since = self.cut.map(|(cut, _)| now.saturating_duration_since(cut));
        if since.is_some_and(|since| since < STORM) {
            return;
        }
        let left = match since {
            None => FIRST_CUT,
            Some(since) if since < SOON => CUT_AGAIN,
            Some(_) => CUT,
        };
        let refused = self.learned.rate;
        self.set(refused * left);
        self.learned.refusals += 1;
        // The first refused rate is far above the limit.
        let refused = if since.is_none() { self.learned.rate } else { refused };
        (self.cut, self.grown, self.due) = (Some((now, refused)), now, self.due.max(now));
    }

    fn set(&mut self, rate: f64) {
        self.learned.rate = rate.clamp(*RATES.start(), *RATES.end());
    }

    #[allow(clippy::cast_precision_loss)]
    fn time_of(&self, units: u64) -> Duration {
        Duration::from_secs_f64(units as f64 / self.learned.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limiter::window::Window;

    const SECOND: Duration = Duration::from_secs(1);
    /// A refusal is followed by a pause of the endpoint's, when it says no other.
    const PAUSE: Duration = SECOND;
    const WAY: Duration = Duration::from_millis(20);

    /// A service that allows so many units in any second, and callers who always want more.
    struct World {
        pace: Pace,
        now: Instant,
        limit: Window,
    }

    /// What came of some time.
    #[derive(Debug, Default)]
    struct Outcome {
        sent: u32,
        refused: u32,
    }

    impl World {
        fn new(limit: u64) -> Self {
            let now = Instant::now();
            Self { pace: Pace::new(now), now, limit: Window::new(limit, SECOND) }
        }

        fn run(&mut self, seconds: u32) -> Outcome {
            let (end, mut outcome) = (self.now + SECOND * seconds, Outcome::default());
            let mut news = std::collections::VecDeque::new();
            while self.now < end {
                self.now += self.pace.delay(self.now, 1);
                let mut heard = None;
                while let Some(&at) = news.front()
                    && at <= self.now
                {
                    news.pop_front();
                    self.pace.refused(at);
                    heard = Some(at);
                }
                // Nothing is sent while the endpoint is left alone.
                self.now = heard.map_or(self.now, |at| self.now.max(at + PAUSE));
                self.pace.stamp(self.now, 1);
                outcome.sent += 1;
                if self.limit.delay(self.now, 1).is_zero() {
                    self.limit.stamp(self.now, 1);
                } else {
                    outcome.refused += 1;
                    news.push_back(self.now + WAY);
                }
            }
            outcome
        }

        fn used(&mut self, seconds: u32) -> (f64, f64) {
            let outcome = self.run(seconds);
            let good = f64::from(outcome.sent - outcome.refused);
            let limit = u32::try_from(self.limit.max()).unwrap();
            (good / f64::from(limit * seconds), f64::from(outcome.refused) / f64::from(outcome.sent))
        }
    }

    #[test]
    fn the_limit_is_found_and_nearly_all_of_it_used() {
        for limit in [5, 7, 25, 50, 300, 1000, 5000] {
            let mut world = World::new(limit);
            world.run(60);
            let (used, refused) = world.used(300);
            assert!(used > 0.9 && used <= 1.0 && refused < 0.02, "{limit}: {used} used, {refused} refused");
        }
    }

    #[test]
    fn a_limit_that_changes_is_followed() {
        for (before, after, seconds) in [(100, 50, 10), (100, 200, 75), (1000, 100, 15)] {
            let mut world = World::new(before);
            world.run(120);
            world.limit = Window::new(after, SECOND);
            world.run(seconds);
            let (used, refused) = world.used(60);
            assert!(used > 0.9 && refused < 0.02, "{before} to {after}: {used} used, {refused} refused");
        }
    }

    #[test]
    fn one_storm_counts_once_and_idle_callers_teach_nothing() {
        let mut pace = Pace::new(Instant::now());
        let now = Instant::now() + SECOND;
        for _ in 0..100 {
            pace.refused(now);
        }
        assert_eq!(pace.learned(), Learned { rate: FIRST * FIRST_CUT, refusals: 1 });
        for minute in 1..100 {
            pace.stamp(now + minute * Duration::from_mins(1), 1);
        }
        assert_eq!(pace.learned(), Learned { rate: FIRST * FIRST_CUT, refusals: 1 });
    }

    #[test]
    fn it_never_stops_altogether() {
        let (mut pace, mut now) = (Pace::new(Instant::now()), Instant::now());
        for _ in 0..1000 {
            now += SECOND;
            pace.refused(now);
        }
        assert!(pace.delay(now, 1) <= Duration::from_mins(1));
    }
}
