//! What an endpoint allows, and what its errors mean.

use tokio::time::Instant;

use super::core::Pool;
use super::proof::Proof;
use crate::engine::deadline::Call;
use crate::engine::error::{Phase, Result};
use crate::engine::exchange::Peer;
use crate::engine::family::Family;
use crate::engine::limiter::Grant;

impl Pool {
    /// Who is asked, and what its errors mean.
    pub(super) fn peer<'a>(&'a self, proof: &'a Proof) -> Peer<'a> {
        let home = self.home();
        let (target, renewed) = (self.target(), proof.access());
        Peer { target, renewed, classifier: &home.classifier, cooldown: &home.cooldown }
    }

    /// The endpoint has said what it is.
    pub(in crate::engine) fn learn(&self, family: Family) {
        self.home().classifier.learn(family);
    }

    /// Whether a caller would have to wait for a connection.
    pub(in crate::engine) fn is_full(&self) -> bool {
        let gate = &self.home().gate;
        gate.used() >= gate.limit()
    }

    /// Until when the endpoint wants to be left alone, if it does.
    pub(in crate::engine) fn cools_until(&self, now: Instant) -> Option<Instant> {
        self.home().cooldown.until(now)
    }

    /// The endpoint and its limit let `calls` calls go. Admitted by the caller when it sends: in between it may have to
    /// wait.
    pub(super) async fn within_limit(&self, calls: u64, call: &Call) -> Result<Option<Grant>> {
        self.home().cooldown.over(call).await.map_err(|error| self.mark(error))?;
        let Some(limiter) = self.limiter() else { return Ok(None) };
        call.enter(Phase::Limit);
        limiter.grant(calls, call.remaining()).await.map(Some).map_err(|error| self.mark(error))
    }
}
