//! A block's header: where it stands in the chain, and its text as a subscription gives it.

use std::sync::Arc;

use bytes::Bytes;

use super::members::Members;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::hex::quantity;

/// What a block that was asked for has beside its header.
const BODY: [&str; 5] = ["transactions", "uncles", "withdrawals", "size", "totalDifficulty"];

/// A place in a chain, of all its branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub number: u64,
    pub hash: Arc<str>,
}

/// The header of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub point: Point,
    pub parent: Arc<str>,
    /// A JSON object.
    pub text: Bytes,
}

impl Header {
    /// The header in a notice or an answer; `None` for a block that is not there.
    ///
    /// # Errors
    /// `Protocol` when it is something else.
    pub(super) fn read(text: &[u8]) -> Result<Option<Self>> {
        if text == b"null" {
            return Ok(None);
        }
        let header = Members::read(text).and_then(|members| {
            let number = quantity(members.string("number")?)?;
            let (hash, parent) = (members.string("hash")?.into(), members.string("parentHash")?.into());
            Some(Self { point: Point { number, hash }, parent, text: members.changed(&BODY, None) })
        });
        let why = "what the node gave for a block has no number, hash and parentHash";
        header.map(Some).ok_or_else(|| Error::new(Kind::Protocol, why))
    }

    /// Whether it is the next block after `point`.
    pub(super) fn follows(&self, point: &Point) -> bool {
        point.number.checked_add(1) == Some(self.point.number) && self.parent == point.hash
    }

    /// Its text, with the hash of the block that it takes the place of, if there was one.
    pub(super) fn told(&self, replaced: Option<&str>) -> Bytes {
        let Some(replaced) = replaced else { return self.text.clone() };
        let replaced = serde_json::Value::from(replaced).to_string();
        Members::read(&self.text)
            .map_or_else(|| self.text.clone(), |members| members.changed(&[], Some(("replaces", &replaced))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_the_same_whether_it_was_asked_for_or_told() {
        let told = r#"{"hash":"0xb","parentHash":"0xa","number":"0x10","extraData":"0x"}"#;
        let asked = r#"{"hash":"0xb","parentHash":"0xa","number":"0x10","extraData":"0x","size":"0x1","uncles":[],"transactions":["0x2"],"withdrawals":[],"totalDifficulty":"0x0"}"#;
        let header = Header::read(told.as_bytes()).unwrap().unwrap();
        assert_eq!(Header::read(asked.as_bytes()).unwrap().unwrap(), header);
        assert_eq!((header.point.number, &*header.point.hash, &*header.parent), (16, "0xb", "0xa"));
        assert_eq!(&*header.text, told.as_bytes());
        let replacing = told.replace('}', r#","replaces":"0xc"}"#);
        assert_eq!(&*header.told(Some("0xc")), replacing.as_bytes());
        assert_eq!(header.told(None), header.text);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(Header::read(b"null").unwrap(), None);
        for text in ["7", "{}", r#"{"hash":"0xb","parentHash":"0xa","number":"ten"}"#] {
            assert_eq!(Header::read(text.as_bytes()).unwrap_err().kind(), Kind::Protocol);
        }
    }
}
