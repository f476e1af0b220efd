//! HTTP/1.1: one exchange at a time. Whoever makes it drives the connection; between exchanges a watcher does, so that
//! its end is seen. It is the watcher that closes the socket, whoever asks for it.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};

use super::life::{Ending, Life};
use super::template::Template;
use super::{Request, handshake_failed, not_sent};
use crate::engine::deadline::Call;
use crate::engine::error::{Phase, Result};
use crate::engine::transport::body::{self, Reply};
use crate::engine::transport::{BoxFuture, Route, SendError, State, Transport};

type Outcome<T> = std::result::Result<T, SendError>;

/// What carries the bytes: a socket, or TLS over one.
trait Io: Read + Write + Unpin + Send + 'static {}

impl<S: Read + Write + Unpin + Send + 'static> Io for S {}

struct Single<S: Io> {
    /// The place in line; kept until the answer is read.
    turn: tokio::sync::Mutex<()>,
    line: Arc<Line<S>>,
    template: Template,
    max_response_bytes: usize,
}

/// What exchanges and the watcher share.
struct Line<S: Io> {
    life: Arc<Life>,
    end: Mutex<End<S>>,
    /// Wakes the exchange under way, when the connection is cut.
    exchange: AtomicWaker,
    /// Wakes the watcher. A task of tokio has one waker for its whole life.
    watcher: OnceLock<Waker>,
}

/// Our end of the connection.
enum End<S: Io> {
    Idle(Wire<S>),
    /// An exchange has it.
    Taken,
    Gone,
}

struct Wire<S: Io> {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: http1::Connection<S, Full<Bytes>>,
}

pub(super) async fn open(
    route: &Route,
    io: impl Read + Write + Unpin + Send + 'static,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    let template = Template::for_http1(&route.target)?;
    let (sender, connection) = http1::handshake(io).await.map_err(|_| handshake_failed(route))?;
    let life = Arc::default();
    let ending = Ending::new(&life, closed);
    let end = Mutex::new(End::Idle(Wire { sender, connection }));
    let line = Arc::new(Line { life, end, exchange: AtomicWaker::new(), watcher: OnceLock::new() });
    let watched = Arc::clone(&line);
    tokio::spawn(async move {
        let _ending = ending;
        std::future::poll_fn(|cx| watched.poll_gone(cx)).await;
    });
    let max_response_bytes = route.max_response_bytes;
    Ok(Arc::new(Single { turn: tokio::sync::Mutex::default(), line, template, max_response_bytes }))
}

impl<S: Io> Line<S> {
    /// Ready when the socket is closed.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.watcher.get_or_init(|| cx.waker().clone());
        let mut end = self.end();
        let is_gone = match &mut *end {
            End::Idle(wire) => !self.life.is_open() || wire.is_over(cx),
            // We are woken when it comes back and is of no use any more.
            End::Taken => false,
            End::Gone => true,
        };
        if !is_gone {
            return Poll::Pending;
        }
        self.life.end();
        let socket = std::mem::replace(&mut *end, End::Gone);
        // Closed with the lock free.
        drop(end);
        drop(socket);
        Poll::Ready(())
    }

    fn end(&self) -> MutexGuard<'_, End<S>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.wake_by_ref();
        }
    }

    fn cut(&self) {
        self.life.end();
        self.exchange.wake();
        self.wake_watcher();
    }
}

impl<S: Io> Wire<S> {
    /// Drive the connection: whether it is at its end, after which it must not be driven again.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.connection).poll(cx).is_ready()
    }
}

/// The connection in the hands of an exchange. One that is given up leaves it dirty: what would come next on it is the
/// old answer.
struct Exchange<'a, S: Io> {
    line: &'a Line<S>,
    wire: Option<Wire<S>>,
    done: bool,
}

impl<'a, S: Io> Exchange<'a, S> {
    fn begin(line: &'a Line<S>) -> Outcome<Self> {
        if !line.life.is_open() {
            return Err(SendError::NotSent);
        }
        let mut end = line.end();
        match std::mem::replace(&mut *end, End::Taken) {
            End::Idle(wire) => Ok(Self { line, wire: Some(wire), done: false }),
            other => {
                *end = other;
                Err(SendError::NotSent)
            }
        }
    }

    /// Send the request as soon as the connection is free for it.
    async fn send(
        &mut self,
        request: Request,
    ) -> Outcome<impl Future<Output = Outcome<::http::Response<hyper::body::Incoming>>> + use<S>> {
        let ready = std::future::poll_fn(|cx| {
            let Some(wire) = self.wire.as_mut() else { return Poll::Ready(false) };
            if let Poll::Ready(ready) = wire.sender.poll_ready(cx) {
                return Poll::Ready(ready.is_ok());
            }
            if wire.is_over(cx) {
                return Poll::Ready(false);
            }
            wire.sender.poll_ready(cx).map(|ready| ready.is_ok())
        });
        if !ready.await {
            self.wire = None;
        }
        let wire = self.wire.as_mut().ok_or(SendError::NotSent)?;
        let response = wire.sender.try_send_request(request);
        Ok(async move { response.await.map_err(not_sent) })
    }

    /// Drive the connection until `reply` is there.
    fn poll_reply(
        &mut self,
        mut reply: Pin<&mut impl Future<Output = Outcome<Reply>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<Reply>> {
        self.line.exchange.register(cx.waker());
        if !self.line.life.is_open() {
            return Poll::Ready(Err(SendError::Failed(body::broken_off())));
        }
        // Twice: the first brings the head and sets room for the body free, the second brings the body.
        for _ in 0..2 {
            if self.wire.as_mut().is_some_and(|wire| wire.is_over(cx)) {
                // Dropped, it tells the reply.
                self.wire = None;
            }
            if let Poll::Ready(reply) = reply.as_mut().poll(cx) {
                return Poll::Ready(reply);
            }
        }
        Poll::Pending
    }
}

impl<S: Io> Drop for Exchange<'_, S> {
    fn drop(&mut self) {
        if !self.done && self.wire.is_some() && self.line.life.is_open() {
            self.line.life.soil();
        }
        let mut end = self.line.end();
        *end = match self.wire.take() {
            None => End::Gone,
            Some(mut wire) => {
                // From now on it is the watcher that is woken. Under the lock, or it would look too early.
                let watcher = self.line.watcher.get().filter(|_| self.line.life.is_open());
                if watcher.is_some_and(|watcher| wire.is_over(&mut Context::from_waker(watcher))) {
                    End::Gone
                } else {
                    End::Idle(wire)
                }
            }
        };
        let is_gone = matches!(*end, End::Gone);
        drop(end);
        if is_gone {
            self.line.life.end();
        }
        if !self.line.life.is_open() {
            self.line.wake_watcher();
        }
    }
}

impl<S: Io> Single<S> {
    async fn exchange(&self, body: Bytes, call: &Call) -> Outcome<Reply> {
        call.enter(Phase::Send);
        let request = self.template.stamp(body).map_err(SendError::Failed)?;
        let _turn = self.turn.lock().await;
        let mut exchange = Exchange::begin(&self.line)?;
        let response = exchange.send(request).await;
        call.enter(Phase::Receive);
        let reply = async { body::collect(response?.await?, self.max_response_bytes).await };
        let mut reply = pin!(reply);
        let reply = std::future::poll_fn(|cx| exchange.poll_reply(reply.as_mut(), cx)).await;
        exchange.done = reply.is_ok();
        reply
    }
}

impl<S: Io> Transport for Single<S> {
    fn send<'a>(&'a self, body: Bytes, call: &'a Call) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(self.exchange(body, call))
    }

    fn state(&self) -> State {
        self.line.life.state()
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.line.life.closed())
    }

    fn streams(&self) -> usize {
        1
    }

    fn cut(&self) {
        self.line.cut();
    }
}

impl<S: Io> Drop for Single<S> {
    fn drop(&mut self) {
        self.line.cut();
    }
}
