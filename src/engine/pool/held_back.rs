//! Callers of an endpoint that refuses connections, or that may be another one: one of them tries, and the others wait
//! for what comes of that.

use std::pin::pin;

use futures_util::FutureExt;

use super::core::Pool;
use super::dials::{Probe, in_turn};
use super::gate::{closed, too_many};
use super::lease::Lease;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::metrics::{Event, Gauge, Held};

impl Pool {
    /// Whether nothing is open and the last attempt to open something failed. Whoever comes then waits here and not at
    /// the gate, where the tickets would keep other pools waiting.
    pub(super) fn is_held_back(&self) -> bool {
        self.home().dials.is_down() && !self.home().has_open()
    }

    /// The right to try, or nothing if somebody else has tried with success.
    ///
    /// # Errors
    /// What somebody else has tried in vain; `TooManyWaiters`.
    pub(super) async fn probe(&self, call: &Call) -> Result<Option<Probe<'_>>> {
        let mut probe = pin!(self.home().dials.probe());
        // Who may try at once does not wait.
        if let Some(probe) = probe.as_mut().now_or_never() {
            return probe;
        }
        let _waiting = self.stand_by()?;
        call.enter(Phase::Connect);
        probe.await
    }

    /// Wait for what another tries, counted like those in line for a connection.
    ///
    /// # Errors
    /// `PoolClosed`, `TooManyWaiters`.
    pub(in crate::engine) fn stand_by(&self) -> Result<Held<'_>> {
        if self.is_closed() {
            return Err(self.mark(closed()));
        }
        let waiting = self.scopes().own().gauge(Gauge::Waiting);
        if let Some(most) = self.settings().max_waiting.filter(|most| waiting >= *most as u64) {
            self.scopes().count(Event::Rejection);
            return Err(self.mark(too_many(most)));
        }
        Ok(self.scopes().hold(Gauge::Waiting))
    }

    /// Connecting took too long: what the last attempt met says why.
    pub(super) fn explained(&self, error: Error) -> Error {
        match self.home().dials.failure() {
            Some(failure) if error.kind() == Kind::ConnectTimeout => error.because(failure),
            _ => error,
        }
    }

    pub(super) async fn lease_after_probe(&self, call: &Call) -> Result<Lease> {
        let probe = self.probe(call).await?;
        in_turn(probe, self.lease_now(call)).await
    }
}
