//! What a provider would take instead, when a query is too large for it.

use super::Class;
use crate::engine::error::Error;

/// The part of the chain that a provider offers to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suggestion {
    /// These blocks, first and last.
    Blocks(u64, u64),
    /// So many blocks at a time.
    Width(u64),
}

/// Phrases that stand before the number of blocks that may be asked for at once.
const BEFORE_WIDTH: [&str; 10] = [
    "up to a ",
    "limited to a ",
    "maximum block range: ",
    "max block range: ",
    "max range: ",
    "maximum is set to ",
    "range limit is ",
    "max is ",
    "range limit exceeded (max ",
    "limited to ",
];

/// The number of blocks that an endpoint says it searches at a time.
#[must_use]
pub fn width_told(error: &Error) -> Option<u64> {
    let facts = error.facts();
    let words = facts.words.as_ref().filter(|_| facts.class == Some(Class::RangeTooLarge))?;
    width(&words.to_lowercase())
}

/// What `text`, in lower case, suggests.
pub(super) fn suggestion(text: &str) -> Option<Suggestion> {
    blocks(text).or_else(|| width(text).map(Suggestion::Width))
}

/// A pair of block numbers in brackets: `[0x1, 0xa]`.
fn blocks(text: &str) -> Option<Suggestion> {
    let pair = text.split('[').skip(1).find_map(|rest| rest.split_once(']')?.0.split_once(','));
    let (first, last) = pair?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(Suggestion::Blocks(first, last))
}

fn width(text: &str) -> Option<u64> {
    // The same phrases limit other things as well.
    if ["results", "filters", "address", "topics"].iter().any(|other| text.contains(other)) {
        return None;
    }
    let behind = BEFORE_WIDTH.iter().find_map(|phrase| text.split_once(phrase).map(|(_, behind)| behind))?;
    // "0 - 10,000" is a range of ten thousand.
    let behind = behind.strip_prefix("0 - ").unwrap_or(behind);
    let end = behind.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(behind.len());
    let (digits, unit) = behind.split_at(end);
    let number: u64 = digits.replace(',', "").parse().ok()?;
    let width = if unit.starts_with('k') { number.checked_mul(1000)? } else { number };
    (width > 0).then_some(width)
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim().trim_matches('"');
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_widths_are_read_from_the_words_of_providers() {
        for (text, expected) in [
            (
                "you can make eth_getlogs requests with up to a 10 block range. based on your parameters, this \
                 block range should work: [0x64, 0x6d]",
                Some(Suggestion::Blocks(100, 109)),
            ),
            (
                "query returned more than 10000 results. try with this block range [0x1, 0xf].",
                Some(Suggestion::Blocks(1, 15)),
            ),
            ("you can make eth_getlogs requests with up to a 10 block range.", Some(Suggestion::Width(10))),
            ("eth_getlogs is limited to a 10,000 range", Some(Suggestion::Width(10_000))),
            ("exceed maximum block range: 5000", Some(Suggestion::Width(5000))),
            (
                "requested too many blocks from 1 to 9000, maximum is set to 2048",
                Some(Suggestion::Width(2048)),
            ),
            ("ranges over 10k blocks: limited to 10k blocks", Some(Suggestion::Width(10_000))),
            ("eth_getlogs is limited to 0 - 1,000 blocks", Some(Suggestion::Width(1000))),
            ("query returned more than 10000 results", None),
            ("this query contains 7000 filters. the current limit is 5000.", None),
            ("block range is too wide", None),
            ("limited to 0 blocks", None),
            ("[0xf, 0x1]", None),
            ("[zzz]", None),
            ("", None),
        ] {
            assert_eq!(suggestion(text), expected, "{text}");
        }
    }
}
