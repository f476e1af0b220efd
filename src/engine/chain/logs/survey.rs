//! A look at a node's list of logs: how many they are, and whether they are those that were asked for.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use crate::engine::blocks::Blocks;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::hex;

/// How many logs of `blocks` there are in `text`, in the order of the chain.
///
/// # Errors
/// `Protocol` when that is not what the text is.
pub(in crate::engine::chain) fn survey(text: &[u8], blocks: Blocks) -> Result<u64> {
    let mut list = serde_json::Deserializer::from_slice(text);
    let count = list.deserialize_seq(List(blocks));
    count.map_err(|error| {
        // Where in the text it is helps nobody, and what stands in quotes is the node's, which may be anything.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        let why = why.split(['"', '`']).next().unwrap_or_default().trim_end();
        Error::new(Kind::Protocol, format!("the answer to eth_getLogs for {blocks} is not usable: {why}"))
    })
}

struct List(Blocks);

/// What is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    #[serde(borrow)]
    block_number: &'a str,
    #[serde(borrow)]
    log_index: Option<&'a str>,
}

impl<'de> Visitor<'de> for List {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of logs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut logs: A) -> std::result::Result<u64, A::Error> {
        let (mut count, mut before) = (0, None);
        while let Some(log) = logs.next_element::<Log<'de>>()? {
            let place = place(&log).ok_or_else(|| A::Error::custom("a log does not say where it is"))?;
            if !self.0.contains(place.0) {
                return Err(A::Error::custom(format_args!("it has a log of block {}", place.0)));
            }
            if before.is_some_and(|before| place <= before && place.1.is_some()) {
                return Err(A::Error::custom("its logs are not in order"));
            }
            before = Some(place);
            count += 1;
        }
        Ok(count)
    }
}

/// The number of a log's block, and its own in the block.
fn place(log: &Log<'_>) -> Option<(u64, Option<u64>)> {
    let index = match log.log_index {
        Some(index) => Some(hex::quantity(index)?),
        None => None,
    };
    Some((hex::quantity(log.block_number)?, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(block: &str, index: &str) -> String {
        format!(
            r#"{{"address":"0xa","topics":["0x1"],"blockNumber":"{block}","logIndex":"{index}","data":"0x"}}"#
        )
    }

    fn surveyed(logs: &[String]) -> Result<u64> {
        survey(format!("[{}]", logs.join(",")).as_bytes(), Blocks::new(5, 16).unwrap())
    }

    #[test]
    fn logs_of_these_blocks_in_their_order_are_counted() {
        assert_eq!(surveyed(&[]).unwrap(), 0);
        let logs = [log("0x5", "0x0"), log("0x5", "0x9"), log("0x9", "0x0"), log("0x10", "0x2")];
        assert_eq!(surveyed(&logs).unwrap(), 4);
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        for (logs, why) in [
            (vec![log("0x4", "0x0")], "a log of block 4"),
            (vec![log("0x5", "0x0"), log("0x11", "0x0")], "a log of block 17"),
            (vec![log("0x6", "0x0"), log("0x5", "0x1")], "not in order"),
            (vec![log("0x5", "0x1"), log("0x5", "0x1")], "not in order"),
            (vec![log("six", "0x1")], "does not say where it is"),
            (vec!["{}".to_owned()], "missing field"),
            (vec!["7".to_owned()], "invalid type"),
        ] {
            let error = surveyed(&logs).unwrap_err();
            assert!(error.kind() == Kind::Protocol && error.message().contains(why), "{error}");
        }
        for text in ["null", "{}", r#""[]""#] {
            assert_eq!(
                survey(text.as_bytes(), Blocks::new(0, 1).unwrap()).unwrap_err().kind(),
                Kind::Protocol
            );
        }
    }
}
