//! How long a pool keeps its connections, and how it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use genesis_replicator::engine::error::Kind;
use genesis_replicator::engine::metrics::{CloseCause, Event, Why};
use genesis_replicator::engine::pool::{Pool, Settings};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::server::{Answer, echo, plain};
use crate::support::*;

fn closed(pool: &Pool, cause: CloseCause) -> u64 {
    pool.scopes().own().counted(Event::Closed(cause))
}

#[tokio::test]
async fn what_lies_idle_for_too_long_is_closed_down_to_the_minimum() {
    let server = plain(echo).await;
    let idle = Some(Duration::from_millis(40));
    let settings = Settings { idle_timeout: idle, min_connections: 1, ..Settings::default() };
    let pool = pool_with(route(&server.url()), 3, settings);
    let leases = [lease(&pool).await, lease(&pool).await, lease(&pool).await];
    drop(leases);
    assert_eq!(levels(&pool).idle, 3);
    until("two are closed", || closed(&pool, CloseCause::Idle) == 2).await;
    let looks = Instant::now();
    until("some looks later", || looks.elapsed() > Duration::from_millis(60)).await;
    assert_eq!((levels(&pool).idle, closed(&pool, CloseCause::Idle)), (1, 2));
}

#[tokio::test]
async fn the_minimum_is_opened_beside_a_connection_in_use_and_replaced_when_it_is_lost() {
    let server = plain(echo).await;
    let idle = Some(Duration::from_millis(40));
    let settings = Settings { idle_timeout: idle, min_connections: 3, ..Settings::default() };
    let pool = pool_with(route(&server.url()), 3, settings);
    let held = lease(&pool).await;
    until("the minimum", || levels(&pool).idle == 2).await;
    server.drop_connections();
    until("they are gone", || closed(&pool, CloseCause::Lost) >= 2).await;
    until("the minimum again", || levels(&pool).idle == 2).await;
    drop(held);
    until("three again", || levels(&pool).idle == 3).await;
    assert_eq!(pool.scopes().own().counted(Event::Acquisition), 1);
}

#[tokio::test]
async fn no_more_than_4_connections_are_opened_at_a_time_until_the_first_is_open() {
    // It accepts and then says nothing, so that no handshake ends.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(route(&format!("https://{}", silent.local_addr().unwrap())), 100);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.lease(of_ms(10_000)).await.map(drop) })
        })
        .collect();
    let mut accepted = Vec::new();
    let accept = async {
        loop {
            accepted.push(silent.accept().await.unwrap());
        }
    };
    // All that want to come have come long before.
    assert!(timeout(Duration::from_millis(300), accept).await.is_err());
    assert_eq!((accepted.len(), levels(&pool).connecting), (4, 100));
    drop((accepted, silent));
    for caller in callers {
        assert!(soon(caller).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_dial_under_way_ends_with_its_pool() {
    let hole = BlackHole::new().await;
    let pool = pool(route(&hole.url), 1);
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1])).await }
    });
    until("it dials", || levels(&pool).connecting == 1).await;
    soon(pool.close(Some(Duration::ZERO))).await;
    assert_eq!(soon(stuck).await.unwrap().unwrap_err().kind(), Kind::PoolClosed);
    until("nothing is left", || levels(&pool).total() == 0).await;
}

#[tokio::test]
async fn no_connection_lives_longer_than_it_may() {
    let server = plain(echo).await;
    let settings = Settings { max_lifetime: Some(Duration::from_millis(40)), ..Settings::default() };
    let pool = pool_with(route(&server.url()), 2, settings);
    let held = lease(&pool).await;
    call(&pool, json!([1])).await.unwrap();
    until("the idle one is closed", || closed(&pool, CloseCause::Lifetime) == 1).await;
    assert_eq!(levels(&pool).active, 1);
    drop(held);
    assert_eq!((levels(&pool).total(), closed(&pool, CloseCause::Lifetime)), (0, 2));
}

#[tokio::test]
async fn a_drain_replaces_every_connection() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 2);
    let held = lease(&pool).await;
    call(&pool, json!([1])).await.unwrap();
    pool.drain();
    assert_eq!((levels(&pool).idle, levels(&pool).active), (0, 1));
    assert_eq!(call_on(&held, json!([2]), of_ms(5_000)).await.unwrap(), json!(2));
    drop(held);
    assert_eq!((levels(&pool).total(), closed(&pool, CloseCause::Requested)), (0, 2));
    assert_eq!(call(&pool, json!([3])).await.unwrap(), json!(3));
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_smaller_pool_closes_what_is_idle_and_then_what_comes_back() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 4);
    let mut held = vec![lease(&pool).await, lease(&pool).await, lease(&pool).await];
    call(&pool, json!([1])).await.unwrap();
    pool.resize(1);
    assert_eq!((levels(&pool).active, levels(&pool).idle), (3, 0));
    held.truncate(1);
    assert_eq!((levels(&pool).total(), pool.max_connections()), (1, 1));
    assert_eq!(pool.lease(of_ms(20)).await.err().unwrap().kind(), Kind::PoolTimeout);
    pool.resize(2);
    let second = soon(lease(&pool)).await;
    assert_eq!(client_sockets(&[server.port()]), 2);
    held.clear();
    drop(second);
    assert_eq!((levels(&pool).idle, closed(&pool, CloseCause::Requested)), (2, 3));
}

#[tokio::test]
async fn a_pool_names_the_cause_when_it_shrinks_and_grows_beyond_what_it_was() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 33);
    let mut held = Vec::new();
    for _ in 0..33 {
        held.push(lease(&pool).await);
    }
    pool.resize(1);
    held.clear();
    assert_eq!((levels(&pool).total(), closed(&pool, CloseCause::Requested)), (1, 32));
    pool.resize(100);
    for _ in 0..80 {
        held.push(soon(lease(&pool)).await);
    }
    assert_eq!(levels(&pool).active, 80);
}

#[tokio::test]
async fn a_pool_that_closes_waits_for_its_leases_and_then_cuts_them() {
    let server = plain(|_| async { Answer::Never }).await;
    let pool = pool(route(&server.url()), 2);
    let held = lease(&pool).await;
    let stuck = tokio::spawn({
        let held = held.clone();
        async move { call_on(&held, json!([1]), of_ms(9_000)).await }
    });
    until("the call is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    let began = Instant::now();
    soon(pool.close(Some(Duration::from_millis(30)))).await;
    assert!(began.elapsed() >= Duration::from_millis(30));
    let error = soon(stuck).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), Kind::ConnectionClosed | Kind::PoolClosed), "{error:?}");
    // Nothing brings it back to life.
    assert_eq!(call_on(&held, json!([1]), of_ms(5_000)).await.unwrap_err().kind(), Kind::ConnectionClosed);
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::PoolClosed);
    drop(held);
    until("its sockets are closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!((levels(&pool).total(), server.seen.accepted.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn a_pool_that_closes_ends_as_soon_as_its_last_lease_is_back() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 2);
    let held = lease(&pool).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close(None).await }
    });
    until("it is closed", || pool.is_closed()).await;
    assert_eq!(call_on(&held, json!([1]), of_ms(5_000)).await.unwrap(), json!(1));
    drop(held);
    soon(closing).await.unwrap();
    assert_eq!((levels(&pool).total(), closed(&pool, CloseCause::Shutdown)), (0, 1));
}

#[tokio::test]
async fn a_close_that_is_given_up_cuts_at_once() {
    let server = plain(|_| async { Answer::Never }).await;
    let pool = pool(route(&server.url()), 2);
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1])).await }
    });
    until("the call is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    assert!(tokio::time::timeout(Duration::from_millis(5), pool.close(None)).await.is_err());
    let error = soon(stuck).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), Kind::ConnectionClosed | Kind::PoolClosed), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_its_server_closed_while_it_lay_idle_is_not_used() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 3);
    drop([lease(&pool).await, lease(&pool).await, lease(&pool).await]);
    server.drop_connections();
    until("they are taken out", || levels(&pool).total() == 0).await;
    assert_eq!(closed(&pool, CloseCause::Lost), 3);
    assert_eq!(call(&pool, json!([1])).await.unwrap(), json!(1));
    assert_eq!(pool.scopes().own().counted(Event::Retry(Why::Lost)), 0);
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_sent_on_another_connection() {
    // The server says that it closes; the connection goes back and is handed out before its end is seen.
    let server = plain(|ask| async move { Answer::Last(ask.params[0].clone()) }).await;
    let pool = pool(route(&server.url()), 1);
    for number in 0..20 {
        assert_eq!(call(&pool, json!([number])).await.unwrap(), json!(number));
    }
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 20);
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_socket_and_frees_its_place_at_once() {
    let server =
        plain(|ask| async move { if ask.number == 1 { Answer::Never } else { echo(ask).await } }).await;
    let pool = pool(route(&server.url()), 1);
    let hangs = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([1])).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    hangs.abort();
    assert!(hangs.await.unwrap_err().is_cancelled());
    assert_eq!((levels(&pool).total(), closed(&pool, CloseCause::Dirty)), (0, 1));
    assert_eq!(soon(call(&pool, json!([2]))).await.unwrap(), json!(2));
    until("the server sees it", || server.seen.given_up.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.seen.open.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_log_tells_a_connection_s_life_and_names_who_holds_one_for_too_long_once() {
    let server = plain(echo).await;
    let settings = Settings { leak_threshold: Some(Duration::from_millis(40)), ..Settings::default() };
    let (pool, records) = logged(route(&server.url()), settings);
    let held = lease(&pool).await;
    let name = held.id().to_owned();
    let looks = Instant::now();
    until("some looks", || looks.elapsed() > Duration::from_millis(120)).await;
    drop(held);
    pool.dismiss();
    let lines: Vec<_> = records.try_iter().map(|record| record.message).collect();
    for what in ["opened", "acquired", "returned", "closed: shutdown"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("connection {name} {what}"))), "{lines:?}");
    }
    let leaks: Vec<_> = lines.iter().filter(|line| line.contains("is held for")).collect();
    assert!(leaks.len() == 1 && leaks[0].contains("test.rs:1") && leaks[0].contains("'eth'"), "{lines:?}");
}
