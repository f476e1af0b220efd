//! One label: its pool, its limit, and who is behind it.

mod batch;
mod cache;
mod calls;
mod connect;
mod driven;
mod flights;
mod flow;
mod identity;
mod live;
mod logs;
mod many;
mod route;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::{Call, Timeout};
use super::error::{Error, Kind, Result};
use super::limiter::RateLimiter;
use super::metrics::Scopes;
use super::plans::{self, Plan, Quota};
use super::pool::{Connection, Pool};
use super::transport::Route;
use cache::Cache;
use live::Live;
use route::{Endpoint, Router};

pub use cache::{CACHE_SIZE, cache_size};
pub use connect::Parts;
pub use flow::{Flow, Inlet, Taken};
pub use identity::{Identity, NetworkId};
pub use live::{Subscription, Told, Topic};
pub use logs::{LogFilter, LogOptions, LogPiece, LogStream};
pub use many::Many;
pub use route::{Batching, Policy};
pub use status::{EndpointStatus, Status};

/// How many calls are in flight unless the caller says otherwise, at least: an HTTP/2 connection carries that many.
const CONCURRENCY: usize = 64;

/// What a chain was connected with. Connecting again with an equal one does nothing.
#[derive(Clone, PartialEq)]
pub struct ChainConfig {
    /// The ways to it, one at least.
    pub endpoints: Vec<EndpointConfig>,
    /// The network that its nodes must belong to.
    pub network_id: Option<NetworkId>,
    /// How its calls find their way.
    pub policy: Policy,
    /// How many bytes of results that cannot change are kept, if any.
    pub cache: Option<u64>,
}

/// One way to a chain.
#[derive(Clone, PartialEq)]
pub struct EndpointConfig {
    /// How to get there.
    pub route: Route,
    /// How fast it may be asked.
    pub rate_limit: Option<Limit>,
    /// How much of the calls it should get, beside the others.
    pub weight: f64,
    /// Whether calls are put together on the way, and how.
    pub batching: Option<Batching>,
}

/// How fast a chain may be asked.
#[derive(Clone)]
pub enum Limit {
    /// So many requests in any second.
    PerSecond(RateLimiter),
    /// As a limiter of the user's says, which may be shared with others.
    Shared(RateLimiter),
    /// As a provider's plan says.
    Plan(&'static Plan, RateLimiter),
    /// As fast as the endpoint is found to allow.
    Adaptive(RateLimiter),
}

impl Limit {
    /// So many requests a second; less than one a second is one in so many seconds.
    ///
    /// # Errors
    /// `Configuration` when it is not a number above zero.
    pub fn per_second(rate: f64) -> Result<Self> {
        let wrong = || Error::argument("rate_limit", "must be requests per second, above zero");
        if !rate.is_finite() || rate <= 0.0 {
            return Err(wrong());
        }
        // Whole numbers of requests in a window that fits them: 25.5 a second are 25 in 0.98 s.
        let whole = rate.floor().max(1.0);
        let window = Duration::try_from_secs_f64(whole / rate).map_err(|_| wrong())?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let limiter = RateLimiter::new(whole as u64, window, None).map_err(|_| wrong())?;
        Ok(Self::PerSecond(limiter))
    }

    /// What the plan of this name allows, or `"adaptive"`.
    ///
    /// # Errors
    /// `Configuration` when there is no such plan.
    pub fn named(name: &str) -> Result<Self> {
        if name == "adaptive" {
            return Ok(Self::Adaptive(RateLimiter::adaptive()));
        }
        plans::plan(name).map(|(plan, limiter)| Self::Plan(plan, limiter))
    }

    /// What it keeps an endpoint to.
    #[must_use]
    pub fn quota(&self) -> Quota {
        match self {
            Self::PerSecond(limiter) | Self::Shared(limiter) | Self::Adaptive(limiter) => {
                Quota::new(limiter.clone(), None)
            }
            Self::Plan(plan, limiter) => Quota::new(limiter.clone(), Some(plan.prices)),
        }
    }
}

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::PerSecond(a), Self::PerSecond(b)) => {
                (a.max_rate(), a.window()) == (b.max_rate(), b.window())
            }
            (Self::Shared(a), Self::Shared(b)) => a.is_same(b),
            (Self::Plan(a, _), Self::Plan(b, _)) => a.name == b.name,
            (Self::Adaptive(_), Self::Adaptive(_)) => true,
            _ => false,
        }
    }
}

/// A connected chain.
pub struct Chain {
    label: Arc<str>,
    router: Arc<Router>,
    config: ChainConfig,
    identity: Identity,
    cache: Option<Cache>,
    live: Live,
}

impl Chain {
    /// How many calls of one caller may be in flight: as many as were asked for, or what suits the pool.
    fn concurrency(&self, asked: Option<usize>) -> usize {
        asked.unwrap_or_else(|| self.pool().max_connections().max(CONCURRENCY))
    }

    /// Lease a connection to whoever asks at `place`.
    ///
    /// # Errors
    /// `PoolTimeout` and its kin.
    pub async fn connection(&self, timeout: Timeout, place: Arc<str>) -> Result<Connection> {
        self.router.connection(timeout, place).await
    }

    /// Whether the node accepts the credentials; with several endpoints, whether all of them do.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub async fn verify_credentials(&self) -> Result<bool> {
        for endpoint in self.router.endpoints() {
            if !self.verify(endpoint.pool()).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The most blocks that a search for logs may ask for at a time, as far as is known.
    fn reach(&self) -> Option<u64> {
        self.router.reach(Instant::now())
    }

    async fn verify(&self, pool: &Pool) -> Result<bool> {
        let call = Call::new(pool.settings().request_timeout);
        match identity::knock(pool, self.identity.family, &call).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Kind::Authentication => Ok(false),
            // These come before anybody looks at the credentials.
            Err(error) if matches!(error.kind(), Kind::ProviderRateLimit | Kind::QuotaExhausted) => {
                Err(error)
            }
            Err(error) if error.kind().is_answer() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The user's name for it.
    #[must_use]
    pub const fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Its connections, to each endpoint.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.router.endpoints().iter().map(Endpoint::pool)
    }

    /// Close all that is idle, and what is in use when it comes back; end its subscriptions.
    pub fn dismiss(&self) {
        self.live.close();
        self.pools().for_each(Pool::dismiss);
    }

    /// The connections to its first endpoint. Settings are the same for all.
    fn pool(&self) -> &Pool {
        self.router.first().pool()
    }

    /// What it counts.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.router.scopes()
    }

    /// What it was connected with.
    #[must_use]
    pub const fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// Who it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Refuse a node of another network.
pub(super) fn check_network(
    label: &Arc<str>,
    wanted: &NetworkId,
    found: Option<&NetworkId>,
    why: &str,
) -> Result<()> {
    if found == Some(wanted) {
        return Ok(());
    }
    let found = found.map_or_else(|| "does not say which".to_owned(), |found| format!("is {found}"));
    let message = format!("'{label}' {found}, but network {wanted} {why}");
    Err(Error::new(Kind::ChainMismatch, message).of_chain(Some(label)))
}
