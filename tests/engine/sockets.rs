//! Requests and subscriptions on a WebSocket: shared, matched, counted, and given back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use genesis_replicator::engine::deadline::{Call, Timeout};
use genesis_replicator::engine::error::{Kind, Phase, Result};
use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::pool::{Pool, Settings, Subscription};
use genesis_replicator::engine::transport::Notice;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::server::{Options, echo, scripted};
use crate::support::*;

/// A node that is reached by a WebSocket.
struct Node {
    address: SocketAddr,
    seen: Arc<Seen>,
    listener: AbortHandle,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    requests: Mutex<Vec<Value>>,
}

impl Node {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let told = Arc::clone(&seen);
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = told.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(serve(number, stream, Arc::clone(&told)));
            }
        });
        Self { address, seen, listener: listener.abort_handle() }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn pool(&self, max_connections: usize) -> Pool {
        pool(route(&self.url()), max_connections)
    }

    fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    fn has_seen(&self, method: &str) -> usize {
        self.seen.requests.lock().unwrap().iter().filter(|request| request["method"] == method).count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn notice(id: &Value, item: u64) -> Message {
    Message::text(json!({"method": "told", "params": {"subscription": id, "result": item}}).to_string())
}

async fn serve(number: usize, stream: TcpStream, seen: Arc<Seen>) -> Option<()> {
    let mut socket: WebSocketStream<_> = accept_async(stream).await.ok()?;
    let mut subscriptions = 0;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let request: Value = serde_json::from_str(&text).unwrap();
        seen.requests.lock().unwrap().push(request.clone());
        let (id, params) = (&request["id"], &request["params"]);
        let result = match request["method"].as_str().unwrap() {
            "subscribe" => {
                subscriptions += 1;
                json!(format!("0x{subscriptions}"))
            }
            "push" => {
                for item in 0..params[1].as_u64().unwrap() {
                    socket.feed(notice(&params[0], item)).await.ok()?;
                }
                Value::Null
            }
            "never" => continue,
            "stop" => return std::future::pending().await,
            "end" => return None,
            "eth_chainId" if number == 1 => return None,
            _ => params[0].clone(),
        };
        socket.feed(Message::text(json!({"id": id, "result": result}).to_string())).await.ok()?;
        if request["method"] == "subscribe" {
            // In the same packet as the answer.
            for item in 0..params[0].as_u64().unwrap() {
                socket.feed(notice(&result, item)).await.ok()?;
            }
        }
        socket.flush().await.ok()?;
    }
    Some(())
}

async fn ask(pool: &Pool, method: &str, params: Value) -> Result<Value> {
    let request = Request::new(method, params.to_string()).unwrap();
    let result = pool.request(&request, Timeout::Of(Some(PATIENCE))).await?;
    Ok(serde_json::from_slice(&result).unwrap())
}

/// A subscription that is told so many items at once.
async fn subscribe(pool: &Pool, items: u64) -> Result<Subscription> {
    let request = Request::new("subscribe", json!([items]).to_string()).unwrap();
    pool.subscribe(&request, Timeout::Default, &Call::new(Some(PATIENCE))).await
}

fn item(number: u64) -> Notice {
    Notice::Item(number.to_string().into())
}

#[tokio::test]
async fn many_requests_share_one_socket() {
    let node = Node::new().await;
    let pool = node.pool(5);
    assert!(pool.is_socket());
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { ask(&pool, "echo", json!([number])).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap().unwrap(), json!(number));
    }
    assert_eq!(node.accepted(), 1);
    until("it is idle", || levels(&pool).idle == 1 && levels(&pool).total() == 1).await;
}

#[tokio::test]
async fn one_of_many_that_is_given_up_leaves_the_others_and_the_socket_alone() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let hangs = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, "never", json!([])).await }
    });
    until("it is sent", || node.has_seen("never") == 1).await;
    hangs.abort();
    assert_eq!(ask(&pool, "echo", json!([7])).await.unwrap(), json!(7));
    let request = Request::bare("never");
    let error = pool.request(&request, of_ms(20)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RequestTimeout);
    assert_eq!(ask(&pool, "echo", json!([8])).await.unwrap(), json!(8));
    assert_eq!(node.accepted(), 1);
    until("nothing in use", || levels(&pool).active == 0).await;
}

#[tokio::test]
async fn a_hundred_calls_are_under_way_on_a_socket_and_the_others_wait() {
    let node = Node::new().await;
    let alone = lease(&node.pool(1)).await;
    let calls: Vec<_> = (0..150)
        .map(|_| {
            let alone = alone.clone();
            tokio::spawn(async move { alone.request(&Request::bare("never"), of_ms(60_000)).await })
        })
        .collect();
    until("a hundred are sent", || node.has_seen("never") == 100).await;
    sleep(Duration::from_millis(20)).await;
    assert_eq!(node.has_seen("never"), 100);
    for call in &calls {
        call.abort();
    }
    assert_eq!(call_on(&alone, json!([1]), Timeout::Of(Some(PATIENCE))).await.unwrap(), json!(1));
}

#[tokio::test]
async fn a_node_that_does_not_read_holds_a_call_where_it_is_sent() {
    let node = Node::new().await;
    let pool = node.pool(1);
    pool.request(&Request::bare("stop"), of_ms(20)).await.unwrap_err();
    let large = Request::new("echo", json!(["x".repeat(32 << 20)]).to_string()).unwrap();
    for request in [large, Request::bare("echo")] {
        let error = pool.request(&request, of_ms(200)).await.unwrap_err();
        assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Send)));
    }
}

#[tokio::test]
async fn a_read_whose_connection_ends_is_made_once_more_and_nothing_else_is() {
    let node = Node::new().await;
    let pool = node.pool(1);
    assert_eq!(ask(&pool, "eth_chainId", json!([7])).await.unwrap(), json!(7));
    assert_eq!((node.has_seen("eth_chainId"), node.accepted()), (2, 2));
    let error = ask(&pool, "end", json!([])).await.unwrap_err();
    assert_eq!((error.kind(), node.has_seen("end")), (Kind::ConnectionClosed, 1));
    assert_eq!(error.message(), "the node closed the connection");
}

#[tokio::test]
async fn a_subscription_misses_nothing_that_comes_right_behind_its_answer() {
    let node = Node::new().await;
    let pool = node.pool(1);
    for _ in 0..50 {
        let mut subscription = subscribe(&pool, 5).await.unwrap();
        for number in 0..5 {
            assert_eq!(soon(subscription.next()).await, Some(item(number)));
        }
    }
    assert_eq!(node.accepted(), 1);
}

#[tokio::test]
async fn subscriptions_and_requests_share_a_socket_and_give_it_back() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let mut one = subscribe(&pool, 0).await.unwrap();
    let mut other = subscribe(&pool, 0).await.unwrap();
    ask(&pool, "push", json!(["0x2", 1])).await.unwrap();
    ask(&pool, "push", json!(["0x1", 2])).await.unwrap();
    assert_eq!(soon(other.next()).await, Some(item(0)));
    assert_eq!((soon(one.next()).await, soon(one.next()).await), (Some(item(0)), Some(item(1))));
    assert_eq!((levels(&pool).active, node.accepted()), (1, 1));
    drop(one);
    ask(&pool, "push", json!(["0x1", 5])).await.unwrap();
    assert_eq!(levels(&pool).active, 1);
    drop(other);
    until("it is given back", || levels(&pool).idle == 1).await;
}

#[tokio::test]
async fn a_slow_subscriber_misses_items_and_holds_up_nobody() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let mut slow = subscribe(&pool, 0).await.unwrap();
    let mut other = subscribe(&pool, 0).await.unwrap();
    ask(&pool, "push", json!(["0x1", 10_000])).await.unwrap();
    ask(&pool, "push", json!(["0x2", 1])).await.unwrap();
    assert_eq!(soon(other.next()).await, Some(item(0)));
    let mut taken = 0;
    while let Some(Notice::Item(_)) = soon(slow.next()).await {
        taken += 1;
    }
    assert!((1..10_000).contains(&taken), "{taken}");
    ask(&pool, "push", json!(["0x1", 1])).await.unwrap();
    assert_eq!(soon(slow.next()).await, Some(item(0)));
}

#[tokio::test]
async fn a_subscription_ends_with_its_connection_after_what_has_come() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let mut subscription = subscribe(&pool, 3).await.unwrap();
    ask(&pool, "end", json!([])).await.unwrap_err();
    for number in 0..3 {
        assert_eq!(soon(subscription.next()).await, Some(item(number)));
    }
    assert_eq!(soon(subscription.next()).await, None);
    drop(subscription);
    let mut again = subscribe(&pool, 1).await.unwrap();
    assert_eq!((soon(again.next()).await, node.accepted()), (Some(item(0)), 2));
}

#[tokio::test]
async fn a_subscription_does_not_keep_a_connection_that_is_to_be_replaced() {
    let node = Node::new().await;
    let life = Settings { max_lifetime: Some(Duration::from_millis(50)), ..Settings::default() };
    let short = pool_with(route(&node.url()), 1, life);
    let drained = node.pool(1);
    for pool in [short, drained.clone()] {
        let mut subscription = subscribe(&pool, 0).await.unwrap();
        drained.drain();
        assert_eq!(soon(subscription.next()).await, None);
        drop(subscription);
        let before = node.accepted();
        ask(&pool, "echo", json!([1])).await.unwrap();
        assert_eq!(node.accepted(), before + 1);
    }
}

#[tokio::test]
async fn it_is_ended_at_the_node_by_its_id() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let subscription = subscribe(&pool, 0).await.unwrap();
    soon(subscription.unsubscribe("eth_unsubscribe")).await;
    let last = node.seen.requests.lock().unwrap().pop().unwrap();
    assert_eq!((&last["method"], &last["params"]), (&json!("eth_unsubscribe"), &json!(["0x1"])));
    until("it is given back", || levels(&pool).idle == 1).await;
}

#[tokio::test]
async fn it_may_be_given_up_while_it_is_made() {
    let node = Node::new().await;
    let pool = node.pool(1);
    let request = Request::bare("never");
    let call = Call::new(Some(Duration::from_millis(20)));
    let error = pool.subscribe(&request, Timeout::Default, &call).await.err().unwrap();
    assert_eq!(error.kind(), Kind::RequestTimeout);
    until("nothing in use", || levels(&pool).active == 0).await;
    assert!(subscribe(&pool, 0).await.is_ok());
}

#[tokio::test]
async fn a_result_that_is_no_id_and_a_node_without_a_socket_are_errors() {
    let node = Node::new().await;
    let request = Request::new("echo", "[null]").unwrap();
    let call = Call::new(Some(PATIENCE));
    let error = node.pool(1).subscribe(&request, Timeout::Default, &call).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Protocol);
    let server = scripted(Options::default(), echo).await;
    let pool = pool(route(&server.url()), 1);
    assert!(!pool.is_socket());
    let error = pool.subscribe(&request, Timeout::Default, &call).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Configuration);
}

#[tokio::test]
async fn a_lease_has_a_socket_of_its_own() {
    let node = Node::new().await;
    let pool = node.pool(2);
    let mut subscription = subscribe(&pool, 0).await.unwrap();
    let alone = lease(&pool).await;
    assert_eq!(call_on(&alone, json!([1]), of_ms(10_000)).await.unwrap(), json!(1));
    assert_eq!((node.accepted(), levels(&pool).active), (2, 2));
    pool.cut_all();
    assert_eq!(soon(subscription.next()).await, None);
}
