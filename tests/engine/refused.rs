//! A node that refuses connections: how often it is tried, what its callers get, and that nobody else feels it.

use std::net::SocketAddr;
use std::time::Duration;

use genesis_replicator::engine::error::{Kind, Phase};
use genesis_replicator::engine::metrics::{Event, Gauge};
use genesis_replicator::engine::pool::{Gate, Pool, Settings};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::server::{Options, echo, plain, scripted_at};
use crate::support::*;

/// Where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn attempts(pool: &Pool) -> u64 {
    pool.scopes().own().counted(Event::ConnectFailure)
}

/// More than ten for each second that has begun since then.
fn most(began: Instant) -> u64 {
    10 * (began.elapsed().as_secs() + 1)
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_thousand_callers_share_a_few_attempts_and_are_all_told_soon() {
    for scheme in ["http", "https"] {
        let pool = pool(route(&format!("{scheme}://{}", nowhere().await)), 10);
        let began = Instant::now();
        let callers: Vec<_> = (0..1_000)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move { call(&pool, json!([number])).await })
            })
            .collect();
        for caller in callers {
            let error = soon(caller).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::ChainConnection, "{error:?}");
            assert!(error.message().contains("connection refused"), "{error}");
        }
        assert!(attempts(&pool) <= most(began), "{scheme}: {}", attempts(&pool));
        assert_eq!((levels(&pool).total(), pool.scopes().own().gauge(Gauge::Waiting)), (0, 0));
    }
}

#[tokio::test]
async fn a_node_that_listens_again_is_used_by_all_who_kept_trying() {
    let server = plain(echo).await;
    let (address, pool) = (server.address, pool(route(&server.url()), 10));
    call(&pool, json!([0])).await.unwrap();
    drop(server);
    let began = Instant::now();
    let callers: Vec<_> = (0..1_000)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    match call(&pool, json!([number])).await {
                        Ok(result) => return result,
                        Err(error) => assert!(
                            matches!(error.kind(), Kind::ChainConnection | Kind::ConnectionClosed),
                            "{error:?}"
                        ),
                    }
                }
            })
        })
        .collect();
    until("some attempts", || attempts(&pool) >= 6).await;
    let failed = attempts(&pool);
    assert!(failed <= most(began), "{failed} in {:?}", began.elapsed());
    let _server = scripted_at(address, Options::default(), echo).await;
    for (number, caller) in callers.into_iter().enumerate() {
        assert_eq!(soon(caller).await.unwrap(), json!(number));
    }
    // Each attempt from then on was a connection.
    assert!(attempts(&pool) <= failed + 1);
}

#[tokio::test]
async fn whoever_waits_for_a_node_that_is_down_keeps_no_ticket_from_other_pools() {
    let server = plain(echo).await;
    let gate = Gate::new(1);
    let dead = member(route(&format!("http://{}", nowhere().await)), &gate, None, Settings::default());
    let other = member(route(&server.url()), &gate, None, Settings::default());
    call(&other, json!([1])).await.unwrap();
    call(&dead, json!([1])).await.unwrap_err();
    // The delay cannot pass while nothing waits for the clock.
    tokio::time::pause();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let dead = dead.clone();
            tokio::spawn(async move { call(&dead, json!([1])).await })
        })
        .collect();
    settle().await;
    assert_eq!((gate.used(), dead.scopes().own().gauge(Gauge::Waiting)), (0, 20));
    tokio::time::resume();
    assert_eq!(call(&other, json!([2])).await.unwrap(), json!(2));
    for caller in callers {
        assert_eq!(soon(caller).await.unwrap().unwrap_err().kind(), Kind::ChainConnection);
    }
    assert_eq!(attempts(&dead), 2);
}

#[tokio::test]
async fn a_deadline_that_passes_before_the_next_attempt_names_what_the_last_one_met() {
    let pool = pool(route(&format!("http://{}", nowhere().await)), 1);
    call(&pool, json!([1])).await.unwrap_err();
    tokio::time::pause();
    let began = Instant::now();
    let error = pool.request(&request(&json!([1])), of_ms(20)).await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_millis(21), "{:?}", began.elapsed());
    assert_eq!((error.kind(), error.facts().phase), (Kind::ConnectTimeout, Some(Phase::Connect)));
    assert!(error.cause().unwrap().message().contains("connection refused"), "{error:?}");
    assert_eq!((attempts(&pool), pool.scopes().own().gauge(Gauge::Waiting)), (1, 0));
}

#[tokio::test]
async fn only_so_many_may_wait_for_a_node_that_is_down() {
    let settings = Settings { max_waiting: Some(2), ..Settings::default() };
    let pool = pool_with(route(&format!("http://{}", nowhere().await)), 1, settings);
    call(&pool, json!([1])).await.unwrap_err();
    tokio::time::pause();
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!([1])).await })
        })
        .collect();
    settle().await;
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::TooManyWaiters);
    for caller in callers {
        assert_eq!(soon(caller).await.unwrap().unwrap_err().kind(), Kind::ChainConnection);
    }
}

#[tokio::test]
async fn where_nobody_may_wait_a_node_that_was_down_is_tried_when_that_is_due() {
    let settings = Settings { max_waiting: Some(0), ..Settings::default() };
    let address = nowhere().await;
    let pool = pool_with(route(&format!("http://{address}")), 1, settings);
    call(&pool, json!([1])).await.unwrap_err();
    tokio::time::pause();
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::TooManyWaiters);
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    let _server = scripted_at(address, Options::default(), echo).await;
    assert_eq!(call(&pool, json!([1])).await.unwrap(), json!(1));
}

#[tokio::test]
async fn whoever_waits_for_a_node_that_is_down_is_told_at_once_when_the_pool_closes() {
    let pool = pool(route(&format!("http://{}", nowhere().await)), 1);
    call(&pool, json!([1])).await.unwrap_err();
    tokio::time::pause();
    let began = Instant::now();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { call(&pool, json!([1])).await })
        })
        .collect();
    settle().await;
    pool.close(None).await;
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap_err().kind(), Kind::PoolClosed);
    }
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::PoolClosed);
    assert_eq!((began.elapsed(), attempts(&pool)), (Duration::ZERO, 1));
}

#[tokio::test]
async fn the_minimum_is_opened_again_with_few_attempts_while_its_node_is_down() {
    let server = plain(echo).await;
    let idle = Some(Duration::from_millis(40));
    let settings = Settings { idle_timeout: idle, min_connections: 3, ..Settings::default() };
    let (address, pool) = (server.address, pool_with(route(&server.url()), 3, settings));
    call(&pool, json!([1])).await.unwrap();
    until("the minimum", || levels(&pool).idle == 3).await;
    drop(server);
    let began = Instant::now();
    until("some attempts", || attempts(&pool) >= 6).await;
    // Three at once, and then the shortest delays are 100, 200 and 250 ms; a look at the pool comes every 10.
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    let _server = scripted_at(address, Options::default(), echo).await;
    until("the minimum again", || levels(&pool).idle == 3).await;
}

#[tokio::test]
async fn those_in_line_for_a_connection_that_is_held_are_not_told_of_an_attempt_that_failed() {
    let server = plain(echo).await;
    let (address, pool) = (server.address, pool(route(&server.url()), 2));
    let held = lease(&pool).await;
    // It takes no more connections, but the one that is open is as good as before.
    server.deafen();
    until("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    let fails = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1])).await }
    });
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([2])).await }
    });
    assert_eq!(soon(fails).await.unwrap().unwrap_err().kind(), Kind::ChainConnection);
    drop(held);
    // Either it waited in line, or it came to the attempt after the first one.
    let result = soon(waits).await.unwrap();
    assert!(result.is_ok_and(|result| result == json!(2)) || attempts(&pool) > 1);
    assert_eq!(call(&pool, json!([3])).await.unwrap(), json!(3));
}
