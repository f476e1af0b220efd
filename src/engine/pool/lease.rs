//! The right to use one connection alone. Dropped, the connection goes back and then its ticket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use deadpool::managed::{Object, PoolError, Timeouts};
use futures_util::FutureExt;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use super::core::Pool;
use super::gate::{Ticket, closed};
use super::store::{Conn, Opener};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::metrics::CloseCause;
use crate::engine::transport::Transport;

/// A connection that lay idle for as long as this is looked at twice before it is used.
const STALE: Duration = Duration::from_secs(1);

/// A connection that nobody else uses.
pub struct Lease {
    /// Given back before the ticket, so that whoever gets the ticket finds the connection.
    object: Option<Object<Opener>>,
    ticket: Option<Ticket>,
    pool: Pool,
}

impl Lease {
    /// A connection for `ticket`: an idle one at once, or a new one that is opened in a task of its own. That task
    /// outlives a caller that goes away; what it opens serves the next one.
    pub(super) async fn take(pool: &Pool, mut ticket: Ticket, call: &Call) -> Result<Self> {
        let mut dial = loop {
            let lease = match Self::begin(pool, ticket) {
                Begun::Ready(lease) => lease?,
                Begun::Dialling(dial) => break dial,
            };
            match lease.obituary().await {
                None => return Ok(lease),
                Some(cause) => ticket = lease.discard(cause).ok_or_else(closed)?,
            }
        };
        call.enter(Phase::Connect);
        let Some(task) = dial.task.as_mut() else { return Err(closed()) };
        let lease = task.await;
        dial.task = None;
        lease.unwrap_or_else(|_| Err(pool.mark(Error::new(Kind::ChainConnection, "the dial was given up"))))
    }

    /// The same without the wait.
    pub(super) fn begin(pool: &Pool, ticket: Ticket) -> Begun {
        // An idle connection needs no task.
        if let Some(object) = idle(pool) {
            return Begun::Ready(Ok(Self::of(pool.clone(), ticket, object)));
        }
        let opening = Self::open(pool.clone(), ticket);
        let mut opening: Pin<Box<dyn Future<Output = Result<Self>> + Send>> = Box::pin(opening);
        // Begun here and now: if the caller goes away in the next moment, there is a dial that outlives it.
        if let Poll::Ready(lease) = opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Begun::Ready(lease);
        }
        Begun::Dialling(Dial { task: Some(tokio::spawn(opening)), pool: pool.clone() })
    }

    async fn open(pool: Pool, ticket: Ticket) -> Result<Self> {
        let object = pool.store().get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            _ => pool.mark(closed()),
        })?;
        Ok(Self::of(pool, ticket, object))
    }

    fn of(pool: Pool, ticket: Ticket, mut object: Object<Opener>) -> Self {
        object.occupy();
        pool.debug(|| format!("connection {} acquired", object.id()));
        Self { object: Some(object), ticket: Some(ticket), pool }
    }

    pub(super) fn conn(&self) -> Option<&Conn> {
        self.object.as_deref().map(AsRef::as_ref)
    }

    /// Its unique name.
    #[must_use]
    pub fn id(&self) -> Option<Arc<str>> {
        self.conn().map(|conn| Arc::clone(conn.id()))
    }

    /// What carries requests. A request takes this, never the lease.
    pub(super) fn transport(&self) -> Result<Arc<dyn Transport>> {
        self.conn().map(|conn| Arc::clone(conn.transport())).ok_or_else(closed)
    }

    /// Dial a new socket for the place of one that is gone.
    pub(super) fn redial(&self) -> Result<impl Future<Output = Result<Arc<dyn Transport>>> + Send + 'static> {
        self.conn().map(Conn::redial).ok_or_else(closed)
    }

    /// Use the new socket from now on.
    pub(super) fn replace(&mut self, transport: Arc<dyn Transport>) {
        if let Some(conn) = self.object.as_mut() {
            conn.replace(transport);
        }
    }

    /// Why it cannot be used after all, if so. Its peer may have hung up while it lay idle, and the news may be here
    /// but not yet read.
    async fn obituary(&self) -> Option<CloseCause> {
        if self.conn()?.idled() < STALE {
            return None;
        }
        // In a task of its own: there the runtime looks at its sockets, and runs those who wait for them, before it goes
        // on. Here it may not be the runtime that goes on. The task cannot fail.
        let _ = tokio::spawn(yield_now()).await;
        self.conn()?.verdict(Instant::now())
    }

    /// Close the socket instead of giving it back. What is left is the ticket.
    pub(super) fn discard(mut self, cause: CloseCause) -> Option<Ticket> {
        if let Some(object) = self.object.take() {
            Object::take(object).set_cause(cause);
        }
        self.ticket.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut object) = self.object.take() {
            let now = Instant::now();
            if let Some(cause) = self.pool.reason_to_discard(&object, now) {
                Object::take(object).set_cause(cause);
            } else {
                self.pool.debug(|| format!("connection {} returned", object.id()));
                object.rest(now);
                drop(object);
                self.pool.upkeep();
            }
        }
        drop(self.ticket.take());
    }
}

/// An idle connection, if there is one. A store without a runtime cannot bound the time in which a connection is made,
/// and told to, it makes none.
fn idle(pool: &Pool) -> Option<Object<Opener>> {
    let now = Timeouts { wait: Some(Duration::ZERO), create: Some(Duration::ZERO), recycle: None };
    pool.store().timeout_get(&now).now_or_never()?.ok()
}

/// A lease, or a dial that becomes one.
pub(super) enum Begun {
    Ready(Result<Lease>),
    Dialling(Dial),
}

/// A dial that a caller waits for. If the caller goes first, the dial is left to the pool.
pub(super) struct Dial {
    task: Option<JoinHandle<Result<Lease>>>,
    pool: Pool,
}

impl Drop for Dial {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.pool.adopt(task.abort_handle());
        }
    }
}
