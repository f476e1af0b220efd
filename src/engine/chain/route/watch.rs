//! The watch over a chain with several endpoints: it follows their heads, sets laggards aside, and lets back who was
//! left alone once he is well and who he was.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::doubt::is_away;
use super::{Endpoint, Router};
use crate::engine::chain::identity;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase};
use crate::engine::family::Family;
use crate::engine::log::{Area, Level};

/// How often the watch looks whether there is something to do ...
const TICK: Duration = Duration::from_millis(250);
/// ... and how often it asks for the heads.
const HEADS_EVERY: Duration = Duration::from_secs(3);
/// What has not answered by then is not well.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn start(router: &Arc<Router>) {
    tokio::spawn(run(Arc::downgrade(router)));
}

async fn run(router: Weak<Router>) {
    let mut heads_due = Instant::now();
    loop {
        sleep(TICK).await;
        let Some(router) = router.upgrade() else { return };
        if router.endpoints.iter().all(|endpoint| endpoint.pool().is_closed()) {
            return;
        }
        let now = Instant::now();
        let with_heads = heads_due <= now;
        if with_heads {
            heads_due = now + HEADS_EVERY;
        }
        join_all(router.endpoints.iter().map(|endpoint| look_at(&router, endpoint, with_heads))).await;
        if with_heads {
            judge_heads(&router);
        }
    }
}

async fn look_at(router: &Router, endpoint: &Endpoint, with_heads: bool) {
    if endpoint.is_probe_due(Instant::now()) {
        probe(router, endpoint).await;
    }
    if with_heads && endpoint.circuit() == super::Circuit::Closed {
        let call = Call::new(Some(PATIENCE));
        let head = async {
            router.be_sure_of(endpoint, &call).await?;
            identity::head(endpoint.pool(), router.identity.family, &call).await
        };
        // What does not tell keeps the head that is known; requests will show whether it is well.
        match timeout(PATIENCE, head).await {
            Ok(Ok(head)) => endpoint.set_head(head),
            Ok(Err(error)) if is_away(&error) => endpoint.doubt(),
            _ => {}
        }
    }
}

async fn probe(router: &Router, endpoint: &Endpoint) {
    let call = Call::new(Some(PATIENCE));
    let found =
        timeout(PATIENCE, identity::recognise(endpoint.pool(), &router.identity, &router.label, &call)).await;
    let found = found.unwrap_or_else(|_| Err(no_answer()));
    let is_well = found.is_ok();
    endpoint.probed(found, Instant::now());
    if is_well {
        router.log.write(Level::Info, Area::Manager, || {
            format!("'{}': {} is used again", router.label, endpoint.pool().target())
        });
    }
}

fn no_answer() -> Error {
    let message = format!("no answer to a probe within {} s", PATIENCE.as_secs());
    Error::new(Kind::RequestTimeout, message).with(|facts| facts.phase = Some(Phase::Receive))
}

/// Who is behind the best by more than is allowed is asked only when there is nobody else.
fn judge_heads(router: &Router) {
    let heads = router.endpoints.iter().filter(|endpoint| endpoint.circuit() == super::Circuit::Closed);
    let Some(best) = heads.filter_map(Endpoint::head).max() else { return };
    let most = router.policy.max_lag.unwrap_or_else(|| usual_lag(router.identity.family));
    for endpoint in &router.endpoints {
        let Some(head) = endpoint.head() else { continue };
        let lag = best.saturating_sub(head);
        if endpoint.set_lagging(lag > most) {
            router.log.write(Level::Info, Area::Manager, || {
                let target = endpoint.pool().target();
                let label = &router.label;
                if lag > most {
                    format!(
                        "'{label}': {target} is {lag} blocks behind and asked only when there is no other"
                    )
                } else {
                    format!("'{label}': {target} has caught up")
                }
            });
        }
    }
}

/// How many blocks apart healthy nodes may be: about a minute on Ethereum and half of one on Solana.
const fn usual_lag(family: Family) -> u64 {
    match family {
        Family::Bitcoin => 2,
        Family::Solana => 75,
        Family::Evm | Family::Substrate | Family::Generic => 5,
    }
}
