//! Several calls in as few HTTP requests as the endpoints take, with an answer or an error for each.

use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::Chain;
use super::route::{Bundle, is_too_much};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, finish_call};

type Results<'a> = Pin<Box<dyn Future<Output = Vec<Result<Bytes>>> + Send + 'a>>;

impl Chain {
    /// Make several calls within one deadline. The results are in the order of the calls, each with its own error.
    pub async fn batch(&self, requests: &[Request], timeout: Timeout) -> Vec<Result<Bytes>> {
        if requests.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let call = Call::starting(began, timeout.or(self.pool().settings().request_timeout));
        self.scopes().count(Event::Request);
        let results = call.bound(pin!(self.in_parts(requests, timeout, &call))).await;
        let results = results.unwrap_or_else(|| vec![Err(self.timed_out(&call)); requests.len()]);
        let outcome = results
            .iter()
            .find_map(|result| result.as_ref().err())
            .map_or(Ok(()), |error| Err(error.clone()));
        finish_call(self.scopes(), self.pool().collector(), "batch", began.elapsed(), &outcome);
        results
    }

    /// Parts that the endpoints are known to take, all at once.
    async fn in_parts(&self, requests: &[Request], timeout: Timeout, call: &Call) -> Vec<Result<Bytes>> {
        let most = self.router.batch_size(Instant::now()).unwrap_or(requests.len());
        let parts = requests.chunks(most.max(1)).map(|part| self.part(part, timeout, call));
        join_all(parts).await.into_iter().flatten().collect()
    }

    /// One HTTP request, or two with half of the calls each if it is too much.
    fn part<'a>(&'a self, requests: &'a [Request], timeout: Timeout, call: &'a Call) -> Results<'a> {
        Box::pin(async move {
            if let [only] = requests {
                return vec![self.router.request(only, timeout, call, None).await];
            }
            match self.router.batch(&Bundle(requests), timeout, call).await {
                Ok(results) => self.mended(requests, results, timeout, call).await,
                Err(error) if is_too_much(&error) && self.may_be_parted(requests, &error) => {
                    let (some, others) = requests.split_at(requests.len() / 2);
                    let parts = join(self.part(some, timeout, call), self.part(others, timeout, call));
                    let (mut results, others) = parts.await;
                    results.extend(others);
                    results
                }
                Err(error) => vec![Err(error); requests.len()],
            }
        })
    }

    /// Whether no call was made, or all can be made again.
    fn may_be_parted(&self, requests: &[Request], error: &Error) -> bool {
        error.kind() != Kind::Protocol || requests.iter().all(|request| self.router.only_reads(request))
    }

    /// The results, after another try at the calls that may fare better then.
    async fn mended(
        &self,
        requests: &[Request],
        results: Vec<Result<Bytes>>,
        timeout: Timeout,
        call: &Call,
    ) -> Vec<Result<Bytes>> {
        let each = requests.iter().zip(results).map(|(request, result)| async move {
            match result {
                Err(error) if self.router.may_fare_better(request, &error) => {
                    self.router.request(request, timeout, call, None).await
                }
                result => result,
            }
        });
        join_all(each).await
    }
}
