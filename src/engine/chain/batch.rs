//! Several calls in as few HTTP requests as the endpoints take, with an answer or an error for each.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::Chain;
use super::route::{Bundle, Results, is_too_much, was_not_begun};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::Result;
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
        self.router.earn(requests.len());
        let results = self.known_or_made(requests, timeout, &call).await;
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
        let terms = call.bound(pin!(cache.terms(&self.router, &open, call))).await.unwrap_or_default();
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
        let (mut parts, mut rest) = (Vec::new(), requests);
        while !rest.is_empty() {
            let (part, others) = rest.split_at(self.router.fits(rest, Instant::now()));
            parts.push(self.part(part, timeout, call));
            rest = others;
        }
        join_all(parts).await.into_iter().flatten().collect()
    }

    /// One HTTP request; if it is too much, one with half of the calls, and then as many as that has shown to be needed.
    fn part<'a>(&'a self, requests: &'a [Request], timeout: Timeout, call: &'a Call) -> Results<'a> {
        Box::pin(async move {
            if let [only] = requests {
                let made = self.router.request_alone(only, timeout, call);
                return vec![self.bounded(call, made).await];
            }
            let only_reads = requests.iter().all(|request| self.router.only_reads(request));
            let bundle = Bundle(requests);
            let error = match self.bounded(call, self.router.batch(&bundle, timeout, call)).await {
                Ok(results) => return self.mended(requests, results, timeout, call).await,
                Err(error) => error,
            };
            if is_too_much(&error) && (only_reads || was_not_begun(&error)) {
                let (some, others) = requests.split_at(requests.len() / 2);
                let mut results = self.part(some, timeout, call).await;
                results.extend(self.in_parts(others, timeout, call).await);
                return results;
            }
            let failed = vec![Err(error); requests.len()];
            // What only reads was made again already, as often as it may.
            if only_reads { failed } else { self.mended(requests, failed, timeout, call).await }
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
                    let again = self.router.request_again(request, timeout, call, error.clone());
                    // What it met first says more than that there was no time left.
                    call.bound(pin!(again)).await.unwrap_or(Err(error))
                }
                result => result,
            }
        });
        join_all(each).await
    }

    async fn bounded<T>(&self, call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        // The work is dropped first, and says what the time was spent on.
        let result = call.bound(pin!(work)).await;
        result.unwrap_or_else(|| Err(self.timed_out(call)))
    }
}
