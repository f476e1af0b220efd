//! A TLS stream that keeps what the server says when it ends the connection. With TLS 1.3 a server judges our certificate
//! after the handshake, so its word comes where an answer is read, and HTTP forgets it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::engine::error::{Error, Kind};
use crate::engine::transport::socket::Socket;

/// The error that the server ended a connection with, if it did.
pub(in crate::engine::transport) type LastWords = Arc<OnceLock<Error>>;

pub(in crate::engine::transport) struct Overheard {
    stream: TlsStream<Socket>,
    last_words: LastWords,
}

impl Overheard {
    pub(super) fn new(stream: TlsStream<Socket>) -> Self {
        Self { stream, last_words: LastWords::default() }
    }

    pub(in crate::engine::transport) fn last_words(&self) -> LastWords {
        Arc::clone(&self.last_words)
    }

    pub(in crate::engine::transport) fn socket(&self) -> &Socket {
        self.stream.get_ref().0
    }

    pub(in crate::engine::transport) fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    fn hear<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            if let Some(alert @ rustls::Error::AlertReceived(_)) = inner {
                let message = format!("the server ended the connection: {alert}");
                // The first of them counts.
                let _ = self.last_words.set(Error::new(Kind::Tls, message));
            }
        }
        outcome
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.hear(read)
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.hear(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.hear(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.hear(written)
    }
}
