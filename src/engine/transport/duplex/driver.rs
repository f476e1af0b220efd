//! The task that has a socket: it reads what comes, writes what is to go, and notices when the other side is gone. It
//! ends with the socket, after a word of farewell.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::QUEUE;
use super::book::{Book, End};
use crate::engine::lock::lock;
use crate::engine::transport::life::{Ending, Life};
use crate::engine::transport::socket::Heard;

/// After how long a silence the other side is asked whether it is there,
const SILENCE: Duration = Duration::from_secs(15);
/// and how long it has to show that.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much of a long answer has to come in such a time, so that it counts as a sign of life.
const LEAST: u64 = 10 * 1024;
/// How long a farewell may take: a peer that reads nothing hears none.
const FAREWELL: Duration = Duration::from_millis(100);

const CUT: &str = "the connection was cut";

/// What comes on a socket.
pub(super) enum Incoming {
    /// A whole message.
    Message(Bytes),
    /// A sign of life.
    Sign,
}

/// Takes messages off a socket.
pub(super) trait Reader: Send + 'static {
    /// The next of them. It loses nothing when it is given up.
    fn next(&mut self) -> impl Future<Output = Result<Incoming, End>> + Send;
}

/// Puts messages on a socket.
pub(super) trait Writer: Send + 'static {
    /// Have a message sent with the next flush, or before that. It waits while the other side does not read.
    fn feed(&mut self, message: Bytes) -> impl Future<Output = Result<(), End>> + Send;
    /// Send what is not sent yet.
    fn flush(&mut self) -> impl Future<Output = Result<(), End>> + Send;
    /// Ask the other side for a sign of life.
    fn ping(&mut self) -> impl Future<Output = Result<(), End>> + Send;
    /// Tell the other side that this is the end.
    fn say_goodbye(&mut self) -> impl Future<Output = ()> + Send;
}

/// A request on its way to the socket.
pub(super) struct Outgoing {
    /// The first of its ids.
    pub first: u64,
    pub text: Bytes,
}

/// What the task shares with whoever sends requests.
pub(super) struct Line {
    pub book: Arc<Book>,
    pub life: Arc<Life>,
    heartbeat: Option<Heartbeat>,
    cut: Notify,
}

impl Line {
    pub(super) fn new(life: Arc<Life>, heartbeat: Option<Heartbeat>) -> Self {
        Self { book: Arc::default(), life, heartbeat, cut: Notify::new() }
    }

    /// End it now.
    pub(super) fn cut(&self) {
        self.life.end();
        self.cut.notify_one();
    }
}

/// Start the task. What is put in the queue is sent; `closed` runs when the socket is closed.
pub(super) fn start(
    reader: impl Reader,
    mut writer: impl Writer,
    line: &Arc<Line>,
    closed: impl FnOnce() + Send + 'static,
) -> mpsc::Sender<Outgoing> {
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let ending = Ending::new(&line.life, closed);
    let line = Arc::clone(line);
    ending.after(async move {
        let line = Told(line);
        let line = &line.0;
        let end = run(reader, &mut writer, outgoing, line).await;
        line.life.end();
        if line.book.end(&end) {
            line.life.break_off();
        }
        // What it comes to makes no difference any more.
        let _ = timeout(FAREWELL, writer.say_goodbye()).await;
    });
    queue
}

/// Tells everybody who waits that this is the end, should the task end before it has.
struct Told(Arc<Line>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.life.end();
        self.0.book.end(&End::of_connection(CUT));
    }
}

async fn run(
    mut reader: impl Reader,
    writer: &mut impl Writer,
    outgoing: mpsc::Receiver<Outgoing>,
    line: &Line,
) -> End {
    tokio::select! {
        biased;
        () = line.cut.notified() => End::of_connection(CUT),
        end = read(&mut reader, line) => end,
        end = write(writer, outgoing, line) => end,
        end = line.watched() => end,
    }
}

async fn read(reader: &mut impl Reader, line: &Line) -> End {
    loop {
        let delivered = match reader.next().await {
            Ok(Incoming::Message(message)) => line.book.deliver(message),
            Ok(Incoming::Sign) => Ok(()),
            Err(end) => Err(end),
        };
        if let Err(end) = delivered {
            return end;
        }
        if let Some(heartbeat) = &line.heartbeat {
            heartbeat.beat();
        }
    }
}

async fn write(writer: &mut impl Writer, mut outgoing: mpsc::Receiver<Outgoing>, line: &Line) -> End {
    loop {
        let written = tokio::select! {
            biased;
            Some(next) = outgoing.recv() => write_with_others(writer, next, &mut outgoing, line).await,
            () = line.asked() => writer.ping().await,
        };
        if let Err(end) = written {
            return end;
        }
    }
}

/// Write a request, and with it all that are there already: to the system that is one.
async fn write_with_others(
    writer: &mut impl Writer,
    first: Outgoing,
    others: &mut mpsc::Receiver<Outgoing>,
    line: &Line,
) -> Result<(), End> {
    let mut next = Some(first);
    while let Some(Outgoing { first, text }) = next {
        // Whoever gave it up before it was sent does not want it sent.
        if line.book.begin(first) {
            writer.feed(text).await?;
        }
        next = others.try_recv().ok();
    }
    writer.flush().await
}

/// Looks after the signs of life.
pub(super) struct Heartbeat {
    heard: Heard,
    last: Mutex<Instant>,
    asks: Notify,
}

impl Heartbeat {
    pub(super) fn new(heard: Heard) -> Self {
        Self { heard, last: Mutex::new(Instant::now()), asks: Notify::new() }
    }

    /// There was one.
    fn beat(&self) {
        *lock(&self.last) = Instant::now();
    }

    fn last(&self) -> Instant {
        *lock(&self.last)
    }

    /// Wait until the other side is gone.
    async fn watch(&self) -> End {
        let mut since = Instant::now();
        loop {
            if let Some(sign) = self.sign(since, since + SILENCE).await {
                since = sign;
                continue;
            }
            self.asks.notify_one();
            // From now on: where this process was stopped, the silence was its own.
            let Some(sign) = self.sign(since, Instant::now() + PATIENCE).await else { break };
            since = sign;
        }
        let silence = (SILENCE + PATIENCE).as_secs();
        End::of_connection(format!("the node is gone: it said nothing for {silence} s, not even to a ping"))
    }

    /// When the last sign of life after `since` was, if there was one by `due`.
    async fn sign(&self, since: Instant, due: Instant) -> Option<Instant> {
        let heard = self.heard.bytes();
        sleep_until(due).await;
        let last = Some(self.last()).filter(|last| *last > since);
        last.or_else(|| (self.heard.bytes() - heard >= LEAST).then(Instant::now))
    }
}

impl Line {
    async fn watched(&self) -> End {
        match &self.heartbeat {
            Some(heartbeat) => heartbeat.watch().await,
            None => pending().await,
        }
    }

    /// Wait until the other side is to be asked for a sign of life.
    async fn asked(&self) {
        match &self.heartbeat {
            Some(heartbeat) => heartbeat.asks.notified().await,
            None => pending().await,
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
