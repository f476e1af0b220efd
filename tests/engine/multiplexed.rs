//! HTTP/2: many requests on one socket, never more than the server allows, and leases alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use genesis_replicator::engine::error::Kind;
use genesis_replicator::engine::metrics::{Event, Gauge, Why};
use genesis_replicator::engine::pool::{Gate, Pool, Settings};
use genesis_replicator::engine::transport::Route;
use serde_json::json;

use crate::server::{Answer, Ask, Options, Server, echo, scripted};
use crate::support::*;
use crate::tls::Authority;

/// A server of HTTP/2, and how to get there.
async fn server<F, A>(max_streams: Option<u32>, script: F) -> (Server, Route)
where
    F: Fn(Ask) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let authority = Authority::new();
    let tls = Some(authority.server(&["h2", "http/1.1"], false));
    let server = scripted(Options { tls, max_streams }, script).await;
    let route = Route { tls: authority.options(), ..route(&server.url()) };
    (server, route)
}

async fn hang_on_strings(ask: Ask) -> Answer {
    if ask.params[0].is_string() { Answer::Never } else { echo(ask).await }
}

/// So many requests at a time, each with a result of its own.
async fn burst(pool: &Pool, count: usize) {
    let calls: Vec<_> = (0..count)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!([number, 2])).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap().unwrap(), json!(number));
    }
}

#[tokio::test]
async fn requests_share_one_socket_up_to_the_limit_of_the_server() {
    for (limit, requests) in [(Some(100), 100), (None, 100), (Some(10), 10)] {
        let (server, route) = server(limit, echo).await;
        let pool = pool(route, 5);
        // The first one learns what the server allows.
        call(&pool, json!([0])).await.unwrap();
        burst(&pool, requests).await;
        assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1, "{limit:?}");
        assert_eq!(server.seen.peak_streams.load(Ordering::SeqCst), requests, "{limit:?}");
        until("nothing in use", || levels(&pool).active == 0).await;
    }
}

#[tokio::test]
async fn three_hundred_requests_at_a_time_take_as_many_sockets_as_the_limit_of_the_server_asks_for() {
    // None is answered before all have come.
    let come = Arc::<AtomicUsize>::default();
    let script = move |ask: Ask| {
        let come = Arc::clone(&come);
        async move {
            come.fetch_add(1, Ordering::SeqCst);
            until("all have come", || come.load(Ordering::SeqCst) == 300).await;
            echo(ask).await
        }
    };
    let (server, route) = server(Some(100), script).await;
    let pool = pool(route, 5);
    burst(&pool, 300).await;
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 3);
    assert_eq!(server.seen.peak_streams.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn one_connection_carries_five_hundred_requests_within_the_limit_of_the_server() {
    for limit in [100, 10, 1] {
        let (server, route) = server(Some(limit), echo).await;
        let pool = pool(route, 1);
        burst(&pool, 500).await;
        let limit = usize::try_from(limit).unwrap();
        assert!(server.seen.peak_streams.load(Ordering::SeqCst) <= limit);
        assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
        assert_eq!(server.seen.given_up.load(Ordering::SeqCst), 0);
        let counters = pool.scopes().own();
        assert_eq!((counters.gauge(Gauge::Waiting), counters.gauge(Gauge::InFlight)), (0, 0));
        assert_eq!((levels(&pool).idle, levels(&pool).total()), (1, 1));
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_resets_its_stream_and_keeps_the_connection() {
    let (server, route) = server(Some(10), hang_on_strings).await;
    let pool = pool(route, 1);
    let other = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1, 80])).await }
    });
    let hangs = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!(["hangs"])).await }
    });
    until("both are on their way", || server.seen.requests.load(Ordering::SeqCst) == 2).await;
    hangs.abort();
    until("its stream is reset", || server.seen.given_up.load(Ordering::SeqCst) == 1).await;
    assert_eq!(soon(other).await.unwrap().unwrap(), json!(1));
    assert_eq!(call(&pool, json!([2])).await.unwrap(), json!(2));
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn streams_that_are_given_up_at_any_moment_are_all_free_again() {
    let (server, route) = server(Some(10), echo).await;
    let pool = pool(route, 1);
    let mut chance = Chance::new(7);
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let (pool, after) = (pool.clone(), Duration::from_micros(chance.below(30_000)));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(after, call(&pool, json!([number, 1]))).await;
            })
        })
        .collect();
    for call in calls {
        soon(call).await.unwrap();
    }
    // A server may end a connection on which too many streams are given up. One that answers again has seen them all.
    while call(&pool, json!([0])).await.is_err() {}
    burst(&pool, 50).await;
    assert!(server.seen.peak_streams.load(Ordering::SeqCst) <= 10);
    until("nothing in use", || levels(&pool).active == 0).await;
}

#[tokio::test]
async fn a_lease_has_its_connection_alone() {
    let (server, route) = server(Some(100), hang_on_strings).await;
    let pool = pool(route, 2);
    call(&pool, json!([0])).await.unwrap();
    let held = lease(&pool).await;
    let first = tokio::spawn({
        let held = held.clone();
        async move { call_on(&held, json!(["hangs"]), of_ms(9_000)).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    burst(&pool, 50).await;
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 2);
    assert_eq!(call_on(&held, json!([1]), of_ms(5_000)).await.unwrap(), json!(1));
    held.close();
    assert_eq!(soon(first).await.unwrap().unwrap_err().kind(), Kind::ConnectionClosed);
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_lease_is_had_while_requests_of_the_same_pool_never_cease() {
    let (_server, route) = server(Some(10), echo).await;
    let pool = pool(route, 1);
    let over = Arc::<AtomicBool>::default();
    let callers: Vec<_> = (0..30)
        .map(|_| {
            let (pool, over) = (pool.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    call(&pool, json!([1, 1])).await.unwrap();
                }
            })
        })
        .collect();
    until("they are at it", || pool.scopes().own().counted(Event::Request) > 100).await;
    let held = lease(&pool).await;
    assert_eq!(call_on(&held, json!([7]), of_ms(5_000)).await.unwrap(), json!(7));
    over.store(true, Ordering::Relaxed);
    held.close();
    for caller in callers {
        soon(caller).await.unwrap();
    }
}

#[tokio::test]
async fn two_chains_that_share_one_connection_both_make_progress_under_load() {
    let ((server, first), (other_server, second)) =
        (server(Some(10), echo).await, server(Some(10), echo).await);
    let gate = Gate::new(1);
    let over = Arc::<AtomicBool>::default();
    let done = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut tasks = Vec::new();
    for (at, route) in [first, second].into_iter().enumerate() {
        let pool = member(route, &gate, None, Settings::default());
        for _ in 0..30 {
            let (pool, over, done) = (pool.clone(), Arc::clone(&over), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    call(&pool, json!([1, 1])).await.unwrap();
                    done[at].fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    // Each has the connection more than once.
    let accepted = |server: &Server| server.seen.accepted.load(Ordering::SeqCst);
    until("both were served again", || accepted(&server) >= 2 && accepted(&other_server) >= 2).await;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert!(done.iter().all(|done| done.load(Ordering::Relaxed) > 0), "{done:?}");
}

#[tokio::test]
async fn those_who_wait_for_a_stream_are_counted_and_only_so_many_may() {
    let (server, route) = server(Some(2), hang_on_strings).await;
    let settings = Settings { max_waiting: Some(3), ..Settings::default() };
    let pool = pool_with(route, 1, settings);
    call(&pool, json!([0])).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..5 {
        let pool = pool.clone();
        calls.push(tokio::spawn(async move { call(&pool, json!(["hangs"])).await }));
    }
    let counters = Arc::clone(pool.scopes().own());
    until("three wait", || counters.gauge(Gauge::Waiting) == 3).await;
    until("two are on their way", || server.seen.in_flight.load(Ordering::SeqCst) == 2).await;
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::TooManyWaiters);
    let waited = counters.counted(Event::Cancellation);
    // The last first, or each that waits would be served before it goes.
    for call in calls.into_iter().rev() {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert_eq!((counters.gauge(Gauge::Waiting), counters.counted(Event::Cancellation) - waited), (0, 3));
    assert_eq!(call(&pool, json!([2])).await.unwrap(), json!(2));
}

#[tokio::test]
async fn a_server_that_takes_no_more_requests_still_answers_those_it_has() {
    let (server, route) = server(Some(100), echo).await;
    let pool = pool(route, 1);
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!([number, 60])).await })
        })
        .collect();
    until("all are on their way", || server.seen.in_flight.load(Ordering::SeqCst) == 20).await;
    server.go_away();
    let later = tokio::spawn({
        let pool = pool.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            call(&pool, json!(["later"])).await
        }
    });
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap().unwrap(), json!(number));
    }
    // The new connection is told to go away as well: it may be lost, but it never hangs.
    let _ = soon(later).await.unwrap();
    until("nothing in use", || levels(&pool).active == 0).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_fails_what_it_carries_and_is_replaced() {
    let (server, route) = server(Some(100), hang_on_strings).await;
    let pool = pool(route, 1);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!(["hangs"])).await })
        })
        .collect();
    until("all are on their way", || server.seen.in_flight.load(Ordering::SeqCst) == 20).await;
    server.drop_connections();
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap_err().kind(), Kind::ConnectionClosed);
    }
    assert_eq!(call(&pool, json!([1])).await.unwrap(), json!(1));
    assert_eq!((levels(&pool).idle, levels(&pool).total()), (1, 1));
}

#[tokio::test]
async fn a_pool_that_is_cut_closes_its_socket_though_a_stream_is_open() {
    let (server, route) = server(Some(100), hang_on_strings).await;
    let pool = pool(route, 1);
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!(["hangs"])).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    soon(pool.close(Some(Duration::ZERO))).await;
    assert_eq!(soon(stuck).await.unwrap().unwrap_err().kind(), Kind::ConnectionClosed);
    until("the socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(levels(&pool).total(), 0);
}

#[tokio::test]
async fn a_freed_stream_goes_to_the_next_in_line_while_others_are_in_use() {
    let (server, route) = server(Some(2), hang_on_strings).await;
    let pool = pool(route, 1);
    call(&pool, json!([0])).await.unwrap();
    let hangs = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!(["hangs"])).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    burst(&pool, 20).await;
    hangs.abort();
    assert!(hangs.await.unwrap_err().is_cancelled());
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_not_sent_when_its_connection_was_lost_is_sent_on_the_next() {
    let script = |ask: Ask| async move { if ask.connection == 1 { Answer::Never } else { echo(ask).await } };
    let (server, route) = server(Some(2), script).await;
    let pool = pool(route, 1);
    // The first requests come before the server has told its limit: all of them are given to the connection.
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!([number])).await })
        })
        .collect();
    let in_flight = || pool.scopes().own().gauge(Gauge::InFlight);
    until("two are on their way", || server.seen.in_flight.load(Ordering::SeqCst) == 2 && in_flight() == 20)
        .await;
    server.drop_connections();
    let mut lost = 0;
    for (number, call) in calls.into_iter().enumerate() {
        match soon(call).await.unwrap() {
            Ok(result) => assert_eq!(result, json!(number)),
            Err(error) => {
                assert_eq!(error.kind(), Kind::ConnectionClosed);
                lost += 1;
            }
        }
    }
    // Two were sent, and one stood first in line on the connection itself.
    assert!((2..=3).contains(&lost), "{lost} are lost");
    assert_eq!(pool.scopes().own().counted(Event::Retry(Why::Lost)), 20 - lost);
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 2);
}
