//! The bound on sockets, and that everything comes back, whatever the callers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genesis_replicator::engine::error::{Kind, Phase};
use genesis_replicator::engine::metrics::{CloseCause, Counters, Event, Gauge};
use genesis_replicator::engine::pool::{Gate, Pool, Settings};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::server::{Answer, Server, echo, plain};
use crate::support::*;

const MAX: usize = 7;

/// Looks at the counts all the time, and at the sockets to `ports`, and fails on the first look that shows too much.
async fn watch(ports: Vec<u16>, all: Arc<Counters>, over: Arc<AtomicBool>) -> usize {
    let mut peak = 0;
    while !over.load(Ordering::Relaxed) {
        let levels = all.levels().snapshot();
        let most = MAX as u64;
        assert!(levels.active + levels.idle + levels.connecting == levels.total(), "{levels:?}");
        assert!(levels.total() <= most, "{levels:?}");
        let began = Instant::now();
        let sockets = client_sockets(&ports);
        assert!(sockets <= MAX, "{sockets} sockets");
        peak = peak.max(sockets);
        // Reading the machine's table of sockets may take longer than all calls together: they go on in between.
        sleep(Duration::from_millis(1).max(began.elapsed())).await;
    }
    peak
}

fn ports(servers: &[Server]) -> Vec<u16> {
    servers.iter().map(Server::port).collect()
}

/// A call or a lease, given up at a moment by chance three times in ten.
async fn visit(pool: Pool, number: u64, mut chance: Chance) {
    let work = async {
        if number.is_multiple_of(5) {
            let connection = lease(&pool).await;
            let result = call_on(&connection, json!([number, number % 3]), of_ms(5_000)).await;
            assert_eq!(result.unwrap(), json!(number));
        } else {
            assert_eq!(call(&pool, json!([number, number % 3])).await.unwrap(), json!(number));
        }
    };
    sleep(Duration::from_micros(chance.below(60_000))).await;
    if chance.below(10) < 3 {
        let _ = tokio::time::timeout(Duration::from_micros(chance.below(20_000)), work).await;
    } else {
        work.await;
    }
}

#[tokio::test]
async fn five_hundred_callers_of_three_pools_never_exceed_the_bound_and_leave_nothing_behind() {
    // On one thread, so that no socket comes or goes while the table of sockets is read.
    assert_eq!(five_hundred_callers(true).await, MAX, "the bound was not even reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_on_two_threads() {
    five_hundred_callers(false).await;
}

async fn five_hundred_callers(looks_at_sockets: bool) -> usize {
    let servers = [plain(echo).await, plain(echo).await, plain(echo).await];
    let (gate, all) = (Gate::new(MAX), Arc::<Counters>::default());
    let pools: Vec<_> = servers
        .iter()
        .map(|server| member(route(&server.url()), &gate, Some(&all), Settings::default()))
        .collect();
    let over = Arc::<AtomicBool>::default();
    let sockets = if looks_at_sockets { ports(&servers) } else { Vec::new() };
    let watcher = tokio::spawn(watch(sockets, Arc::clone(&all), Arc::clone(&over)));
    let callers: Vec<_> = (0..500_u64)
        .map(|number| {
            let pool = pools[usize::try_from(number % 3).unwrap()].clone();
            tokio::spawn(visit(pool, number, Chance::new(number)))
        })
        .collect();
    for caller in callers {
        soon(caller).await.unwrap();
    }
    until("all tickets back", || gate.used() == 0).await;
    assert_eq!((all.gauge(Gauge::Waiting), all.gauge(Gauge::InFlight)), (0, 0));
    // Every permit is back as well: each pool in turn can have all sockets.
    for pool in &pools {
        let mut connections = Vec::new();
        for _ in 0..MAX {
            connections.push(soon(lease(pool)).await);
        }
        assert_eq!(levels(pool).active, MAX as u64);
    }
    over.store(true, Ordering::Relaxed);
    let peak = watcher.await.unwrap();
    for pool in &pools {
        pool.dismiss();
    }
    until("all sockets closed", || client_sockets(&ports(&servers)) == 0).await;
    let closed: u64 = CloseCause::ALL.iter().map(|cause| all.counted(Event::Closed(*cause))).sum();
    assert_eq!((all.levels().snapshot().total(), closed), (0, all.counted(Event::Opened)));
    peak
}

#[tokio::test]
async fn an_idle_connection_of_one_pool_is_closed_for_another_s_caller() {
    let servers = [plain(echo).await, plain(echo).await];
    let gate = Gate::new(1);
    let [first, second] =
        [0, 1].map(|at: usize| member(route(&servers[at].url()), &gate, None, Settings::default()));
    call(&first, json!([1])).await.unwrap();
    soon(call(&second, json!([2]))).await.unwrap();
    assert_eq!((levels(&first).total(), levels(&second).idle), (0, 1));
    assert_eq!(first.scopes().own().counted(Event::Closed(CloseCause::Evicted)), 1);
    until("the server sees it go", || servers[0].seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn the_dial_of_a_caller_that_went_away_serves_the_next() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 1);
    let given_up = request(&json!([1]));
    let mut first = Box::pin(pool.request(&given_up, of_ms(5_000)));
    // Looked at once: the dial has begun, and its caller goes.
    assert!(futures_now(&mut first).is_none());
    drop(first);
    assert_eq!(levels(&pool).connecting, 1);
    assert_eq!(soon(call(&pool, json!([2]))).await.unwrap(), json!(2));
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
}

/// What is ready at the first look.
fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_dial_to_nowhere_without_a_caller_gives_its_room_to_another_pool() {
    for other_comes_first in [false, true] {
        let (hole, server) = (BlackHole::new().await, plain(echo).await);
        let gate = Gate::new(1);
        let stuck = member(route(&hole.url), &gate, None, Settings::default());
        let other = member(route(&server.url()), &gate, None, Settings::default());
        let caller = tokio::spawn({
            let stuck = stuck.clone();
            async move { call(&stuck, json!([1])).await }
        });
        until("the dial", || levels(&stuck).connecting == 1).await;
        if other_comes_first {
            let waits = tokio::spawn(async move { call(&other, json!([2])).await });
            until("it waits", || gate.used() == 1).await;
            sleep(Duration::from_millis(5)).await;
            caller.abort();
            assert_eq!(soon(waits).await.unwrap().unwrap(), json!(2));
        } else {
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
            assert_eq!(levels(&stuck).connecting, 1);
            assert_eq!(soon(call(&other, json!([2]))).await.unwrap(), json!(2));
        }
        assert_eq!(levels(&stuck).total(), 0);
    }
}

#[tokio::test]
async fn whoever_waits_in_vain_is_told_who_has_the_connections() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 1);
    let _held = lease(&pool).await;
    let error = pool.request(&request(&json!([1])), of_ms(30)).await.unwrap_err();
    let text = error.message();
    assert_eq!((error.kind(), error.facts().phase), (Kind::PoolTimeout, Some(Phase::Queue)), "{text}");
    assert!(text.contains("waited 0.") && text.contains("1 in use of max 1"), "{text}");
    assert!(text.contains("0 connecting, 0 waiting") && text.contains("at test.rs:1"), "{text}");
    let counters = pool.scopes().own();
    assert_eq!([Event::Timeout, Event::Cancellation].map(|event| counters.counted(event)), [1, 0]);
}

#[tokio::test]
async fn a_wait_that_ends_with_the_time_for_waiting_is_no_cancellation() {
    let server = plain(echo).await;
    let settings = Settings { acquire_timeout: Some(Duration::from_millis(20)), ..Settings::default() };
    let pool = pool_with(route(&server.url()), 1, settings);
    let _held = lease(&pool).await;
    let error = pool
        .request(&request(&json!([1])), genesis_replicator::engine::deadline::Timeout::Default)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::PoolTimeout);
    let counters = pool.scopes().own();
    assert_eq!([Event::Timeout, Event::Cancellation].map(|event| counters.counted(event)), [1, 0]);
    assert_eq!(counters.gauge(Gauge::Waiting), 0);
}

#[tokio::test]
async fn only_so_many_may_wait() {
    let server = plain(|_| async { Answer::Never }).await;
    let settings = Settings { max_waiting: Some(1), ..Settings::default() };
    let pool = pool_with(route(&server.url()), 1, settings);
    let _held = lease(&pool).await;
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1])).await }
    });
    until("it waits", || pool.scopes().own().gauge(Gauge::Waiting) == 1).await;
    assert_eq!(call(&pool, json!([2])).await.unwrap_err().kind(), Kind::TooManyWaiters);
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    let counters = pool.scopes().own();
    assert_eq!([Event::Rejection, Event::Cancellation].map(|event| counters.counted(event)), [1, 1]);
}
