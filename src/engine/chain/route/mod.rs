//! Which endpoint is asked, and what is done when it fails: failover, retries and hedging, all within one deadline.

mod ask;
mod breaker;
mod budget;
mod bundler;
mod doubt;
mod endpoint;
mod pace;
mod race;
mod reach;
mod remedy;
mod score;
mod submit;
mod subscribe;
mod watch;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::ask::Load;
use self::budget::Budget;
use self::endpoint::Fitness;
use self::pace::Pace;
use self::race::Race;
use self::remedy::Remedy;
use super::identity::Identity;
use crate::engine::classify::{Class, Effect, effect_of};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::log::{Area, Level, Log};
use crate::engine::metrics::{Event, Scopes};
use crate::engine::pool::{Connection, Lease, Pool};

pub(super) use ask::{Bundle, Results, is_too_much, was_not_begun};
pub(super) use breaker::Circuit;
pub use bundler::Batching;
pub(super) use endpoint::Endpoint;
pub(super) use remedy::wait;

/// Retries are a tenth of the requests at most, so that they cannot melt a node; hedges as well. Bursts are as large
/// as a crowd that is caught by one endpoint's end.
const PER_THOUSAND: i64 = 100;
const BURST: i64 = 200;

/// Nothing in particular will be asked.
const NOTHING: Load<'static> = Load { method: "", blocks: None, calls: 1 };

/// How a chain's calls find their way.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How often a call is made again after it has failed everywhere.
    pub retries: u32,
    /// Whether a late call is made again elsewhere before it has failed.
    pub hedging: bool,
    /// An endpoint that is so many blocks behind the others is set aside; `None` is what suits the family.
    pub max_lag: Option<u64>,
    /// Methods of the user's that change nothing at a node.
    pub safe_methods: HashSet<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { retries: 2, hedging: true, max_lag: None, safe_methods: HashSet::new() }
    }
}

/// The endpoints of one chain.
pub(super) struct Router {
    label: Arc<str>,
    endpoints: Vec<Endpoint>,
    policy: Policy,
    /// Who its nodes must be.
    identity: Identity,
    retries: Budget,
    hedges: Budget,
    pace: Pace,
    scopes: Arc<Scopes>,
    log: Log,
}

impl Router {
    pub(super) fn new(
        label: Arc<str>,
        endpoints: Vec<Endpoint>,
        policy: Policy,
        identity: Identity,
        scopes: Arc<Scopes>,
        log: Log,
    ) -> Self {
        Self {
            label,
            endpoints,
            policy,
            identity,
            retries: Budget::new(PER_THOUSAND, BURST),
            hedges: Budget::new(PER_THOUSAND, BURST),
            pace: Pace::new(Instant::now()),
            scopes,
            log,
        }
    }

    /// Keep an eye on the endpoints, as long as there are several and somebody uses them.
    pub(super) fn watch(self: &Arc<Self>) {
        if self.endpoints.len() > 1 {
            watch::start(self);
        }
    }

    /// All of them.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The first of them.
    pub(super) fn first(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    pub(super) const fn scopes(&self) -> &Arc<Scopes> {
        &self.scopes
    }

    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// Leave an endpoint alone until it is who it should be.
    pub(super) fn set_aside(&self, endpoint: &Endpoint, why: Error) {
        endpoint.set_aside(why, Instant::now());
        self.tell_opened(endpoint);
    }

    /// Lease a connection to the endpoint that does best, or to the next if that cannot be reached.
    pub(super) async fn connection(&self, timeout: Timeout, place: Arc<str>) -> Result<Connection> {
        let began = Instant::now();
        // One endpoint, the usual case, needs no choice.
        if let [only] = self.endpoints.as_slice()
            && !only.is_doubted()
        {
            let lease = only.pool().lease(timeout).await;
            let lease = lease.inspect_err(|error| self.failed(0, "", error, Duration::ZERO, began))?;
            // It may have gone away while the lease was waited for.
            if !only.is_doubted() {
                return Connection::new(only.pool(), lease, place);
            }
        }
        let timeout = timeout.or(self.first().pool().settings().acquire_timeout);
        let call = Call::starting(began, timeout);
        let (pool, lease) = Box::pin(self.lease_somewhere(&call)).await?;
        Connection::new(pool, lease, place)
    }

    async fn lease_somewhere(&self, call: &Call) -> Result<(&Pool, Lease)> {
        let mut tried = vec![false; self.endpoints.len()];
        let mut failure = None;
        while let Some(index) = self.pick(NOTHING, &tried, Instant::now()) {
            tried[index] = true;
            let pool = self.endpoints[index].pool();
            match self.lease_at(index, call).await {
                Ok(lease) => return Ok((pool, lease)),
                Err(error) if remedy::remedy(&error, Effect::Changes) == Remedy::Raise => return Err(error),
                Err(error) => {
                    self.failed(index, "", &error, Duration::ZERO, Instant::now());
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| self.nobody()))
    }

    async fn lease_at(&self, index: usize, call: &Call) -> Result<Lease> {
        let endpoint = &self.endpoints[index];
        loop {
            if endpoint.is_doubted() {
                let sure = call.bound(pin!(self.be_sure_of(endpoint, call))).await;
                sure.unwrap_or_else(|| Err(endpoint.pool().timed_out(call))).map_err(doubt::not_sent)?;
            }
            let lease = endpoint.pool().lease(Timeout::Of(call.remaining())).await?;
            // It may have gone away while the lease was waited for.
            if !endpoint.is_doubted() {
                return Ok(lease);
            }
        }
    }

    /// Note a failure. The only endpoint is not left alone for it.
    fn failed(&self, index: usize, method: &str, error: &Error, took: Duration, now: Instant) {
        let endpoint = &self.endpoints[index];
        if doubt::is_away(error) {
            endpoint.doubt();
        }
        // One failure of several calls is counted once.
        if self.endpoints.len() > 1
            && error.counts()
            && endpoint.failed(method, error, took, self.has_others(index), now)
        {
            self.tell_opened(endpoint);
        }
    }

    /// Make one call. The result is JSON text.
    pub(super) async fn request(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
        kept: Option<&mut Option<Lease>>,
    ) -> Result<Bytes> {
        self.retries.earn(1);
        // One endpoint that answers, the usual case, costs nothing more.
        if let [only] = self.endpoints.as_slice()
            && !only.is_doubted()
            && only.bundler(request).is_none()
        {
            let race = match only.pool().attempt(request, timeout, call, kept).await {
                Ok(result) => return Ok(result),
                Err(error) if error.facts().is_unsure => Race::new(self, request, timeout, call),
                Err(error) => Race::after(self, request, timeout, call, error),
            };
            return Box::pin(race.run()).await;
        }
        // It goes another way, which may need the connection.
        drop(kept.and_then(Option::take));
        self.hedges.earn(1);
        Box::pin(Race::new(self, request, timeout, call).run()).await
    }

    /// So many calls were made: what may be sent besides them grows.
    pub(super) fn earn(&self, calls: usize) {
        self.retries.earn(calls);
        self.hedges.earn(calls);
    }

    /// Make a call of a batch by itself.
    pub(super) async fn request_alone(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
    ) -> Result<Bytes> {
        Box::pin(Race::new(self, request, timeout, call).run()).await
    }

    /// Make a call again that met `error` in a batch.
    pub(super) async fn request_again(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
        error: Error,
    ) -> Result<Bytes> {
        Box::pin(Race::new(self, request, timeout, call).resumed(error).run()).await
    }

    /// Make several calls in one HTTP request.
    pub(super) async fn batch(
        &self,
        bundle: &Bundle<'_>,
        timeout: Timeout,
        call: &Call,
    ) -> Result<Vec<Result<Bytes>>> {
        Box::pin(Race::new(self, bundle, timeout, call).run()).await
    }

    /// Whether a call that met `error` in a batch may fare better by itself.
    pub(super) fn may_fare_better(&self, request: &Request, error: &Error) -> bool {
        let effect = self.effect_of(request.method());
        match remedy::remedy(error, effect) {
            Remedy::Raise => false,
            Remedy::Again => true,
            // In a batch others may have taken up the room for its answer, and a transaction may have been taken.
            Remedy::Elsewhere => {
                let is_of_room = error.facts().class == Some(Class::RangeTooLarge);
                self.endpoints.len() > 1 || (is_of_room && effect != Effect::Changes)
            }
        }
    }

    /// The most blocks that may be searched at a time: as many as the best of the endpoints takes, where all have told.
    pub(super) fn reach(&self, now: Instant) -> Option<u64> {
        self.most(|endpoint| endpoint.reach().most(now))
    }

    /// How many of these calls, from the first, may go in one batch: as many as the best endpoint is known to take, and no
    /// more than the limit of any allows at a time.
    pub(super) fn fits(&self, requests: &[Request], now: Instant) -> usize {
        let told =
            self.most(|endpoint| endpoint.batch().most(now)).and_then(|most| usize::try_from(most).ok());
        let limits = self.endpoints.iter().map(|endpoint| endpoint.pool().fits(requests));
        limits.chain(told).chain([requests.len()]).min().unwrap_or(1).max(1)
    }

    fn most(&self, of: impl Fn(&Endpoint) -> Option<u64>) -> Option<u64> {
        let open = self.endpoints.iter().filter(|endpoint| endpoint.circuit() == Circuit::Closed);
        open.map(of).reduce(|one, other| Some(one?.max(other?))).flatten()
    }

    /// The endpoint to ask, but for those that were `tried`: of two by chance the one that is expected to answer first,
    /// out of those that suit best.
    fn pick(&self, load: Load<'_>, tried: &[bool], now: Instant) -> Option<usize> {
        let fit = |index: usize| self.endpoints[index].fitness(load, now).map(|fitness| (index, fitness));
        let open: Vec<(usize, Fitness)> =
            (0..self.endpoints.len()).filter(|index| !tried[*index]).filter_map(fit).collect();
        let best = open.iter().map(|(_, fitness)| *fitness).min()?;
        let best: Vec<usize> =
            open.iter().filter(|(_, fitness)| *fitness == best).map(|(index, _)| *index).collect();
        let [first, second] = two_of(best.len());
        let cost = |index: usize| self.endpoints[index].cost(load.method, now);
        let (first, second) = (best[first], best[second]);
        Some(if cost(second) < cost(first) { second } else { first })
    }

    /// Note that an endpoint does not answer. The last one that is asked at all is not left alone for that: when this
    /// machine itself is slow, all seem to hang.
    fn hung(&self, index: usize, method: &str, now: Instant) {
        let endpoint = &self.endpoints[index];
        if endpoint.hung(method, self.has_others(index), now) {
            self.tell_opened(endpoint);
        }
    }

    /// Whether there are others to ask.
    fn has_others(&self, than: usize) -> bool {
        let mut others = self.endpoints.iter().enumerate().filter(|(index, _)| *index != than);
        others.any(|(_, endpoint)| endpoint.circuit() == Circuit::Closed)
    }

    /// Whether a call changes nothing, as far as is known.
    pub(super) fn only_reads(&self, request: &Request) -> bool {
        self.effect_of(request.method()) == Effect::Reads
    }

    fn effect_of(&self, method: &str) -> Effect {
        if self.policy.safe_methods.contains(method) { Effect::Reads } else { effect_of(method) }
    }

    /// Tell that an endpoint is left alone.
    fn tell_opened(&self, endpoint: &Endpoint) {
        self.scopes.count(Event::BreakerOpened);
        self.log.write(Level::Warning, Area::Manager, || {
            let why =
                endpoint.trouble().map_or_else(|| "it does not answer in time".to_owned(), |e| e.to_string());
            format!("'{}': {} is left alone for now: {why}", self.label, endpoint.pool().target())
        });
    }

    /// The error when there is nobody to ask.
    fn nobody(&self) -> Error {
        let message = format!("no endpoint of '{}' is healthy", self.label);
        let error = Error::new(Kind::NoHealthyEndpoint, message).of_chain(Some(&self.label));
        match self.endpoints.iter().find_map(Endpoint::trouble) {
            Some(trouble) => error.because(trouble),
            None => error,
        }
    }
}

/// Two different numbers below `count` by chance, or the only one twice.
fn two_of(count: usize) -> [usize; 2] {
    // A count of endpoints is small, and chance below one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small numbers above zero"
    )]
    let below = |count: usize| ((remedy::chance() * count as f64) as usize).min(count.saturating_sub(1));
    let first = below(count);
    if count < 2 {
        return [first, first];
    }
    let second = below(count - 1);
    [first, if second >= first { second + 1 } else { second }]
}
