//! The exact window: a log of what was admitted when, so that no window anywhere holds more than its maximum.
//!
//! Units are numbered in the order of their admission. With `max` units a window, unit `n` may follow as soon as unit
//! `n - max` has left, so one search in the log tells the earliest instant for any number of units.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Above this many units a window, admissions share entries, so that the log stays bounded.
const ENTRIES: u32 = 65_536;

/// Some units that leave together.
#[derive(Debug)]
struct Entry {
    /// One window after the last of them was admitted.
    leaves: Instant,
    /// The number of the last unit in it.
    end: u64,
}

/// The log of one limiter.
#[derive(Debug)]
pub(super) struct Window {
    max: u64,
    span: Duration,
    /// How long an entry takes further units after its first one; zero keeps every instant apart.
    quantum: Duration,
    log: VecDeque<Entry>,
    /// Until when the newest entry takes more.
    open_until: Instant,
    /// The number of the newest unit that was admitted.
    admitted: u64,
    /// The number of the newest unit that has left.
    left: u64,
}

impl Window {
    pub(super) fn new(max: u64, span: Duration) -> Self {
        let quantum = if max > u64::from(ENTRIES) { span / ENTRIES } else { Duration::ZERO };
        Self { max, span, quantum, log: VecDeque::new(), open_until: Instant::now(), admitted: 0, left: 0 }
    }

    /// From now on it holds at most `max` units. What was admitted still counts.
    pub(super) fn resize(&mut self, max: u64) {
        *self = Self {
            max,
            quantum: Self::new(max, self.span).quantum,
            log: std::mem::take(&mut self.log),
            ..*self
        };
    }

    /// How many units it holds at most.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// The number of the newest unit that was admitted.
    pub(super) fn admitted(&self) -> u64 {
        self.admitted
    }

    /// How long it takes at least until the last of `units` more can be admitted.
    pub(super) fn delay(&mut self, now: Instant, units: u64) -> Duration {
        self.expire(now);
        let awaited = (self.admitted + units).saturating_sub(self.max);
        if awaited <= self.left {
            return Duration::ZERO;
        }
        // A unit that is not admitted yet itself follows one that came a window earlier, and so on into the log.
        let windows = awaited.saturating_sub(self.admitted).div_ceil(self.max);
        let logged = awaited.saturating_sub(windows.saturating_mul(self.max));
        let rest = self.leaves(logged).map_or(Duration::ZERO, |leaves| leaves.saturating_duration_since(now));
        let windows = u32::try_from(windows).unwrap_or(u32::MAX);
        rest.saturating_add(self.span.saturating_mul(windows))
    }

    /// Count `units` as admitted at `now`. Their delay was zero, and finding that out has expired what is old.
    pub(super) fn stamp(&mut self, now: Instant, units: u64) {
        self.admitted += units;
        let leaves = now + self.span;
        match self.log.back_mut() {
            Some(newest) if leaves <= newest.leaves || now < self.open_until => {
                newest.leaves = newest.leaves.max(leaves);
                newest.end = self.admitted;
            }
            _ => {
                self.open_until = now + self.quantum;
                self.log.push_back(Entry { leaves, end: self.admitted });
            }
        }
    }

    /// Forget what has left: a stamp that is exactly one window old is outside.
    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.log.front()
            && oldest.leaves <= now
        {
            self.left = oldest.end;
            self.log.pop_front();
        }
    }

    /// When the admitted unit numbered `unit` leaves, unless it has left.
    pub(super) fn leaves(&self, unit: u64) -> Option<Instant> {
        if unit <= self.left {
            return None;
        }
        self.log.get(self.log.partition_point(|entry| entry.end < unit)).map(|entry| entry.leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The stamps of `seconds` of greedy use, in units of `amount`, tried every `step`.
    fn greedy(window: &mut Window, amount: u64, step: Duration, steps: u32) -> Vec<(Instant, u64)> {
        let start = Instant::now();
        let mut stamps = Vec::new();
        for n in 0..steps {
            let now = start + step * n;
            while window.delay(now, amount).is_zero() {
                window.stamp(now, amount);
                stamps.push((now, amount));
            }
        }
        stamps
    }

    /// The most units that any window holds.
    fn fullest(stamps: &[(Instant, u64)], span: Duration) -> u64 {
        let (mut first, mut held, mut most) = (0, 0, 0);
        for &(now, amount) in stamps {
            held += amount;
            while now - stamps[first].0 >= span {
                held -= stamps[first].1;
                first += 1;
            }
            most = most.max(held);
        }
        most
    }

    #[test]
    fn a_stamp_one_window_old_has_left_and_a_younger_one_has_not() {
        let mut window = Window::new(2, SECOND);
        let start = Instant::now();
        window.stamp(start, 2);
        assert_eq!(window.delay(start + SECOND - Duration::from_nanos(1), 1), Duration::from_nanos(1));
        assert_eq!(window.delay(start + SECOND, 2), Duration::ZERO);
    }

    #[test]
    fn the_delay_of_a_far_unit_counts_whole_windows() {
        let mut window = Window::new(10, SECOND);
        let start = Instant::now();
        assert_eq!(window.delay(start, 10), Duration::ZERO);
        assert_eq!(window.delay(start, 11), SECOND);
        assert_eq!(window.delay(start, 31), SECOND * 3);
        window.stamp(start, 4);
        window.stamp(start + SECOND / 2, 6);
        let now = start + SECOND / 2;
        assert_eq!(window.delay(now, 4), SECOND / 2);
        assert_eq!(window.delay(now, 5), SECOND);
        assert_eq!(window.delay(now, 24), SECOND / 2 + SECOND * 2);
    }

    #[test]
    fn an_endless_queue_has_an_endless_delay_instead_of_an_overflow() {
        let mut window = Window::new(1, SECOND * 86_400 * 366);
        assert!(window.delay(Instant::now(), u64::MAX / 2) > SECOND * u32::MAX);
    }

    #[test]
    fn units_that_share_an_entry_leave_with_the_last_of_them() {
        let max = 100_000;
        let mut window = Window::new(max, SECOND);
        let start = Instant::now();
        let last = start + window.quantum.checked_sub(Duration::from_nanos(1)).unwrap();
        window.stamp(start, 1);
        window.stamp(last, max - 1);
        assert_eq!(window.log.len(), 1);
        assert_eq!(window.delay(start + SECOND, 1), last - start);
        assert_eq!(window.delay(last + SECOND, max), Duration::ZERO);
    }

    #[test]
    fn a_fast_limiter_is_never_over_keeps_few_entries_and_is_hardly_late() {
        let max = 200_000;
        let mut window = Window::new(max, SECOND);
        let mut log = 0;
        let start = Instant::now();
        let mut stamps = Vec::new();
        for n in 0..800_000_u32 {
            let now = start + Duration::from_nanos(4_001) * n;
            if window.delay(now, 1).is_zero() {
                window.stamp(now, 1);
                stamps.push((now, 1));
            }
            log = log.max(window.log.len());
        }
        assert!(fullest(&stamps, SECOND) <= max);
        assert!(log <= ENTRIES as usize + 2, "{log} entries");
        let late = window.quantum + Duration::from_nanos(4_001);
        for pair in stamps.windows(usize::try_from(max).unwrap() + 1) {
            assert!(pair[pair.len() - 1].0 - pair[0].0 <= SECOND + late);
        }
        assert!(stamps.len() > 600_000, "{} served", stamps.len());
    }

    #[test]
    fn weights_fill_the_window_to_the_last_unit() {
        let mut window = Window::new(100, SECOND);
        let stamps = greedy(&mut window, 5, Duration::from_millis(7), 500);
        assert_eq!(fullest(&stamps, SECOND), 100);
    }
}
