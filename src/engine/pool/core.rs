//! The pool: leases for callers, calls for everybody else.

use std::fmt::Write;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Pool as Store, QueueMode};
use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::gate::{Gate, Ticket, closed};
use super::home::{Home, Settings};
use super::lease::Lease;
use super::sharing::Sharing;
use super::store::{Conn, Opener};
use super::waiting::Waiting;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::log::Log;
use crate::engine::metrics::{CloseCause, Collector, Event, Gauge, Scopes};
use crate::engine::plans::Quota;
use crate::engine::target::Target;
use crate::engine::transport::Dialer;

/// What a pool is made of.
pub struct Parts {
    /// The user's label of the chain.
    pub label: Option<Arc<str>>,
    /// Opens the connections.
    pub dialer: Dialer,
    /// The bound, perhaps shared with other pools.
    pub gate: Arc<Gate>,
    /// What is counted.
    pub scopes: Scopes,
    /// Where it is told.
    pub log: Log,
    /// How fast the endpoint may be asked.
    pub quota: Option<Quota>,
    /// The user's own book, fed with every request.
    pub collector: Option<Collector>,
    /// How it behaves.
    pub settings: Settings,
}

/// Connections to one endpoint.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    home: Arc<Home>,
    quota: Option<Quota>,
    collector: Option<Collector>,
    store: Store<Opener>,
    /// Whether the endpoint's connections carry many requests at a time, as far as is known: those that may do so
    /// are taken to, until the first of them shows, so that a burst of first requests shares it.
    multiplexed: AtomicBool,
    closed: AtomicBool,
    kept_up: AtomicBool,
    next_id: AtomicU64,
}

impl Pool {
    /// A pool; nothing is opened before it is needed.
    ///
    /// # Errors
    /// None in practice; `Configuration` if the store cannot be made.
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts { label, dialer, gate, scopes, log, quota, collector, settings } = parts;
        // The gate bounds the leases, so the store never has to: its own limit is out of the way.
        let most = gate.limit().saturating_mul(2).max(64);
        let limiter = quota.as_ref().map(Quota::limiter);
        let home = Home::new(label, dialer, gate, scopes, log, limiter, settings);
        let store = Store::builder(Opener(Arc::clone(&home)))
            .max_size(most)
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::argument("max_connections", error))?;
        let _ = home.store.set(store.weak());
        let multiplexed = AtomicBool::new(home.dialer.may_multiplex());
        Ok(Self(Arc::new(Inner {
            home,
            quota,
            collector,
            store,
            multiplexed,
            closed: AtomicBool::new(false),
            kept_up: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
        })))
    }

    /// Take a connection for oneself.
    ///
    /// # Errors
    /// `PoolTimeout`, `TooManyWaiters`, `PoolClosed`, or what dialling failed with.
    pub async fn lease(&self, timeout: Timeout) -> Result<Lease> {
        let call = Call::new(timeout.or(self.settings().acquire_timeout));
        let mut lease = pin!(self.lease_proved(&call));
        // Where a connection is idle there is nothing to wait for, and no timer to make.
        let result = match lease.as_mut().now_or_never() {
            Some(result) => result,
            None => call.bound(lease).await.unwrap_or_else(|| Err(self.timed_out(&call))),
        };
        self.counted(result)
    }

    pub(super) async fn lease_within(&self, call: &Call) -> Result<Lease> {
        if self.is_held_back() {
            return Box::pin(self.lease_after_probe(call)).await;
        }
        self.lease_now(call).await
    }

    pub(super) async fn lease_now(&self, call: &Call) -> Result<Lease> {
        let ticket = self.ticket(call).await?;
        self.lease_for(ticket, call).await
    }

    /// A ticket for requests that wait together, each of them counted already.
    pub(super) async fn ticket_to_share(&self, call: &Call) -> Result<Ticket> {
        call.enter(Phase::Queue);
        match self.ticket_now()? {
            Some(ticket) => Ok(ticket),
            None => self.home().gate.ticket_to_share(self.home().id).await.map_err(|error| self.mark(error)),
        }
    }

    pub(super) async fn lease_for(&self, ticket: Ticket, call: &Call) -> Result<Lease> {
        let lease = Lease::take(self, ticket, call).await?;
        self.scopes().count(Event::Acquisition);
        self.upkeep();
        Ok(lease)
    }

    /// A ticket if one is free now.
    pub(super) fn ticket_now(&self) -> Result<Option<Ticket>> {
        if self.is_closed() {
            return Err(self.mark(closed()));
        }
        self.home().gate.try_ticket(self.home().id).map_err(|error| self.mark(error))
    }

    async fn ticket(&self, call: &Call) -> Result<Ticket> {
        call.enter(Phase::Queue);
        if let Some(ticket) = self.ticket_now()? {
            return Ok(ticket);
        }
        let home = &self.0.home;
        let waiting = Waiting::new(self, call);
        let ticket = home.gate.ticket(home.id, self.settings().max_waiting).await;
        waiting.end(ticket.is_ok());
        ticket.map_err(|error| self.mark(error))
    }

    /// The error of a call whose time ran out: where it waited for a connection, it says who has them.
    pub(in crate::engine) fn timed_out(&self, call: &Call) -> Error {
        let mut error = call.timed_out(&self.0.home.name());
        if error.kind() == Kind::PoolTimeout {
            self.scopes().count(Event::Timeout);
            let facts = error.facts().clone();
            error = Error::new(Kind::PoolTimeout, self.exhausted(call)).with(|all| *all = facts);
        }
        self.mark(self.explained(error))
    }

    fn exhausted(&self, call: &Call) -> String {
        let home = &self.0.home;
        let levels = self.scopes().own().levels().snapshot();
        let mut text = format!(
            "pool {} exhausted: waited {:.2} s ({} in use of max {}, {} connecting, {} waiting",
            home.name(),
            call.elapsed().as_secs_f64(),
            home.gate.used(),
            home.gate.limit(),
            levels.connecting,
            self.scopes().own().gauge(Gauge::Waiting),
        );
        if let Some((held, place)) = home.holders.longest() {
            // Writing to a String cannot fail.
            let _ = write!(text, "; longest holder {:.1} s at {place}", held.as_secs_f64());
        }
        text.push(')');
        text
    }

    pub(super) fn counted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.scopes().count(Event::Error(error.kind()));
        }
        result
    }

    /// Close everything now: idle connections, and the others as they come back.
    pub fn dismiss(&self) {
        self.0.closed.store(true, Ordering::Release);
        let home = &self.0.home;
        home.gate.dismiss_pool(home.id);
        home.abandon_dials();
        home.dials.shut(&self.mark(closed()));
        home.close_idle(CloseCause::Shutdown, usize::MAX, |_| false);
    }

    /// Cut what is still in use.
    pub fn cut_all(&self) {
        self.0.home.cut_all();
    }

    /// Close the pool and its gate: waiters are refused at once, leases have `timeout` to come back and are then cut.
    pub async fn close(&self, timeout: Option<Duration>) {
        self.0.home.gate.close();
        self.dismiss();
        // Whoever gives up waiting for the leases means them to be cut now.
        let _cut = CutAtEnd(vec![self.clone()]);
        self.0.home.gate.all_back_within(timeout).await;
    }

    /// Replace every connection: idle ones are closed now, the others when they come back.
    pub fn drain(&self) {
        self.0.home.next_epoch();
        self.0.home.close_idle(CloseCause::Requested, usize::MAX, |_| false);
    }

    /// Change the bound. Only for a pool with a gate of its own.
    pub fn resize(&self, max_connections: usize) {
        let home = &self.0.home;
        home.gate.resize(max_connections);
        let most = max_connections.saturating_mul(2);
        // Only ever upwards: what is too much is closed below, with its cause, and not by the store.
        if most > self.0.store.status().max_size {
            self.0.store.resize(most);
        }
        let levels = self.scopes().own().levels().snapshot();
        let excess = usize::try_from(levels.total()).unwrap_or(0).saturating_sub(max_connections);
        home.close_idle(CloseCause::Requested, excess, |_| false);
    }

    /// Why a connection that comes back is closed, if it is.
    pub(super) fn reason_to_discard(&self, conn: &Conn, now: Instant) -> Option<CloseCause> {
        if self.is_closed() {
            return Some(CloseCause::Shutdown);
        }
        if self.0.home.gate.is_over() {
            return Some(CloseCause::Requested);
        }
        conn.verdict(now)
    }

    /// Whether the next request of a row may use the connection: it is good, nobody waits for one, and no limit may
    /// keep the request itself waiting.
    pub(in crate::engine) fn may_keep(&self, lease: &Lease, now: Instant) -> bool {
        let is_good = |conn| self.reason_to_discard(conn, now).is_none();
        self.0.quota.is_none() && !self.0.home.gate.has_waiters() && lease.conn().is_some_and(is_good)
    }

    pub(super) fn adopt(&self, dial: AbortHandle) {
        self.0.home.adopt(dial);
    }

    /// Start the background task that closes, warms and warns, unless it runs.
    pub(super) fn upkeep(&self) {
        // A look first: it is cheaper than a swap, and it nearly always runs.
        if !self.0.kept_up.load(Ordering::Acquire) && !self.0.kept_up.swap(true, Ordering::AcqRel) {
            super::upkeep::start(self.clone());
        }
    }

    pub(super) fn upkeep_ended(&self) {
        self.0.kept_up.store(false, Ordering::Release);
    }

    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + Send + Sync + 'static {
        let weak = Arc::downgrade(&self.0);
        move || weak.upgrade().map(Self)
    }

    /// Whether its connections carry many requests at a time, as far as is known.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.0.multiplexed.load(Ordering::Relaxed)
    }

    pub(super) fn set_multiplexed(&self, multiplexed: bool) {
        self.0.multiplexed.store(multiplexed, Ordering::Relaxed);
    }

    /// Whether any connection of it is open or being opened.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.scopes().own().levels().snapshot().total() > 0
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    pub(in crate::engine) fn collector(&self) -> Option<&Collector> {
        self.0.collector.as_ref()
    }

    pub(super) fn quota(&self) -> Option<&Quota> {
        self.0.quota.as_ref()
    }

    /// Where its connections lead.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.home().dialer.route().target
    }

    /// The user's label of the chain.
    #[must_use]
    pub fn label(&self) -> Option<&Arc<str>> {
        self.home().label.as_ref()
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.home().settings
    }

    /// The most connections there may be.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.home().gate.limit()
    }

    /// What it counts.
    #[must_use]
    pub fn scopes(&self) -> &Arc<Scopes> {
        &self.home().scopes
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.0.home
    }

    pub(super) fn store(&self) -> &Store<Opener> {
        &self.0.store
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.home().sharing
    }

    pub(super) fn owes_another(&self) -> bool {
        self.home().gate.owes_another(self.home().id)
    }

    pub(super) fn mark(&self, error: Error) -> Error {
        self.home().mark(error)
    }

    pub(super) fn debug(&self, message: impl FnOnce() -> String) {
        self.home().debug(message);
    }

    /// The first of `count` request ids that nobody else has.
    pub(super) fn next_id(&self, count: usize) -> u64 {
        self.0.next_id.fetch_add(count as u64, Ordering::Relaxed)
    }
}

/// Cuts these pools when it is dropped: at the end of a wait, however that ends.
pub(in crate::engine) struct CutAtEnd(pub(in crate::engine) Vec<Pool>);

impl Drop for CutAtEnd {
    fn drop(&mut self) {
        for pool in &self.0 {
            pool.cut_all();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.home.gate.dismiss_pool(self.home.id);
    }
}
