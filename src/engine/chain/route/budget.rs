//! A budget for what is sent besides the callers' own requests: a share of them, so that retries cannot melt a node.

use std::sync::atomic::{AtomicI64, Ordering};

/// Thousandths, so that a share of one request is a whole number.
const ONE: i64 = 1000;

/// A bucket that every request fills by a share, and every extra one empties by a whole.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicI64,
    share: i64,
    most: i64,
}

impl Budget {
    /// Extra requests up to `per_thousand` of a thousand, in bursts of at most `burst`.
    pub(super) const fn new(per_thousand: i64, burst: i64) -> Self {
        Self { left: AtomicI64::new(burst * ONE), share: per_thousand, most: burst * ONE }
    }

    /// A caller made a request.
    pub(super) fn earn(&self) {
        // A full bucket is the usual case, and only looked at.
        if self.left.load(Ordering::Relaxed) < self.most {
            self.left.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// Whether one more may be sent; if so it is paid for.
    pub(super) fn spend(&self) -> bool {
        let pay = |left| (left >= ONE).then_some(left - ONE);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_a_share_of_the_requests() {
        let budget = Budget::new(100, 5);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 5);
        let spent = (0..1000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(spent.count(), 100);
    }

    #[test]
    fn a_quiet_time_saves_no_more_than_a_burst() {
        let budget = Budget::new(100, 5);
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 5);
    }
}
