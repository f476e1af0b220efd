//! What an endpoint allows, and what its errors mean.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::core::Pool;
use super::proof::Proof;
use crate::engine::deadline::Call;
use crate::engine::error::{Phase, Result};
use crate::engine::exchange::{Exchange, Peer};
use crate::engine::family::Family;
use crate::engine::jsonrpc::Request;
use crate::engine::limiter::{Grant, Learned};

impl Pool {
    /// Who is asked, and what its errors mean.
    pub(super) fn peer<'a>(&'a self, proof: &'a Proof) -> Peer<'a> {
        let home = self.home();
        let (target, renewed) = (self.target(), proof.access());
        Peer { target, renewed, classifier: &home.classifier, cooldown: &home.cooldown }
    }

    /// Whether the node must say who it is before it is asked anything else.
    pub(in crate::engine) fn is_doubted(&self) -> bool {
        self.home().doubted.load(Ordering::Relaxed)
    }

    /// It was away, or is who it was.
    pub(in crate::engine) fn set_doubted(&self, doubted: bool) {
        self.home().doubted.store(doubted, Ordering::Relaxed);
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

    /// How fast the endpoint was found to allow to be asked, where that is looked for.
    pub(in crate::engine) fn learned(&self) -> Option<Learned> {
        self.home().cooldown.learned()
    }

    /// How many of these calls, from the first, may go together within its limit.
    pub(in crate::engine) fn fits(&self, requests: &[Request]) -> usize {
        let methods = requests.iter().map(Request::method);
        self.quota().map_or(requests.len(), |quota| quota.fits(methods))
    }

    /// Until when the endpoint wants to be left alone, if it does.
    pub(in crate::engine) fn cools_until(&self, now: Instant) -> Option<Instant> {
        self.home().cooldown.until(now)
    }

    /// The endpoint and its limit let an exchange go. Admitted by the caller when it sends: in between it may have to
    /// wait.
    pub(super) async fn within_limit(&self, exchange: &impl Exchange, call: &Call) -> Result<Option<Grant>> {
        loop {
            self.home().cooldown.over(call).await.map_err(|error| self.mark(error))?;
            let Some(quota) = self.quota() else { return Ok(None) };
            let cost = quota.cost(exchange.methods());
            if cost == 0 {
                return Ok(None);
            }
            call.enter(Phase::Limit);
            let grant = quota.limiter().grant(cost, call.remaining()).await;
            self.learned();
            if grant.is_err() || !self.is_cooling() {
                return grant.map(Some).map_err(|error| self.mark(error));
            }
        }
    }

    /// Whether the endpoint wants to be left alone: news of that may have come while somebody waited for something else.
    pub(super) fn is_cooling(&self) -> bool {
        self.home().cooldown.is_on()
    }
}
