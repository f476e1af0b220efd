//! A connection in a caller's hands, on HTTP/1.1.

use std::sync::atomic::Ordering;
use std::time::Duration;

use genesis_replicator::engine::deadline::Timeout;
use genesis_replicator::engine::error::{Kind, Phase};
use genesis_replicator::engine::metrics::{CloseCause, Event};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{Answer, echo, plain};
use crate::support::*;

#[tokio::test]
async fn a_connection_survives_a_request_that_was_given_up_and_keeps_its_name() {
    let server =
        plain(|ask| async move { if ask.number == 2 { Answer::Never } else { echo(ask).await } }).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let name = held.id().to_owned();
    assert_eq!(call_on(&held, json!([1]), of_ms(5_000)).await.unwrap(), json!(1));
    let error = call_on(&held, json!([2]), of_ms(30)).await.unwrap_err();
    assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Receive)));
    assert_eq!(call_on(&held, json!([3]), of_ms(5_000)).await.unwrap(), json!(3));
    assert_eq!((held.id(), server.seen.accepted.load(Ordering::SeqCst)), (name.as_str(), 2));
    assert_eq!((levels(&pool).active, client_sockets(&[server.port()])), (1, 1));
    drop(held);
    assert_eq!(levels(&pool).idle, 1);
    assert_eq!(pool.scopes().own().counted(Event::Closed(CloseCause::Dirty)), 1);
}

#[tokio::test]
async fn a_connection_whose_server_hung_up_while_it_was_held_reconnects_in_its_place() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    for round in 0..3 {
        server.drop_connections();
        until("the server has", || server.seen.open.load(Ordering::SeqCst) == 0).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(call_on(&held, json!([round]), of_ms(5_000)).await.unwrap(), json!(round));
        assert_eq!(levels(&pool).total(), 1);
    }
    assert_eq!(pool.scopes().own().counted(Event::Closed(CloseCause::Lost)), 3);
}

#[tokio::test]
async fn calls_on_one_connection_run_one_after_the_other() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let held = held.clone();
            tokio::spawn(async move { call_on(&held, json!([number, 1]), of_ms(5_000)).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap().unwrap(), json!(number));
    }
    assert_eq!(server.seen.peak_streams.load(Ordering::SeqCst), 1);
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn calls_in_line_on_one_connection_keep_their_own_deadlines() {
    // Every call but the last is never answered: each is given up in its time and leaves a socket of no use behind.
    let server =
        plain(|ask| async move { if ask.params[0] == "last" { echo(ask).await } else { Answer::Never } })
            .await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let began = Instant::now();
    let stuck: Vec<_> = [40, 80, 120, 160]
        .map(|ms| {
            let held = held.clone();
            tokio::spawn(async move { call_on(&held, json!([ms]), of_ms(ms)).await })
        })
        .into();
    until("the first is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    let last = call_on(&held, json!(["last"]), of_ms(8_000));
    assert_eq!(soon(last).await.unwrap(), json!("last"));
    assert!(began.elapsed() >= Duration::from_millis(160));
    for call in stuck {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error.kind(), Kind::RequestTimeout | Kind::ConnectTimeout), "{error:?}");
    }
    assert_eq!((levels(&pool).active, client_sockets(&[server.port()])), (1, 1));
}

#[tokio::test]
async fn a_connection_that_is_given_back_in_a_call_fails_the_call_and_closes_its_socket() {
    let server = plain(|_| async { Answer::Never }).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let stuck = tokio::spawn({
        let held = held.clone();
        async move { call_on(&held, json!([1]), Timeout::Of(None)).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    held.close();
    held.close();
    assert_eq!(levels(&pool).total(), 0);
    assert_eq!(soon(stuck).await.unwrap().unwrap_err().kind(), Kind::ConnectionClosed);
    assert_eq!(call_on(&held, json!([2]), of_ms(5_000)).await.unwrap_err().kind(), Kind::ConnectionClosed);
    assert!(held.is_closed());
    until("the socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    soon(lease(&pool)).await;
}

#[tokio::test]
async fn a_connection_that_is_given_back_in_peace_is_used_again() {
    let server = plain(echo).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let name = held.id().to_owned();
    call_on(&held, json!([1]), of_ms(5_000)).await.unwrap();
    held.close();
    assert_eq!(lease(&pool).await.id(), name);
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_batch_is_one_http_request_whose_results_are_in_the_order_of_the_calls() {
    let fails = |ask: crate::server::Ask| async move {
        if ask.params[0] == 2 { Answer::Error(-32000, "no") } else { echo(ask).await }
    };
    let server = plain(fails).await;
    let pool = pool(route(&server.url()), 1);
    let held = lease(&pool).await;
    let calls: Vec<_> = (0..5).map(|number| request(&json!([number]))).collect();
    let results = held.batch(&calls, of_ms(5_000)).await.unwrap();
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(result) => assert_eq!(serde_json::from_slice::<Value>(&result).unwrap(), json!(number)),
            Err(error) => assert_eq!((number, error.kind()), (2, Kind::Rpc)),
        }
    }
}
