//! Callers that end in every way that there is, on many threads at a time: whatever they held is free again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use genesis_replicator::engine::metrics::Gauge;
use genesis_replicator::engine::pool::{Gate, Pool, Settings};
use serde_json::json;
use tokio::task::{JoinSet, yield_now};

use crate::server::{echo, plain};
use crate::support::*;

const CALLERS: u32 = 5;

/// How a caller ends.
#[derive(Clone, Copy)]
enum Ending {
    /// After a call, when it gives its connection back.
    Served,
    /// As soon as it has its connection.
    AtOnce,
    /// After its first look at the pool, whatever it saw.
    AfterOneLook,
    /// By being aborted from outside, after so many turns of the runtime.
    Aborted(u32),
}

impl Ending {
    /// The one that two bits of `way` name for this caller.
    fn of(way: u32, caller: u32) -> Self {
        match way >> (2 * caller) & 3 {
            0 => Self::Served,
            1 => Self::AtOnce,
            2 => Self::AfterOneLook,
            _ => Self::Aborted((way + caller) % 7),
        }
    }

    async fn meet(self, pool: Pool) {
        match self {
            Self::Served => {
                let connection = lease(&pool).await;
                assert_eq!(call_on(&connection, json!([7]), of_ms(5_000)).await.unwrap(), json!(7));
            }
            Self::AtOnce => drop(lease(&pool).await),
            Self::AfterOneLook => {
                let mut lease = pin!(lease(&pool));
                let _ = poll_fn(|context| Poll::Ready(lease.as_mut().poll(context))).await;
            }
            Self::Aborted(turns) => {
                let mut tasks = JoinSet::new();
                tasks.spawn(async move { drop(lease(&pool).await) });
                for _ in 0..turns {
                    yield_now().await;
                }
                tasks.shutdown().await;
            }
        }
    }
}

/// Everything is back: no ticket is out and nobody waits, and the counts say so.
async fn assert_at_rest(pool: &Pool, gate: &Gate) {
    // A dial whose caller has gone goes on for the next one, with its ticket.
    until("every ticket is back", || gate.used() == 0).await;
    let levels = levels(pool);
    assert_eq!((levels.active, levels.connecting, pool.scopes().own().gauge(Gauge::Waiting)), (0, 0, 0));
    assert!(levels.total() <= gate.limit() as u64, "{levels:?}");
    assert_eq!(call(pool, json!(["next"])).await.unwrap(), json!("next"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_callers_of_two_connections_may_end_in_all_1024_ways() {
    let server = plain(echo).await;
    for way in 0..4_u32.pow(CALLERS) {
        let gate = Gate::new(2);
        let pool = member(route(&server.url()), &gate, None, Settings::default());
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(Ending::of(way, caller).meet(pool.clone()));
        }
        soon(callers.join_all()).await;
        assert_at_rest(&pool, &gate).await;
        pool.dismiss();
        assert!(pool.is_closed() && levels(&pool).total() == 0, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bound_that_changes_under_callers_of_two_pools_is_kept_in_the_end() {
    let server = plain(echo).await;
    let gate = Gate::new(3);
    let pools = [(); 2].map(|()| member(route(&server.url()), &gate, None, Settings::default()));
    let mut callers = JoinSet::new();
    let mut chance = Chance::new(11);
    for number in 0..600 {
        let pool = &pools[number % 2];
        let way = u32::try_from(chance.below(4)).unwrap();
        callers.spawn(Ending::of(way, 0).meet(pool.clone()));
        match chance.below(40) {
            0 => pool.resize(1 + usize::try_from(chance.below(4)).unwrap()),
            1 => pool.drain(),
            _ => {}
        }
        if number % 20 == 0 {
            yield_now().await;
        }
    }
    soon(callers.join_all()).await;
    pools[0].resize(2);
    for pool in &pools {
        assert_at_rest(pool, &gate).await;
    }
    assert!(pools.iter().map(|pool| levels(pool).total()).sum::<u64>() <= 2);
}
