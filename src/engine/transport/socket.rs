//! A TCP or Unix socket that holds on to something until it is closed: the right to be one of the bounded number of sockets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// After how long a silence the other side is asked whether it is there,
const SILENCE: Duration = Duration::from_secs(15);
/// how long it has to say so,
const PROBE: Duration = Duration::from_secs(5);
/// and how often it is asked before it counts as gone.
const PROBES: u32 = 3;

/// Whatever a socket holds while it is open.
pub type Held = Arc<dyn Send + Sync>;

/// What is written in pieces that are no longer than this together is put into one: for the kernel that is less work.
const SMALL: usize = 1024;

/// Whether a socket takes no more bytes, because the other side does not read them.
#[derive(Clone, Default)]
pub(super) struct Stuck(Arc<AtomicBool>);

impl Stuck {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self, is_stuck: bool) {
        // Nearly every write goes through at once, and a look is cheaper than a store.
        if is_stuck != self.is_set() {
            self.0.store(is_stuck, Ordering::Relaxed);
        }
    }
}

/// How many bytes a socket has brought.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

impl Heard {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only whoever reads the socket counts, one at a time.
    fn count(&self, bytes: usize) {
        self.0.store(self.bytes() + bytes as u64, Ordering::Relaxed);
    }
}

/// The socket. Its fields are dropped in this order: the socket is closed before what it holds is let go.
pub(super) struct Socket<S = TcpStream> {
    stream: S,
    stuck: Stuck,
    heard: Heard,
    _held: Held,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, held: Held) -> Self {
        // A socket that refuses is used as it is.
        let _ = tune(&stream);
        Self::of(stream, held)
    }
}

impl<S> Socket<S> {
    pub(super) fn of(stream: S, held: Held) -> Self {
        Self { stream, stuck: Stuck::default(), heard: Heard::default(), _held: held }
    }

    /// Whether what is written waits for the other side, now and later.
    pub(super) fn stuck(&self) -> Stuck {
        self.stuck.clone()
    }

    /// How much has come, now and later.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

/// Small requests must not wait for acknowledgements; a node that is gone without a word must be noticed, be it that
/// it owes an answer (no deadline may be set) or that it does not take what is sent.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBE).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE + PROBE * PROBES))?;
    Ok(())
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.heard.count(buf.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.stuck.note(written.is_pending());
        written
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
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
            self.stuck.note(written.is_pending());
            return written;
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_node_that_goes_without_a_word_is_noticed_within_half_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::new(stream, Arc::new(()));
        let options = SockRef::from(&socket.stream);
        let asked = options.tcp_keepalive_interval().unwrap() * options.tcp_keepalive_retries().unwrap();
        let noticed = options.tcp_keepalive_time().unwrap() + asked;
        assert!(options.keepalive().unwrap() && noticed <= Duration::from_secs(30), "{noticed:?}");
        #[cfg(target_os = "linux")]
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(noticed));
        assert!(socket.stream.nodelay().unwrap());
    }
}
