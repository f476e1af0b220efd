//! A reader's way through a chain: which blocks to look at next, and what is said when the chain has parted from where
//! the reader is. It knows nobody to ask.
//!
//! Every block that the reader is given follows the one before by its parent's hash. Where one does not, the blocks
//! below are looked at again, 1, 2, 4 … of them, until one is found that the reader has passed: there the chain parted.
//! Where none is, and where a chain has become shorter than what is remembered of it, the reader goes on with what there
//! is: the older blocks of that are not looked at.

use std::collections::VecDeque;

use bytes::Bytes;

use super::header::{Header, Point};
use crate::engine::blocks::Blocks;

/// How many blocks back a reorganisation is told in full.
pub(super) const DEPTH: usize = 128;
/// As many bytes of what was given out are remembered at most, to be taken back. Beyond that the depth is less.
const BYTES: usize = 64 << 20;
/// How many blocks are looked at at a time by who is behind.
pub(super) const STRIDE: u64 = 32;

/// So often in a row the oldest block that is remembered must be missing, before a newest block below it is that of
/// another chain. With the pauses between it takes about a slot of Ethereum.
const GONE: u32 = 12;

/// Where a reader is in a chain.
#[derive(Debug)]
pub(super) struct Walk {
    /// What was passed, oldest first. The last is where the reader is.
    passed: VecDeque<Passed>,
    /// How many bytes are remembered with it.
    bytes: usize,
    /// What comes next: each follows the one before, and the first where the reader is.
    ahead: VecDeque<Header>,
    /// How many blocks are looked at again, from where the reader is; 0 when none has to be.
    back: u64,
    /// How often in a row a node whose newest block is below all that is remembered had none of that.
    gone: u32,
}

/// A block that was passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub point: Point,
    /// What the reader was given of it; `None` for one from before the reader.
    pub given: Option<Bytes>,
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is more to do at once.
    More,
    /// Nodes do not have, or do not agree on, what was looked for: it is to be looked for again after a while.
    Nothing,
    /// The chain has parted: what was given of these blocks, the newest first, is not part of it any more.
    Parted {
        dropped: Vec<Passed>,
        /// Whether more was given that is not part of it any more, and is not remembered.
        is_deeper: bool,
    },
}

impl Walk {
    /// A walk that begins after `point`.
    pub(super) fn after(point: Point) -> Self {
        let passed = VecDeque::from([Passed { point, given: None }]);
        Self { passed, bytes: 0, ahead: VecDeque::new(), back: 0, gone: 0 }
    }

    /// The blocks that come next, as far as they were looked at.
    pub(super) const fn ahead(&self) -> &VecDeque<Header> {
        &self.ahead
    }

    /// Which blocks to look at, when none is ahead and the newest one is `tip`. `None` where there is nothing new.
    pub(super) fn look(&mut self, tip: &Point) -> Option<Blocks> {
        let (oldest, here) = (self.passed.front()?.point.number, self.here()?.number);
        if tip.number < oldest {
            // A node that lags, or another chain: does it have the oldest block that is remembered? If not, its newest
            // one will do.
            self.back = self.passed.len() as u64;
            return Some(Blocks::one(if self.gone < GONE { oldest } else { tip.number }));
        }
        self.gone = 0;
        if self.back == 0 {
            if tip.number > here {
                return Blocks::new(here + 1, tip.number.min(here.saturating_add(STRIDE)));
            }
            if self.passed_at(tip.number)?.hash == tip.hash {
                return None;
            }
            self.back = here - tip.number + 1;
        }
        Blocks::new(here.saturating_sub(self.back - 1), here)
    }

    /// What is at those blocks; `None` for one that a node does not have.
    pub(super) fn found(&mut self, headers: impl IntoIterator<Item = Option<Header>>) -> Found {
        let run = linked(headers);
        if self.back == 0 { self.go_on(run) } else { self.look_back(run) }
    }

    /// The next block was given to the reader.
    pub(super) fn pass(&mut self, given: Bytes) {
        let Some(header) = self.ahead.pop_front() else { return };
        self.bytes += given.len();
        self.passed.push_back(Passed { point: header.point, given: Some(given) });
        while self.passed.len() > DEPTH || (self.bytes > BYTES && self.passed.len() > 1) {
            if let Some(oldest) = self.passed.pop_front() {
                self.bytes -= oldest.size();
            }
        }
    }

    /// What is ahead may not be part of the chain any more: it is looked at anew.
    pub(super) fn doubt(&mut self) {
        self.ahead.clear();
    }

    fn here(&self) -> Option<&Point> {
        self.passed.back().map(|passed| &passed.point)
    }

    /// Where the reader passed the block of this number. The blocks that were passed are a row.
    fn passed_at(&self, number: u64) -> Option<&Point> {
        let oldest = self.passed.front()?.point.number;
        let place = usize::try_from(number.checked_sub(oldest)?).ok()?;
        self.passed.get(place).map(|passed| &passed.point)
    }

    fn go_on(&mut self, run: VecDeque<Header>) -> Found {
        let (Some(first), Some(here)) = (run.front(), self.here()) else { return Found::Nothing };
        if first.follows(here) {
            self.ahead = run;
        } else {
            self.back = 1;
        }
        Found::More
    }

    fn look_back(&mut self, mut run: VecDeque<Header>) -> Found {
        let known = run.iter().rposition(|header| self.passed_at(header.point.number) == Some(&header.point));
        if known.is_none() && self.back < self.passed.len() as u64 {
            self.back = self.back.saturating_mul(2).min(self.passed.len() as u64);
            return Found::More;
        }
        self.back = 0;
        self.gone = if run.is_empty() { self.gone.saturating_add(1) } else { 0 };
        // All that is there is what the reader knows: a node lags, or the others do not agree with one.
        let mut newer = run.split_off(known.map_or(0, |known| known + 1));
        let Some(first) = newer.front() else { return Found::Nothing };
        let is_deeper = known.is_none()
            && self
                .passed
                .front()
                .is_some_and(|oldest| oldest.given.is_some() || first.point.number < oldest.point.number);
        let kept =
            known.and_then(|_| self.passed.iter().position(|passed| passed.point.hash == first.parent));
        let dropped = self.passed.split_off(kept.map_or(0, |kept| kept + 1));
        if self.passed.is_empty() {
            let before = first.point.number.checked_sub(1);
            let point = match before {
                Some(number) => Point { number, hash: first.parent.clone() },
                // Another chain from its first block on, before which there is none.
                None => first.point.clone(),
            };
            if before.is_none() {
                newer.pop_front();
            }
            self.passed.push_back(Passed { point, given: None });
        }
        self.bytes = self.passed.iter().map(Passed::size).sum();
        self.ahead = newer;
        let dropped = dropped.into_iter().rev().filter(|passed| passed.given.is_some()).collect();
        Found::Parted { dropped, is_deeper }
    }
}

impl Passed {
    fn size(&self) -> usize {
        self.given.as_ref().map_or(0, Bytes::len)
    }
}

/// The first of them that follow each other.
fn linked(headers: impl IntoIterator<Item = Option<Header>>) -> VecDeque<Header> {
    let mut run: VecDeque<Header> = VecDeque::new();
    for header in headers {
        let Some(header) = header else { break };
        if run.back().is_some_and(|last| !header.follows(&last.point)) {
            break;
        }
        run.push_back(header);
    }
    run
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
