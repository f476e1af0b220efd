//! One label: its pool, its limit, and who is behind it.

mod flow;
mod identity;
mod many;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::deadline::{Call, Timeout};
use super::error::{Error, Kind, Result};
use super::jsonrpc::Request;
use super::limiter::RateLimiter;
use super::pool::{Connection, Pool};
use super::transport::Route;

pub use flow::{Flow, Inlet, Taken};
pub use identity::{Identity, NetworkId};
pub use many::Many;

/// How many calls are in flight unless the caller says otherwise, at least: an HTTP/2 connection carries that many.
const CONCURRENCY: usize = 64;

/// What a chain was connected with. Connecting again with an equal one does nothing.
#[derive(Clone, PartialEq)]
pub struct ChainConfig {
    /// How to get there.
    pub route: Route,
    /// The network that the node must belong to.
    pub network_id: Option<NetworkId>,
    /// How fast it may be asked.
    pub rate_limit: Option<Limit>,
}

/// How fast a chain may be asked.
#[derive(Clone)]
pub enum Limit {
    /// So many requests in any second.
    PerSecond(RateLimiter),
    /// As a limiter of the user's says, which may be shared with others.
    Shared(RateLimiter),
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

    /// The limiter that says so.
    #[must_use]
    pub const fn limiter(&self) -> &RateLimiter {
        match self {
            Self::PerSecond(limiter) | Self::Shared(limiter) => limiter,
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
            _ => false,
        }
    }
}

/// A connected chain.
pub struct Chain {
    label: Arc<str>,
    pool: Pool,
    config: ChainConfig,
    identity: Identity,
}

/// How a chain is doing.
#[derive(Debug)]
pub struct Status {
    /// Who the node is.
    pub identity: Identity,
    /// The number of its newest block, if it has any and told it.
    pub head: Option<u64>,
    /// How long it took to tell.
    pub latency: Option<Duration>,
    /// Where it is: scheme, host and port.
    pub endpoint: String,
    /// Why it did not answer, if so.
    pub failure: Option<Error>,
}

impl Status {
    /// Whether there is nothing to say against the endpoint. A full pool says nothing about it.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.failure.as_ref().is_none_or(|error| error.kind() == Kind::PoolTimeout)
    }
}

impl Chain {
    /// Find out who is behind `pool` and whether it is who was asked for.
    ///
    /// # Errors
    /// Whatever the way to the node meets; `ChainMismatch` when it belongs to another network.
    pub async fn connect(
        label: Arc<str>,
        pool: Pool,
        config: ChainConfig,
        progress: Arc<Call>,
    ) -> Result<Self> {
        let identity = identity::identify(&pool, &progress).await?;
        pool.learn(identity.family);
        if let Some(wanted) = &config.network_id {
            check_network(&label, wanted, identity.network.as_ref(), "was asked for")?;
        }
        Ok(Self { label, pool, config, identity })
    }

    /// Make one call. The result is JSON text.
    ///
    /// # Errors
    /// Whatever the call meets.
    pub async fn request(&self, request: &Request, timeout: Timeout) -> Result<Bytes> {
        self.pool.request(request, timeout).await
    }

    /// How many calls of one caller may be in flight: as many as were asked for, or what suits the pool.
    fn concurrency(&self, asked: Option<usize>) -> usize {
        asked.unwrap_or_else(|| self.pool.max_connections().max(CONCURRENCY))
    }

    /// Lease a connection to whoever asks at `place`.
    ///
    /// # Errors
    /// `PoolTimeout` and its kin.
    pub async fn connection(&self, timeout: Timeout, place: Arc<str>) -> Result<Connection> {
        let lease = self.pool.lease(timeout).await?;
        Connection::new(&self.pool, lease, place)
    }

    /// Ask the node how it is doing. A node that does not answer is a status too.
    pub async fn status(&self) -> Status {
        let call = Call::new(self.pool.settings().request_timeout);
        let outcome = identity::head(&self.pool, self.identity.family, &call).await;
        let (head, latency, failure) = match outcome {
            Ok(head) => (head, Some(call.elapsed()), None),
            Err(error) => (None, None, Some(error)),
        };
        let endpoint = self.config.route.target.to_string();
        Status { identity: self.identity.clone(), head, latency, endpoint, failure }
    }

    /// Whether the node accepts the credentials.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn verify_credentials(&self) -> Result<bool> {
        let call = Call::new(self.pool.settings().request_timeout);
        match identity::knock(&self.pool, self.identity.family, &call).await {
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

    /// Its connections.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
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
