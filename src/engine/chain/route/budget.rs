//! A budget for what is sent besides the callers' own requests: a share of them, so that retries cannot melt a node.

use std::sync::atomic::{AtomicI64, Ordering};

/// Thousandths, so that a share of one request is a whole number.
const ONE: i64 = 1000;

/// A bucket that every call fills by a share, and every extra one empties by a whole.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicI64,
    share: i64,
    most: i64,
}

impl Budget {
    /// Extra calls up to `per_thousand` of a thousand, in bursts of at most `burst`.
    pub(super) const fn new(per_thousand: i64, burst: i64) -> Self {
        Self { left: AtomicI64::new(burst * ONE), share: per_thousand, most: burst * ONE }
    }

    /// A caller made so many calls.
    pub(super) fn earn(&self, calls: usize) {
        // A full bucket is the usual case, and only looked at.
        if self.left.load(Ordering::Relaxed) < self.most {
            let earned = i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(self.share).min(self.most);
            let fill = |left: i64| Some((left + earned).min(self.most));
            let _always = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill);
        }
    }

    /// Whether so many more may be made; if so they are paid for. More than a burst at once cost as much as that.
    pub(super) fn spend(&self, calls: usize) -> bool {
        let price = i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(ONE).min(self.most);
        let pay = |left| (left >= price).then_some(left - price);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_a_share_of_the_requests() {
        let budget = Budget::new(100, 5);
        assert_eq!((0..100).filter(|_| budget.spend(1)).count(), 5);
        let spent = (0..1000).filter(|_| {
            budget.earn(1);
            budget.spend(1)
        });
        assert_eq!(spent.count(), 100);
    }

    #[test]
    fn a_quiet_time_saves_no_more_than_a_burst() {
        let budget = Budget::new(100, 5);
        (0..1_000_000).for_each(|_| budget.earn(1));
        budget.earn(1_000_000);
        assert_eq!((0..100).filter(|_| budget.spend(1)).count(), 5);
    }

    #[test]
    fn a_batch_counts_as_its_calls_and_at_most_as_a_burst() {
        let budget = Budget::new(100, 5);
        assert!(budget.spend(3) && !budget.spend(3) && budget.spend(2));
        budget.earn(20);
        assert!(!budget.spend(3) && budget.spend(2));
        budget.earn(1000);
        assert!(budget.spend(1000) && !budget.spend(1));
    }
}
