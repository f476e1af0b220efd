//! HTTP over a connection of our own: hyper's HTTP/1.1 or HTTP/2, one socket, no pool inside.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};

use ::http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;

use super::body::{self, Reply};
use super::socket::Socket;
use super::{BoxFuture, Route, SendError, State, Transport};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::target::Target;

/// The most requests that share an HTTP/2 connection, whatever the server allows.
const MAX_STREAMS: usize = 100;
/// HTTP/2 flow control: room for an answer of 2 MiB before the server has to wait for us.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all answers of a connection together.
const CONNECTION_WINDOW: u32 = 16 << 20;

type Request = ::http::Request<Full<Bytes>>;

enum Sender {
    /// HTTP/1.1: the lock is the place in line, and is kept until the answer is read.
    One(Mutex<http1::SendRequest<Full<Bytes>>>),
    Many(http2::SendRequest<Full<Bytes>>),
}

pub(super) struct HttpTransport {
    sender: Sender,
    template: Template,
    max_response_bytes: usize,
    life: Arc<Life>,
    driver: AbortHandle,
}

/// Whether the connection can be used, how much it carries, and news of its end.
struct Life {
    state: AtomicU8,
    /// How many requests the server lets us make at a time.
    streams: AtomicUsize,
    ended: Notify,
}

impl Life {
    fn new(streams: usize) -> Self {
        Self { state: AtomicU8::new(OPEN), streams: AtomicUsize::new(streams), ended: Notify::new() }
    }
}

const OPEN: u8 = 0;
const DIRTY: u8 = 1;
/// The connection is of no use any more, but its socket may still be open.
const ENDING: u8 = 2;
/// The socket is closed.
const ENDED: u8 = 4;

/// The parts of a request that never change.
struct Template {
    target: Target,
    uri: Uri,
    headers: HeaderMap,
}

pub(super) async fn over_plain(
    route: &Route,
    socket: Socket,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    http1(route, TokioIo::new(socket), closed).await
}

pub(super) async fn over_tls(
    route: &Route,
    stream: TlsStream<Socket>,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(route, TokioIo::new(stream), closed).await
    } else {
        http1(route, TokioIo::new(stream), closed).await
    }
}

async fn http1<S>(route: &Route, io: S, closed: impl FnOnce() + Send + 'static) -> Result<Arc<dyn Transport>>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let template = Template::for_http1(&route.target)?;
    let (sender, connection) = http1::handshake(io).await.map_err(|_| handshake_failed(route))?;
    let life = Arc::new(Life::new(1));
    let driver = drive(connection, Ending::new(&life, closed));
    let max_response_bytes = route.max_response_bytes;
    Ok(Arc::new(HttpTransport {
        sender: Sender::One(Mutex::new(sender)),
        template,
        max_response_bytes,
        life,
        driver,
    }))
}

async fn http2<S>(route: &Route, io: S, closed: impl FnOnce() + Send + 'static) -> Result<Arc<dyn Transport>>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let template = Template::for_http2(&route.target)?;
    let life = Arc::new(Life::new(MAX_STREAMS));
    let tasks = Tasks::new(Ending::new(&life, closed));
    let (sender, mut connection) = http2::Builder::new(tasks.clone())
        // None before the server has said how many it lets us open: what is too many, it refuses.
        .initial_max_send_streams(0)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(io)
        .await
        .map_err(|_| handshake_failed(route))?;
    let told = Arc::clone(&life);
    tokio::spawn(std::future::poll_fn(move |cx| {
        let end = Pin::new(&mut connection).poll(cx);
        // The server may change its mind at any time. Zero is ours, before it has said anything.
        let streams = connection.current_max_send_streams();
        if streams > 0 {
            told.streams.store(streams.min(MAX_STREAMS), Ordering::Relaxed);
        }
        end.map(drop)
    }));
    // The handshake has begun the task that has the socket, or it would have failed.
    let driver = tasks.socket_task().ok_or_else(|| handshake_failed(route))?;
    let max_response_bytes = route.max_response_bytes;
    Ok(Arc::new(HttpTransport { sender: Sender::Many(sender), template, max_response_bytes, life, driver }))
}

fn handshake_failed(route: &Route) -> Error {
    Error::new(Kind::ChainConnection, format!("the HTTP handshake with {} failed", route.target))
}

/// Runs when the connection ends, also when it is cut: first the socket is gone, then this is dropped.
struct Ending<F: FnOnce()> {
    life: Arc<Life>,
    closed: Option<F>,
}

impl<F: FnOnce()> Ending<F> {
    fn new(life: &Arc<Life>, closed: F) -> Self {
        Self { life: Arc::clone(life), closed: Some(closed) }
    }
}

impl<F: FnOnce()> Drop for Ending<F> {
    fn drop(&mut self) {
        self.life.state.fetch_or(ENDED, Ordering::AcqRel);
        self.life.ended.notify_waiters();
        if let Some(closed) = self.closed.take() {
            closed();
        }
    }
}

/// Run the task that has the socket.
fn drive<C, F>(connection: C, ending: Ending<F>) -> AbortHandle
where
    C: Future + Send + 'static,
    F: FnOnce() + Send + 'static,
{
    let driver = async move {
        let _ending = ending;
        connection.await;
    };
    tokio::spawn(driver).abort_handle()
}

/// Runs what HTTP/2 needs besides the connection's own future. The first task that hyper asks for has the socket:
/// with it the connection ends.
struct Tasks<F: FnOnce()>(Arc<First<F>>);

struct First<F: FnOnce()> {
    ending: std::sync::Mutex<Option<Ending<F>>>,
    task: OnceLock<AbortHandle>,
}

impl<F: FnOnce()> Tasks<F> {
    fn new(ending: Ending<F>) -> Self {
        Self(Arc::new(First { ending: std::sync::Mutex::new(Some(ending)), task: OnceLock::new() }))
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
            Some(ending) => drop(self.0.task.set(drive(task, ending))),
            None => drop(tokio::spawn(async { drop(task.await) })),
        }
    }
}

impl Template {
    fn for_http1(target: &Target) -> Result<Self> {
        let uri = uri(target.path_and_query().expose())?;
        let mut headers = fixed_headers(target);
        let host = HeaderValue::try_from(target.authority().to_string()).map_err(|_| bad_endpoint())?;
        headers.insert(HOST, host);
        Ok(Self { target: target.clone(), uri, headers })
    }

    fn for_http2(target: &Target) -> Result<Self> {
        let absolute = format!("https://{}{}", target.authority(), target.path_and_query().expose());
        Ok(Self { target: target.clone(), uri: uri(&absolute)?, headers: fixed_headers(target) })
    }

    fn stamp(&self, body: Bytes) -> Result<Request> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some((name, value)) = self.target.fresh_header()? {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

/// The headers of every request; the user's own replace ours.
pub(super) fn fixed_headers(target: &Target) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("genesis-replicator/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in target.headers() {
        headers.insert(name, value.clone());
    }
    headers
}

fn uri(text: &str) -> Result<Uri> {
    text.parse().map_err(|_| bad_endpoint())
}

fn bad_endpoint() -> Error {
    Error::argument("endpoint", "must be a URL that HTTP can carry")
}

/// Cuts an HTTP/1.1 connection whose exchange was given up: what would come next on it is the old answer.
struct Exchange<'a> {
    transport: &'a HttpTransport,
    done: bool,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.transport.life.state.fetch_or(DIRTY, Ordering::AcqRel);
            self.transport.driver.abort();
        }
    }
}

impl HttpTransport {
    async fn exchange(&self, body: Bytes, call: &Call) -> std::result::Result<Reply, SendError> {
        call.enter(Phase::Send);
        let request = self.template.stamp(body).map_err(SendError::Failed)?;
        match &self.sender {
            Sender::One(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await.map_err(|_| SendError::NotSent)?;
                let mut exchange = Exchange { transport: self, done: false };
                let response = sender.try_send_request(request);
                call.enter(Phase::Receive);
                let response = match response.await {
                    Ok(response) => response,
                    Err(error) => {
                        // It was not given up here but ended there.
                        exchange.done = true;
                        self.cut();
                        return Err(not_sent(error));
                    }
                };
                let reply = body::collect(response, self.max_response_bytes).await?;
                exchange.done = true;
                Ok(reply)
            }
            Sender::Many(sender) => {
                let mut sender = sender.clone();
                sender.ready().await.map_err(|_| SendError::NotSent)?;
                let response = sender.try_send_request(request);
                call.enter(Phase::Receive);
                body::collect(response.await.map_err(not_sent)?, self.max_response_bytes).await
            }
        }
    }
}

fn not_sent(mut error: TrySendError<Request>) -> SendError {
    if error.take_message().is_some() {
        return SendError::NotSent;
    }
    SendError::Failed(body::broken(&error.into_error()))
}

impl Transport for HttpTransport {
    fn send<'a>(
        &'a self,
        body: Bytes,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        Box::pin(self.exchange(body, call))
    }

    fn state(&self) -> State {
        let state = self.life.state.load(Ordering::Acquire);
        if state & DIRTY != 0 {
            return State::Dirty;
        }
        match &self.sender {
            Sender::One(_) if state == OPEN => State::Open,
            Sender::Many(sender) if state == OPEN && !sender.is_closed() => State::Open,
            _ => State::Closed,
        }
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let ended = self.life.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if self.life.state.load(Ordering::Acquire) & ENDED == 0 {
                ended.await;
            }
        })
    }

    fn streams(&self) -> usize {
        self.life.streams.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.life.state.fetch_or(ENDING, Ordering::AcqRel);
        self.driver.abort();
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        self.cut();
    }
}
