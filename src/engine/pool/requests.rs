//! Requests on a pool: each on a connection of its own, or on a shared one that carries many.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::Pool;
use super::dials::in_turn;
use super::gate::{Ticket, closed};
use super::lease::Lease;
use super::proof::Proof;
use super::sharing::Stream;
use super::waiting::Waiting;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::exchange::{Batch, Exchange, One};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, Gauge, Why, finish_call};
use crate::engine::transport::{SendError, Transport};

/// How often a request is tried again because its connection had gone before anything was sent.
const RESENDS: usize = 3;

/// What carries one request.
pub(super) enum Carrier {
    Alone(Lease),
    Shared(Stream),
}

impl Carrier {
    pub(super) fn transport(&self) -> Result<Arc<dyn Transport>> {
        match self {
            Self::Alone(lease) => lease.transport(),
            Self::Shared(stream) => Ok(Arc::clone(stream.transport())),
        }
    }

    /// When what carries is to be replaced, as soon as it carries nothing.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self {
            Self::Alone(lease) => lease.conn()?.due_at(),
            Self::Shared(stream) => stream.due_at(),
        }
    }
}

impl Pool {
    /// Make one call on a connection of this pool. The result is JSON text.
    ///
    /// # Errors
    /// Whatever the call meets: no connection in time, a lost one, the deadline, the node's own error.
    pub async fn request(&self, request: &Request, timeout: Timeout) -> Result<Bytes> {
        let call = Call::new(timeout.or(self.settings().request_timeout));
        self.request_within(request, timeout, &call).await
    }

    /// The same within a call that has begun already.
    pub(in crate::engine) async fn request_within(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
    ) -> Result<Bytes> {
        self.scopes().count(Event::Request);
        let began = Instant::now();
        let result = call.bound(pin!(self.attempt(request, timeout, call, None))).await;
        let result = result.unwrap_or_else(|| Err(self.timed_out(call)));
        self.finished(request.method(), began.elapsed(), result)
    }

    /// Count a request that is over.
    pub(super) fn finished<T>(&self, method: &str, took: Duration, result: Result<T>) -> Result<T> {
        finish_call(self.scopes(), self.collector(), method, took, &result);
        result
    }

    /// Send several requests in one, and take their answers, likewise.
    pub(in crate::engine) async fn attempt_batch(
        &self,
        requests: &[Request],
        timeout: Timeout,
        call: &Call,
    ) -> Result<Vec<Result<Bytes>>> {
        let batch = Batch { first_id: self.next_id(requests.len()), requests };
        let results = self.exchange(&batch, timeout, call, None).await?;
        Ok(results.into_iter().map(|result| result.map_err(|error| self.mark(error))).collect())
    }

    /// Send a request and take its answer: uncounted, and without a deadline of its own. What carried it alone is kept,
    /// where there is a place to keep it.
    pub(in crate::engine) async fn attempt(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
        kept: Option<&mut Option<Lease>>,
    ) -> Result<Bytes> {
        self.exchange(&One { id: self.next_id(1), request }, timeout, call, kept).await
    }

    async fn exchange<E: Exchange>(
        &self,
        exchange: &E,
        timeout: Timeout,
        call: &Call,
        mut kept: Option<&mut Option<Lease>>,
    ) -> Result<E::Output> {
        let lease = kept.as_deref_mut().and_then(Option::take);
        let (output, carrier) = self.exchange_on(lease, exchange, timeout, call).await?;
        if let (Some(kept), Carrier::Alone(lease)) = (kept, carrier) {
            *kept = Some(lease);
        }
        Ok(output)
    }

    /// The same, first on `lease` if there is one. With what comes of it comes back what has carried it.
    pub(super) async fn exchange_on<E: Exchange>(
        &self,
        mut lease: Option<Lease>,
        exchange: &E,
        timeout: Timeout,
        call: &Call,
    ) -> Result<(E::Output, Carrier)> {
        let (mut resends, mut repeats) = (0, 0);
        let mut proof = Proof::default();
        loop {
            proof.prepare(self, call).await?;
            let grant = self.within_limit(exchange, call).await?;
            let carrier = match lease.take() {
                Some(lease) => Carrier::Alone(lease),
                None => match self.within_acquire_timeout(timeout, call, pin!(self.carrier(call))).await {
                    // A socket is refused when it is opened.
                    Err(error) if proof.is_outdated(&error) => {
                        self.scopes().count(Event::Retry(Why::Refused));
                        continue;
                    }
                    carrier => carrier?,
                },
            };
            if self.is_cooling() {
                continue;
            }
            // It may have gone away meanwhile, and then it may be another that is back.
            if self.is_doubted() && !exchange.asks_who() {
                return Err(self.mark(unsure()));
            }
            let transport = carrier.transport()?;
            let sent = {
                let _in_flight = self.scopes().hold(Gauge::InFlight);
                if let Some(grant) = grant {
                    grant.admit();
                }
                exchange.run(&*transport, self.peer(&proof), call).await
            };
            match sent.map_err(|error| error.or_last_words_of(&*transport)) {
                Ok(output) => return Ok((output, carrier)),
                Err(SendError::NotSent) if resends < RESENDS => {
                    resends += 1;
                    self.scopes().count(Event::Retry(Why::Lost));
                }
                Err(SendError::NotSent) => return Err(self.mark(lost())),
                // The server may have closed its end just before. What changes nothing may be asked for again.
                Err(SendError::Unanswered(_)) if repeats == 0 && exchange.only_reads() => {
                    repeats += 1;
                    self.scopes().count(Event::Retry(Why::Lost));
                }
                Err(SendError::Failed(error)) if proof.is_outdated(&error) => {
                    self.scopes().count(Event::Retry(Why::Refused));
                }
                Err(SendError::Failed(error) | SendError::Unanswered(error)) => return Err(self.mark(error)),
            }
        }
    }

    async fn carrier(&self, call: &Call) -> Result<Carrier> {
        call.enter(Phase::Queue);
        if !self.is_multiplexed() {
            let lease = self.lease_within(call).await?;
            let transport = lease.transport()?;
            if transport.streams() == 1 {
                return Ok(Carrier::Alone(lease));
            }
            self.set_multiplexed(true);
            return Ok(Carrier::Shared(self.sharing().publish(self, lease, transport)));
        }
        if self.is_held_back() {
            return Box::pin(self.stream_after_probe(call)).await;
        }
        self.stream(call).await
    }

    async fn stream_after_probe(&self, call: &Call) -> Result<Carrier> {
        let probe = self.probe(call).await?;
        in_turn(probe, self.stream(call)).await
    }

    async fn stream(&self, call: &Call) -> Result<Carrier> {
        if let Some(stream) = self.sharing().join(self) {
            return Ok(Carrier::Shared(stream));
        }
        match self.stream_at_once(call).await? {
            Some(carrier) => Ok(carrier),
            // Boxed: its state would be part of every request, and few wait here.
            None => Box::pin(self.stream_in_line(call)).await,
        }
    }

    /// Lease a connection to share, if nobody is in line for one and a ticket is free.
    async fn stream_at_once(&self, call: &Call) -> Result<Option<Carrier>> {
        let Ok(turn) = self.sharing().turn.try_lock() else { return Ok(None) };
        let Some(ticket) = self.ticket_now()? else { return Ok(None) };
        in_turn(turn, self.share(ticket, call)).await.map(Some)
    }

    /// Lease a connection and share it with whoever waits.
    async fn share(&self, ticket: Ticket, call: &Call) -> Result<Carrier> {
        let lease = self.lease_for(ticket, call).await?;
        let transport = lease.transport()?;
        if transport.streams() == 1 {
            self.set_multiplexed(false);
            return Ok(Carrier::Alone(lease));
        }
        Ok(Carrier::Shared(self.sharing().publish(self, lease, transport)))
    }

    /// Wait for a place on a shared connection, leasing another one meanwhile.
    async fn stream_in_line(&self, call: &Call) -> Result<Carrier> {
        let mut place = self.sharing().wait(self.settings().max_waiting).map_err(|error| {
            self.scopes().count(Event::Rejection);
            self.mark(error)
        })?;
        let waiting = Waiting::new(self, call);
        let carrier = self.first_of(&mut place, call).await;
        waiting.end(carrier.is_ok());
        carrier
    }

    async fn first_of(&self, place: &mut oneshot::Receiver<Result<Stream>>, call: &Call) -> Result<Carrier> {
        for _ in 0..=RESENDS {
            tokio::select! {
                biased;
                stream = &mut *place => {
                    return stream.unwrap_or_else(|_| Err(self.mark(closed()))).map(Carrier::Shared);
                }
                lease = self.lease_in_turn(call) => {
                    let lease = lease?;
                    let transport = lease.transport()?;
                    if transport.streams() == 1 {
                        self.set_multiplexed(false);
                        return Ok(Carrier::Alone(lease));
                    }
                    // Those who have waited longer go first.
                    drop(self.sharing().publish(self, lease, transport));
                }
            }
        }
        // Connections were opened, and each was gone before it could be shared.
        Err(self.mark(lost()))
    }

    async fn lease_in_turn(&self, call: &Call) -> Result<Lease> {
        let turn = self.sharing().turn.lock().await;
        // Once it is known that nothing can be shared, each leases for itself.
        let turn = self.is_multiplexed().then_some(turn);
        let ticket = self.ticket_to_share(call).await?;
        in_turn(turn, self.lease_for(ticket, call)).await
    }

    /// A call with a timeout of its own is bounded by that alone; any other waits for a connection no longer than
    /// `acquire_timeout`.
    async fn within_acquire_timeout<T>(
        &self,
        timeout: Timeout,
        call: &Call,
        mut acquire: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        // What is ready at once needs no look at the clock.
        let at_once = poll_fn(|cx| Poll::Ready(acquire.as_mut().poll(cx))).await;
        if let Poll::Ready(acquired) = at_once {
            return acquired;
        }
        let limit = match timeout {
            Timeout::Of(_) => None,
            Timeout::Default => self.settings().acquire_timeout,
        };
        match limit.filter(|limit| call.remaining().is_none_or(|rest| *limit < rest)) {
            None => acquire.await,
            Some(limit) => {
                if let Ok(result) = tokio::time::timeout(limit, acquire.as_mut()).await {
                    return result;
                }
                call.expire();
                Err(self.timed_out(call))
            }
        }
    }
}

/// The error of a call that was in line when the node went away.
fn unsure() -> Error {
    let message = "the node was away and has not said yet who it is";
    Error::new(Kind::ChainConnection, message).with(|facts| facts.is_unsure = true)
}

/// The error when connections go as fast as they are opened.
pub(super) fn lost() -> Error {
    Error::new(Kind::ConnectionClosed, "the node closed the connection before the request was sent")
}
