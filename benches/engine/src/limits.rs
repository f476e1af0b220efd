//! Rate limits that never make anybody wait.

use std::rc::Rc;
use std::time::Duration;

use genesis_replicator::engine::error::Result;
use genesis_replicator::engine::limiter::{KeyedRateLimiter, RateLimiter};
use tokio::runtime::Runtime;

use crate::{Case, VERY_OFTEN};

/// How many clients a service has.
const CLIENTS: usize = 1_000;

pub fn cases(runtime: &Rc<Runtime>) -> Result<Vec<Case>> {
    // As many units as keep every stamp apart, and so short that its log is not full before it empties.
    let window = RateLimiter::new(65_536, Duration::from_millis(1), None)?;
    let burst = RateLimiter::new(1_000_000_000, Duration::from_secs(1), Some(1_000_000_000))?;
    let keyed = KeyedRateLimiter::new(u64::from(u32::MAX), Duration::from_mins(1), CLIENTS)?;
    let clients: Vec<String> = (0..CLIENTS).map(|client| format!("198.51.100.7/{client}")).collect();
    let mut turn = 0;
    Ok(vec![
        Case::awaited("limiter_window", VERY_OFTEN, runtime, async move || acquire(&window).await),
        Case::awaited("limiter_burst", VERY_OFTEN, runtime, async move || acquire(&burst).await),
        Case::new("limiter_keyed", VERY_OFTEN, move || {
            turn = (turn + 1) % CLIENTS;
            let checked = keyed.check(clients[turn].as_bytes());
            assert!(checked.is_ok_and(|checked| checked.decision.is_ok()));
        }),
    ])
}

async fn acquire(limiter: &RateLimiter) {
    assert!(limiter.acquire(1, None).await.is_ok());
}
