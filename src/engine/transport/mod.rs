//! One connection to one node: a request goes in, an answer comes back.
//!
//! Only this folder opens sockets, and only it unwraps secrets.

mod address;
mod body;
mod dial;
mod duplex;
mod http;
mod life;
mod pace;
mod proxy;
#[cfg(any(test, feature = "scripted"))]
mod scripted;
mod socket;
mod tls;

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ClientConfig;
use tokio::sync::OnceCell;

use super::classify::ErrorRule;
use super::credentials::Access;
use super::deadline::Call;
use super::error::{Error, Kind, Result};
use super::target::{Scheme, Target};

pub use address::AddressPolicy;
pub use body::Reply;
pub use duplex::{Notice, Notices};
#[cfg(any(test, feature = "scripted"))]
pub use scripted::{Answer, Script};
pub use socket::Held;
pub use tls::{ClientCert, Pem, TlsOptions};

/// A boxed future, as `dyn Transport` needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// A call or a batch of them, as JSON text.
    pub body: Bytes,
    /// The ids of the calls in it.
    pub ids: Range<u64>,
}

/// Why a message could not be exchanged for a reply.
#[derive(Debug)]
pub enum SendError {
    /// Nothing was sent: the connection had gone before. The message may be sent again, on another one.
    NotSent,
    /// It was sent, at least in part, and the connection ended before any of the answer came.
    Unanswered(Error),
    /// It may have been sent.
    Failed(Error),
}

impl SendError {
    /// What the server ended the connection with says more than that it did.
    pub(super) fn or_last_words_of(self, transport: &dyn Transport) -> Self {
        transport.last_words().map_or(self, Self::Failed)
    }
}

/// Whether a connection can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can carry requests.
    Open,
    /// A call was given up in its middle, so that an answer may still be on its way: it is closed for that.
    Dirty,
    /// It ended in the middle of an exchange.
    Broken,
    /// It is closed.
    Closed,
}

/// A connection that carries requests.
pub trait Transport: Send + Sync {
    /// Exchange `message` for a reply, with what was `renewed` to prove who sends it, where that was. Dropping the
    /// future gives the exchange up: HTTP/1.1 closes the connection, HTTP/2 resets the stream, a socket drops what is
    /// answered later.
    fn send<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>>;

    /// The same for a call whose result is the id of a subscription: with the reply comes what that brings, unless the
    /// reply tells no id.
    fn subscribe<'a>(
        &'a self,
        _message: Message,
        _renewed: Option<&'a Access>,
        _call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<(Reply, Option<Notices>), SendError>> {
        let error = Error::argument("endpoint", "must be a ws, wss or ipc URL to be subscribed to");
        Box::pin(std::future::ready(Err(SendError::Failed(error))))
    }

    /// Whether it can carry another request.
    fn state(&self) -> State;

    /// The error that the server ended it with, if it said one.
    fn last_words(&self) -> Option<Error> {
        None
    }

    /// Wait until its socket is closed.
    fn closed(&self) -> BoxFuture<'_, ()>;

    /// How many requests it carries at a time.
    fn streams(&self) -> usize;

    /// Close it now, with whatever it carries.
    fn cut(&self);
}

/// How to reach an endpoint. Equal routes share connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Where to and with which credentials.
    pub target: Target,
    /// The proxy to go through, `http://…` or `socks5://…`.
    pub proxy: Option<super::credentials::Secret>,
    /// Whether the environment's proxy settings count.
    pub trust_env: bool,
    /// Who is trusted and who we are.
    pub tls: TlsOptions,
    /// Which addresses may be dialled.
    pub addresses: AddressPolicy,
    /// The longest body that is read.
    pub max_response_bytes: usize,
    /// What the user knows about the endpoint's errors.
    pub error_rules: Vec<ErrorRule>,
}

/// Opens connections along one route.
pub struct Dialer {
    route: Route,
    /// Where it speaks HTTP.
    templates: Option<http::Templates>,
    /// Made at the first dial: the system's trust store takes milliseconds to load.
    tls: OnceCell<Arc<ClientConfig>>,
    #[cfg(any(test, feature = "scripted"))]
    script: Option<Script>,
}

impl Dialer {
    /// A dialer for `route`.
    ///
    /// # Errors
    /// `Configuration` when certificates cannot be read, or when the options exclude each other.
    pub fn new(route: Route) -> Result<Self> {
        refuse_detours(&route)?;
        if let Some(url) = &route.proxy {
            proxy::parse(url)?;
        }
        if let Ok(literal) = route.target.host().parse() {
            dial::check(&route, literal)?;
        }
        tls::check(&route.tls)?;
        let speaks_http = !route.target.scheme().is_socket();
        let templates = speaks_http.then(|| http::Templates::new(&route.target)).transpose()?;
        Ok(Self {
            route,
            templates,
            tls: OnceCell::new(),
            #[cfg(any(test, feature = "scripted"))]
            script: None,
        })
    }

    /// The route that it dials.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.route
    }

    /// Whether its connections may carry many requests at a time.
    #[must_use]
    pub fn may_multiplex(&self) -> bool {
        self.is_socket() || self.route.target.scheme() == Scheme::Https && !self.route.is_proxied()
    }

    /// Whether its connections carry messages both ways at any time.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.route.target.scheme().is_socket()
    }

    /// Open a connection. The socket holds `held` until it is closed; `closed` runs when it is.
    ///
    /// # Errors
    /// `ChainConnection` or `Tls`, naming scheme, host and port only.
    pub async fn dial(
        &self,
        held: Held,
        closed: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<dyn Transport>> {
        #[cfg(any(test, feature = "scripted"))]
        if let Some(script) = &self.script {
            return Ok(scripted::open(script, held));
        }
        if self.route.is_proxied() {
            let config = ClientConfig::clone(self.tls().await?);
            return Ok(Arc::new(proxy::ProxyTransport::new(&self.route, config, held)?));
        }
        match (self.route.target.scheme(), &self.templates) {
            (Scheme::Https, Some(templates)) => {
                let config = self.tls().await?;
                let stream = dial::connect(&self.route, held).await?;
                let stream = tls::handshake(config, &self.route.target, stream).await?;
                http::over_tls(&self.route, templates, stream, closed).await
            }
            (_, Some(templates)) => {
                let stream = dial::connect(&self.route, held).await?;
                http::over_plain(&self.route, templates, stream, closed).await
            }
            (Scheme::Ipc, None) => duplex::open_ipc(&self.route, held, closed).await,
            (Scheme::Wss, None) => {
                let config = self.tls().await?;
                duplex::open_websocket(&self.route, Some(config), held, closed).await
            }
            (_, None) => duplex::open_websocket(&self.route, None, held, closed).await,
        }
    }

    async fn tls(&self) -> Result<&Arc<ClientConfig>> {
        let make = || async {
            let options = self.route.tls.clone();
            let is_http1 = self.route.is_proxied() || self.is_socket();
            let configure = if is_http1 { tls::config } else { tls::direct_config };
            let made = tokio::task::spawn_blocking(move || configure(&options).map(Arc::new)).await;
            made.unwrap_or_else(|_| Err(Error::new(Kind::Tls, "the TLS configuration could not be made")))
        };
        self.tls.get_or_try_init(make).await
    }
}

impl Route {
    fn is_proxied(&self) -> bool {
        self.proxy.is_some() || self.trust_env
    }
}

/// Refuse options that exclude each other on the way to a node.
fn refuse_detours(route: &Route) -> Result<()> {
    let scheme = route.target.scheme();
    if route.is_proxied() && scheme.is_socket() {
        let argument = if route.proxy.is_some() { "proxy" } else { "trust_env" };
        let message =
            format!("has no meaning for an {} endpoint, which is reached without a proxy", scheme.name());
        return Err(Error::argument(argument, message));
    }
    if route.is_proxied() && route.addresses != AddressPolicy::Any {
        return Err(Error::argument(
            "address_policy",
            "must be 'any' with a proxy: it is the proxy that dials, so the address cannot be checked",
        ));
    }
    let allows_this_machine = || {
        route.addresses.allows(Ipv4Addr::LOCALHOST.into())
            || route.addresses.allows(Ipv6Addr::LOCALHOST.into())
    };
    if scheme == Scheme::Ipc && !allows_this_machine() {
        return Err(dial::forbidden(route));
    }
    Ok(())
}
