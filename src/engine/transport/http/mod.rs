//! HTTP over a connection of our own: hyper's HTTP/1.1 or HTTP/2, one socket, no pool inside.

mod shared;
mod single;
mod template;

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use hyper_util::rt::TokioIo;

use super::body;
use super::life::Life;
use super::socket::Socket;
use super::tls::{LastWords, Overheard};
use super::{Route, SendError, Transport};
use crate::engine::error::{Error, Kind, Result};

pub(super) use template::{Templates, fixed_headers, introduction, uri};

type Request = ::http::Request<Full<Bytes>>;

pub(super) async fn over_plain(
    route: &Route,
    templates: &Templates,
    socket: Socket,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    let (life, stuck) = (Life::new(LastWords::default()), socket.stuck());
    single::open(route, &templates.single, TokioIo::new(socket), life, stuck, closed).await
}

pub(super) async fn over_tls(
    route: &Route,
    templates: &Templates,
    stream: Overheard,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    let life = Life::new(stream.last_words());
    if stream.is_http2() {
        shared::open(route, &templates.shared, TokioIo::new(stream), life, closed).await
    } else {
        let stuck = stream.socket().stuck();
        single::open(route, &templates.single, TokioIo::new(stream), life, stuck, closed).await
    }
}

fn handshake_failed(route: &Route) -> Error {
    Error::new(Kind::ChainConnection, format!("the HTTP handshake with {} failed", route.target))
}

/// An exchange that ended before its answer: sent or not, hyper knows.
fn not_sent(mut error: TrySendError<Request>) -> SendError {
    if error.take_message().is_some() {
        return SendError::NotSent;
    }
    let error = error.into_error();
    if was_left_alone(&error) {
        return SendError::NotSent;
    }
    let broken = body::broken(&error);
    if error.is_parse() { SendError::Failed(broken) } else { SendError::Unanswered(broken) }
}

/// Whether the server said that it has done nothing about a request, which may then be sent again (RFC 9113, 6.8 and
/// 8.7): it came after the last one that a GOAWAY lets end, or its stream was refused.
fn was_left_alone(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}
