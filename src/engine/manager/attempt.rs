//! An attempt to connect that everybody who asks for the same shares. It ends with the last of them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::engine::chain::{Chain, ChainConfig, Parts};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::pool::Pool;

type Outcome = Option<Result<Arc<Chain>>>;

pub(super) struct Attempt {
    config: ChainConfig,
    pools: Vec<Pool>,
    outcome: watch::Receiver<Outcome>,
    /// How far it is. Without a deadline: it ends with the last who waits for it.
    progress: Arc<Call>,
    task: AbortHandle,
    /// Taken by the first who puts the chain to use.
    unclaimed: Mutex<bool>,
}

impl Attempt {
    pub(super) fn start(parts: Parts) -> Self {
        let (sender, outcome) = watch::channel(None);
        let progress = Arc::new(Call::new(None));
        let (label, config, pools) = (Arc::clone(&parts.label), parts.config.clone(), parts.pools.clone());
        let attempt = Chain::connect(parts, Arc::clone(&progress));
        let task = tokio::spawn(async move {
            let result = attempt.await.map(Arc::new).map_err(|error| could_not(&label, error));
            // Nobody may be waiting any more.
            let _ = sender.send(Some(result));
        });
        Self { config, pools, outcome, progress, task: task.abort_handle(), unclaimed: Mutex::new(true) }
    }

    pub(super) const fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// Whether it is over, and nothing came of it.
    pub(super) fn has_failed(&self) -> bool {
        matches!(&*self.outcome.borrow(), Some(Err(_)))
    }

    /// The error of somebody whose time ran out before it was over.
    pub(super) fn timed_out(&self, call: &Call) -> Error {
        // Waiting for the answer to "who are you" is connecting to whoever waits for the connection.
        call.enter(match self.progress.phase() {
            Phase::Send | Phase::Receive => Phase::Connect,
            phase => phase,
        });
        let timed_out = self.pools.first().map(|pool| pool.timed_out(call));
        let timed_out = timed_out.unwrap_or_else(interrupted);
        match call.phase() {
            // Whoever connects has waited for a connection, whatever took the time.
            Phase::Credentials => timed_out.as_kind(Kind::ConnectTimeout),
            _ => timed_out,
        }
    }

    pub(super) async fn wait(&self) -> Result<Arc<Chain>> {
        let mut outcome = self.outcome.clone();
        let result = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        result.unwrap_or_else(|| Err(interrupted()))
    }

    /// End it now: whoever waits for it is told, and nothing is left of it.
    pub(super) fn end(&self) {
        self.task.abort();
        for pool in &self.pools {
            pool.dismiss();
            pool.cut_all();
        }
    }

    /// Whether this is the first claim of what the attempt connected.
    pub(super) fn claim(&self) -> bool {
        std::mem::take(&mut *self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.claim() {
            self.end();
        }
    }
}

/// The error of a connect that was under way when the manager stopped.
pub(super) fn interrupted() -> Error {
    Error::new(Kind::PoolClosed, "the manager was stopped while it connected")
}

/// Every failure to connect is one of the chain's connection, with what it came from.
fn could_not(label: &Arc<str>, error: Error) -> Error {
    let keeps_its_kind = matches!(
        error.kind(),
        Kind::ConnectTimeout | Kind::Tls | Kind::ChainMismatch | Kind::PoolTimeout | Kind::PoolClosed
    );
    if keeps_its_kind {
        return error.of_chain(Some(label));
    }
    Error::new(Kind::ChainConnection, format!("cannot connect to '{label}': {}", error.message()))
        .with(|facts| {
            facts.chain = Some(Arc::clone(label));
            facts.status = error.facts().status;
            facts.retry_after = error.facts().retry_after;
        })
        .because(error)
}
