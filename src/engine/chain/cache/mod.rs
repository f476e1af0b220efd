//! What cannot change is asked for once, where the user wants that: results that are kept, and calls that are shared
//! while they are under way.
//!
//! It stands before the route, so what it knows costs no permit of a limit and no connection.

mod finality;
mod flights;
mod rules;
mod store;

use std::sync::Arc;

use bytes::Bytes;

use self::finality::Finality;
use self::flights::{Flights, Flown};
use self::rules::{Rule, When};
use self::store::Store;
use super::route::Router;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Phase, Result};
use crate::engine::family::Family;
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, Scopes};
use crate::engine::pool::Lease;

/// What one chain has kept.
pub(super) struct Cache {
    family: Family,
    store: Store,
    flights: Flights,
    finality: Finality,
    scopes: Arc<Scopes>,
}

impl Cache {
    /// A cache of at most so many bytes for a chain of `family`.
    pub(super) fn new(most: u64, family: Family, endpoints: usize, scopes: Arc<Scopes>) -> Result<Self> {
        Ok(Self {
            family,
            store: Store::new(most, Arc::clone(&scopes))?,
            flights: Flights::default(),
            finality: Finality::new(family, endpoints),
            scopes,
        })
    }

    /// The result of a call that was made before.
    pub(super) fn get(&self, request: &Request) -> Option<Bytes> {
        Rule::of(self.family, request.method())?;
        let kept = self.store.get(request.text())?;
        self.scopes.count(Event::CacheHit);
        Some(kept)
    }

    /// Make a call whose result is not known: once for all who make it now, and keep what cannot change.
    pub(super) async fn request(
        &self,
        router: &Router,
        request: &Request,
        timeout: Timeout,
        call: &Call,
        mut kept: Option<&mut Option<Lease>>,
    ) -> Result<Bytes> {
        let Some((when, last)) = self.settles(router, request, call).await else {
            return router.request(request, timeout, call, kept).await;
        };
        self.scopes.count(Event::CacheMiss);
        let ask = async {
            let result = router.request(request, timeout, call, kept.as_deref_mut()).await;
            let is_settled = result.as_ref().is_ok_and(|result| when.is_settled(result, last));
            if let (Ok(result), true) = (&result, is_settled) {
                self.store.keep(request.text(), result);
            }
            (result, is_settled)
        };
        // As long as another asks.
        call.enter(Phase::Receive);
        match self.flights.join(request.text(), ask).await {
            Flown::Own(result) => result,
            Flown::Shared(result) => {
                self.scopes.count(Event::Shared);
                result
            }
            Flown::Alone => router.request(request, timeout, call, kept).await,
        }
    }

    /// When the result cannot change any more, and the last block that is final now. `None` when it can.
    async fn settles(&self, router: &Router, request: &Request, call: &Call) -> Option<(When, u64)> {
        let when = Rule::of(self.family, request.method())?.when(request.params())?;
        let needed = match when {
            When::Always | When::Timed => return Some((when, 0)),
            When::Final(number) => Some(number),
            When::FinalAsTold => None,
        };
        call.enter(Phase::Receive);
        let last = self.finality.last(router.endpoints(), needed).await;
        needed.is_none_or(|number| number <= last).then_some((when, last))
    }
}

/// The least that a cache may hold: a block fits into it.
const LEAST: u64 = 1 << 20;

/// A size that the user gave, in bytes.
///
/// # Errors
/// `Configuration` when it is below one MiB.
pub fn cache_size(bytes: i64) -> Result<u64> {
    let most = u64::try_from(bytes).ok().filter(|bytes| *bytes >= LEAST);
    most.ok_or_else(|| Error::argument("cache", "must be True, False, or a number of bytes, 1 MiB at least"))
}

/// What a cache may hold unless the user says otherwise.
pub const CACHE_SIZE: u64 = 64 << 20;
