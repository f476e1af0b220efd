//! Which blocks are asked for next, how many at a time, and which of the answers are to be given out: the whole of a
//! search for logs but for the asking.
//!
//! What nobody has answered yet are gaps. The lowest is asked for first, as many blocks of it at a time as have gone
//! well lately; what is too much for the node becomes a gap again, and fewer blocks are asked for at a time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::width::{Width, uneven};
use crate::engine::blocks::Blocks;
use crate::engine::classify::{Class, Suggestion};
use crate::engine::error::{Error, Kind, Result};

/// The course of a search.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is to be asked for, first block to last.
    gaps: BTreeMap<u64, Blocks>,
    /// What was answered and not given out, by the first block.
    found: BTreeMap<u64, (Blocks, Bytes)>,
    /// What was given out and has come back, by the first block: it goes out again before all else.
    returned: BTreeMap<u64, (Blocks, Bytes)>,
    /// The first block that was not given out.
    cursor: u64,
    last: u64,
    /// How many requests are under way.
    asked: usize,
    width: Width,
    /// How many logs an answer had that may be cut off there.
    suspects: BTreeSet<u64>,
}

impl Plan {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self {
            gaps: BTreeMap::from([(blocks.first(), blocks)]),
            found: BTreeMap::new(),
            returned: BTreeMap::new(),
            cursor: blocks.first(),
            last: blocks.last(),
            asked: 0,
            width: Width::default(),
            suspects: BTreeSet::new(),
        }
    }

    /// What to ask for next, if anything: at most `reach` blocks, which is what the nodes are known to take. With `ahead`
    /// answers here, only what must be given out before them is asked for.
    pub(super) fn next(&mut self, reach: Option<u64>, ahead: usize) -> Option<Blocks> {
        let (first, gap) = self.gaps.first_key_value().map(|(first, gap)| (*first, *gap))?;
        if self.found.len() >= ahead && first != self.cursor {
            return None;
        }
        let width = self.width.offer(self.asked)?;
        let (piece, rest) = gap.split_at(reach.map_or(width, |reach| uneven(reach).min(width)));
        self.width.asked(piece.count());
        self.asked += 1;
        self.gaps.remove(&first);
        if let Some(rest) = rest {
            self.gaps.insert(rest.first(), rest);
        }
        Some(piece)
    }

    /// What was asked for is here: a text with `count` logs.
    ///
    /// # Errors
    /// `RangeTooLarge` when a single block has more logs than the node gives.
    pub(super) fn answered(&mut self, blocks: Blocks, text: Bytes, count: u64) -> Result<()> {
        self.asked -= 1;
        if may_be_cut_off(count) {
            if blocks.count() > 1 {
                self.suspects.insert(count);
                self.width.was_too_much(blocks.count(), blocks.count() / 2);
                self.put_back(blocks);
                return Ok(());
            }
            if self.suspects.contains(&count) {
                return Err(cut_off(blocks, count));
            }
        }
        self.width.went_well(blocks.count(), count);
        self.found.insert(blocks.first(), (blocks, text));
        Ok(())
    }

    /// What was asked for could not be had.
    ///
    /// # Errors
    /// The same error, unless less may be asked for.
    pub(super) fn failed(&mut self, blocks: Blocks, error: Error) -> Result<()> {
        self.asked -= 1;
        if error.facts().class != Some(Class::RangeTooLarge) || blocks.count() == 1 {
            return Err(error);
        }
        let instead = match error.facts().suggested {
            Some(Suggestion::Width(width)) => Some(width),
            Some(Suggestion::Blocks(first, last)) if first == blocks.first() => Some(last - first + 1),
            _ => None,
        };
        let instead = instead.filter(|instead| (1..blocks.count()).contains(instead));
        self.width.was_too_much(blocks.count(), instead.unwrap_or(blocks.count() / 2));
        self.put_back(blocks);
        Ok(())
    }

    /// The next blocks and their logs, when they are here.
    pub(super) fn take(&mut self) -> Option<(Blocks, Bytes)> {
        if let Some((_, piece)) = self.returned.pop_first() {
            return Some(piece);
        }
        let (blocks, text) = self.found.remove(&self.cursor)?;
        self.cursor = blocks.last().saturating_add(1);
        Some((blocks, text))
    }

    /// What was taken last was not given out.
    pub(super) fn untake(&mut self, blocks: Blocks, text: Bytes) {
        self.returned.insert(blocks.first(), (blocks, text));
    }

    /// Whether all was given out.
    pub(super) fn is_over(&self) -> bool {
        self.returned.is_empty() && self.cursor > self.last
    }

    /// Makes a gap, with those beside it one.
    fn put_back(&mut self, blocks: Blocks) {
        let after = self.gaps.remove(&blocks.last().saturating_add(1));
        let before = self.gaps.range(..blocks.first()).next_back().map(|(_, gap)| *gap);
        let before = before.filter(|gap| gap.last() + 1 == blocks.first());
        let first = before.unwrap_or(blocks).first();
        if let Some(gap) = Blocks::new(first, after.unwrap_or(blocks).last()) {
            self.gaps.insert(first, gap);
        }
    }
}

/// Whether so many logs may be as many as the node gives, and not all that there are: limits are round numbers.
const fn may_be_cut_off(count: u64) -> bool {
    count >= 1_000 && (count.is_multiple_of(500) || count.is_power_of_two())
}

fn cut_off(blocks: Blocks, count: u64) -> Error {
    let message = format!("{blocks} has more logs than the {count} that the node gives at most");
    Error::new(Kind::RangeTooLarge, message).with(|facts| facts.class = Some(Class::RangeTooLarge))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
