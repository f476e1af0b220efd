//! The one error type of the engine: what happened (`Kind`), a sentence, and the facts behind it.
//!
//! Every `Kind` is one exception class in Python; `bindings/errors.rs` holds that mapping and nothing else does.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::classify::{Class, Suggestion};

/// The result of anything in the engine that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is. One kind, one exception class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An argument is not usable; nothing was done.
    Configuration,
    /// A wait for a `RateLimiter` would be, or was, longer than its timeout.
    LimiterTimeout,
    /// A security rule refused the request.
    Security,
    /// Credentials that cannot be right.
    InvalidCredentials,
    /// The node refused the credentials.
    Authentication,
    /// A client of a keyed limiter is over its limit.
    RateLimitExceeded,
    /// No connection to the node could be made.
    ChainConnection,
    /// The label is not connected.
    UnknownChain,
    /// Connecting took longer than its deadline.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The node belongs to another network.
    ChainMismatch,
    /// No endpoint of the chain is healthy.
    NoHealthyEndpoint,
    /// No connection came free in time.
    PoolTimeout,
    /// As many callers wait as are allowed to.
    TooManyWaiters,
    /// The pool, or its manager, is closed.
    PoolClosed,
    /// The connection was closed, by its user or by its peer.
    ConnectionClosed,
    /// The call took longer than its deadline.
    RequestTimeout,
    /// The answer is not a valid one.
    Protocol,
    /// The server answered with an HTTP status that carries no JSON-RPC answer.
    HttpStatus,
    /// The node answered with an error.
    Rpc,
    /// The provider asks to slow down.
    ProviderRateLimit,
    /// The provider's plan is used up.
    QuotaExhausted,
    /// The query covers more than the provider allows.
    RangeTooLarge,
    /// The node does not have the block or state yet, or any more.
    NodeBehind,
    /// The node does not know the method.
    MethodNotSupported,
    /// The contract reverted.
    ExecutionReverted,
}

impl Kind {
    /// Every kind, for counters and for the test that each has its exception.
    pub const ALL: [Self; 26] = [
        Self::Configuration,
        Self::LimiterTimeout,
        Self::Security,
        Self::InvalidCredentials,
        Self::Authentication,
        Self::RateLimitExceeded,
        Self::ChainConnection,
        Self::UnknownChain,
        Self::ConnectTimeout,
        Self::Tls,
        Self::ChainMismatch,
        Self::NoHealthyEndpoint,
        Self::PoolTimeout,
        Self::TooManyWaiters,
        Self::PoolClosed,
        Self::ConnectionClosed,
        Self::RequestTimeout,
        Self::Protocol,
        Self::HttpStatus,
        Self::Rpc,
        Self::ProviderRateLimit,
        Self::QuotaExhausted,
        Self::RangeTooLarge,
        Self::NodeBehind,
        Self::MethodNotSupported,
        Self::ExecutionReverted,
    ];

    /// A short stable name: the `error_code` of the exception and the label of the counter.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::LimiterTimeout => "limiter_timeout",
            Self::Security => "security",
            Self::InvalidCredentials => "invalid_credentials",
            Self::Authentication => "authentication",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::ChainConnection => "chain_connection",
            Self::UnknownChain => "unknown_chain",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::ChainMismatch => "chain_mismatch",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::PoolTimeout => "pool_timeout",
            Self::TooManyWaiters => "too_many_waiters",
            Self::PoolClosed => "pool_closed",
            Self::ConnectionClosed => "connection_closed",
            Self::RequestTimeout => "request_timeout",
            Self::Protocol => "protocol",
            Self::HttpStatus => "http_status",
            Self::Rpc => "rpc",
            Self::ProviderRateLimit => "provider_rate_limit",
            Self::QuotaExhausted => "quota_exhausted",
            Self::RangeTooLarge => "range_too_large",
            Self::NodeBehind => "node_behind",
            Self::MethodNotSupported => "method_not_supported",
            Self::ExecutionReverted => "execution_reverted",
        }
    }

    /// Whether the node itself answered, so that the connection and the credentials were good.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Rpc
                | Self::ProviderRateLimit
                | Self::QuotaExhausted
                | Self::RangeTooLarge
                | Self::NodeBehind
                | Self::MethodNotSupported
                | Self::ExecutionReverted
        )
    }
}

/// The stage of a call that was under way when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a free connection.
    Queue,
    /// Waiting for a rate limiter.
    Limit,
    /// Waiting for credentials that somebody makes.
    Credentials,
    /// Opening a connection.
    Connect,
    /// Writing the request.
    Send,
    /// Waiting for the answer and reading it.
    Receive,
}

impl Phase {
    /// The name that Python sees.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Limit => "limit",
            Self::Credentials => "credentials",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// What is known about a failure. Everything here may be shown: no secret ever enters it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The user's label of the chain.
    pub chain: Option<Arc<str>>,
    /// The argument that is wrong.
    pub argument: Option<&'static str>,
    /// The stage whose time ran out.
    pub phase: Option<Phase>,
    /// The time spent.
    pub elapsed: Option<Duration>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The JSON-RPC error code.
    pub code: Option<i64>,
    /// What the node said, in its own words.
    pub words: Option<String>,
    /// The JSON-RPC error data, as JSON text.
    pub data: Option<Bytes>,
    /// What an error answer means.
    pub class: Option<Class>,
    /// Whether it was said to a batch as a whole.
    pub is_of_batch: bool,
    /// Whether it was counted, where it is one failure that several calls have met.
    pub counted: Option<Arc<AtomicBool>>,
    /// Whether nothing was sent, because the node must say first who it is.
    pub is_unsure: bool,
    /// What the provider would take instead.
    pub suggested: Option<Suggestion>,
    /// Why the contract reverted.
    pub reason: Option<String>,
}

/// A failure: its kind, a sentence for people, the facts, and what caused it.
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: Kind,
    message: String,
    facts: Facts,
    source: Option<Error>,
    origin: Option<Origin>,
}

/// What caused a failure outside the engine, which knows nothing of it but that: an exception of the user's.
#[derive(Clone)]
struct Origin(Arc<dyn Any + Send + Sync>);

impl Error {
    /// An error of `kind` that reads as `message`: lower case, no full stop, no secret.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let (message, facts) = (message.into(), Facts::default());
        Self(Box::new(Inner { kind, message, facts, source: None, origin: None }))
    }

    /// A bad argument: `message` says what is allowed.
    pub fn argument(argument: &'static str, message: impl fmt::Display) -> Self {
        Self::refused(argument, format!("{argument}: {message}"))
    }

    /// A bad argument: `message` names it already, and the place in it.
    pub fn refused(argument: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, message).with(|facts| facts.argument = Some(argument))
    }

    /// The same error with more facts.
    #[must_use]
    pub fn with(mut self, add: impl FnOnce(&mut Facts)) -> Self {
        add(&mut self.0.facts);
        self
    }

    /// The same error, naming the chain unless one is named already.
    #[must_use]
    pub fn of_chain(self, chain: Option<&Arc<str>>) -> Self {
        self.with(|facts| {
            if facts.chain.is_none() {
                facts.chain = chain.cloned();
            }
        })
    }

    /// Whether it is to be counted: one failure that several calls have met is, with the first who asks.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.facts().counted.as_ref().is_none_or(|counted| !counted.swap(true, Ordering::Relaxed))
    }

    /// Whether nobody was asked, because there was not the time to wait until the endpoint allows it.
    #[must_use]
    pub fn is_too_late(&self) -> bool {
        let facts = self.facts();
        let is_told = facts.code.is_some() || facts.status.is_some() || facts.words.is_some();
        facts.class == Some(Class::RateLimited) && !is_told
    }

    /// The same error, seen as another kind.
    #[must_use]
    pub fn as_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn because(mut self, source: Error) -> Self {
        self.0.source = Some(source);
        self
    }

    /// The same error with what caused it outside the engine.
    #[must_use]
    pub fn raised_by(mut self, origin: impl Any + Send + Sync) -> Self {
        self.0.origin = Some(Origin(Arc::new(origin)));
        self
    }

    /// What caused it outside the engine, if it is a `T`.
    #[must_use]
    pub fn origin<T: Any>(&self) -> Option<&T> {
        self.0.origin.as_ref().and_then(|origin| origin.0.downcast_ref())
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What is known about it.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// What caused it.
    #[must_use]
    pub const fn cause(&self) -> Option<&Error> {
        self.0.source.as_ref()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, " (because {source:?})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}
