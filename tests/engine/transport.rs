//! What comes back over the wire, TLS, and proxies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use genesis_replicator::engine::credentials::Secret;
use genesis_replicator::engine::deadline::Call;
use genesis_replicator::engine::error::{Error, Kind};
use genesis_replicator::engine::target::{Target, TargetOptions};
use genesis_replicator::engine::transport::{AddressPolicy, Dialer, Message, Route, TlsOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Answer, Ask, Options, echo, plain, scripted};
use crate::support::*;
use crate::tls::Authority;

async fn error_of(answer: Answer) -> Error {
    let server = plain(move |_| std::future::ready(answer.clone())).await;
    let route = Route { max_response_bytes: 4096, ..route(&server.url()) };
    let pool = pool(route, 1);
    let error = call(&pool, json!([1])).await.unwrap_err();
    assert_eq!(levels(&pool).active, 0);
    error
}

#[tokio::test]
async fn a_body_beyond_the_cap_is_refused_whether_its_length_was_announced_or_not() {
    let announced = Answer::Raw(200, vec![], " ".repeat(5000));
    for answer in [announced, Answer::Stream(5 * 1024)] {
        let error = error_of(answer).await;
        assert_eq!(error.kind(), Kind::Protocol);
        assert!(error.message().contains("max_response_bytes (4096)"), "{error}");
    }
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    assert_eq!(error_of(Answer::Torn).await.kind(), Kind::Protocol);
    assert_eq!(error_of(Answer::WrongId).await.kind(), Kind::Protocol);
    assert_eq!(error_of(Answer::Raw(200, vec![], "<html>".into())).await.kind(), Kind::Protocol);
    let error = error_of(Answer::Raw(503, vec![("retry-after", "2".into())], "<html>".into())).await;
    assert_eq!((error.kind(), error.facts().status), (Kind::HttpStatus, Some(503)));
}

#[tokio::test]
async fn an_answer_counts_whatever_the_status_says() {
    let body = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "method not found"}});
    let error = error_of(Answer::Raw(404, vec![], body.to_string())).await;
    assert_eq!((error.kind(), error.facts().status), (Kind::MethodNotSupported, Some(404)));
    assert_eq!(error_of(Answer::Raw(401, vec![], "no".into())).await.kind(), Kind::Authentication);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = plain(echo).await;
    let location = vec![("location", elsewhere.url())];
    let error = error_of(Answer::Raw(307, location, String::new())).await;
    assert_eq!((error.kind(), error.facts().status), (Kind::HttpStatus, Some(307)));
    assert_eq!(elsewhere.seen.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_listening_is_told_without_the_path() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let pool = pool(route(&format!("http://{address}/v3/k7Qm2xV9c4")), 1);
    let error = call(&pool, json!([1])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::ChainConnection);
    assert!(error.message().contains("connection refused"), "{error}");
    assert_hides(&error, "k7Qm2xV9c4");
    assert_eq!(levels(&pool).total(), 0);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused() {
    let authority = Authority::new();
    let tls = Some(authority.server(&["h2"], false));
    let server = scripted(Options { tls, ..Options::default() }, echo).await;
    let pool = pool(route(&server.url()), 1);
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::Tls);
    let stranger = Route { tls: Authority::new().options(), ..route(&server.url()) };
    let pool = crate::support::pool(stranger, 1);
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::Tls);
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    for protocols in [["h2"], ["http/1.1"]] {
        let authority = Authority::new();
        let tls = Some(authority.server(&protocols, true));
        let server = scripted(Options { tls, ..Options::default() }, echo).await;
        let known = TlsOptions { client_cert: Some(authority.client()), ..authority.options() };
        let pool = pool(Route { tls: known, ..route(&server.url()) }, 1);
        assert_eq!(call(&pool, json!([1])).await.unwrap(), json!(1));
        let nobody = Route { tls: authority.options(), ..route(&server.url()) };
        let pool = crate::support::pool(nobody, 1);
        let error = call(&pool, json!([1])).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Tls | Kind::ConnectionClosed), "{error:?}");
    }
}

#[tokio::test]
async fn a_transport_that_is_dropped_lets_go_of_what_its_socket_holds_and_says_so_last() {
    for protocols in [["h2"], ["http/1.1"]] {
        let authority = Authority::new();
        let tls = Some(authority.server(&protocols, false));
        let server = scripted(Options { tls, ..Options::default() }, echo).await;
        let dialer = Dialer::new(Route { tls: authority.options(), ..route(&server.url()) }).unwrap();
        let held = Arc::new(());
        let socket_is_open = Arc::downgrade(&held);
        let (told, tell) = tokio::sync::oneshot::channel();
        let closed = move || {
            let _ = told.send(socket_is_open.strong_count());
        };
        let transport = dialer.dial(held, closed).await.unwrap();
        let call = Call::new(None);
        // Left in its middle, so that the connection has something to wait for.
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "m", "params": [1, 60_000]}).to_string();
        let send = transport.send(Message { body: body.into(), ids: 1..2 }, None, &call);
        let send = tokio::time::timeout(std::time::Duration::from_millis(20), send);
        assert!(send.await.is_err());
        transport.cut();
        soon(transport.closed()).await;
        assert_eq!(soon(tell).await.unwrap(), 0, "{protocols:?}");
    }
}

/// A proxy that forwards and tunnels, and knows one user.
struct Proxy {
    address: std::net::SocketAddr,
    used: Arc<AtomicUsize>,
    task: tokio::task::AbortHandle,
}

impl Proxy {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let used = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&used);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Self::serve(stream));
            }
        });
        Self { address, used, task: task.abort_handle() }
    }

    async fn serve(mut client: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        if !text.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpjyw5hcnk=") {
            return client
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        let target = text.split(' ').nth(1).unwrap();
        let authority = target.trim_start_matches("http://").split('/').next().unwrap();
        let mut server = TcpStream::connect(authority).await?;
        if text.starts_with("CONNECT") {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        } else {
            server.write_all(&head).await?;
        }
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn through(address: std::net::SocketAddr, user: &str, route: Route) -> Route {
    Route { proxy: Some(Secret::new(format!("http://{user}@{address}"))), ..route }
}

#[tokio::test]
async fn requests_go_through_a_proxy_one_connection_each() {
    let proxy = Proxy::new().await;
    let authority = Authority::new();
    let tls = Some(authority.server(&["http/1.1"], false));
    let servers = [plain(echo).await, scripted(Options { tls, ..Options::default() }, echo).await];
    for server in &servers {
        let before = proxy.used.load(Ordering::SeqCst);
        let route = Route { tls: authority.options(), ..route(&server.url()) };
        let pool = pool(through(proxy.address, "user:canary", route), 2);
        for number in 0..5 {
            assert_eq!(call(&pool, json!([number])).await.unwrap(), json!(number));
        }
        assert_eq!(proxy.used.load(Ordering::SeqCst) - before, 1);
        let held = lease(&pool).await;
        assert_eq!(call_on(&held, json!([1]), of_ms(5_000)).await.unwrap(), json!(1));
        soon(pool.close(Some(std::time::Duration::ZERO))).await;
        let error = call_on(&held, json!([1]), of_ms(5_000)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::ConnectionClosed);
    }
}

#[tokio::test]
async fn what_fails_behind_a_proxy_is_told_without_any_url() {
    let proxy = Proxy::new().await;
    let authority = Authority::new();
    let tls = Some(authority.server(&["http/1.1"], false));
    let server = scripted(Options { tls, ..Options::default() }, echo).await;
    let target = |url: &str| {
        let url = format!("{url}v3/k7Qm2xV9c4");
        Route { target: Target::new(&url, None, &TargetOptions::default()).unwrap(), ..route(&url) }
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let no_proxy = through(closed, "user:canary", target(&server.url()));
    let refused = through(proxy.address, "user:other-canary", target(&server.url()));
    let no_trust = through(proxy.address, "user:canary", target(&server.url()));
    for (route, kind) in
        [(no_proxy, Kind::ChainConnection), (refused, Kind::ChainConnection), (no_trust, Kind::Tls)]
    {
        let error = call(&pool(route, 1), json!([1])).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(&format!("https://{}", server.address)), "{error}");
        for secret in ["k7Qm2xV9c4", "canary", &proxy.address.port().to_string()] {
            assert_hides(&error, secret);
        }
    }
}

#[tokio::test]
async fn an_address_that_the_policy_forbids_is_not_dialled() {
    let server = plain(echo).await;
    let named = server.url().replace("127.0.0.1", "localhost");
    let pool = pool(Route { addresses: AddressPolicy::Public, ..route(&named) }, 1);
    assert_eq!(call(&pool, json!([1])).await.unwrap_err().kind(), Kind::Security);
    assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn credentials_are_on_the_wire_and_nowhere_else() {
    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let script = {
        let seen = Arc::clone(&seen);
        move |ask: Ask| {
            *seen.lock().unwrap() = format!("{:?}", ask.headers.get("x-api-key"));
            let echoed = format!("bad key {}", ask.headers["x-api-key"].to_str().unwrap());
            std::future::ready(Answer::Raw(
                200,
                vec![],
                json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": echoed}}).to_string(),
            ))
        }
    };
    let server = plain(script).await;
    let key = genesis_replicator::engine::credentials::Field::Text(Secret::new("k7Qm2xV9c4"));
    let fields = vec![("api_key".to_owned(), key)];
    let target = Target::new(&server.url(), Some(&fields), &TargetOptions::default()).unwrap();
    let pool = pool(Route { target, ..route(&server.url()) }, 1);
    let error = call(&pool, json!([1])).await.unwrap_err();
    assert!(seen.lock().unwrap().contains("k7Qm2xV9c4"));
    assert!(error.message().contains("bad key ***"), "{error}");
    assert_hides(&error, "k7Qm2xV9c4");
}
