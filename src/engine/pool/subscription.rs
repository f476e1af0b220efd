//! Subscriptions at a node: each keeps its shared connection until it is dropped.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::core::Pool;
use super::proof::Proof;
use super::requests::Carrier;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::Result;
use crate::engine::exchange::{Exchange, One, Subscribe};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, Gauge};
use crate::engine::transport::{Notice, Notices, SendError};

/// How long a node has to end a subscription: it ends with the connection anyway.
const PATIENCE: Duration = Duration::from_secs(2);

/// A subscription at a node. Dropped, the socket forgets it, and what still comes for it is dropped.
pub struct Subscription {
    /// The node's id of it, as JSON text.
    id: Bytes,
    notices: Notices,
    carrier: Carrier,
    pool: Pool,
}

impl Pool {
    /// Whether its node can be subscribed to: it is reached by a socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.home().dialer.is_socket()
    }

    /// Subscribe with `request`, whose result is the subscription's id.
    ///
    /// # Errors
    /// As a request, and `Protocol` for a result that is no id.
    pub async fn subscribe(&self, request: &Request, timeout: Timeout, call: &Call) -> Result<Subscription> {
        self.scopes().count(Event::Request);
        let began = Instant::now();
        let subscribe = Subscribe(One { id: self.next_id(1), request });
        let result = call.bound(pin!(self.exchange_on(None, &subscribe, timeout, call))).await;
        let result = result.unwrap_or_else(|| Err(self.timed_out(call)));
        let ((id, notices), mut carrier) = self.finished(request.method(), began.elapsed(), result)?;
        if let Carrier::Shared(stream) = &mut carrier {
            stream.last();
        }
        Ok(Subscription { id, notices, carrier, pool: self.clone() })
    }
}

impl Subscription {
    /// What it brings next; `None` when the connection has ended, or is to be replaced: it would keep it for ever. What
    /// had come by then is given first. Given up, it loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        let due = self.carrier.due_at();
        let replaced = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = replaced => {
                self.notices.end();
                self.notices.next().await
            }
            notice = self.notices.next() => notice,
        }
    }

    /// End it at the node with a request of `method`, such as `eth_unsubscribe`, whose parameter is its id. A node that
    /// does not hear of it, or refuses, keeps it until the connection ends.
    pub async fn unsubscribe(self, method: &str) {
        let Ok(request) = Request::new(method, [b"[", &*self.id, b"]"].concat()) else { return };
        let call = Call::new(Some(PATIENCE));
        self.pool.scopes().count(Event::Request);
        let result = call.bound(pin!(self.ask(&request, &call))).await;
        let result = result.unwrap_or_else(|| Err(self.pool.timed_out(&call)));
        // It is counted, and makes no difference otherwise.
        let _ = self.pool.finished(method, call.elapsed(), result);
    }

    /// Make a call on the connection that carries it.
    async fn ask(&self, request: &Request, call: &Call) -> Result<()> {
        let transport = self.carrier.transport()?;
        let one = One { id: self.pool.next_id(1), request };
        let grant = self.pool.within_limit(&one, call).await?;
        let _in_flight = self.pool.scopes().hold(Gauge::InFlight);
        if let Some(grant) = grant {
            grant.admit();
        }
        // The connection has shown who asks.
        let sent = one.run(&*transport, self.pool.peer(&Proof::default()), call).await;
        match sent {
            Ok(_) => Ok(()),
            Err(SendError::NotSent) => Err(super::requests::lost()),
            Err(SendError::Failed(error) | SendError::Unanswered(error)) => Err(error),
        }
    }
}
