//! A chain's calls: each counted once, whatever it takes, and bounded by one deadline.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Chain;
use crate::engine::deadline::{Call, Timeout, Timer};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::{Event, finish_call};
use crate::engine::pool::Lease;

/// Requests that one caller makes one after the other. They keep their connection as long as nobody else wants it.
#[derive(Default)]
pub(super) struct Row {
    kept: Option<Lease>,
    timer: Timer,
    /// When the last one ended, which is when the next begins.
    ended: Option<Instant>,
}

impl Row {
    fn begin(&mut self, chain: &Chain) -> Instant {
        let now = self.ended.take().unwrap_or_else(Instant::now);
        drop(self.kept.take_if(|lease| !chain.pool().may_keep(lease, now)));
        now
    }
}

impl Chain {
    /// Make one call. The result is JSON text.
    ///
    /// # Errors
    /// Whatever the call meets.
    pub async fn request(&self, request: &Request, timeout: Timeout) -> Result<Bytes> {
        let began = Instant::now();
        let call = Call::starting(began, timeout.or(self.pool().settings().request_timeout));
        self.scopes().count(Event::Request);
        let result = call.bound(pin!(self.result_of(request, timeout, &call, None))).await;
        self.finished(request, &call, began.elapsed(), result)
    }

    /// Make one of a row of calls, each with the configured time for itself, or all together within a call.
    pub(super) async fn request_in_row(
        &self,
        request: &Request,
        together: Option<&Call>,
        row: &mut Row,
    ) -> Result<Bytes> {
        let began = row.begin(self);
        let alone;
        let (call, timeout) = match together {
            // None is begun when there is no time left for it.
            Some(call) if call.is_expired() => return Err(self.timed_out(call)),
            Some(call) => (call, Timeout::Of(None)),
            None => {
                alone = Call::starting(began, self.pool().settings().request_timeout);
                (&alone, Timeout::Default)
            }
        };
        self.scopes().count(Event::Request);
        // The work is dropped at the end of this line, and says what the time was spent on.
        let result = call
            .bound_by(&mut row.timer, pin!(self.result_of(request, timeout, call, Some(&mut row.kept))))
            .await;
        let ended = Instant::now();
        row.ended = Some(ended);
        self.finished(request, call, ended - began, result)
    }

    /// What comes of a call: what is known, or what a node says.
    async fn result_of(
        &self,
        request: &Request,
        timeout: Timeout,
        call: &Call,
        kept: Option<&mut Option<Lease>>,
    ) -> Result<Bytes> {
        let Some(cache) = &self.cache else {
            return self.router.request(request, timeout, call, kept).await;
        };
        match cache.get(request) {
            Some(result) => Ok(result),
            // Boxed: most chains have no cache, and its state would be part of every call.
            None => Box::pin(cache.request(&self.router, request, timeout, call, kept)).await,
        }
    }

    fn finished(
        &self,
        request: &Request,
        call: &Call,
        took: Duration,
        result: Option<Result<Bytes>>,
    ) -> Result<Bytes> {
        let result = result.unwrap_or_else(|| Err(self.timed_out(call)));
        finish_call(self.scopes(), self.pool().collector(), request.method(), took, &result);
        result
    }

    /// The error of a call whose time ran out. With several endpoints it is nobody's in particular.
    pub(super) fn timed_out(&self, call: &Call) -> Error {
        let error = self.pool().timed_out(call);
        if self.router.endpoints().len() == 1 || error.kind() == Kind::PoolTimeout {
            return error;
        }
        call.timed_out(&format!("'{}'", self.label())).of_chain(Some(self.label()))
    }
}
