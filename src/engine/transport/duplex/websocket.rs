//! A WebSocket: the handshake, which carries all that proves who asks, and messages as frames.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Request};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::book::End;
use super::driver::{Incoming, Reader, Writer};
use crate::engine::classify::status_error;
use crate::engine::credentials::Access;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::printable::printable;
use crate::engine::target::Target;
use crate::engine::transport::body::too_large;
use crate::engine::transport::http::{introduction, uri};
use crate::engine::transport::socket::{Heard, Held, Stuck};
use crate::engine::transport::tls::{self, LastWords};
use crate::engine::transport::{Route, dial};

/// How much is read at a time, and how much gathers before it is written.
const PIECE: usize = 16 * 1024;

/// A socket, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Plain = WebSocketStream<Box<dyn Stream>>;

/// An open WebSocket.
pub(super) struct Opened {
    pub reader: WsReader,
    pub writer: WsWriter,
    pub stuck: Stuck,
    pub heard: Heard,
    pub last_words: LastWords,
}

/// Open a WebSocket that shows `access`, or what the target always shows. Over TLS if there is a configuration for it.
///
/// # Errors
/// What an HTTP status stands for, if the node refuses.
pub(super) async fn open(
    route: &Route,
    tls: Option<&Arc<ClientConfig>>,
    access: Option<&Arc<Access>>,
    held: Held,
) -> Result<Opened> {
    let request = request(&route.target, access.map(AsRef::as_ref))?;
    let socket = dial::connect(route, held).await?;
    let (stuck, heard) = (socket.stuck(), socket.heard());
    let (stream, last_words): (Box<dyn Stream>, _) = match tls {
        None => (Box::new(socket), LastWords::default()),
        Some(config) => {
            let stream = tls::handshake(config, &route.target, socket).await?;
            let last_words = stream.last_words();
            (Box::new(stream), last_words)
        }
    };
    let (reader, writer) =
        over(route, access, request, stream).await.map_err(|error| match last_words.get() {
            Some(words) => words.clone(),
            None => error,
        })?;
    Ok(Opened { reader, writer, stuck, heard, last_words })
}

/// Shake hands over a stream; both directions of what comes of it.
async fn over(
    route: &Route,
    access: Option<&Arc<Access>>,
    request: Request<()>,
    stream: Box<dyn Stream>,
) -> Result<(WsReader, WsWriter)> {
    let max_bytes = route.max_response_bytes;
    let limits = WebSocketConfig::default()
        .read_buffer_size(PIECE)
        .write_buffer_size(PIECE)
        .max_message_size(Some(max_bytes))
        .max_frame_size(Some(max_bytes));
    let shaken = client_async_with_config(request, stream, Some(limits)).await;
    let (socket, _) = shaken.map_err(|error| refused(route, &error))?;
    let (sink, stream) = socket.split();
    let peer = Peer { target: route.target.clone(), access: access.cloned() };
    Ok((WsReader { stream, max_bytes, peer }, WsWriter(sink)))
}

fn request(target: &Target, access: Option<&Access>) -> Result<Request<()>> {
    let mut request = Request::new(());
    let (path, own, fresh) = match access {
        Some(access) => (&access.path_and_query, &access.headers, access.fresh_header()?),
        None => (target.path_and_query(), target.headers(), target.fresh_header()?),
    };
    *request.uri_mut() = uri(&[target.scheme().name(), "://", target.authority()].concat(), path)?;
    let headers = request.headers_mut();
    *headers = introduction(own);
    headers.extend(fresh);
    let word = |word: &str| {
        HeaderValue::try_from(word)
            .map_err(|_| Error::argument("endpoint", "must be a URL that HTTP can carry"))
    };
    headers.insert(HOST, word(target.authority())?);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, word(&generate_key())?);
    Ok(request)
}

/// Why there is no WebSocket. A status says it best; the library's own words may hold what the node sent.
fn refused(route: &Route, error: &tungstenite::Error) -> Error {
    let reason = match error {
        tungstenite::Error::Http(answer) => return status_error(answer.status().as_u16(), answer.headers()),
        tungstenite::Error::Io(_) | tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            "the connection ended"
        }
        _ => "the answer is not that of a WebSocket",
    };
    let message = format!("the WebSocket handshake with {} failed: {reason}", route.target);
    Error::new(Kind::ChainConnection, message)
}

/// Who is at the other end, and knows our secrets.
struct Peer {
    target: Target,
    access: Option<Arc<Access>>,
}

impl Peer {
    /// Its words, without our secrets and fit to be shown.
    fn words(&self, text: &str) -> String {
        let clean = self.target.scrub(text);
        printable(&self.access.as_ref().map_or_else(|| clean.clone(), |access| access.scrub(&clean)))
    }

    /// It closed the connection, and may say why.
    fn closed(&self, frame: Option<&CloseFrame>) -> End {
        let mut message = "the node closed the connection".to_owned();
        if let Some(CloseFrame { code, reason }) = frame {
            let meaning = meaning(*code).map(|meaning| format!(", {meaning}")).unwrap_or_default();
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", self.words(reason)) };
            message = format!("{message} with code {}{meaning}{reason}", u16::from(*code));
        }
        End::of_connection(message)
    }
}

/// What the codes stand for that say more than that it is over.
fn meaning(code: CloseCode) -> Option<&'static str> {
    match code {
        CloseCode::Away => Some("going away"),
        CloseCode::Policy => Some("against its policy, as too many requests are"),
        CloseCode::Size => Some("a message was too big for it"),
        CloseCode::Error => Some("an error on its side"),
        CloseCode::Restart => Some("it restarts"),
        CloseCode::Again => Some("try again later"),
        _ => None,
    }
}

pub(super) struct WsReader {
    stream: SplitStream<Plain>,
    max_bytes: usize,
    peer: Peer,
}

impl Reader for WsReader {
    async fn next(&mut self) -> std::result::Result<Incoming, End> {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Message(text.into())),
            Some(Ok(Message::Binary(bytes))) => Ok(Incoming::Message(bytes)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Incoming::Sign),
            Some(Ok(Message::Close(frame))) => Err(self.peer.closed(frame.as_ref())),
            Some(Err(tungstenite::Error::Capacity(_))) => Err(End::by_answer(too_large(self.max_bytes))),
            Some(Err(tungstenite::Error::Utf8(_))) => Err(garbled()),
            Some(Err(tungstenite::Error::Protocol(error))) if !is_mere_end(&error) => Err(garbled()),
            Some(Err(_)) | None => Err(self.peer.closed(None)),
        }
    }
}

fn is_mere_end(error: &ProtocolError) -> bool {
    matches!(error, ProtocolError::ResetWithoutClosingHandshake)
}

fn garbled() -> End {
    End::by_answer(Error::new(Kind::Protocol, "the node sent what is no valid WebSocket message"))
}

pub(super) struct WsWriter(SplitSink<Plain, Message>);

impl Writer for WsWriter {
    async fn feed(&mut self, message: Bytes) -> std::result::Result<(), End> {
        // Never anything else: it is JSON.
        let text = Utf8Bytes::try_from(message).map_err(|_| broken())?;
        self.0.feed(Message::Text(text)).await.map_err(|_| broken())
    }

    async fn flush(&mut self) -> std::result::Result<(), End> {
        self.0.flush().await.map_err(|_| broken())
    }

    async fn ping(&mut self) -> std::result::Result<(), End> {
        self.0.send(Message::Ping(Bytes::new())).await.map_err(|_| broken())
    }

    async fn say_goodbye(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
        let _ = self.0.send(Message::Close(Some(frame))).await;
        // Where the other side has said it first, that was no good, and this sends the answer.
        let _ = self.0.close().await;
    }
}

fn broken() -> End {
    End::of_connection("the connection broke before the answer was complete")
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
