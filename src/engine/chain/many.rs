//! Many calls for one await: a fixed number of them in flight, the results in the order of the calls.
//!
//! So many workers make one call after the other. They are parts of one future: dropping it ends them at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::unconstrained;

use super::Chain;
use super::calls::Row;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;

/// A list of calls and how to make them.
pub struct Many {
    /// The calls.
    pub requests: Vec<Request>,
    /// How many may be in flight at a time.
    pub concurrency: Option<usize>,
    /// For all of them together; by default each has the configured time for itself.
    pub timeout: Timeout,
    /// Whether a failed call ends the others.
    pub fail_fast: bool,
}

impl Many {
    /// Make the calls.
    ///
    /// # Errors
    /// The first failure, when it ends the others.
    pub async fn run(self, chain: &Chain) -> Result<Vec<Result<Bytes>>> {
        let workers = chain.concurrency(self.concurrency);
        let together = match self.timeout {
            Timeout::Default => None,
            Timeout::Of(timeout) => Some(Call::new(timeout)),
        };
        let (together, next) = (together.as_ref(), AtomicUsize::new(0));
        let workers = (0..workers.min(self.requests.len())).map(|_| self.work(chain, together, &next));
        // All in one task: tokio's budget for one would stop the many again and again.
        let mut workers: FuturesUnordered<_> = workers.map(unconstrained).collect();
        let mut results = vec![None; self.requests.len()];
        while let Some(made) = workers.next().await {
            for (place, result) in made? {
                results[place] = Some(result);
            }
        }
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(not_made()))).collect())
    }

    /// Makes one call after the other, as long as there are any.
    async fn work(&self, chain: &Chain, together: Option<&Call>, next: &AtomicUsize) -> Result<Vec<Made>> {
        let (mut made, mut row) = (Vec::new(), Row::default());
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.requests.get(place) else { return Ok(made) };
            match chain.request_in_row(request, together, &mut row).await {
                Err(error) if self.fail_fast => return Err(error),
                result => made.push((place, result)),
            }
        }
    }
}

/// The place of a call, and its result.
type Made = (usize, Result<Bytes>);

fn not_made() -> Error {
    Error::new(Kind::RequestTimeout, "the call was not made")
}
