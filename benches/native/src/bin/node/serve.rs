//! Connections: accepted, told apart (HTTP/1.1 or HTTP/2, plain or TLS) and served by hyper.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answer::{self, Node, Text};

/// More than any client opens at once: a connection that finds no room waits a second.
const BACKLOG: u32 = 4096;
/// Requests that a client may have in flight on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// A listening socket on the loopback interface.
pub fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

/// Serve plain connections; HTTP/2 is known by its first bytes.
pub async fn plain(listener: TcpListener, node: Arc<Node>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        node.accepted();
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let multiplexed = begins_with_http2(&stream).await;
            serve(TokioIo::new(stream), multiplexed, node).await;
        });
    }
}

/// Serve TLS connections; the client chooses the protocol by ALPN.
pub async fn tls(listener: TcpListener, acceptor: TlsAcceptor, node: Arc<Node>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        node.accepted();
        let (acceptor, node) = (acceptor.clone(), Arc::clone(&node));
        tokio::spawn(async move {
            // A client that fails to shake hands says so itself.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(TokioIo::new(stream), multiplexed, node).await;
        });
    }
}

async fn begins_with_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    stream.peek(&mut first).await.is_ok() && first == *b"PRI"
}

async fn serve<S>(io: S, multiplexed: bool, node: Arc<Node>)
where
    S: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| respond(Arc::clone(&node), request));
    // How a connection ends is its client's business.
    if multiplexed {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(STREAMS).auto_date_header(false);
        drop(builder.serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().auto_date_header(false).serve_connection(io, service).await);
    }
}

async fn respond(node: Arc<Node>, request: Request<Incoming>) -> Result<Response<Full<Text>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let answer = match &body {
        Ok(body) => node.answer(body).await,
        Err(_) => None,
    };
    let mut response = Response::default();
    if let Some(text) = answer {
        *response.body_mut() = Full::new(text);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    } else {
        *response.body_mut() = Full::new(answer::text(Bytes::from_static(b"not a JSON-RPC request")));
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}
