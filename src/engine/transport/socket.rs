//! A TCP socket that holds on to something until it is closed: the right to be one of the bounded number of sockets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whatever a socket holds while it is open.
pub type Held = Arc<dyn Send + Sync>;

/// What is written in pieces that are no longer than this together is put into one: for the kernel that is less work.
const SMALL: usize = 1024;

/// The socket. Its fields are dropped in this order: the socket is closed before what it holds is let go.
pub(super) struct Socket {
    stream: TcpStream,
    _held: Held,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, held: Held) -> Self {
        Self { stream, _held: held }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut whole = [0; SMALL];
        let Some(whole) = whole.get_mut(..length) else {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        };
        let mut rest = &mut *whole;
        for buf in bufs {
            let (piece, after) = rest.split_at_mut(buf.len());
            piece.copy_from_slice(buf);
            rest = after;
        }
        self.poll_write(cx, whole)
    }
}
