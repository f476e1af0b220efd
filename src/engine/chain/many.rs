//! Many calls for one await: a fixed number of them in flight, the results in the order of the calls.
//!
//! All of them are parts of one future, so that dropping it ends them at once.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::Chain;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;

/// How many calls are in flight unless the caller says otherwise, at least: an HTTP/2 connection carries that many.
const CONCURRENCY: usize = 64;

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
        let workers = self.concurrency.unwrap_or_else(|| chain.pool().max_connections().max(CONCURRENCY));
        let together = match self.timeout {
            Timeout::Default => None,
            Timeout::Of(timeout) => Some(Call::new(timeout)),
        };
        let (requests, together) = (&self.requests, together.as_ref());
        let calls = (0..requests.len())
            .map(|place| async move { (place, one(chain, &requests[place], together).await) });
        let mut results = vec![None; self.requests.len()];
        let mut running = stream::iter(calls).buffer_unordered(workers);
        while let Some((place, result)) = running.next().await {
            match result {
                Err(error) if self.fail_fast => return Err(error),
                result => results[place] = Some(result),
            }
        }
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(not_made()))).collect())
    }
}

/// One of the calls, by itself or within the time for all.
async fn one(chain: &Chain, request: &Request, together: Option<&Call>) -> Result<Bytes> {
    match together {
        None => chain.request(request, Timeout::Default).await,
        // None is begun when there is no time left for it.
        Some(call) if call.is_expired() => Err(chain.pool().timed_out(call)),
        Some(call) => chain.pool().request_within(request, Timeout::Of(None), call).await,
    }
}

fn not_made() -> Error {
    Error::new(Kind::RequestTimeout, "the call was not made")
}
