//! A connection through a proxy: one reqwest client that keeps one connection. reqwest knows the proxy protocols and
//! the system's settings; the price is about 40 % of the throughput, so only endpoints behind a proxy pay it.

use std::error::Error as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};
use rustls::ClientConfig;
use tokio::sync::{Mutex, Notify};

use super::pace::Pace;
use super::socket::Held;
use super::{BoxFuture, Message, Reply, Route, SendError, State, Transport, body, http};
use crate::engine::credentials::{Access, Secret};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};

pub(super) struct ProxyTransport {
    client: Client,
    route: Route,
    /// One request at a time, so that the client never opens a second connection.
    turn: Mutex<()>,
    open: AtomicBool,
    cut: Notify,
    _held: Held,
}

impl ProxyTransport {
    pub(super) fn new(route: &Route, tls: ClientConfig, held: Held) -> Result<Self> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .pool_max_idle_per_host(1)
            .http1_only();
        if let Some(url) = &route.proxy {
            builder = builder.proxy(parse(url)?);
        }
        let client = builder
            .build()
            .map_err(|_| Error::new(Kind::ChainConnection, "the proxying client could not be made"))?;
        Ok(Self {
            client,
            route: route.clone(),
            turn: Mutex::new(()),
            open: AtomicBool::new(true),
            cut: Notify::new(),
            _held: held,
        })
    }

    async fn exchange(
        &self,
        body: Bytes,
        renewed: Option<&Access>,
        call: &Call,
    ) -> std::result::Result<Reply, SendError> {
        call.enter(Phase::Send);
        let _turn = self.turn.lock().await;
        if self.state() != State::Open {
            return Err(SendError::NotSent);
        }
        let target = &self.route.target;
        let (url, mut headers, fresh) = match renewed {
            Some(access) => {
                let fresh = access.fresh_header();
                (target.url_to(&access.path_and_query), http::fixed_headers(&access.headers), fresh)
            }
            None => (target.url(), http::fixed_headers(target.headers()), target.fresh_header()),
        };
        if let Some((name, value)) = fresh.map_err(SendError::Failed)? {
            headers.insert(name, value);
        }
        let request = self.client.post(url.expose()).headers(headers).body(body);
        call.enter(Phase::Receive);
        let response = request.send().await.map_err(|error| SendError::Failed(self.failed(&error)))?;
        self.read(response, call).await.map_err(SendError::Failed)
    }

    async fn read(&self, mut response: reqwest::Response, call: &Call) -> Result<Reply> {
        let max_bytes = self.route.max_response_bytes;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let (mut body, mut pace) = (BytesMut::new(), Pace::default());
        loop {
            let chunk = pace.next(pin!(response.chunk()), call).await?;
            let Some(chunk) = chunk.map_err(|error| self.failed(&error))? else { break };
            pace.count(chunk.len());
            if body.len() + chunk.len() > max_bytes {
                return Err(body::too_large(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }

    /// reqwest's own words may hold the URL, so ours are used.
    fn failed(&self, error: &reqwest::Error) -> Error {
        if is_tls(error) {
            let message = format!("TLS handshake with {} through the proxy failed", self.route.target);
            Error::new(Kind::Tls, message)
        } else if error.is_connect() {
            let message = format!("cannot connect to {} through the proxy", self.route.target);
            Error::new(Kind::ChainConnection, message)
        } else {
            Error::new(Kind::ConnectionClosed, "the connection broke before the answer was complete")
        }
    }
}

/// Whether a TLS error is at the bottom of it.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if inner.is_some() || error.is::<rustls::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The proxy behind a URL.
pub(super) fn parse(url: &Secret) -> Result<Proxy> {
    const SCHEMES: [&str; 5] = ["http", "https", "socks4", "socks5", "socks5h"];
    let wrong = || Error::argument("proxy", "must be a URL such as http://host:port or socks5://host:port");
    let scheme = url.expose().split("://").next().unwrap_or_default().to_ascii_lowercase();
    if !SCHEMES.contains(&scheme.as_str()) {
        return Err(wrong());
    }
    Proxy::all(url.expose()).map_err(|_| wrong())
}

impl Transport for ProxyTransport {
    fn send<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        Box::pin(async move {
            let cut = self.cut.notified();
            tokio::select! {
                reply = self.exchange(message.body, renewed, call) => reply,
                () = cut => Err(SendError::Failed(Error::new(Kind::ConnectionClosed, "the connection was cut"))),
            }
        })
    }

    fn state(&self) -> State {
        if self.open.load(Ordering::Acquire) { State::Open } else { State::Closed }
    }

    /// Its socket is the client's, which closes it in its own time.
    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn streams(&self) -> usize {
        1
    }

    fn cut(&self) {
        self.open.store(false, Ordering::Release);
        self.cut.notify_waiters();
    }
}
