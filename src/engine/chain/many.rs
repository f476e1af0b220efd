//! Many calls for one await: a fixed number of them in flight, the results in the order of the calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::Chain;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
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

struct Work {
    chain: Arc<Chain>,
    requests: Vec<Request>,
    next: AtomicUsize,
    results: Mutex<Vec<Option<Result<Bytes>>>>,
    /// The time for each call by itself.
    timeout: Timeout,
    fail_fast: bool,
}

impl Many {
    /// Make the calls.
    ///
    /// # Errors
    /// The first failure when it ends the others, or `RequestTimeout` when the time for all of them is up.
    pub async fn run(self, chain: Arc<Chain>) -> Result<Vec<Result<Bytes>>> {
        let Self { requests, concurrency, timeout, fail_fast } = self;
        let count = requests.len();
        let total: Option<Duration> = timeout.or(None);
        let each = match timeout {
            Timeout::Default => Timeout::Default,
            // The whole has a deadline of its own.
            Timeout::Of(_) => Timeout::Of(None),
        };
        let workers =
            concurrency.unwrap_or_else(|| chain.pool().max_connections().max(CONCURRENCY)).min(count);
        let work = Arc::new(Work {
            chain: Arc::clone(&chain),
            requests,
            next: AtomicUsize::new(0),
            results: Mutex::new(vec![None; count]),
            timeout: each,
            fail_fast,
        });
        let call = Call::new(total);
        call.enter(Phase::Receive);
        let done = async {
            let mut tasks = JoinSet::new();
            for _ in 0..workers {
                tasks.spawn(Arc::clone(&work).run());
            }
            while let Some(worker) = tasks.join_next().await {
                worker.map_err(|_| interrupted())??;
            }
            Ok(())
        };
        call.bound(done, |call| {
            let done = work.next.load(Ordering::Relaxed).min(count);
            call.timed_out(&format!("'{}': {done} of {count} calls begun", chain.label()))
        })
        .await
        .map_err(|error| error.of_chain(Some(chain.label())))?;
        let results = std::mem::take(&mut *work.results.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(interrupted()))).collect())
    }
}

impl Work {
    async fn run(self: Arc<Self>) -> Result<()> {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.requests.get(place) else { return Ok(()) };
            let result = self.chain.request(request, self.timeout).await;
            if let (true, Err(error)) = (self.fail_fast, &result) {
                return Err(error.clone());
            }
            let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = results.get_mut(place) {
                *slot = Some(result);
            }
        }
    }
}

fn interrupted() -> Error {
    Error::new(Kind::PoolClosed, "the calls were interrupted")
}
