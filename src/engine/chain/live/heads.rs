//! New heads, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::trail::Trail;
use crate::engine::error::Result;

/// A reader of heads.
pub(super) struct Heads {
    trail: Trail,
    /// The hashes of blocks that were given and are not part of the chain any more, until others have their numbers.
    replaced: HashMap<u64, Arc<str>>,
}

impl Heads {
    pub(super) fn new(trail: Trail) -> Self {
        Self { trail, replaced: HashMap::new() }
    }

    /// The next heads.
    pub(super) async fn read(&mut self) -> Result<Vec<Bytes>> {
        let mut told = Vec::new();
        while told.is_empty() {
            while let Some(header) = self.trail.walk.ahead().front() {
                let replaced = self.replaced.remove(&header.point.number);
                told.push(header.told(replaced.as_deref()));
                self.trail.walk.pass(Bytes::new());
                self.trail.patience.restore();
            }
            if told.is_empty() {
                let dropped = self.trail.go_on().await?;
                self.replaced
                    .extend(dropped.into_iter().map(|passed| (passed.point.number, passed.point.hash)));
            }
        }
        Ok(told)
    }
}
