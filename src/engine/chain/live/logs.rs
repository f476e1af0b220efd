//! The logs of each block as it comes, and of those that are not part of the chain any more.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::header::Header;
use super::members::Members;
use super::patience::passes;
use super::trail::Trail;
use super::walk::{DEPTH, Passed};
use super::{CONCURRENCY, good};
use crate::engine::blocks::Blocks;
use crate::engine::chain::logs::{LogFilter, logs_in, survey};
use crate::engine::deadline::Timeout;
use crate::engine::error::{Error, Kind, Result};

/// A reader of logs.
pub(super) struct Logs {
    trail: Trail,
    filter: LogFilter,
}

/// What a log says of its block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(borrow)]
    block_hash: &'a str,
    /// So some mark the logs of a block, asked for by its hash, that is not part of the chain any more.
    removed: Option<bool>,
}

impl Logs {
    pub(super) const fn new(trail: Trail, filter: LogFilter) -> Self {
        Self { trail, filter }
    }

    /// The next logs; none if those blocks have none.
    pub(super) async fn read(&mut self) -> Result<Vec<Bytes>> {
        if self.trail.walk.ahead().is_empty() {
            let dropped = self.trail.go_on().await?;
            return Ok(dropped.iter().flat_map(taken_back).collect());
        }
        let found = if self.is_far_behind() { self.of_row().await } else { self.of_each().await };
        match found {
            Ok(found) => {
                self.trail.patience.restore();
                Ok(self.pass(found))
            }
            Err(error) => {
                // The node may not have the block because it is not part of the chain any more, and not every node's way
                // to say so is known.
                if error.kind() == Kind::NodeBehind || !passes(&error) {
                    self.trail.walk.doubt();
                }
                self.trail.patience.bear(error).await?;
                Ok(Vec::new())
            }
        }
    }

    /// The logs of the next blocks, as lists, one for each.
    async fn of_each(&self) -> Result<Vec<Bytes>> {
        let blocks = self.trail.walk.ahead().iter().take(CONCURRENCY);
        let asked: Vec<_> = blocks.map(|header| self.of(header)).collect();
        good(asked).await
    }

    async fn of(&self, header: &Header) -> Result<Bytes> {
        let (number, hash) = (header.point.number, &header.point.hash);
        let request = self.filter.request_of(number, hash)?;
        let text = self.trail.chain().request(&request, Timeout::Default).await?;
        if &*text == b"null" {
            // So some say it.
            let message = format!("the node does not know block {number}, {hash}");
            return Err(Error::new(Kind::NodeBehind, message));
        }
        survey(&text, Blocks::one(number))?;
        for log in split(&text)? {
            if !is_of(&log, hash) {
                return Err(of_another(header));
            }
        }
        Ok(text)
    }

    /// Whether there is so much to come that blocks need not be asked for one by one. They are old enough then, not to
    /// be exchanged for others between one question and the next.
    fn is_far_behind(&self) -> bool {
        let last = self.trail.walk.ahead().back().map(|header| header.point.number);
        let tip = self.trail.tip().map(|tip| tip.number);
        last.zip(tip).is_some_and(|(last, tip)| last.saturating_add(DEPTH as u64) <= tip)
    }

    /// The logs of all blocks ahead, asked for together.
    async fn of_row(&self) -> Result<Vec<Bytes>> {
        let headers = self.trail.walk.ahead();
        let ends = headers.front().zip(headers.back());
        let Some(blocks) = ends.and_then(|(first, last)| Blocks::new(first.point.number, last.point.number))
        else {
            return Ok(Vec::new());
        };
        let texts = logs_in(self.trail.chain(), self.filter.clone(), blocks).await?;
        let mut logs = Vec::new();
        for text in &texts {
            logs.extend(split(text)?);
        }
        let mut logs = logs.into_iter().peekable();
        let found = headers.iter().map(|header| {
            let mut list = Vec::from(*b"[");
            while let Some(log) = logs.next_if(|log| is_of(log, &header.point.hash)) {
                if list.len() > 1 {
                    list.push(b',');
                }
                list.extend_from_slice(&log);
            }
            list.push(b']');
            Bytes::from(list)
        });
        let found = found.collect();
        // They are in the order of their blocks, so the next one is of a block that was exchanged.
        match (logs.next(), headers.front()) {
            (Some(_), Some(header)) => Err(of_another(header)),
            _ => Ok(found),
        }
    }

    /// Those blocks are done: what the reader gets.
    fn pass(&mut self, found: Vec<Bytes>) -> Vec<Bytes> {
        let mut logs = Vec::new();
        for text in found {
            logs.extend(split(&text).unwrap_or_default());
            self.trail.walk.pass(text);
        }
        logs
    }
}

/// The logs of a block that is not part of the chain any more, the last one first.
fn taken_back(passed: &Passed) -> Vec<Bytes> {
    let logs = passed.given.as_ref().and_then(|given| split(given).ok()).unwrap_or_default();
    let removed = |log: &Bytes| Some(Members::read(log)?.changed(&["removed"], Some(("removed", "true"))));
    logs.iter().rev().filter_map(removed).collect()
}

/// The texts of a list's items.
fn split(list: &Bytes) -> Result<Vec<Bytes>> {
    let items: Vec<&RawValue> = serde_json::from_slice(list)
        .map_err(|_| Error::new(Kind::Protocol, "the answer to eth_getLogs is no list of logs"))?;
    Ok(items.into_iter().map(|item| list.slice_ref(item.get().as_bytes())).collect())
}

fn is_of(log: &[u8], block: &str) -> bool {
    serde_json::from_slice(log)
        .is_ok_and(|place: Place<'_>| place.block_hash == block && place.removed != Some(true))
}

fn of_another(header: &Header) -> Error {
    let (number, hash) = (header.point.number, &header.point.hash);
    let message =
        format!("the answer to eth_getLogs from block {number} on has a log of another than {hash}");
    Error::new(Kind::NodeBehind, message)
}
