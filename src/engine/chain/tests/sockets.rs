//! Subscriptions over a real WebSocket whose node says little, and only when it is told to.

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::engine::chain::{Subscription, Topic};
use crate::engine::credentials::{Field, Question, Secret, Source};
use crate::engine::metrics::Gauge;
use crate::engine::transport::Notice;

const SUBSCRIBE: &str = "eth_subscribe";

/// A node behind a WebSocket.
struct Teller {
    url: String,
    seen: Mutex<Vec<String>>,
    network: Mutex<&'static str>,
    /// Whether the next answer is that it does not know who asks.
    refuses: Mutex<bool>,
    /// The subscriptions that it answers.
    granted: Semaphore,
    /// An item for all subscriptions.
    tells: Notify,
    /// Sockets end.
    cuts: Notify,
}

impl Teller {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Arc::new(Self {
            url: format!("ws://{}/", listener.local_addr().unwrap()),
            seen: Mutex::default(),
            network: Mutex::new("0x1"),
            refuses: Mutex::default(),
            granted: Semaphore::new(1000),
            tells: Notify::new(),
            cuts: Notify::new(),
        });
        let serving = Arc::clone(&node);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        node
    }

    async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (mut sink, mut messages) = accept_async(stream).await.unwrap().split();
        let (mut subscriptions, mut items) = (Vec::<String>::new(), 0);
        loop {
            let texts = tokio::select! {
                () = self.cuts.notified() => return,
                () = self.tells.notified() => {
                    items += 1;
                    subscriptions.iter().map(|id| notice(id, items)).collect()
                }
                message = messages.next() => {
                    let Some(Ok(Message::Text(text))) = message else { return };
                    let call: Value = serde_json::from_str(&text).unwrap();
                    let id = format!("{:#x}", subscriptions.len());
                    if call["method"] == SUBSCRIBE {
                        subscriptions.push(id.clone());
                    }
                    vec![self.answer(&call, &id).await]
                }
            };
            for text in texts {
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn answer(&self, call: &Value, id: &str) -> String {
        let method = call["method"].as_str().unwrap();
        self.seen.lock().unwrap().push(method.to_owned());
        let result = match method {
            "eth_chainId" => json!(*self.network.lock().unwrap()),
            "eth_getBlockByNumber" => json!({"number": "0x5", "hash": "0x5", "parentHash": "0x4"}),
            SUBSCRIBE => {
                self.granted.acquire().await.unwrap().forget();
                json!(id)
            }
            _ => json!(true),
        };
        let mut answer = json!({"jsonrpc": "2.0", "id": call["id"], "result": result});
        if method == "eth_gasPrice" && std::mem::take(&mut *self.refuses.lock().unwrap()) {
            let error = json!({"code": -32_000, "message": "invalid api key"});
            answer = json!({"jsonrpc": "2.0", "id": call["id"], "error": error});
        }
        answer.to_string()
    }

    fn asked(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == method).count()
    }

    async fn was_asked(&self, method: &str, times: usize) {
        let asked = async {
            while self.asked(method) < times {
                sleep(5 * MS).await;
            }
        };
        timeout(10 * SECOND, asked).await.unwrap();
    }

    fn route(&self) -> Route {
        Route { target: Target::new(&self.url, None, &TargetOptions::default()).unwrap(), ..route() }
    }
}

fn notice(id: &str, item: u32) -> String {
    json!({"method": "eth_subscription", "params": {"subscription": id, "result": item}}).to_string()
}

/// A chain that may have `most` connections.
async fn chain_over(route: Route, most: usize, settings: Settings) -> Arc<Chain> {
    let scopes = Arc::new(Scopes::within(Arc::default(), Arc::default()));
    let pool = Pool::new(Parts {
        label: Some("eth".into()),
        dialer: Dialer::new(route.clone()).unwrap(),
        gate: Gate::new(most),
        scopes: Scopes::under(Arc::default(), Arc::clone(&scopes)),
        log: Log::silent(),
        quota: None,
        collector: None,
        settings,
    })
    .unwrap();
    let config = ChainConfig {
        endpoints: vec![EndpointConfig { route, rate_limit: None, weight: 1.0, batching: None }],
        network_id: None,
        policy: Policy::default(),
        cache: None,
    };
    let parts = connect::Parts { label: "eth".into(), pools: vec![pool], config, scopes, log: Log::silent() };
    Arc::new(Chain::connect(parts, Arc::new(Call::new(None))).await.unwrap())
}

fn pending(chain: &Arc<Chain>) -> Arc<Subscription> {
    let topic = Topic::new("newPendingTransactions".to_owned(), b"[]", None, 16).unwrap();
    Arc::new(Subscription::new(Arc::clone(chain), topic))
}

async fn next(reader: &Arc<Subscription>) -> Bytes {
    let told = timeout(10 * SECOND, reader.next()).await.unwrap();
    told.unwrap().unwrap().take().unwrap()
}

#[tokio::test]
async fn a_connection_with_a_subscription_takes_requests_while_another_caller_waits_for_it() {
    let node = Teller::start().await;
    let chain = chain_over(node.route(), 1, Settings::default()).await;
    let reader = pending(&chain);
    reader.begin().await.unwrap();
    let pool = chain.pool().clone();
    let lease = tokio::spawn(async move { pool.lease(Timeout::Of(Some(SECOND))).await.map(drop) });
    while !lease.is_finished() {
        ask_within(&chain, "eth_gasPrice", &json!([]), SECOND / 2).await.unwrap();
        sleep(10 * MS).await;
    }
    assert!(lease.await.unwrap().is_err());
    reader.close();
    let freed = chain.pool().lease(Timeout::Of(Some(5 * SECOND))).await;
    assert!(freed.is_ok());
}

#[tokio::test]
async fn a_beginning_that_is_given_up_subscribes_once_and_is_told_once() {
    let node = Teller::start().await;
    let chain = chain_over(node.route(), 2, Settings::default()).await;
    node.granted.forget_permits(1000);
    let reader = pending(&chain);
    for _ in 0..5 {
        assert!(timeout(20 * MS, reader.begin()).await.is_err());
        assert!(timeout(20 * MS, reader.next()).await.is_err());
    }
    node.granted.add_permits(10);
    reader.begin().await.unwrap();
    assert_eq!(node.asked(SUBSCRIBE), 1);
    for item in ["1", "2"] {
        node.tells.notify_one();
        assert_eq!(next(&reader).await, item);
    }
}

#[tokio::test]
async fn who_is_there_after_a_subscription_ended_is_asked_who_it_is_before_it_is_subscribed_to() {
    let node = Teller::start().await;
    let chain = chain_over(node.route(), 2, Settings::default()).await;
    let reader = pending(&chain);
    reader.begin().await.unwrap();
    let before = node.asked("eth_chainId");
    *node.network.lock().unwrap() = "0x5";
    node.cuts.notify_one();
    node.was_asked("eth_chainId", before + 1).await;
    let end = loop {
        if let Err(error) = timeout(10 * SECOND, reader.next()).await.unwrap() {
            break error;
        }
    };
    assert_eq!((end.kind(), node.asked(SUBSCRIBE)), (Kind::ChainMismatch, 1));
    *node.network.lock().unwrap() = "0x1";
    reader.begin().await.unwrap();
    node.tells.notify_one();
    assert_eq!(next(&reader).await, "1");
}

/// More than a socket carries requests at a time.
const MANY: usize = 120;

#[tokio::test]
async fn subscriptions_leave_their_connection_to_requests_and_to_those_who_wait_for_a_place_on_it() {
    let node = Teller::start().await;
    let chain = chain_over(node.route(), 1, Settings::default()).await;
    node.granted.forget_permits(1000);
    let request = Request::new(SUBSCRIBE, r#"["newPendingTransactions"]"#).unwrap();
    let subscribe = || async {
        let call = Call::new(Some(20 * SECOND));
        chain.pool().subscribe(&request, Timeout::Default, &call).await.unwrap()
    };
    let subscriptions = join_all((0..MANY).map(|_| subscribe()));
    let no_params = json!([]);
    // All places are taken before the first subscription is granted, and none is ever given back.
    let (subscriptions, waited, ()) =
        tokio::join!(subscriptions, ask(&chain, "eth_gasPrice", &no_params), async {
            while chain.scopes().own().gauge(Gauge::Waiting) == 0 {
                sleep(MS).await;
            }
            node.granted.add_permits(MANY);
        });
    waited.unwrap();
    assert_eq!((subscriptions.len(), node.asked(SUBSCRIBE)), (MANY, MANY));
    ask(&chain, "eth_gasPrice", &no_params).await.unwrap();
    // The connection is theirs until the last of them ends.
    assert!(chain.pool().lease(Timeout::Of(Some(50 * MS))).await.is_err());
    drop(subscriptions);
    assert!(chain.pool().lease(Timeout::Of(Some(5 * SECOND))).await.is_ok());
}

#[tokio::test]
async fn what_had_come_before_a_connection_was_too_old_is_given() {
    let node = Teller::start().await;
    let settings = Settings { max_lifetime: Some(2 * SECOND), ..Settings::default() };
    let chain = chain_over(node.route(), 2, settings).await;
    let request = Request::new(SUBSCRIBE, r#"["newPendingTransactions"]"#).unwrap();
    let call = Call::new(None);
    let mut subscription = chain.pool().subscribe(&request, Timeout::Default, &call).await.unwrap();
    node.tells.notify_one();
    // On the same socket: what is answered later has come later.
    ask(&chain, "eth_gasPrice", &json!([])).await.unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(subscription.next().await, Some(Notice::Item("1".into())));
    assert_eq!(subscription.next().await, None);
}

/// Makes another key each time.
struct Maker(AtomicUsize);

impl Source for Maker {
    fn ask(&self, question: Question) -> Box<dyn Send + Sync> {
        let key = format!("k7Qm2xV9tR4wZ8bN1cL{}", self.0.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(async move {
            question.answer(Ok(vec![("api_key".to_owned(), Field::Text(Secret::new(key)))]));
        });
        Box::new(())
    }

    fn identity(&self) -> usize {
        7
    }
}

#[tokio::test]
async fn credentials_are_renewed_where_the_only_connection_carries_a_subscription() {
    let node = Teller::start().await;
    let maker = Arc::new(Maker(AtomicUsize::new(0)));
    let target = Target::renewed(&node.url, maker, &TargetOptions::default()).unwrap();
    let chain = chain_over(Route { target, ..route() }, 1, Settings::default()).await;
    let reader = pending(&chain);
    reader.begin().await.unwrap();
    *node.refuses.lock().unwrap() = true;
    for _ in 0..2 {
        ask_within(&chain, "eth_gasPrice", &json!([]), 5 * SECOND).await.unwrap();
    }
    node.was_asked(SUBSCRIBE, 2).await;
    node.tells.notify_one();
    assert_eq!(next(&reader).await, "1");
}
