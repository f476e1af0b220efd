//! Up to which block nothing can be undone any more, as far as the endpoints tell.
//!
//! It is asked for when a call needs to know and before that call is made: a block that became final while its answer
//! was on the way may have been another one before. What is final stays final, so the last word is kept for good; that
//! a block is not final yet is believed for a slot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::engine::chain::identity;
use crate::engine::chain::route::{Circuit, Endpoint};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Kind, Result};
use crate::engine::family::Family;
use crate::engine::hex::quantity;
use crate::engine::jsonrpc::Request;
use crate::engine::pool::Pool;

/// A slot of Ethereum. What the endpoints say is good for so long.
const SLOT: Duration = Duration::from_secs(12);
/// So long the endpoints have to tell. Without an answer a call is made, and its result is not kept.
const PATIENCE: Duration = Duration::from_secs(1);
/// So deep a block of a chain lies that has no tag for what is final, before it is taken for that: deeper than the
/// longest reorganisations that were seen on such chains, and on Bitcoin as deep as what miners may spend.
const DEEP: u64 = 1024;
const DEEP_ON_BITCOIN: u64 = 100;

/// What is final.
pub(super) struct Finality {
    family: Family,
    /// By endpoint, the last block that is final to it. Each has the first one of all.
    last: Vec<AtomicU64>,
    /// When they were asked.
    asked: Mutex<Option<Instant>>,
}

impl Finality {
    pub(super) fn new(family: Family, endpoints: usize) -> Self {
        let last = (0..endpoints).map(|_| AtomicU64::new(0)).collect();
        Self { family, last, asked: Mutex::default() }
    }

    /// The last block that is known to be final to every endpoint that may be asked. `needed` is the block that it is
    /// about; if that is known to be final, nobody is asked.
    pub(super) async fn last(&self, endpoints: &[Endpoint], needed: Option<u64>) -> u64 {
        let known = self.known(endpoints);
        let is_told = matches!(self.family, Family::Evm | Family::Bitcoin);
        if !is_told || needed.is_some_and(|number| number <= known) {
            return known;
        }
        self.ask(endpoints).await;
        self.known(endpoints)
    }

    fn known(&self, endpoints: &[Endpoint]) -> u64 {
        let asked = endpoints.iter().zip(&self.last).filter(|(endpoint, _)| is_asked(endpoint));
        asked.map(|(_, last)| last.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Ask all of them, unless somebody has, a moment ago. Who comes meanwhile waits for the answer.
    async fn ask(&self, endpoints: &[Endpoint]) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < SLOT) {
            return;
        }
        let now = Instant::now();
        let call = Call::new(Some(PATIENCE));
        let questions = endpoints.iter().zip(&self.last).filter(|(endpoint, _)| is_asked(endpoint));
        join_all(questions.map(|(endpoint, last)| async {
            if let Ok(told) = last_of(endpoint.pool(), self.family, &call).await {
                last.fetch_max(told, Ordering::Relaxed);
            }
        }))
        .await;
        *asked = Some(now);
    }
}

/// Who may not be who it was is not believed.
fn is_asked(endpoint: &Endpoint) -> bool {
    endpoint.circuit() == Circuit::Closed && !endpoint.is_doubted()
}

/// The last block that is final to one endpoint.
async fn last_of(pool: &Pool, family: Family, call: &Call) -> Result<u64> {
    let deep = if family == Family::Bitcoin {
        DEEP_ON_BITCOIN
    } else {
        match tagged(pool, call).await {
            // It has the tag, and nothing is final yet.
            Err(error) if error.kind() == Kind::NodeBehind => return Ok(0),
            // It has not.
            Err(error) if matches!(error.kind(), Kind::Rpc | Kind::MethodNotSupported) => DEEP,
            told => return told,
        }
    };
    let head = identity::head(pool, family, call).await?;
    Ok(head.unwrap_or(0).saturating_sub(deep))
}

async fn tagged(pool: &Pool, call: &Call) -> Result<u64> {
    #[derive(Deserialize)]
    struct Block {
        number: String,
    }
    let question = Request::bare("eth_getBlockByNumber").with_params(r#"["finalized",false]"#);
    let answer = pool.request_within(&question, Timeout::Of(None), call).await?;
    let block = serde_json::from_slice(&answer).ok();
    Ok(block.and_then(|block: Block| quantity(&block.number)).unwrap_or(0))
}
