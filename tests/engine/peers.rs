//! What the other side of a connection may do: hang up at any moment, or answer a byte at a time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use genesis_replicator::engine::deadline::Timeout;
use genesis_replicator::engine::error::{Kind, Phase, Result};
use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::metrics::{CloseCause, Event, Why};
use genesis_replicator::engine::pool::Pool;
use genesis_replicator::engine::transport::Route;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::server::{Answer, Ask, Options, Server, echo, plain, scripted};
use crate::support::*;
use crate::tls::Authority;

const READ: &str = "eth_blockNumber";
const WRITE: &str = "eth_sendRawTransaction";

async fn ask(pool: &Pool, method: &'static str) -> Result<bytes::Bytes> {
    pool.request(&Request::bare(method), Timeout::Of(Some(PATIENCE))).await
}

fn counted(pool: &Pool, event: Event) -> u64 {
    pool.scopes().own().counted(event)
}

/// Hangs up instead of answering the first so many requests.
async fn hangs_up(times: usize) -> Server {
    plain(move |ask: Ask| async move { if ask.number <= times { Answer::HangUp } else { echo(ask).await } })
        .await
}

#[tokio::test]
async fn a_read_whose_connection_ends_without_a_byte_of_the_answer_is_asked_once_more() {
    for (hangups, is_answered) in [(1, true), (2, false)] {
        let server = hangs_up(hangups).await;
        let pool = pool(route(&server.url()), 2);
        let result = ask(&pool, READ).await;
        assert_eq!(result.is_ok(), is_answered);
        if let Err(error) = result {
            assert_eq!(error.kind(), Kind::ConnectionClosed);
        }
        assert_eq!(
            (server.seen.requests.load(Ordering::SeqCst), counted(&pool, Event::Retry(Why::Lost))),
            (2, 1)
        );
        assert_eq!(counted(&pool, Event::Closed(CloseCause::Lost)), hangups as u64);
    }
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_never_sent_again() {
    let server = hangs_up(1).await;
    let pool = pool(route(&server.url()), 2);
    assert_eq!(ask(&pool, WRITE).await.unwrap_err().kind(), Kind::ConnectionClosed);
    let held = lease(&pool).await;
    assert_eq!(
        (server.seen.requests.load(Ordering::SeqCst), counted(&pool, Event::Retry(Why::Lost))),
        (1, 0)
    );
    drop(held);
}

#[tokio::test]
async fn on_a_held_connection_a_read_is_asked_once_more_and_a_write_is_not() {
    for (method, requests) in [(READ, 2), (WRITE, 1)] {
        let server = hangs_up(1).await;
        let pool = pool(route(&server.url()), 1);
        let held = lease(&pool).await;
        let name = held.id().to_owned();
        let result = held.request(&Request::bare(method), of_ms(5_000)).await;
        assert_eq!(result.is_ok(), method == READ);
        assert_eq!((server.seen.requests.load(Ordering::SeqCst), held.id()), (requests, name.as_str()));
    }
}

#[tokio::test]
async fn a_batch_is_asked_once_more_only_if_all_of_it_reads() {
    for (last, requests) in [(READ, 3), (WRITE, 1)] {
        let server = hangs_up(1).await;
        let pool = pool(route(&server.url()), 1);
        let held = lease(&pool).await;
        let calls = [Request::bare(READ), Request::bare(last)];
        let results = held.batch(&calls, of_ms(5_000)).await;
        assert_eq!(results.is_ok(), last == READ);
        assert_eq!(server.seen.requests.load(Ordering::SeqCst), requests);
    }
}

#[tokio::test]
async fn on_http_2_too_a_read_is_asked_once_more_and_a_write_is_not() {
    for (method, requests) in [(READ, 2), (WRITE, 1)] {
        let authority = Authority::new();
        let tls = Some(authority.server(&["h2"], false));
        let script = |ask: Ask| async move { if ask.number == 1 { Answer::Never } else { echo(ask).await } };
        let server = scripted(Options { tls, ..Options::default() }, script).await;
        let pool = pool(Route { tls: authority.options(), ..route(&server.url()) }, 2);
        let hangs = tokio::spawn({
            let pool = pool.clone();
            async move { ask(&pool, method).await }
        });
        until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
        server.drop_connections();
        assert_eq!(soon(hangs).await.unwrap().is_ok(), method == READ);
        assert_eq!(server.seen.requests.load(Ordering::SeqCst), requests);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_costs_its_connection_which_counts_as_lost() {
    let server =
        plain(|ask| async move { if ask.number == 1 { Answer::Torn } else { echo(ask).await } }).await;
    let pool = pool(route(&server.url()), 1);
    assert_eq!(ask(&pool, READ).await.unwrap_err().kind(), Kind::Protocol);
    let closed = [CloseCause::Lost, CloseCause::Dirty].map(|cause| counted(&pool, Event::Closed(cause)));
    assert_eq!((closed, server.seen.requests.load(Ordering::SeqCst)), ([1, 0], 1));
    ask(&pool, READ).await.unwrap();
}

/// A node that hangs up after its first answer, as soon as it is told to, on a thread of its own.
fn hangs_up_when_told(resets: bool) -> (std::net::SocketAddr, std::sync::mpsc::Sender<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for connection in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            for call in 0..=connection {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let id = text.split("\"id\":").nth(1).unwrap().split([',', '}']).next().unwrap().to_owned();
                let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{call}}}");
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
                if connection == 0 {
                    told.recv().unwrap();
                } else {
                    return;
                }
            }
            if resets {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    });
    (address, tell)
}

#[tokio::test]
async fn the_end_of_a_connection_that_lay_idle_is_seen_before_a_write_is_sent_on_it() {
    for resets in [false, true] {
        let (address, tell) = hangs_up_when_told(resets);
        let pool = pool(route(&format!("http://{address}")), 1);
        ask(&pool, WRITE).await.unwrap();
        tell.send(()).unwrap();
        // The runtime sees nothing of this: the news is in the system and nowhere else when the call begins.
        std::thread::sleep(Duration::from_millis(1_050));
        ask(&pool, WRITE).await.unwrap();
        assert_eq!((counted(&pool, Event::Retry(Why::Lost)), counted(&pool, Event::Opened)), (0, 2));
    }
}

#[tokio::test]
async fn an_answer_that_trickles_is_cut_and_its_slot_is_free() {
    let script = |ask: Ask| async move {
        if ask.number == 2 { Answer::Trickle(Duration::from_millis(500)) } else { echo(ask).await }
    };
    let server = plain(script).await;
    let pool = pool(route(&server.url()), 1);
    ask(&pool, READ).await.unwrap();
    tokio::time::pause();
    let began = Instant::now();
    let error = pool.request(&Request::bare(READ), Timeout::Of(None)).await.unwrap_err();
    let took = began.elapsed();
    tokio::time::resume();
    assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Receive)));
    assert!(error.message().contains("too slowly"), "{error}");
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert_eq!(levels(&pool).total(), 0);
    ask(&pool, READ).await.unwrap();
}

#[tokio::test]
async fn a_node_that_has_not_begun_to_answer_may_take_as_long_as_the_deadline_lets_it() {
    let server = plain(|ask| async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        echo(ask).await
    })
    .await;
    let pool = pool(route(&server.url()), 1);
    drop(lease(&pool).await);
    tokio::time::pause();
    pool.request(&Request::bare(READ), Timeout::Of(None)).await.unwrap();
}

#[tokio::test]
async fn a_dial_that_hangs_holds_up_other_requests_for_a_second_only() {
    // The first connection says nothing; those after it are served.
    let authority = Authority::new();
    let tls = Some(authority.server(&["h2"], false));
    let server = scripted(Options { tls, ..Options::default() }, echo).await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    let behind = server.address;
    tokio::spawn(async move {
        let (mut silent, _) = front.accept().await.unwrap();
        tokio::spawn(async move { while silent.read_u8().await.is_ok() {} });
        while let Ok((mut client, _)) = front.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                let _ = client.shutdown().await;
            });
        }
    });
    let pool = pool(Route { tls: authority.options(), ..route(&format!("https://{address}")) }, 5);
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, json!([0])).await }
    });
    until("it dials", || levels(&pool).connecting == 1).await;
    assert_eq!(soon(call(&pool, json!([1]))).await.unwrap(), json!(1));
    assert!(!stuck.is_finished());
    stuck.abort();
}
