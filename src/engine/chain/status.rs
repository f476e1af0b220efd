//! How a chain is doing, endpoint by endpoint.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Chain;
use super::identity::{self, Identity};
use super::route::{Circuit, Endpoint};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::limiter::Learned;
use crate::engine::metrics::Counters;

/// How a chain is doing.
#[derive(Debug)]
pub struct Status {
    /// Who its nodes are.
    pub identity: Identity,
    /// The ways to it.
    pub endpoints: Vec<EndpointStatus>,
}

/// How one endpoint is doing.
#[derive(Debug)]
pub struct EndpointStatus {
    /// Where it is: scheme, host and port.
    pub endpoint: String,
    /// The number of its newest block, if it has any and told it.
    pub head: Option<u64>,
    /// How long it took to tell.
    pub latency: Option<Duration>,
    /// What its answers take on average, where there are several endpoints.
    pub average: Option<Duration>,
    /// In how many seconds it is expected to answer one more call, by its latency, its failures, what it carries and its
    /// weight: the lower of two is asked.
    pub score: f64,
    /// Whether it is asked: `"closed"`, `"open"` or `"half_open"`, as a circuit is.
    pub circuit: &'static str,
    /// By how many blocks it is behind the best.
    pub lag: Option<u64>,
    /// Whether that is too many.
    pub is_lagging: bool,
    /// The most blocks that a search for logs may ask it for at a time, as far as it has told.
    pub max_block_range: Option<u64>,
    /// The most calls that it takes in a batch, as far as it has told.
    pub max_batch_size: Option<u64>,
    /// What it has counted.
    pub counters: Arc<Counters>,
    /// How fast it was found to allow to be asked, where that is looked for.
    pub learned: Option<Learned>,
    /// Why it did not answer, or is left alone.
    pub failure: Option<Error>,
}

impl Status {
    /// The newest block that any of them has.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.head).max()
    }

    /// What the fastest of them took to tell.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.latency).min()
    }
}

impl EndpointStatus {
    /// Whether there is nothing to say against it. A full pool says nothing about it.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.failure.as_ref().is_none_or(|error| error.kind() == Kind::PoolTimeout)
    }
}

impl Chain {
    /// Ask the nodes how they are doing. One that does not answer is a status too; one that is left alone is not asked.
    pub async fn status(&self) -> Status {
        let mut endpoints =
            join_all(self.router.endpoints().iter().map(|endpoint| self.status_of(endpoint))).await;
        let best = endpoints.iter().filter_map(|endpoint| endpoint.head).max();
        for endpoint in &mut endpoints {
            endpoint.lag = best.zip(endpoint.head).map(|(best, head)| best - head);
        }
        Status { identity: self.identity.clone(), endpoints }
    }

    /// The newest block of a node that is who it was, and how long it took to tell.
    async fn head_of(&self, endpoint: &Endpoint, call: &Call) -> Result<(Option<u64>, Duration)> {
        self.router.be_sure_of(endpoint, call).await?;
        let began = Instant::now();
        let head = identity::head(endpoint.pool(), self.identity.family, call).await?;
        Ok((head, began.elapsed()))
    }

    async fn status_of(&self, endpoint: &Endpoint) -> EndpointStatus {
        let circuit = endpoint.circuit();
        let pool = endpoint.pool();
        let call = Call::new(pool.settings().request_timeout);
        let (head, latency, failure) = if circuit == Circuit::Closed {
            let told = call.bound(pin!(self.head_of(endpoint, &call))).await;
            match told.unwrap_or_else(|| Err(pool.timed_out(&call))) {
                Ok((head, took)) => (head, Some(took), None),
                Err(error) => (None, None, Some(error)),
            }
        } else {
            (endpoint.head(), None, endpoint.trouble())
        };
        let now = Instant::now();
        EndpointStatus {
            endpoint: pool.target().to_string(),
            head,
            latency,
            average: endpoint.latency(),
            score: endpoint.score(now),
            circuit: circuit.name(),
            lag: None,
            is_lagging: endpoint.is_lagging(),
            max_block_range: endpoint.reach().most(now),
            max_batch_size: endpoint.batch().most(now),
            counters: Arc::clone(pool.scopes().own()),
            learned: pool.learned(),
            failure,
        }
    }
}
