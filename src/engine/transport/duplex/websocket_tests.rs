//! A WebSocket over a stream in memory, on a paused clock, with a node that does what each test says.

use std::ops::Range;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::accept_async;

use super::*;
use crate::engine::target::TargetOptions;
use crate::engine::transport::duplex::driver::{self, Heartbeat, Line, Outgoing};
use crate::engine::transport::life::Life;
use crate::engine::transport::socket::Socket;
use crate::engine::transport::{AddressPolicy, SendError, TlsOptions};

const KEY: &str = "k7Qm2xV9tR4wZ8bN1cL6";

struct Wire {
    line: Arc<Line>,
    queue: mpsc::Sender<Outgoing>,
    node: WebSocketStream<DuplexStream>,
}

/// A WebSocket to a node that has shaken hands.
async fn wire() -> Wire {
    let (ours, theirs) = duplex(4096);
    let route = Route {
        target: Target::new(&format!("ws://127.0.0.1/v2/{KEY}"), None, &TargetOptions::default()).unwrap(),
        proxy: None,
        trust_env: false,
        tls: TlsOptions::default(),
        addresses: AddressPolicy::Any,
        max_response_bytes: 1000,
        error_rules: Vec::new(),
    };
    let socket = Socket::of(ours, Arc::new(()));
    let heartbeat = Heartbeat::new(socket.heard());
    let asked = request(&route.target, None).unwrap();
    let (opened, node) = tokio::join!(over(&route, None, asked, Box::new(socket)), accept_async(theirs));
    let (reader, writer) = opened.unwrap();
    let line = Arc::new(Line::new(Life::new(LastWords::default()), Some(heartbeat)));
    let queue = driver::start(reader, writer, &line, || ());
    Wire { line, queue, node: node.unwrap() }
}

impl Wire {
    /// Have requests with these ids sent one by one, and wait until the node has them.
    async fn send(&mut self, ids: Range<u64>) -> Vec<super::super::book::Answer> {
        let mut answers = Vec::new();
        for id in ids {
            answers.push(self.line.book.enter(id..id + 1, false).unwrap());
            self.queue.send(Outgoing { first: id, text: format!("[{id}]").into() }).await.unwrap();
            assert_eq!(self.read().await, Message::text(format!("[{id}]")));
        }
        answers
    }

    async fn read(&mut self) -> Message {
        self.node.next().await.unwrap().unwrap()
    }

    async fn say(&mut self, message: Message) {
        self.node.send(message).await.unwrap();
    }

    /// What the requests under way are told.
    async fn told(&mut self, message: Message) -> Error {
        let answer = self.send(1..3).await.pop().unwrap();
        self.say(message).await;
        match answer.await.unwrap().err().unwrap() {
            SendError::Unanswered(error) | SendError::Failed(error) => error,
            SendError::NotSent => unreachable!("it was sent"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_pinged_and_one_that_answers_stays() {
    let mut wire = wire().await;
    let began = Instant::now();
    for round in 1..5 {
        // It answers as it reads.
        assert!(wire.read().await.is_ping());
        assert_eq!(began.elapsed().as_secs(), 15 * round);
        assert!(timeout(Duration::from_millis(1), wire.node.next()).await.is_err());
    }
    sleep(Duration::from_secs(40)).await;
    assert!(wire.line.book.enter(1..2, false).is_none(), "nobody answered that ping");
}

#[tokio::test(start_paused = true)]
async fn a_ping_of_the_node_is_answered() {
    let mut wire = wire().await;
    wire.say(Message::Ping("hi".into())).await;
    assert_eq!(wire.read().await, Message::Pong("hi".into()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_closed_as_it_should_be() {
    let mut wire = wire().await;
    wire.line.cut();
    let Message::Close(Some(frame)) = wire.read().await else { unreachable!("no farewell") };
    assert_eq!(frame.code, CloseCode::Normal);
    wire.line.life.closed().await;
}

#[tokio::test(start_paused = true)]
async fn why_the_node_closed_the_connection_is_told_without_secrets_and_answered() {
    for (code, reason, told) in [
        (
            CloseCode::Policy,
            "rate limit\u{7}",
            "code 1008, against its policy, as too many requests are: rate limit\u{fffd}",
        ),
        (CloseCode::Size, "", "code 1009, a message was too big for it"),
        (CloseCode::Again, "busy", "code 1013, try again later: busy"),
        (CloseCode::Library(4001), KEY, "code 4001: ***"),
    ] {
        let mut wire = wire().await;
        let error = wire.told(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        assert_eq!(error.kind(), Kind::ConnectionClosed);
        assert_eq!(error.message(), format!("the node closed the connection with {told}"));
        let answer = wire.read().await;
        assert!(matches!(&answer, Message::Close(Some(frame)) if frame.code == code), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_or_no_message_is_told() {
    let mut first = wire().await;
    let error = first.told(Message::text("[".repeat(1001))).await;
    assert!(error.message().contains("max_response_bytes (1000)"), "{error}");
    let mut second = wire().await;
    assert_eq!(second.told(Message::text("hello")).await.kind(), Kind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn binary_messages_are_messages_too() {
    let mut wire = wire().await;
    let mut answers = wire.send(1..2).await;
    wire.say(Message::binary(r#"{"id":1,"result":1}"#)).await;
    assert!(answers.remove(0).await.unwrap().is_ok());
}
