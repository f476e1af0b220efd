//! How many blocks to ask for at a time, learned from what goes well and what is too much.

/// How many blocks are asked for at first. Providers allow 10 to 10,000 (November 2026), nodes of one's own all.
const FIRST: u64 = 9_999;
/// As many logs as an answer should have: some 3 MB, and half of the 10,000 that many providers give at most.
const AIM: u64 = 5_000;
/// After so many answers it is tried whether the node takes more than it did not take before.
const TRY_AGAIN: u32 = 64;

/// A number of blocks that grows as long as that goes well.
#[derive(Debug)]
pub(super) struct Width {
    now: u64,
    /// What has gone well, if anything has.
    good: Option<u64>,
    /// What has not.
    bad: Option<u64>,
    /// Whether anything has gone well since something did not.
    is_known: bool,
    /// Somebody asks for more than has gone well: whether that is too much is learned once.
    trying: Option<u64>,
    /// How many answers there were since something did not go well.
    streak: u32,
}

impl Default for Width {
    fn default() -> Self {
        Self { now: FIRST, good: None, bad: None, is_known: false, trying: None, streak: 0 }
    }
}

impl Width {
    /// How many blocks to ask for, while so many requests are under way. As long as nothing is known, one at a time.
    pub(super) fn offer(&self, under_way: usize) -> Option<u64> {
        if !self.is_known && under_way > 0 {
            return None;
        }
        Some(match self.good {
            Some(good) if good < self.now && self.trying.is_some() => good,
            _ => self.now,
        })
    }

    /// So many blocks are asked for.
    pub(super) fn asked(&mut self, blocks: u64) {
        if self.good.is_some_and(|good| good < blocks) {
            self.trying = Some(blocks);
        }
    }

    /// So many blocks had so many logs.
    pub(super) fn went_well(&mut self, blocks: u64, logs: u64) {
        self.is_known = true;
        self.tried(blocks);
        self.streak += 1;
        if self.streak >= TRY_AGAIN {
            self.streak = 0;
            self.bad = self.bad.map(|bad| bad.saturating_mul(2));
        }
        // The rest of a gap, or as many as an endpoint takes, does not tell what would be too much.
        if blocks < self.now || self.bad.is_some_and(|bad| bad <= blocks) {
            return;
        }
        self.good = Some(blocks);
        let most = match self.bad {
            // Half way, until that is a short way.
            Some(bad) if bad - blocks > blocks / 8 => blocks + (bad - blocks) / 2,
            Some(_) => blocks,
            None => blocks.saturating_mul(2),
        };
        let wanted = AIM.saturating_mul(blocks).checked_div(logs).unwrap_or(most);
        self.now = uneven(wanted.clamp(1, most));
    }

    /// So many blocks were too much; perhaps `instead` is not.
    pub(super) fn was_too_much(&mut self, blocks: u64, instead: u64) {
        self.tried(blocks);
        self.streak = 0;
        self.bad = Some(self.bad.map_or(blocks, |bad| bad.min(blocks)));
        self.good = self.good.filter(|good| *good < blocks);
        self.is_known = self.good.is_some();
        self.now = uneven(self.now.min(self.good.unwrap_or(0).max(instead)).max(1));
    }

    fn tried(&mut self, blocks: u64) {
        self.trying = self.trying.filter(|trying| *trying != blocks);
    }
}

/// A little less than many blocks. Where each has the same number of logs, that makes no round number of logs, which
/// would look like the most that a node gives.
pub(super) fn uneven(blocks: u64) -> u64 {
    let is_even = |blocks: &u64| blocks.is_multiple_of(2) || blocks.is_multiple_of(5);
    if blocks < 100 { blocks } else { (0..=blocks).rev().find(|blocks| !is_even(blocks)).unwrap_or(blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks one after the other for what is offered; a node takes up to `limit` blocks. How often it was too much.
    fn run(width: &mut Width, limit: u64, asks: usize) -> usize {
        let mut refused = 0;
        for _ in 0..asks {
            let blocks = width.offer(0).unwrap();
            width.asked(blocks);
            if blocks > limit {
                refused += 1;
                width.was_too_much(blocks, blocks / 2);
            } else {
                width.went_well(blocks, 0);
            }
        }
        refused
    }

    #[test]
    fn any_limit_is_found_and_nearly_reached() {
        for limit in [1, 3, 10, 100, 500, 2_000, 9_999, 10_000, 123_456] {
            let mut width = Width::default();
            assert!(run(&mut width, limit, 40) <= 20, "{limit}");
            let now = width.good.unwrap();
            assert!(limit - limit / 5 <= now && now <= limit, "{limit}: {now}");
            let refused = run(&mut width, limit, 1000);
            assert!(refused <= 60, "{limit}: {refused} of 1000");
        }
    }

    #[test]
    fn a_limit_that_is_lifted_is_noticed() {
        let mut width = Width::default();
        run(&mut width, 100, 50);
        run(&mut width, 100_000, 1000);
        assert!(width.now > 10_000, "{width:?}");
    }

    #[test]
    fn blocks_full_of_logs_are_asked_for_in_smaller_numbers() {
        let mut width = Width::default();
        width.went_well(FIRST, 50_000);
        assert_eq!(width.now, 999);
        for _ in 0..10 {
            width.went_well(width.now, 0);
        }
        assert!(width.now > 100_000);
    }

    #[test]
    fn one_asks_while_nothing_is_known_and_one_tries_more() {
        let mut width = Width::default();
        assert_eq!((width.offer(0), width.offer(1)), (Some(FIRST), None));
        width.went_well(FIRST, 0);
        let more = width.offer(3).unwrap();
        assert!(more > FIRST);
        width.asked(more);
        assert_eq!(width.offer(4), Some(FIRST));
        width.was_too_much(more, FIRST / 2);
        assert_eq!(width.offer(5), Some(FIRST));
        width.was_too_much(FIRST, FIRST / 2);
        assert_eq!((width.offer(4), width.offer(0)), (None, Some(FIRST / 2)));
    }

    #[test]
    fn the_same_number_of_logs_in_each_block_is_no_round_number() {
        for (blocks, expected) in [(1, 1), (10, 10), (100, 99), (500, 499), (2_000, 1_999), (9_995, 9_993)] {
            assert_eq!(uneven(blocks), expected);
        }
    }
}
