//! What may be asked of an endpoint: a call, or a batch of them.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::remedy::{Remedy, remedy};
use super::{reach, submit};
use crate::engine::blocks::Blocks;
use crate::engine::classify::{Class, Effect};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::{INVALID_REQUEST, Request};
use crate::engine::pool::Pool;

/// What a batch is called. It is no method: nobody lacks it.
pub(super) const BATCH: &str = "batch";

/// What it asks of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    /// The name under which it is counted.
    pub method: &'a str,
    /// The blocks that are searched.
    pub blocks: Option<Blocks>,
    /// How many calls it is.
    pub calls: usize,
}

/// Something that may be asked of one endpoint or another.
pub(super) trait Ask: Sync {
    /// What comes of it.
    type Output: Send;

    fn load(&self) -> Load<'_>;

    /// What it does at a node, given what a method does.
    fn effect(&self, of: impl Fn(&str) -> Effect) -> Effect;

    /// Ask it of an endpoint; `is_choice` says whether there are others.
    fn ask(
        &self,
        endpoint: &Endpoint,
        is_choice: bool,
        timeout: Timeout,
        call: &Call,
    ) -> impl Future<Output = Result<Self::Output>> + Send;

    /// Learn what `error` tells of what the endpoint takes.
    fn heed(&self, endpoint: &Endpoint, error: &Error, now: Instant);

    /// What came of it, if that can be found out after the answer was lost.
    fn taken(&self, _pool: &Pool, _call: &Call) -> impl Future<Output = Option<Self::Output>> + Send {
        std::future::ready(None)
    }

    /// What `error`, met by a later attempt, comes to.
    fn settle(
        &self,
        _pool: &Pool,
        _call: &Call,
        error: Error,
    ) -> impl Future<Output = Result<Self::Output>> + Send {
        std::future::ready(Err(error))
    }
}

impl Ask for Request {
    type Output = Bytes;

    fn load(&self) -> Load<'_> {
        Load { method: self.method(), blocks: self.blocks(), calls: 1 }
    }

    fn effect(&self, of: impl Fn(&str) -> Effect) -> Effect {
        of(self.method())
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        is_choice: bool,
        timeout: Timeout,
        call: &Call,
    ) -> Result<Bytes> {
        if is_choice {
            reach::check(endpoint, self, call).await?;
        }
        match endpoint.bundler(self) {
            Some(bundler) => bundler.ask(self, timeout, call).await,
            None => endpoint.pool().attempt(self, timeout, call, None).await,
        }
    }

    fn heed(&self, endpoint: &Endpoint, error: &Error, now: Instant) {
        if let Some(blocks) = self.blocks() {
            endpoint.reach().heed(blocks, error, now);
        }
    }

    async fn taken(&self, pool: &Pool, call: &Call) -> Option<Bytes> {
        submit::find(pool, self, call).await
    }

    async fn settle(&self, pool: &Pool, call: &Call, error: Error) -> Result<Bytes> {
        if submit::may_be_ours(&error) { submit::settle(pool, self, call, error).await } else { Err(error) }
    }
}

/// The results of several calls, each with its own error.
pub(in crate::engine::chain) type Results<'a> = Pin<Box<dyn Future<Output = Vec<Result<Bytes>>> + Send + 'a>>;

/// Calls for one HTTP request.
pub(in crate::engine::chain) struct Bundle<'a>(pub &'a [Request]);

impl Ask for Bundle<'_> {
    type Output = Vec<Result<Bytes>>;

    fn load(&self) -> Load<'_> {
        Load { method: BATCH, blocks: None, calls: self.0.len() }
    }

    /// Calls that hand in transactions are told apart by their hashes only one by one.
    fn effect(&self, of: impl Fn(&str) -> Effect) -> Effect {
        let only_reads = self.0.iter().all(|request| of(request.method()) == Effect::Reads);
        if only_reads { Effect::Reads } else { Effect::Changes }
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        _is_choice: bool,
        timeout: Timeout,
        call: &Call,
    ) -> Result<Vec<Result<Bytes>>> {
        together(endpoint.pool(), self.0, timeout, call).await
    }

    /// A part that is taken after this one was not will tell how many it takes.
    fn heed(&self, endpoint: &Endpoint, error: &Error, now: Instant) {
        if is_too_much(error) && error.kind() != Kind::Protocol {
            endpoint.batch().believe(self.0.len() as u64 / 2, now);
        }
    }
}

/// Make several calls in one HTTP request. What all of them have met in the same way is an error of the batch.
pub(super) async fn together(
    pool: &Pool,
    requests: &[Request],
    timeout: Timeout,
    call: &Call,
) -> Result<Vec<Result<Bytes>>> {
    let results = pool.attempt_batch(requests, timeout, call).await?;
    let is_of_the_batch =
        |error: &&Error| remedy(error, Effect::Reads) != Remedy::Raise || is_too_much(error);
    match of_all(&results).filter(is_of_the_batch) {
        Some(error) => Err(error.clone()),
        None => Ok(results),
    }
}

/// The error that all calls of a batch have met, if they have: it is one of the batch.
fn of_all(results: &[Result<Bytes>]) -> Option<&Error> {
    let first = results.first()?.as_ref().err()?;
    let is_the_same =
        |result: &Result<Bytes>| result.as_ref().is_err_and(|error| error.message() == first.message());
    results.iter().all(is_the_same).then_some(first)
}

/// Whether fewer calls may be taken where this is said to a batch: it, or what comes of it, is too large, or the node
/// takes no batches at all. What is said to each of its calls is about them.
pub(in crate::engine::chain) fn is_too_much(error: &Error) -> bool {
    let facts = error.facts();
    let is_too_large = facts.class == Some(Class::RangeTooLarge);
    match error.kind() {
        Kind::Protocol | Kind::HttpStatus => is_too_large,
        _ => facts.is_of_batch && (is_too_large || facts.code == Some(INVALID_REQUEST)),
    }
}

/// Whether none of its calls were made. A node that calls its response too large has made them.
pub(in crate::engine::chain) fn was_not_begun(error: &Error) -> bool {
    let speaks_of_response = || error.message().to_lowercase().contains("response");
    error.kind() != Kind::Protocol && !speaks_of_response()
}
