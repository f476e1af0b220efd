//! Servers of HTTP/2 that say of a request that they have not looked at it.

use std::future::pending;

use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::transport::Route;
use h2::Reason;
use h2::server::{SendResponse, handshake};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use crate::support::*;
use crate::tls::Authority;

type Socket = TlsStream<TcpStream>;

/// A server that treats its first connection in one way, and answers on the others.
async fn server<F>(first: impl Fn(Socket) -> F + Send + 'static) -> Route
where
    F: Future<Output = ()> + Send + 'static,
{
    let authority = Authority::new();
    let tls = authority.server(&["h2"], false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for turn in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let socket = tls.acceptor().accept(socket).await.unwrap();
            match turn {
                0 => drop(tokio::spawn(first(socket))),
                _ => drop(tokio::spawn(answer_all(socket, false))),
            }
        }
    });
    Route { tls: authority.options(), ..route(&url) }
}

async fn answer_all(socket: Socket, refuses_first: bool) {
    let (mut connection, mut refuses) = (handshake(socket).await.unwrap(), refuses_first);
    while let Some(Ok((request, mut response))) = connection.accept().await {
        if std::mem::take(&mut refuses) {
            response.send_reset(Reason::REFUSED_STREAM);
        } else {
            tokio::spawn(answer(request, response));
        }
    }
}

async fn answer(request: ::http::Request<h2::RecvStream>, mut response: SendResponse<bytes::Bytes>) {
    let body = request.into_body().data().await.unwrap().unwrap();
    let id = serde_json::from_slice::<Value>(&body).unwrap()["id"].take();
    let text = json!({"jsonrpc": "2.0", "id": id, "result": "at last"}).to_string();
    let mut body = response.send_response(::http::Response::new(()), false).unwrap();
    body.send_data(text.into(), true).unwrap();
}

/// Read the first request, and say that no stream will be looked at: GOAWAY, with 0 for the last one.
async fn go_away(mut socket: Socket) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    socket.write_all(&SETTINGS).await.unwrap();
    socket.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        socket.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    socket.write_all(&GOAWAY).await.unwrap();
    pending::<()>().await;
}

async fn sends_money(route: Route) {
    let pool = pool(route, 1);
    let result = pool.request(&Request::new("sends_money", "[]").unwrap(), of_ms(9_000)).await;
    assert_eq!(result.unwrap(), r#""at last""#);
}

#[tokio::test]
async fn a_request_whose_stream_is_refused_is_sent_again_whatever_it_does() {
    sends_money(server(|socket| answer_all(socket, true)).await).await;
}

#[tokio::test]
async fn a_request_after_the_last_that_a_server_going_away_looks_at_is_sent_again_whatever_it_does() {
    sends_money(server(go_away).await).await;
}
