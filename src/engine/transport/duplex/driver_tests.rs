//! The task over streams in memory, on a paused clock: what it sends, what it waits for, when it gives up.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{advance, sleep};

use super::super::ipc;
use super::*;
use crate::engine::error::Kind;
use crate::engine::transport::socket::Socket;
use crate::engine::transport::tls::LastWords;
use crate::engine::transport::{SendError, State};

/// How much the stream in memory holds.
const ROOM: usize = 1024;

/// A line over a stream, what sends on it, and the node's end.
struct Wire {
    line: Arc<Line>,
    queue: mpsc::Sender<Outgoing>,
    node: DuplexStream,
    is_closed: Arc<AtomicBool>,
}

fn wire(has_heartbeat: bool) -> Wire {
    let (ours, node) = duplex(ROOM);
    let socket = Socket::of(ours, Arc::new(()));
    let heartbeat = has_heartbeat.then(|| Heartbeat::new(socket.heard()));
    let (reader, writer) = ipc::halves(socket, 1 << 16);
    let line = Arc::new(Line::new(Life::new(LastWords::default()), heartbeat));
    let is_closed = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_closed);
    let queue = start(reader, writer, &line, move || told.store(true, Ordering::SeqCst));
    Wire { line, queue, node, is_closed }
}

impl Wire {
    /// Send a request with this id; what comes of it.
    async fn send(&self, id: u64, text: impl Into<Bytes>) -> super::super::book::Answer {
        let answer = self.line.book.enter(id..id + 1, false).unwrap();
        self.queue.send(Outgoing { first: id, text: text.into() }).await.unwrap();
        answer
    }

    /// What the node reads next.
    async fn read(&mut self) -> String {
        let mut piece = vec![0; ROOM];
        let length = self.node.read(&mut piece).await.unwrap();
        String::from_utf8_lossy(&piece[..length]).into_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_together_is_written_together_and_answered_in_any_order() {
    let mut wire = wire(false);
    let one = wire.send(1, "[1]").await;
    let other = wire.send(2, "[2]").await;
    assert_eq!(wire.read().await, "[1]\n[2]\n");
    wire.node.write_all(br#"{"id":2,"result":1}{"id":1,"result":1}"#).await.unwrap();
    assert_eq!(one.await.unwrap().unwrap().0, r#"{"id":1,"result":1}"#);
    assert_eq!(other.await.unwrap().unwrap().0, r#"{"id":2,"result":1}"#);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_holds_the_senders_back_and_its_answers_still_come() {
    let mut wire = wire(false);
    let large = || vec![b' '; ROOM * 20];
    let first = wire.send(1, large()).await;
    let mut taken = 0;
    while let Ok(sent) =
        timeout(Duration::from_secs(1), wire.queue.send(Outgoing { first: 99, text: large().into() })).await
    {
        sent.unwrap();
        taken += 1;
        assert!(taken <= QUEUE + 1, "the queue has no bound");
    }
    wire.node.write_all(br#"{"id":1,"result":1}"#).await.unwrap();
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_before_it_was_written_is_never_written() {
    let mut wire = wire(false);
    let stuck = wire.send(1, vec![b' '; ROOM * 2]).await;
    sleep(Duration::from_millis(1)).await;
    drop(wire.send(2, "[2]").await);
    wire.line.book.forget(2);
    let _third = wire.send(3, "[3]").await;
    let mut all = String::new();
    while !all.contains("[3]") {
        all += &wire.read().await;
    }
    assert!(!all.contains("[2]"));
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_other_side_is_the_end() {
    let Wire { line, queue, node, is_closed } = wire(false);
    let answer = line.book.enter(1..2, false).unwrap();
    queue.send(Outgoing { first: 1, text: "[1]".into() }).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    drop(node);
    assert!(matches!(answer.await.unwrap(), Err(SendError::Unanswered(_))));
    line.life.closed().await;
    assert!(is_closed.load(Ordering::SeqCst));
    assert_eq!(line.life.state(), State::Broken);
    assert!(queue.send(Outgoing { first: 2, text: "[2]".into() }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn cut_with_a_peer_that_reads_nothing_it_ends_all_the_same() {
    let wire = wire(false);
    let stuck = wire.send(1, vec![b' '; ROOM * 2]).await;
    sleep(Duration::from_millis(1)).await;
    let waits = wire.send(2, "[2]").await;
    wire.line.cut();
    assert!(matches!(stuck.await.unwrap(), Err(SendError::Unanswered(_))));
    assert!(matches!(waits.await.unwrap(), Err(SendError::NotSent)));
    wire.line.life.closed().await;
    assert!(wire.is_closed.load(Ordering::SeqCst));
}

/// Fails in a way that nobody has thought of.
struct Broken;

impl Reader for Broken {
    async fn next(&mut self) -> Result<Incoming, End> {
        sleep(Duration::from_millis(1)).await;
        unreachable!("it must not happen")
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_the_end_even_if_the_task_does_not_end_as_it_should() {
    let (ours, _node) = duplex(ROOM);
    let (_, writer) = ipc::halves(Socket::of(ours, Arc::new(())), 1 << 16);
    let line = Arc::new(Line::new(Life::new(LastWords::default()), None));
    let queue = start(Broken, writer, &line, || ());
    let answer = line.book.enter(1..2, false).unwrap();
    queue.send(Outgoing { first: 1, text: "[1]".into() }).await.unwrap();
    assert!(matches!(answer.await.unwrap(), Err(SendError::Unanswered(_))));
    line.life.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_gone_after_half_a_minute_and_its_callers_are_told() {
    let mut wire = wire(true);
    let began = Instant::now();
    let answer = wire.send(1, "[1]").await;
    assert_eq!(wire.read().await, "[1]\n");
    let Err(SendError::Unanswered(error)) = answer.await.unwrap() else { unreachable!("it was sent") };
    assert_eq!((error.kind(), began.elapsed()), (Kind::ConnectionClosed, SILENCE + PATIENCE));
    assert!(error.message().contains("said nothing for 30 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_something_now_and_then_stays_and_so_does_a_long_answer() {
    let mut wire = wire(true);
    for _ in 0..10 {
        wire.node.write_all(br#"{"method":"hello"}"#).await.unwrap();
        sleep(Duration::from_secs(29)).await;
    }
    let answer = wire.send(1, "[1]").await;
    assert_eq!(wire.read().await, "[1]\n");
    wire.node.write_all(br#"{"id":1,"result":""#).await.unwrap();
    for _ in 0..4 {
        wire.node.write_all(&[b'x'; 11 * 1024]).await.unwrap();
        sleep(Duration::from_secs(14)).await;
    }
    wire.node.write_all(br#""}"#).await.unwrap();
    assert!(answer.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_time_to_show_that_it_is_there_after_this_process_was_stopped() {
    let mut wire = wire(true);
    let hello = br#"{"method":"hello"}"#;
    sleep(Duration::from_millis(1)).await;
    advance(SILENCE * 10).await;
    sleep(PATIENCE / 2).await;
    assert_eq!(wire.line.life.state(), State::Open);
    wire.node.write_all(hello).await.unwrap();
    sleep(PATIENCE + SILENCE / 2).await;
    // It has been asked again, and what it says lies here while the process is stopped.
    wire.node.write_all(hello).await.unwrap();
    advance(SILENCE * 10).await;
    sleep(PATIENCE / 2).await;
    assert_eq!(wire.line.life.state(), State::Open);
    let began = Instant::now();
    wire.line.life.closed().await;
    assert!(began.elapsed() <= SILENCE + PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_is_no_sign_of_life() {
    let Wire { line, mut node, queue: _queue, .. } = wire(true);
    let began = Instant::now();
    let trickle = tokio::spawn(async move {
        node.write_all(br#"{"id":1,"result":""#).await.unwrap();
        while node.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    line.life.closed().await;
    assert!(began.elapsed() <= SILENCE + PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_ends_the_connection_before_all_of_it_has_come() {
    let mut wire = wire(false);
    let answer = wire.send(1, "[1]").await;
    assert_eq!(wire.read().await, "[1]\n");
    let mut sent = 0;
    while wire.node.write_all(&[b'['; ROOM]).await.is_ok() {
        sent += ROOM;
        assert!(sent < 1 << 17, "it reads on without end");
    }
    let Err(SendError::Failed(error)) = answer.await.unwrap() else { unreachable!("just one waits") };
    assert!(error.message().contains("max_response_bytes (65536)"), "{error}");
}
