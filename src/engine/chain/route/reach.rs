//! How much an endpoint takes at a time, blocks of a search or calls of a batch, as far as it has told; and whether it
//! has the newest blocks of a search: a node that does not may answer without a word of that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::engine::blocks::Blocks;
use crate::engine::chain::identity;
use crate::engine::classify::{Class, width_told};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Result};
use crate::engine::family::Family;
use crate::engine::jsonrpc::Request;

/// So long it is believed: a plan may be changed.
const FOR: Duration = Duration::from_mins(10);

/// A number, and until when it is believed.
#[derive(Debug, Default)]
pub(in crate::engine::chain) struct Reach(Mutex<Option<(u64, Instant)>>);

impl Reach {
    /// The most that it takes, where that is known.
    pub(in crate::engine::chain) fn most(&self, now: Instant) -> Option<u64> {
        let told = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.filter(|(_, until)| now < *until).map(|(most, _)| most)
    }

    /// Whether so many are too many.
    pub(super) fn is_exceeded(&self, by: u64, now: Instant) -> bool {
        by > 1 && self.most(now).is_some_and(|most| most < by)
    }

    /// Believe that it takes so many.
    pub(super) fn believe(&self, most: u64, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((most, now + FOR));
    }

    /// Learn from the answer to a request for `blocks`.
    pub(super) fn heed(&self, blocks: Blocks, error: &Error, now: Instant) {
        if let Some(most) = width_told(error).filter(|most| *most < blocks.count()) {
            self.believe(most, now);
        }
    }
}

/// Make sure that an endpoint has the blocks that `request` is about.
pub(super) async fn check(endpoint: &Endpoint, request: &Request, call: &Call) -> Result<()> {
    let Some(blocks) = request.blocks() else { return Ok(()) };
    let has_them = || endpoint.head().is_some_and(|head| blocks.last() <= head);
    if has_them() {
        return Ok(());
    }
    // Only Ethereum's kin are searched for logs.
    endpoint.set_head(identity::head(endpoint.pool(), Family::Evm, call).await?);
    if has_them() {
        return Ok(());
    }
    let message = format!("the node does not have {blocks} yet");
    let class = Class::NodeBehind;
    Err(Error::new(class.kind(), message).with(|facts| facts.class = Some(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(words: &str) -> Error {
        Error::new(Class::RangeTooLarge.kind(), words).with(|facts| {
            facts.class = Some(Class::RangeTooLarge);
            facts.words = Some(words.to_owned());
        })
    }

    #[test]
    fn what_an_endpoint_tells_is_believed_for_a_while() {
        let (reach, now) = (Reach::default(), Instant::now());
        let blocks = Blocks::new(1, 5000).unwrap();
        assert!(!reach.is_exceeded(5000, now));
        reach.heed(blocks, &told("Exceed maximum block range: 2000"), now);
        assert_eq!(reach.most(now), Some(2000));
        assert!(reach.is_exceeded(2001, now) && !reach.is_exceeded(2000, now));
        assert_eq!((reach.most(now + FOR - SECOND), reach.most(now + FOR)), (Some(2000), None));
    }

    #[test]
    fn one_is_never_too_many() {
        let (reach, now) = (Reach::default(), Instant::now());
        reach.believe(0, now);
        assert!(reach.is_exceeded(2, now) && !reach.is_exceeded(1, now));
    }

    #[test]
    fn what_is_about_these_blocks_alone_is_not_remembered() {
        let (reach, now) = (Reach::default(), Instant::now());
        let blocks = Blocks::new(1, 5000).unwrap();
        for words in [
            "query returned more than 10000 results. Try with this block range [0x1, 0xf].",
            "block range is too wide",
            "eth_getLogs is limited to a 10,000 range",
        ] {
            reach.heed(blocks, &told(words), now);
            assert_eq!(reach.most(now), None, "{words}");
        }
        reach.heed(blocks, &Error::new(Class::Transient.kind(), "limited to 10 blocks"), now);
        assert_eq!(reach.most(now), None);
    }
}
