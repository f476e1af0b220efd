//! HTTP/2: many exchanges at a time, and tasks of hyper's that carry them.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper::rt::{Executor, Read, Write};
use tokio::task::AbortHandle;

use super::template::Template;
use super::{handshake_failed, not_sent};
use crate::engine::credentials::Access;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Phase, Result};
use crate::engine::transport::body::{self, Reply};
use crate::engine::transport::life::{Ending, Life};
use crate::engine::transport::{BoxFuture, Message, Route, SendError, State, Transport};

/// The most requests that share a connection, whatever the server allows.
const MAX_STREAMS: usize = 100;
/// Flow control: room for an answer of 2 MiB before the server has to wait for us.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all answers of a connection together.
const CONNECTION_WINDOW: u32 = 16 << 20;

struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    template: Arc<Template>,
    max_response_bytes: usize,
    life: Arc<Life>,
    /// How many requests the server lets us make at a time.
    streams: Arc<AtomicUsize>,
    driver: AbortHandle,
}

pub(super) async fn open<S>(
    route: &Route,
    template: &Arc<Template>,
    io: S,
    life: Arc<Life>,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let tasks = Tasks::new(Ending::new(&life, closed));
    let (sender, mut connection) = http2::Builder::new(tasks.clone())
        // None before the server has said how many it lets us open: what is too many, it refuses.
        .initial_max_send_streams(0)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(io)
        .await
        .map_err(|_| handshake_failed(route))?;
    let streams = Arc::new(AtomicUsize::new(MAX_STREAMS));
    let told = Arc::clone(&streams);
    tokio::spawn(std::future::poll_fn(move |cx| {
        let end = Pin::new(&mut connection).poll(cx);
        // The server may change its mind at any time. Zero is ours, before it has said anything.
        let streams = connection.current_max_send_streams();
        if streams > 0 {
            told.store(streams.min(MAX_STREAMS), Ordering::Relaxed);
        }
        end.map(drop)
    }));
    // The handshake has begun the task that has the socket, or it would have failed.
    let driver = tasks.socket_task().ok_or_else(|| handshake_failed(route))?;
    let (template, max_response_bytes) = (Arc::clone(template), route.max_response_bytes);
    Ok(Arc::new(Shared { sender, template, max_response_bytes, life, streams, driver }))
}

/// Runs what HTTP/2 needs besides the connection's own future. The first task that hyper asks for has the socket:
/// with it the connection ends.
struct Tasks<F: FnOnce()>(Arc<First<F>>);

struct First<F: FnOnce()> {
    ending: Mutex<Option<Ending<F>>>,
    task: OnceLock<AbortHandle>,
}

impl<F: FnOnce()> Tasks<F> {
    fn new(ending: Ending<F>) -> Self {
        Self(Arc::new(First { ending: Mutex::new(Some(ending)), task: OnceLock::new() }))
    }

    fn socket_task(&self) -> Option<AbortHandle> {
        self.0.task.get().cloned()
    }
}

impl<F: FnOnce()> Clone for Tasks<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C, F> Executor<C> for Tasks<F>
where
    C: Future + Send + 'static,
    C::Output: Send,
    F: FnOnce() + Send + 'static,
{
    fn execute(&self, task: C) {
        match self.0.ending.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Set once: the ending is taken once.
            Some(ending) => drop(self.0.task.set(ending.after(task))),
            None => drop(tokio::spawn(async { drop(task.await) })),
        }
    }
}

impl Shared {
    async fn exchange(
        &self,
        body: Bytes,
        renewed: Option<&Access>,
        call: &Call,
    ) -> std::result::Result<Reply, SendError> {
        call.enter(Phase::Send);
        let request = self.template.stamp(body, renewed).map_err(SendError::Failed)?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|_| SendError::NotSent)?;
        let response = sender.try_send_request(request);
        call.enter(Phase::Receive);
        // Whether one stream was cut off or all of them, the connection's own state tells.
        body::collect(response.await.map_err(not_sent)?, self.max_response_bytes, call, || ()).await
    }
}

impl Transport for Shared {
    fn send<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        Box::pin(self.exchange(message.body, renewed, call))
    }

    fn state(&self) -> State {
        match self.life.state() {
            State::Open if self.sender.is_closed() => State::Closed,
            state => state,
        }
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.life.closed())
    }

    fn last_words(&self) -> Option<Error> {
        self.life.last_words()
    }

    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.life.end();
        self.driver.abort();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cut();
    }
}
