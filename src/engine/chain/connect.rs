//! Connecting: who is behind the endpoints, and whether they are one network, and the one that was asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::cache::Cache;
use super::identity::{self, Identity};
use super::live::Live;
use super::route::{Endpoint, Router};
use super::{Chain, ChainConfig, check_network};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::log::Log;
use crate::engine::metrics::Scopes;
use crate::engine::pool::Pool;

/// Once an endpoint has answered the others have so long to do so too; who has not is looked at later.
const GRACE: Duration = Duration::from_secs(1);

/// What a chain is made of.
pub struct Parts {
    /// The user's label.
    pub label: Arc<str>,
    /// The connections to each endpoint, in the order of the configuration.
    pub pools: Vec<Pool>,
    /// What it is connected with.
    pub config: ChainConfig,
    /// What is counted.
    pub scopes: Arc<Scopes>,
    /// Where it is told.
    pub log: Log,
}

impl Chain {
    /// Find out who is behind the endpoints and whether it is who was asked for. One that cannot be reached is looked
    /// for later, if there is another; one of another network is never used.
    ///
    /// # Errors
    /// What the way to the first met, if none is left; `ChainMismatch` when it belongs to another network.
    pub async fn connect(parts: Parts, progress: Arc<Call>) -> Result<Self> {
        let Parts { label, pools, config, scopes, log } = parts;
        let found = identify_all(&pools, &progress).await;
        let judged = judge(&label, &config, found);
        let first = judged.iter().find_map(|found| found.as_ref().ok().cloned());
        let Some(identity) = first else {
            let first = judged.into_iter().find_map(Result::err);
            return Err(first.unwrap_or_else(|| Error::argument("endpoint", "must not be empty")));
        };
        let cache = |most| Cache::new(most, identity.family, pools.len(), Arc::clone(&scopes));
        let cache = config.cache.map(cache).transpose()?;
        let endpoints = pools.into_iter().zip(&config.endpoints);
        let endpoints = endpoints.map(|(pool, config)| Endpoint::new(pool, config)).collect();
        let router = Arc::new(Router::new(
            Arc::clone(&label),
            endpoints,
            config.policy.clone(),
            identity.clone(),
            scopes,
            log,
        ));
        for (endpoint, found) in router.endpoints().iter().zip(judged) {
            match found {
                Ok(found) => endpoint.pool().learn(found.family),
                Err(error) => router.set_aside(endpoint, error),
            }
        }
        router.watch();
        Ok(Self { label, router, config, identity, cache, live: Live::new() })
    }
}

/// Ask all of them at once. The first good answer starts the clock for the others.
async fn identify_all(pools: &[Pool], progress: &Call) -> Vec<Result<Identity>> {
    let late = || Err(Error::new(Kind::RequestTimeout, "did not say who it is in time"));
    let mut found: Vec<Result<Identity>> = pools.iter().map(|_| late()).collect();
    let several = pools.len() > 1;
    let ask = |(index, pool)| async move { (index, identity::identify(pool, several, progress).await) };
    let mut asks: FuturesUnordered<_> = pools.iter().enumerate().map(ask).collect();
    let mut until = None;
    loop {
        let next = match until {
            None => asks.next().await,
            Some(until) => timeout_at(until, asks.next()).await.ok().flatten(),
        };
        let Some((index, answer)) = next else { return found };
        if answer.is_ok() {
            until.get_or_insert_with(|| Instant::now() + GRACE);
        }
        found[index] = answer;
    }
}

/// Who is of the network that was asked for, or else of the first one's.
fn judge(label: &Arc<str>, config: &ChainConfig, found: Vec<Result<Identity>>) -> Vec<Result<Identity>> {
    let mut first: Option<Identity> = None;
    let mut judged = Vec::with_capacity(found.len());
    for found in found {
        judged.push(found.and_then(|found| {
            if let Some(wanted) = &config.network_id {
                check_network(label, wanted, found.network.as_ref(), "was asked for")?;
            }
            if let Some(first) = &first {
                first.check(label, &found)?;
            }
            first.get_or_insert_with(|| found.clone());
            Ok(found)
        }));
    }
    judged
}
