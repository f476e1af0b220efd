//! What logs are searched for: a filter as `eth_getLogs` takes it, whose blocks may be any number.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::blocks::Blocks;
use crate::engine::error::{Error, Result};
use crate::engine::hex::quantity;
use crate::engine::jsonrpc::Request;

/// A search.
#[derive(Debug, Clone)]
pub struct LogFilter {
    /// Its members besides the blocks, each with a comma behind it.
    members: String,
    pub(super) from: Edge,
    pub(super) to: Edge,
}

/// Where a search begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Number(u64),
    /// The newest block.
    Head,
    /// The block that nodes call so.
    Named(&'static str),
}

impl LogFilter {
    /// The search that `params` describe, a JSON list with one filter.
    ///
    /// # Errors
    /// `Configuration` that says what a filter may be.
    pub fn new(params: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Given<'a> {
            #[serde(borrow)]
            address: Option<&'a RawValue>,
            #[serde(borrow)]
            topics: Option<&'a RawValue>,
            #[serde(borrow)]
            from_block: Option<&'a RawValue>,
            #[serde(borrow)]
            to_block: Option<&'a RawValue>,
        }
        let [given]: [Given<'_>; 1] = serde_json::from_slice(params).map_err(|_| {
            Error::argument(
                "filter_params",
                "must be a mapping of address, topics, fromBlock and toBlock, or of some of them",
            )
        })?;
        let members = members(given.address, given.topics);
        let (from, to) = (edge("fromBlock", given.from_block)?, edge("toBlock", given.to_block)?);
        match (from, to) {
            (Edge::Number(from), Edge::Number(to)) if from > to => {
                Err(Error::argument("filter_params", format_args!("fromBlock {from} is after toBlock {to}")))
            }
            _ => Ok(Self { members, from, to }),
        }
    }

    /// The filter that `filter` is, a JSON object without blocks.
    ///
    /// # Errors
    /// `Configuration` that says what a filter may be.
    pub(in crate::engine::chain) fn without_blocks(filter: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Given<'a> {
            #[serde(borrow)]
            address: Option<&'a RawValue>,
            #[serde(borrow)]
            topics: Option<&'a RawValue>,
        }
        let given: Given<'_> = serde_json::from_slice(filter).map_err(|_| {
            Error::argument("params", "must be a mapping of address and topics, or of one of them")
        })?;
        Ok(Self { members: members(given.address, given.topics), from: Edge::Head, to: Edge::Head })
    }

    /// The same filter over these blocks.
    pub(super) fn over(self, blocks: Blocks) -> Self {
        Self { from: Edge::Number(blocks.first()), to: Edge::Number(blocks.last()), ..self }
    }

    /// The call that searches the block that has this number and this hash.
    pub(in crate::engine::chain) fn request_of(&self, number: u64, hash: &str) -> Result<Request> {
        let params = format!(r#"[{{{}"blockHash":"{hash}"}}]"#, self.members);
        Ok(Request::new("eth_getLogs", params)?.over(Blocks::one(number)))
    }

    /// The call that searches these blocks.
    pub(super) fn request(&self, blocks: Blocks) -> Result<Request> {
        let (members, first, last) = (&self.members, blocks.first(), blocks.last());
        let params = format!(r#"[{{{members}"fromBlock":"{first:#x}","toBlock":"{last:#x}"}}]"#);
        Ok(Request::new("eth_getLogs", params)?.over(blocks))
    }
}

/// The members of a filter besides its blocks, each with a comma behind it.
fn members(address: Option<&RawValue>, topics: Option<&RawValue>) -> String {
    let members = [("address", address), ("topics", topics)];
    members
        .into_iter()
        .filter_map(|(name, member)| member.map(|member| format!("\"{name}\":{member},")))
        .collect()
}

/// Where that is; where nothing is said it is the newest block, as for a node.
fn edge(name: &str, given: Option<&RawValue>) -> Result<Edge> {
    let Some(given) = given else { return Ok(Edge::Head) };
    if let Ok(number) = serde_json::from_str(given.get()) {
        return Ok(Edge::Number(number));
    }
    let text: String = serde_json::from_str(given.get()).unwrap_or_default();
    match text.as_str() {
        "latest" => Ok(Edge::Head),
        "earliest" => Ok(Edge::Number(0)),
        "safe" => Ok(Edge::Named("safe")),
        "finalized" => Ok(Edge::Named("finalized")),
        _ => quantity(&text).map(Edge::Number).ok_or_else(|| {
            let message = format!("{name} must be a number, 0x…, earliest, finalized, safe or latest");
            Error::argument("filter_params", message)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<LogFilter> {
        LogFilter::new(format!("[{json}]").as_bytes())
    }

    #[test]
    fn a_filter_keeps_all_but_its_blocks() {
        let filter =
            filter(r#"{"fromBlock":1,"address":["0xa","0xb"],"toBlock":"0x20","topics":[null,"0x1"]}"#)
                .unwrap();
        assert_eq!((filter.from, filter.to), (Edge::Number(1), Edge::Number(32)));
        let blocks = Blocks::new(10, 31).unwrap();
        let request = filter.request(blocks).unwrap();
        let expected =
            r#"[{"address":["0xa","0xb"],"topics":[null,"0x1"],"fromBlock":"0xa","toBlock":"0x1f"}]"#;
        assert_eq!((request.params(), request.blocks()), (expected.as_bytes(), Some(blocks)));
    }

    #[test]
    fn edges_are_numbers_or_names() {
        for (json, edge) in [
            ("{}", Edge::Head),
            (r#"{"fromBlock":null}"#, Edge::Head),
            (r#"{"fromBlock":"latest"}"#, Edge::Head),
            (r#"{"fromBlock":"earliest"}"#, Edge::Number(0)),
            (r#"{"fromBlock":"finalized"}"#, Edge::Named("finalized")),
            (r#"{"fromBlock":"safe"}"#, Edge::Named("safe")),
            (r#"{"fromBlock":"0x0"}"#, Edge::Number(0)),
        ] {
            assert_eq!(filter(json).unwrap().from, edge, "{json}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_what_would_be() {
        for (json, why) in [
            ("7", "must be a mapping"),
            (r#"{"blockHash":"0x1"}"#, "must be a mapping of address"),
            (r#"{"from_block":1}"#, "must be a mapping of address"),
            (r#"{"fromBlock":-1}"#, "fromBlock must be a number"),
            (r#"{"fromBlock":1.5}"#, "fromBlock must be a number"),
            (r#"{"toBlock":"pending"}"#, "toBlock must be a number"),
            (r#"{"toBlock":"12"}"#, "toBlock must be a number"),
            (r#"{"fromBlock":5,"toBlock":4}"#, "fromBlock 5 is after toBlock 4"),
        ] {
            let error = filter(json).unwrap_err();
            assert!(error.message().contains(why), "{json}: {error}");
            assert_eq!(error.facts().argument, Some("filter_params"));
        }
    }
}
