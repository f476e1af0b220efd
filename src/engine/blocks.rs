//! A row of blocks, by their numbers.

use std::fmt;

/// Blocks from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    first: u64,
    last: u64,
}

impl Blocks {
    /// The blocks from `first` to `last`; `None` when there are none.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// One block.
    #[must_use]
    pub const fn one(block: u64) -> Self {
        Self { first: block, last: block }
    }

    /// The number of the first.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The number of the last.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether a block is one of them.
    #[must_use]
    pub const fn contains(self, block: u64) -> bool {
        self.first <= block && block <= self.last
    }

    /// The first `count` of them, one at least, and the others.
    #[must_use]
    pub fn split_at(self, count: u64) -> (Self, Option<Self>) {
        let last = self.first.saturating_add(count.max(1) - 1).min(self.last);
        (Self { last, ..self }, Self::new(last.saturating_add(1), self.last).filter(|_| last < self.last))
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "block {}", self.first)
        } else {
            write!(f, "blocks {} to {}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_row_are_the_row() {
        let row = Blocks::new(5, 9).unwrap();
        assert_eq!((row.count(), row.contains(9), row.contains(10)), (5, true, false));
        assert_eq!(row.split_at(2), (Blocks::new(5, 6).unwrap(), Blocks::new(7, 9)));
        for whole in [5, 6, u64::MAX] {
            assert_eq!(row.split_at(whole), (row, None));
        }
        assert_eq!(row.split_at(0), row.split_at(1));
        let all = Blocks::new(0, u64::MAX).unwrap();
        assert_eq!(
            all.split_at(u64::MAX),
            (Blocks::new(0, u64::MAX - 1).unwrap(), Blocks::new(u64::MAX, u64::MAX))
        );
        assert_eq!((Blocks::new(2, 1), Blocks::new(2, 2)), (None, Some(Blocks::one(2))));
    }
}
