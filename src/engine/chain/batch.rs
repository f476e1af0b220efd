//! Several calls in as few HTTP requests as the endpoints take, with an answer or an error for each.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::Chain;
use super::route::{Bundle, Results, halves, is_too_much};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, finish_call};

impl Chain {
    /// Make several calls within one deadline. The results are in the order of the calls, each with its own error.
    pub async fn batch(&self, requests: &[Request], timeout: Timeout) -> Vec<Result<Bytes>> {
        if requests.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let call = Call::starting(began, timeout.or(self.pool().settings().request_timeout));
        self.scopes().count(Event::Request);
        let results = call.bound(pin!(self.known_or_made(requests, timeout, &call))).await;
        let results = results.unwrap_or_else(|| vec![Err(self.timed_out(&call)); requests.len()]);
        let outcome = results
            .iter()
            .find_map(|result| result.as_ref().err())
            .map_or(Ok(()), |error| Err(error.clone()));
        finish_call(self.scopes(), self.pool().collector(), "batch", began.elapsed(), &outcome);
        results
    }

    /// What is known is not asked for.
    async fn known_or_made(&self, requests: &[Request], timeout: Timeout, call: &Call) -> Vec<Result<Bytes>> {
        let Some(cache) = &self.cache else { return self.in_parts(requests, timeout, call).await };
        let known: Vec<_> = requests.iter().map(|request| cache.get(request)).collect();
        let unknown = requests.iter().zip(&known).filter(|(_, known)| known.is_none());
        let open: Vec<_> = unknown.map(|(request, _)| request.clone()).collect();
        let terms = cache.terms(&self.router, &open, call).await;
        let made = self.in_parts(&open, timeout, call).await;
        for ((request, terms), result) in open.iter().zip(&terms).zip(&made) {
            cache.keep(request, terms.as_ref(), result);
        }
        let mut made = made.into_iter();
        let result = |known: Option<Bytes>| known.map(Ok).or_else(|| made.next());
        known.into_iter().filter_map(result).collect()
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
            let only_reads = requests.iter().all(|request| self.router.only_reads(request));
            let results = match self.router.batch(&Bundle(requests), timeout, call).await {
                Ok(results) => results,
                // Nothing was done, or it can be done again.
                Err(error) if is_too_much(&error) && (only_reads || error.kind() != Kind::Protocol) => {
                    let (some, others) = requests.split_at(requests.len() / 2);
                    return halves(self.part(some, timeout, call), self.part(others, timeout, call)).await;
                }
                Err(error) => {
                    let failed = vec![Err(error); requests.len()];
                    // What only reads was made again already, as often as it may.
                    if only_reads {
                        return failed;
                    }
                    failed
                }
            };
            self.mended(requests, results, timeout, call).await
        })
    }

    /// The results, after another try at the calls that may fare better by themselves.
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
                    self.router.request_again(request, timeout, call, &error).await
                }
                result => result,
            }
        });
        join_all(each).await
    }
}
