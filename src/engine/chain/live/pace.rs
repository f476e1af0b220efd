//! How fast a chain goes, and how often to look for its next block.

use std::time::Duration;

use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// The time from one block to the next is looked at so many times.
const LOOKS: u32 = 4;
/// Who tells of new blocks and says nothing for so many blocks' time may have gone deaf.
const QUIET: u32 = 4;
const QUIET_FROM: Duration = Duration::from_secs(2);
const QUIET_TO: Duration = Duration::from_mins(1);

/// The pace of a chain.
#[derive(Debug)]
pub(super) struct Pace {
    last: Option<(u64, Instant)>,
    /// The time that a block takes, as an average in which the last one counts for a quarter.
    each: Duration,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { last: None, each: Duration::from_secs(1) }
    }

    /// The newest block is this one.
    pub(super) fn saw(&mut self, number: u64, now: Instant) {
        if let Some((last, at)) = self.last {
            if number <= last {
                // A node that lags, or is on another branch: blocks do not come faster where nodes disagree. When that
                // lasts, the chain has begun anew.
                if now.duration_since(at) >= QUIET_TO {
                    self.last = Some((number, now));
                }
                return;
            }
            let count = u32::try_from(number.saturating_sub(last)).unwrap_or(u32::MAX).max(1);
            self.each = (self.each * 3 + now.duration_since(at) / count) / 4;
        }
        self.last = Some((number, now));
    }

    /// When the newest block was seen.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last.map(|(_, at)| at)
    }

    /// How long to wait before the next look. Where blocks fail to come, ever longer.
    pub(super) fn interval(&self, now: Instant) -> Duration {
        let since = self.last.map_or(Duration::ZERO, |(_, at)| now.duration_since(at));
        (self.each.max(since) / LOOKS).clamp(SHORTEST, LONGEST)
    }

    /// For how long it is no wonder that nothing is heard.
    pub(super) fn quiet(&self) -> Duration {
        self.each.saturating_mul(QUIET).clamp(QUIET_FROM, QUIET_TO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A chain that makes so many blocks, one each so often.
    fn after(blocks: u64, each: Duration) -> (Pace, Instant) {
        let (mut pace, mut now) = (Pace::new(), Instant::now());
        for number in 0..blocks {
            pace.saw(number, now);
            now += each;
        }
        (pace, now - each)
    }

    #[test]
    fn a_chain_is_looked_at_four_times_a_block_within_bounds() {
        for (each, interval, quiet) in [
            (1, 50, 2_000),
            (400, 100, 2_000),
            (4_000, 1_000, 16_000),
            (12_000, 2_000, 48_000),
            (600_000, 2_000, 60_000),
        ] {
            let (pace, now) = after(50, each * MS);
            let found = pace.interval(now);
            assert!(found.abs_diff(interval * MS) < MS, "{each}: {found:?}");
            assert!(pace.quiet().abs_diff(quiet * MS) < 50 * MS, "{each}: {:?}", pace.quiet());
        }
    }

    #[test]
    fn several_blocks_at_a_time_are_as_many() {
        let (mut pace, mut now) = after(1, MS);
        for number in 1..50 {
            now += 4_000 * MS;
            pace.saw(number * 10, now);
        }
        assert!(pace.interval(now).abs_diff(100 * MS) < 5 * MS);
    }

    #[test]
    fn a_block_that_is_no_newer_does_not_make_a_chain_faster() {
        let (mut pace, mut now) = after(50, 4_000 * MS);
        for _ in 0..100 {
            now += 10 * MS;
            pace.saw(48, now);
            pace.saw(49, now);
        }
        assert!(pace.interval(now).abs_diff(1_000 * MS) < MS, "{pace:?}");
        pace.saw(10, now + QUIET_TO);
        assert_eq!(pace.last(), Some(now + QUIET_TO));
    }

    #[test]
    fn where_no_block_comes_looks_become_rare() {
        let (pace, now) = after(50, 200 * MS);
        for (since, interval) in [(0, 50), (4_000, 1_000), (60_000, 2_000)] {
            let found = pace.interval(now + since * MS);
            assert!(found.abs_diff(interval * MS) < MS, "{since}: {found:?}");
        }
    }
}
