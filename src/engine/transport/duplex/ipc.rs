//! Messages on a Unix socket: JSON values one after the other. Each of ours ends with a new line, for nodes that read
//! by lines.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::book::End;
use super::driver::{Incoming, Reader, Writer};
use super::framer::{Framer, NoMessage};
use crate::engine::error::{Error, Kind};
use crate::engine::transport::body::too_large;

/// How much is read at a time, and how much gathers before it is written.
const PIECE: usize = 16 * 1024;

/// Both directions of a socket.
pub(super) fn halves<S>(socket: S, max_bytes: usize) -> (IpcReader<S>, IpcWriter<S>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = split(socket);
    let reader = IpcReader { half: reader, text: BytesMut::new(), framer: Framer::default(), max_bytes };
    (reader, IpcWriter { half: writer, text: Vec::new() })
}

pub(super) struct IpcReader<S> {
    half: ReadHalf<S>,
    /// What was read and is no whole message yet.
    text: BytesMut,
    framer: Framer,
    max_bytes: usize,
}

impl<S: AsyncRead + Send + 'static> Reader for IpcReader<S> {
    async fn next(&mut self) -> Result<Incoming, End> {
        loop {
            match self.framer.end(&self.text) {
                Ok(Some(end)) if end <= self.max_bytes => {
                    return Ok(Incoming::Message(self.text.split_to(end).freeze()));
                }
                Ok(None) if self.text.len() <= self.max_bytes => {}
                Ok(_) => return Err(End::by_answer(too_large(self.max_bytes))),
                Err(NoMessage) => {
                    let message = "the node sent what is no JSON-RPC message";
                    return Err(End::by_answer(Error::new(Kind::Protocol, message)));
                }
            }
            self.text.reserve(PIECE);
            match self.half.read_buf(&mut self.text).await {
                Ok(0) => return Err(End::of_connection("the node closed the connection")),
                Ok(_) => {}
                Err(_) => return Err(broken()),
            }
        }
    }
}

pub(super) struct IpcWriter<S> {
    half: WriteHalf<S>,
    text: Vec<u8>,
}

impl<S: AsyncWrite + Send + 'static> Writer for IpcWriter<S> {
    async fn feed(&mut self, message: Bytes) -> Result<(), End> {
        self.text.extend_from_slice(&message);
        self.text.push(b'\n');
        if self.text.len() >= PIECE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let written = self.half.write_all(&self.text).await;
        self.text.clear();
        written.map_err(|_| broken())
    }

    /// The system tells when the other side of it is gone.
    async fn ping(&mut self) -> Result<(), End> {
        Ok(())
    }

    async fn say_goodbye(&mut self) {
        // Its end is what the other side hears.
        let _ = self.half.shutdown().await;
    }
}

fn broken() -> End {
    End::of_connection("the connection broke before the answer was complete")
}
