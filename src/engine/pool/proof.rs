//! What proves who makes a call, where somebody makes it when it is needed: the first request asks for it, and each
//! call that the node refuses asks anew, once.

use std::sync::Arc;

use super::core::Pool;
use super::lease::Lease;
use crate::engine::credentials::Access;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};

impl Pool {
    /// A connection for oneself. Where it shows who asks when it is opened, that is made first, and anew if the node
    /// refuses it.
    pub(super) async fn lease_proved(&self, call: &Call) -> Result<Lease> {
        if self.is_socket() && self.target().renewal().is_some() {
            return Box::pin(self.lease_with_proof(call)).await;
        }
        self.lease_within(call).await
    }

    async fn lease_with_proof(&self, call: &Call) -> Result<Lease> {
        let mut proof = Proof::default();
        loop {
            proof.prepare(self, call).await?;
            match self.lease_within(call).await {
                Err(error) if proof.is_outdated(&error) => {}
                lease => return lease,
            }
        }
    }
}

/// The proof that one call carries.
#[derive(Default)]
pub(super) struct Proof {
    access: Option<Arc<Access>>,
    /// Refused by the node, and not replaced yet.
    stale: bool,
    /// Whether this call has asked anew.
    renewed: bool,
}

impl Proof {
    /// What the next request carries, if it is not the same for all.
    pub(super) fn access(&self) -> Option<&Access> {
        self.access.as_deref()
    }

    /// Have it, before the next request of `call` is sent.
    pub(super) async fn prepare(&mut self, pool: &Pool, call: &Call) -> Result<()> {
        let Some(renewal) = pool.target().renewal() else { return Ok(()) };
        let refused = self.access.take().filter(|_| std::mem::take(&mut self.stale));
        call.enter(Phase::Credentials);
        // Boxed: it would be part of every request, and few wait here.
        let access = Box::pin(renewal.access(refused.as_ref())).await;
        self.access = Some(access.map_err(|error| pool.mark(error))?);
        Ok(())
    }

    /// Whether the call may go on with another proof, now that the node has said `error` to this one. It was turned
    /// away, so that it may be sent again whatever it does.
    pub(super) fn is_outdated(&mut self, error: &Error) -> bool {
        if self.access.is_none() || self.renewed || error.kind() != Kind::Authentication {
            return false;
        }
        self.stale = true;
        self.renewed = true;
        true
    }
}
