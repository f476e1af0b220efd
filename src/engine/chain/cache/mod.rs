//! What cannot change is asked for once, where the user wants that: results that are kept, and calls that are shared
//! while they are under way.
//!
//! It stands before the route, so what it knows costs no permit of a limit and no connection.

mod finality;
mod rules;
mod store;

use std::sync::Arc;

use bytes::Bytes;

use self::finality::Finality;
use self::rules::{Rule, When};
use self::store::Store;
use super::flights::{Flights, Flown};
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

/// When a result cannot change any more, and the last block that was final before it was asked for.
pub(super) struct Terms {
    when: When,
    last: u64,
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
        if Rule::of(self.family, request.method()).is_some() {
            // Whoever is waited for here may need the connection.
            drop(kept.as_deref_mut().and_then(Option::take));
        }
        let terms = self.terms_of(router, request, call).await;
        if terms.is_none() {
            return router.request(request, timeout, call, kept).await;
        }
        let ask = async {
            let result = router.request(request, timeout, call, kept.as_deref_mut()).await;
            let is_settled = self.keep(request, terms.as_ref(), &result);
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

    /// On which terms the results of calls that are about to be made may be kept.
    pub(super) async fn terms(
        &self,
        router: &Router,
        requests: &[Request],
        call: &Call,
    ) -> Vec<Option<Terms>> {
        let mut terms = Vec::with_capacity(requests.len());
        for request in requests {
            terms.push(self.terms_of(router, request, call).await);
        }
        terms
    }

    /// Keep a result, if it cannot change any more: whether that is so.
    pub(super) fn keep(&self, request: &Request, terms: Option<&Terms>, result: &Result<Bytes>) -> bool {
        let (Ok(result), Some(terms)) = (result, terms) else { return false };
        let is_settled = terms.when.is_settled(result, terms.last);
        if is_settled {
            self.store.keep(request.text(), result);
        }
        is_settled
    }

    async fn terms_of(&self, router: &Router, request: &Request, call: &Call) -> Option<Terms> {
        let when = Rule::of(self.family, request.method())?.when(request.params())?;
        let needed = match when {
            When::Always | When::Timed => return Some(self.missed(when, 0)),
            When::Final(number) => Some(number),
            When::FinalAsTold => None,
        };
        call.enter(Phase::Receive);
        let last = self.finality.last(router.endpoints(), needed).await;
        needed.is_none_or(|number| number <= last).then(|| self.missed(when, last))
    }

    fn missed(&self, when: When, last: u64) -> Terms {
        self.scopes.count(Event::CacheMiss);
        Terms { when, last }
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
