//! A small node on a loopback socket: HTTP/1.1, or HTTPS with HTTP/2, as scripted; and what it saw.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::tls::ServerTls;

/// What the server makes of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A result.
    Result(Value),
    /// An error.
    Error(i64, &'static str),
    /// A status, headers and a body as they are.
    Raw(u16, Vec<(&'static str, String)>, String),
    /// A result for a request that nobody made.
    WrongId,
    /// A result, and the connection is closed behind it.
    Last(Value),
    /// The beginning of an answer, and the end of the connection.
    Torn,
    /// So many bytes, in pieces, their number not announced.
    Stream(usize),
    /// None, ever.
    Never,
    /// None: the connection is closed instead.
    HangUp,
    /// The beginning of an answer, and then a byte every so often, without end.
    Trickle(Duration),
}

/// A request, as a script sees it.
pub struct Ask {
    /// The how manyeth request of all.
    pub number: usize,
    /// The how manyeth connection it came on.
    pub connection: usize,
    pub method: String,
    pub params: Value,
    pub headers: http::HeaderMap,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Script = Arc<dyn Fn(Ask) -> Boxed<Answer> + Send + Sync>;

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    pub open: AtomicUsize,
    pub accepted: AtomicUsize,
    pub requests: AtomicUsize,
    /// Requests that were not answered yet, and most of them at a time on one connection.
    pub in_flight: AtomicUsize,
    pub peak_streams: AtomicUsize,
    /// Requests that went away before they were answered.
    pub given_up: AtomicUsize,
    tasks: Mutex<Vec<AbortHandle>>,
}

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    scheme: &'static str,
    goaway: watch::Sender<bool>,
    listener: AbortHandle,
}

#[derive(Default)]
pub struct Options {
    pub tls: Option<ServerTls>,
    /// How many streams of a connection may be open, on HTTP/2.
    pub max_streams: Option<u32>,
}

/// A server that answers with what the script says.
pub async fn scripted<F, A>(options: Options, script: F) -> Server
where
    F: Fn(Ask) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    scripted_at("127.0.0.1:0".parse().unwrap(), options, script).await
}

/// The same at an address that a server had before.
pub async fn scripted_at<F, A>(address: SocketAddr, options: Options, script: F) -> Server
where
    F: Fn(Ask) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let script: Script = Arc::new(move |ask| Box::pin(script(ask)));
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let (goaway, gone) = watch::channel(false);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let (accepting, options) = (Arc::clone(&seen), Arc::new(options));
    let listener = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let number = accepting.accepted.fetch_add(1, Ordering::SeqCst) + 1;
            let connection = Connection { number, seen: Arc::clone(&accepting), script: Arc::clone(&script) };
            let task = tokio::spawn(connection.serve(stream, Arc::clone(&options), gone.clone()));
            accepting.tasks.lock().unwrap().push(task.abort_handle());
        }
    });
    Server { address, seen, scheme, goaway, listener: listener.abort_handle() }
}

/// A server on plain HTTP/1.1.
pub async fn plain<F, A>(script: F) -> Server
where
    F: Fn(Ask) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    scripted(Options::default(), script).await
}

/// What most tests need: the first parameter comes back, after as many milliseconds as the second says.
pub async fn echo(ask: Ask) -> Answer {
    if let Some(delay) = ask.params.get(1).and_then(Value::as_u64) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    match ask.params.get(0) {
        Some(value) => Answer::Result(value.clone()),
        None => Answer::Result(json!("0x1")),
    }
}

impl Server {
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Take no more connections.
    pub fn deafen(&self) {
        self.listener.abort();
    }

    /// Close every connection now.
    pub fn drop_connections(&self) {
        for task in self.seen.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    /// Take no more requests on the connections of now, and end them when they are answered.
    pub fn go_away(&self) {
        self.goaway.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listener.abort();
        self.drop_connections();
    }
}

#[derive(Clone)]
struct Connection {
    number: usize,
    seen: Arc<Seen>,
    script: Script,
}

impl Connection {
    async fn serve(
        self,
        stream: tokio::net::TcpStream,
        options: Arc<Options>,
        mut goaway: watch::Receiver<bool>,
    ) {
        self.seen.open.fetch_add(1, Ordering::SeqCst);
        let _open = Counted(Arc::clone(&self.seen));
        let Some(tls) = &options.tls else { return self.http1(stream).await };
        let Ok(stream) = tls.acceptor().accept(stream).await else { return };
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return self.http1(stream).await;
        }
        let streams = Arc::<AtomicUsize>::default();
        let own = self.clone();
        let service = service_fn(move |request| own.clone().handle(request, Arc::clone(&streams)));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(options.max_streams);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = &mut connection => return,
            _ = goaway.wait_for(|gone| *gone) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let streams = Arc::<AtomicUsize>::default();
        let own = self.clone();
        let service = service_fn(move |request| own.clone().handle(request, Arc::clone(&streams)));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn handle(
        self,
        request: http::Request<Incoming>,
        streams: Arc<AtomicUsize>,
    ) -> io::Result<http::Response<Body>> {
        let mut asked = Asked::new(Arc::clone(&self.seen), streams);
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { std::future::pending().await };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let ask = |call: &Value| Ask {
            number: self.seen.requests.fetch_add(1, Ordering::SeqCst) + 1,
            connection: self.number,
            method: call["method"].as_str().unwrap().to_owned(),
            params: call["params"].clone(),
            headers: head.headers.clone(),
        };
        let response = match &body {
            Value::Array(calls) => {
                let mut answers = Vec::new();
                for call in calls.iter().rev() {
                    let answer = (self.script)(ask(call)).await;
                    if matches!(answer, Answer::HangUp) {
                        return Err(io::Error::other("hung up"));
                    }
                    answers.push(as_json(&answer, &call["id"]));
                }
                response(200, vec![], Value::Array(answers).to_string())
            }
            call => {
                let answer = (self.script)(ask(call)).await;
                as_response(answer, &call["id"]).await?
            }
        };
        asked.answered = true;
        Ok(response)
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

fn as_json(answer: &Answer, id: &Value) -> Value {
    match answer {
        Answer::Result(result) | Answer::Last(result) => {
            json!({"jsonrpc": "2.0", "id": id, "result": result})
        }
        Answer::Error(code, message) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Answer::WrongId => json!({"jsonrpc": "2.0", "id": 987_654_321, "result": 1}),
        other => unreachable!("{other:?} is no JSON"),
    }
}

async fn as_response(answer: Answer, id: &Value) -> io::Result<http::Response<Body>> {
    Ok(match answer {
        Answer::Raw(status, headers, body) => response(status, headers, body),
        Answer::Last(_) => {
            response(200, vec![("connection", "close".into())], as_json(&answer, id).to_string())
        }
        Answer::Never => std::future::pending().await,
        Answer::HangUp => return Err(io::Error::other("hung up")),
        Answer::Trickle(every) => {
            http::Response::new(Trickle(Box::pin(tokio::time::sleep(every)), every).boxed_unsync())
        }
        Answer::Torn => {
            let torn = io::Error::other("torn");
            pieces(vec![Ok(Bytes::from_static(b"{\"jsonrpc\":\"2.0\",")), Err(torn)])
        }
        Answer::Stream(bytes) => {
            let piece = Bytes::from(vec![b' '; 1024]);
            pieces((0..bytes / 1024).map(|_| Ok(piece.clone())).collect())
        }
        other => response(200, vec![], as_json(&other, id).to_string()),
    })
}

fn response(status: u16, headers: Vec<(&'static str, String)>, body: String) -> http::Response<Body> {
    let full = http_body_util::Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(full.boxed_unsync()).unwrap()
}

/// A body that comes piece by piece and does not say how long it is.
fn pieces(pieces: Vec<io::Result<Bytes>>) -> http::Response<Body> {
    http::Response::new(Pieces { left: pieces.into(), flushed: false }.boxed_unsync())
}

struct Pieces {
    left: VecDeque<io::Result<Bytes>>,
    flushed: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // hyper writes out what it has when there is nothing more for the moment.
        if !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flushed = false;
        Poll::Ready(self.left.pop_front().map(|piece| piece.map(Frame::data)))
    }
}

/// A body of blanks, one at a time.
struct Trickle(Pin<Box<tokio::time::Sleep>>, Duration);

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        std::task::ready!(self.0.as_mut().poll(cx));
        let next = tokio::time::Instant::now() + self.1;
        self.0.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

/// A connection that is open.
struct Counted(Arc<Seen>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request that is being answered.
struct Asked {
    seen: Arc<Seen>,
    streams: Arc<AtomicUsize>,
    answered: bool,
}

impl Asked {
    fn new(seen: Arc<Seen>, streams: Arc<AtomicUsize>) -> Self {
        seen.in_flight.fetch_add(1, Ordering::SeqCst);
        let now = streams.fetch_add(1, Ordering::SeqCst) + 1;
        seen.peak_streams.fetch_max(now, Ordering::SeqCst);
        Self { seen, streams, answered: false }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::SeqCst);
        self.seen.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.answered {
            self.seen.given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}
