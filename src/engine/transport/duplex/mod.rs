//! Sockets that carry messages both ways at any time: a WebSocket, or the Unix socket of a node on this machine. Many
//! requests are under way on one of them, answers are matched to them by id, and notices go to who has subscribed.
//!
//! `book` knows who waits for what, `driver` is the task that has the socket, `websocket` and `ipc` are the two ways to
//! put messages on it, and `notices` what a subscription brings.

mod book;
mod driver;
mod framer;
mod ipc;
mod notices;
mod websocket;

use std::sync::Arc;

use http::HeaderMap;
use rustls::ClientConfig;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};

use super::body::Reply;
use super::life::Life;
use super::socket::{Held, Socket, Stuck};
use super::tls::LastWords;
use super::{BoxFuture, Message, Route, SendError, State, Transport, dial};
use crate::engine::credentials::Access;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};

use driver::{Heartbeat, Line};

pub use notices::{Notice, Notices};

/// The most requests that are under way on a socket at a time.
const MAX_STREAMS: usize = 100;
/// How many of them may wait until the other side takes what was sent before.
const QUEUE: usize = 16;

struct Duplex {
    line: Arc<Line>,
    queue: mpsc::Sender<driver::Outgoing>,
    places: Semaphore,
    stuck: Stuck,
    /// What the handshake showed, where that is made when it is needed.
    shown: Option<Arc<Access>>,
}

/// Open a WebSocket. Who asks is proved when it is opened, and never again.
pub(super) async fn open_websocket(
    route: &Route,
    tls: Option<&Arc<ClientConfig>>,
    held: Held,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    // Whoever needs the socket has asked for them. A dial asks nobody: it belongs to no event loop in particular.
    let unmade = || Error::new(Kind::Security, "credentials: they were not made yet");
    let renewal = route.target.renewal();
    let shown = renewal.map(|renewal| renewal.current().ok_or_else(unmade)).transpose()?;
    let opened = websocket::open(route, tls, shown.as_ref(), held).await?;
    let websocket::Opened { reader, writer, stuck, heard, last_words } = opened;
    let line = Arc::new(Line::new(Life::new(last_words), Some(Heartbeat::new(heard))));
    let queue = driver::start(reader, writer, &line, closed);
    Ok(Arc::new(Duplex::new(line, queue, stuck, shown)))
}

/// Open the Unix socket of a node on this machine.
pub(super) async fn open_ipc(
    route: &Route,
    held: Held,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    let socket: Socket<UnixStream> = dial::connect_file(route, held).await?;
    let stuck = socket.stuck();
    let (reader, writer) = ipc::halves(socket, route.max_response_bytes);
    let line = Arc::new(Line::new(Life::new(LastWords::default()), None));
    let queue = driver::start(reader, writer, &line, closed);
    Ok(Arc::new(Duplex::new(line, queue, stuck, None)))
}

impl Duplex {
    fn new(
        line: Arc<Line>,
        queue: mpsc::Sender<driver::Outgoing>,
        stuck: Stuck,
        shown: Option<Arc<Access>>,
    ) -> Self {
        Self { line, queue, places: Semaphore::new(MAX_STREAMS), stuck, shown }
    }

    /// Whether another proof than that of the handshake is to be shown: then another socket is, too.
    fn is_outdated(&self, renewed: Option<&Access>) -> bool {
        match (renewed, &self.shown) {
            (Some(renewed), Some(shown)) => !std::ptr::eq(renewed, Arc::as_ptr(shown)),
            _ => false,
        }
    }

    async fn exchange(
        &self,
        message: Message,
        renewed: Option<&Access>,
        subscribes: bool,
        call: &Call,
    ) -> std::result::Result<(Reply, Option<Notices>), SendError> {
        call.enter(Phase::Send);
        if self.is_outdated(renewed) {
            // Nobody is taken on any more; whoever is on it may stay, but for who would stay for ever.
            self.line.life.end();
            self.line.book.end_feeds();
            return Err(SendError::NotSent);
        }
        let Ok(_place) = self.places.acquire().await else { return Err(SendError::NotSent) };
        let Some((_waiting, answer)) = Waiting::begin(self, &message, subscribes, call) else {
            return Err(SendError::NotSent);
        };
        let outgoing = driver::Outgoing { first: message.ids.start, text: message.body };
        if self.queue.send(outgoing).await.is_err() {
            return Err(SendError::NotSent);
        }
        call.enter(Phase::Receive);
        let (body, notices) = answer.await.unwrap_or_else(|_| Err(unheard()))?;
        Ok((Reply { status: 200, headers: HeaderMap::new(), body }, notices))
    }
}

/// The error if nobody tells what became of a request, which may have been sent. Everybody is told.
fn unheard() -> SendError {
    SendError::Failed(Error::new(Kind::ConnectionClosed, "the connection has ended"))
}

/// A request under way, which the book forgets when it is given up.
struct Waiting<'a> {
    socket: &'a Duplex,
    first: u64,
    call: &'a Call,
}

impl<'a> Waiting<'a> {
    fn begin(
        socket: &'a Duplex,
        message: &Message,
        subscribes: bool,
        call: &'a Call,
    ) -> Option<(Self, book::Answer)> {
        let answer = socket.line.book.enter(message.ids.clone(), subscribes)?;
        Some((Self { socket, first: message.ids.start, call }, answer))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(was_sent) = self.socket.line.book.forget(self.first) else { return };
        if !was_sent || self.socket.stuck.is_set() {
            // The node does not read: what took the time was the request.
            self.call.enter(Phase::Send);
        }
    }
}

impl Transport for Duplex {
    fn send<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        Box::pin(async move { self.exchange(message, renewed, false, call).await.map(|(reply, _)| reply) })
    }

    fn subscribe<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<(Reply, Option<Notices>), SendError>> {
        Box::pin(self.exchange(message, renewed, true, call))
    }

    fn state(&self) -> State {
        self.line.life.state()
    }

    fn last_words(&self) -> Option<Error> {
        self.line.life.last_words()
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.line.life.closed())
    }

    fn streams(&self) -> usize {
        MAX_STREAMS
    }

    fn cut(&self) {
        self.line.cut();
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.cut();
    }
}
