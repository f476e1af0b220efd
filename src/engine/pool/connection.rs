//! A connection in a caller's hands: its calls, and giving it back.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use super::core::Pool;
use super::gate::closed as pool_closed;
use super::holders::Handle;
use super::lease::Lease;
use super::proof::Proof;
use super::requests::lost;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::exchange::{Batch, Exchange, One};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{CloseCause, Event, Gauge};
use crate::engine::transport::{SendError, State, Transport};

/// A leased connection.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: Arc<str>,
    place: Arc<str>,
    holder: usize,
    pool: Pool,
    lease: Mutex<Option<Lease>>,
    /// Held while a lost socket is replaced, so that it is replaced once.
    mending: tokio::sync::Mutex<()>,
    in_flight: AtomicUsize,
    closed: AtomicBool,
    /// Tells the calls in flight that it was closed.
    ended: Notify,
}

impl Connection {
    /// Put `lease` into the hands of whoever asked at `place`, a file and line.
    ///
    /// # Errors
    /// `PoolClosed` if the lease has no connection any more.
    pub fn new(pool: &Pool, lease: Lease, place: Arc<str>) -> Result<Self> {
        let conn = lease.conn().ok_or_else(closed)?;
        let (id, since) = (Arc::clone(conn.id()), conn.since());
        let inner = Arc::new_cyclic(|this: &Weak<Inner>| Inner {
            id,
            holder: pool.home().holders.enter(Arc::clone(&place), since, Weak::clone(this) as _),
            place,
            pool: pool.clone(),
            lease: Mutex::new(Some(lease)),
            mending: tokio::sync::Mutex::default(),
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            ended: Notify::new(),
        });
        Ok(Self(inner))
    }

    /// Its unique name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Where it was acquired.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The user's label of the chain.
    #[must_use]
    pub fn chain_id(&self) -> Option<&str> {
        self.0.pool.label().map(AsRef::as_ref)
    }

    /// Where it leads: scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.pool.target().to_string()
    }

    /// Whether it was given back.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Make one call on it. The result is JSON text.
    ///
    /// # Errors
    /// Whatever the call meets, `ConnectionClosed` once it was given back.
    pub async fn request(&self, request: &Request, timeout: Timeout) -> Result<Bytes> {
        self.call(timeout, One { id: self.0.pool.next_id(1), request }).await
    }

    /// Make several calls in one HTTP request; the results are in the order of the calls.
    ///
    /// # Errors
    /// As `request`, for the batch as a whole.
    pub async fn batch(&self, requests: &[Request], timeout: Timeout) -> Result<Vec<Result<Bytes>>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let first_id = self.0.pool.next_id(requests.len());
        let results = self.call(timeout, Batch { first_id, requests }).await?;
        Ok(results.into_iter().map(|result| result.map_err(|error| self.0.pool.mark(error))).collect())
    }

    async fn call<E: Exchange>(&self, timeout: Timeout, exchange: E) -> Result<E::Output> {
        let pool = &self.0.pool;
        let call = Call::new(timeout.or(pool.settings().request_timeout));
        let _in_flight = InFlight::new(&self.0);
        pool.scopes().count(Event::Request);
        let work = async {
            tokio::select! {
                biased;
                () = self.ended() => Err(closed()),
                result = self.send(&call, &exchange) => result,
            }
        };
        // Over before the look at what took the time: the exchange that is given up knows best.
        let result = call.bound(pin!(work)).await;
        let result = result.unwrap_or_else(|| Err(pool.timed_out(&call)));
        pool.finished(exchange.method(), call.elapsed(), result).map_err(|error| pool.mark(error))
    }

    /// Wait until it is given back.
    async fn ended(&self) {
        let mut ended = pin!(self.0.ended.notified());
        // Registered before the look, so that an end in between is not missed.
        ended.as_mut().enable();
        if !self.is_closed() {
            ended.await;
        }
    }

    async fn send<E: Exchange>(&self, call: &Call, exchange: &E) -> Result<E::Output> {
        let (mut losses, mut repeats) = (0, 0);
        let mut proof = Proof::default();
        loop {
            proof.prepare(&self.0.pool, call).await?;
            let transport = self.transport()?;
            if transport.state() == State::Open {
                let grant = self.0.pool.within_limit(exchange, call).await?;
                if let Some(grant) = grant {
                    grant.admit();
                }
                let sent = exchange.run(&*transport, self.0.pool.peer(&proof), call).await;
                match sent.map_err(|error| error.or_last_words_of(&*transport)) {
                    Ok(result) => return Ok(result),
                    Err(SendError::NotSent) => {}
                    Err(SendError::Failed(error)) if proof.is_outdated(&error) => {
                        self.0.pool.scopes().count(Event::Retry);
                        continue;
                    }
                    Err(SendError::Unanswered(_)) if repeats == 0 && exchange.only_reads() => {
                        (losses, repeats) = (0, 1);
                        self.0.pool.scopes().count(Event::Retry);
                    }
                    Err(SendError::Failed(error) | SendError::Unanswered(error)) => return Err(error),
                }
            }
            // A socket that another call left dirty was not lost: it is replaced as often as it takes.
            losses += usize::from(transport.state() != State::Dirty);
            if losses > 1 {
                return Err(transport.last_words().unwrap_or_else(lost));
            }
            call.enter(Phase::Connect);
            match self.mend(&transport).await {
                // A socket is refused when it is opened.
                Err(error) if proof.is_outdated(&error) => losses = 0,
                mended => mended?,
            }
        }
    }

    /// Replace the socket that `old` was, unless somebody has done so.
    async fn mend(&self, old: &Arc<dyn Transport>) -> Result<()> {
        let _mending = self.0.mending.lock().await;
        if !Arc::ptr_eq(old, &self.transport()?) {
            return Ok(());
        }
        if self.0.pool.is_closed() {
            return Err(pool_closed());
        }
        let redial = self.0.lock().as_ref().ok_or_else(closed)?.redial()?;
        let transport = redial.await?;
        if let Some(lease) = self.0.lock().as_mut() {
            lease.replace(transport);
            return Ok(());
        }
        // Given back in the meantime: the new socket ends with this call.
        self.0.pool.scopes().count(Event::Closed(CloseCause::Requested));
        Err(closed())
    }

    fn transport(&self) -> Result<Arc<dyn Transport>> {
        self.0.lock().as_ref().ok_or_else(closed)?.transport()
    }

    /// Give it back. Calls in flight fail, and then its socket is closed instead. The second time does nothing.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle for Inner {
    fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.ended.notify_waiters();
        self.pool.home().holders.leave(self.holder);
        let lease = self.lock().take();
        if let Some(lease) = lease.filter(|_| self.in_flight.load(Ordering::Acquire) > 0) {
            drop(lease.discard(CloseCause::Requested));
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

struct InFlight<'a> {
    inner: &'a Inner,
    _gauge: crate::engine::metrics::Held<'a>,
}

impl<'a> InFlight<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { inner, _gauge: inner.pool.scopes().hold(Gauge::InFlight) }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.inner.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn closed() -> Error {
    Error::new(Kind::ConnectionClosed, "the connection was closed and cannot be used any more")
}
