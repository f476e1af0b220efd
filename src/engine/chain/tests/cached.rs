//! What a chain with a cache asks its nodes for, and what it does not.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::engine::metrics::Gauge;

const SIZE: Option<u64> = Some(1 << 20);
/// Longer than what the endpoints said of finality is believed.
const SLOT: Duration = Duration::from_secs(13);
const BLOCK: &str = "eth_getBlockByNumber";
const HASH: &str = "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A node up to whose block `last` everything is final. To all else it says what `say` says.
fn final_to(last: &Arc<AtomicU64>, say: impl Fn(&str, &Value) -> Say + Send + 'static) -> Arc<Node> {
    let last = Arc::clone(last);
    Node::that(move |method, params| {
        if method == BLOCK && params[0] == "finalized" {
            return Say::Result(json!({"number": hex(last.load(Ordering::Relaxed))}));
        }
        say(method, params)
    })
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// Answers with how often it was asked.
fn counting() -> impl Fn(&str, &Value) -> Say + Send + 'static {
    let count = AtomicU64::new(0);
    move |_, _| Say::After(10 * MS, Box::new(Say::Result(json!(count.fetch_add(1, Ordering::Relaxed)))))
}

async fn at(height: u64) -> (Arc<AtomicU64>, Arc<Node>, Chain) {
    let last = Arc::new(AtomicU64::new(height));
    let node = final_to(&last, counting());
    let chain = chain(std::slice::from_ref(&node), SIZE).await;
    (last, node, chain)
}

/// What two calls in a row are answered.
async fn twice(chain: &Chain, method: &str, params: &Value) -> [u64; 2] {
    let mut found = [0; 2];
    for found in &mut found {
        *found = ask(chain, method, params).await.unwrap().as_u64().unwrap();
    }
    found
}

#[tokio::test(start_paused = true)]
async fn what_is_final_is_asked_for_once_and_what_is_not_each_time() {
    let (_, _, chain) = at(100).await;
    for (height, expected) in [(100, [0, 0]), (101, [1, 2]), (7, [3, 3])] {
        assert_eq!(twice(&chain, BLOCK, &json!([hex(height), false])).await, expected);
    }
    assert_eq!(twice(&chain, "eth_getCode", &json!(["0xaa", "0x64"])).await, [4, 4]);
    assert_eq!(twice(&chain, "eth_getBlockByHash", &json!([HASH, false])).await, [5, 5]);
    assert_eq!((counted(&chain, Event::CacheHit), counted(&chain, Event::CacheMiss)), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn tags_move() {
    let (_, _, chain) = at(100).await;
    for (method, params) in [
        (BLOCK, json!(["latest", false])),
        ("eth_getBalance", json!(["0xaa"])),
        ("eth_call", json!([{}, "safe"])),
        ("eth_gasPrice", json!([])),
    ] {
        let [first, second] = twice(&chain, method, &params).await;
        assert_ne!(first, second, "{method}");
    }
    assert_eq!((counted(&chain, Event::CacheHit), counted(&chain, Event::CacheMiss)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_block_that_becomes_final_is_kept_a_slot_later() {
    let (last, _, chain) = at(100).await;
    let block = json!([hex(101), false]);
    assert_eq!(twice(&chain, BLOCK, &block).await, [0, 1]);
    last.store(101, Ordering::Relaxed);
    assert_eq!(twice(&chain, BLOCK, &block).await, [2, 3]);
    sleep(SLOT).await;
    assert_eq!(twice(&chain, BLOCK, &block).await, [4, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_kept_once_its_block_is_final() {
    let last = Arc::new(AtomicU64::new(100));
    let node = final_to(&last, |_, _| Say::Result(json!({"blockNumber": "0x65"})));
    let chain = chain(std::slice::from_ref(&node), SIZE).await;
    let receipt = async || {
        ask(&chain, "eth_getTransactionReceipt", &json!([HASH])).await.unwrap();
        node.asked("eth_getTransactionReceipt")
    };
    assert_eq!([receipt().await, receipt().await], [1, 2]);
    last.store(101, Ordering::Relaxed);
    sleep(SLOT).await;
    assert_eq!([receipt().await, receipt().await], [3, 3]);
}

#[tokio::test(start_paused = true)]
async fn without_the_tag_only_what_lies_deep_is_kept() {
    let answers = counting();
    let node = Node::that(move |method, params| match method {
        BLOCK if params[0] == "finalized" => Say::Error(-32602, "invalid params"),
        "eth_blockNumber" => Say::Result(json!(hex(2000))),
        method => answers(method, params),
    });
    let chain = chain(std::slice::from_ref(&node), SIZE).await;
    assert_eq!(twice(&chain, BLOCK, &json!([hex(2000 - 1024), false])).await, [0, 0]);
    assert_eq!(twice(&chain, BLOCK, &json!([hex(2000 - 1023), false])).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn final_is_what_all_endpoints_call_so() {
    let nodes = [90, 100].map(|last| final_to(&Arc::new(AtomicU64::new(last)), counting()));
    let chain = chain(&nodes, SIZE).await;
    let asked = || nodes.iter().map(|node| node.asked("eth_getCode")).sum::<usize>();
    twice(&chain, "eth_getCode", &json!(["0xaa", hex(90)])).await;
    assert_eq!(asked(), 1);
    twice(&chain, "eth_getCode", &json!(["0xaa", hex(91)])).await;
    assert_eq!(asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_tell_what_is_final_delays_calls_once_in_a_slot() {
    let node = Node::that(|method, _| match method {
        BLOCK => Say::Nothing,
        _ => Say::Result(json!("0x")),
    });
    let chain = chain(std::slice::from_ref(&node), SIZE).await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let calls = (0..20).map(|number| {
            let params = json!(["0xaa", hex(1 + number)]);
            let chain = &chain;
            async move { ask(chain, "eth_getCode", &params).await.unwrap() }
        });
        join_all(calls).await;
        took.push(began.elapsed());
    }
    assert!(took[0] <= SECOND + 2 * MS && took[1] <= 2 * MS && took[2] <= 2 * MS, "{took:?}");
    assert_eq!(node.asked("eth_getCode"), 60);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_equal_calls_at_a_time_are_one_each_within_its_own_deadline() {
    let node = Node::that(|_, _| Say::After(SECOND, Box::new(Say::Result(json!("it")))));
    let chain = chain(std::slice::from_ref(&node), SIZE).await;
    let params = json!([HASH, false]);
    let began = Instant::now();
    // The first, who makes the call, has not the time; nor has one of the others.
    let calls = (0..100).map(|call| {
        let time = if call % 50 == 0 { 300 * MS } else { 5 * SECOND };
        let (chain, params) = (&chain, &params);
        async move { (ask_within(chain, "eth_getBlockByHash", params, time).await, began.elapsed()) }
    });
    for (call, (result, took)) in join_all(calls).await.into_iter().enumerate() {
        if call % 50 == 0 {
            assert_eq!(result.unwrap_err().kind(), Kind::RequestTimeout);
            assert!((300 * MS..=302 * MS).contains(&took), "{took:?}");
        } else {
            assert_eq!(result.unwrap(), "it");
            assert!(took <= 1310 * MS, "{took:?}");
        }
    }
    assert_eq!(node.asked("eth_getBlockByHash"), 2);
    assert_eq!(counted(&chain, Event::Shared), 97);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_needs_no_node_and_many_calls_find_it_too() {
    let (_, node, chain) = at(100).await;
    let block = Request::new(BLOCK, r#"["0x10",false]"#).unwrap();
    ask(&chain, BLOCK, &json!(["0x10", false])).await.unwrap();
    node.on(|_, _| Say::Nothing);
    let requests = vec![block; 5_000];
    let many = Many { requests, concurrency: Some(4), timeout: Timeout::Of(Some(SECOND)), fail_fast: true };
    let results = many.run(&chain).await.unwrap();
    assert!(results.into_iter().all(|result| result.unwrap() == "0"));
    assert_eq!(counted(&chain, Event::CacheHit), 5_000);
    assert!(chain.scopes().own().gauge(Gauge::CacheBytes) > 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_everything_is_asked_for() {
    let node = Node::that(counting());
    let chain = chain(std::slice::from_ref(&node), None).await;
    assert_eq!(twice(&chain, "eth_getBlockByHash", &json!([HASH, false])).await, [0, 1]);
    assert_eq!(twice(&chain, "eth_getCode", &json!(["0xaa", "0x1"])).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_row_of_calls_does_not_wait_for_the_connection_that_it_keeps() {
    const RECEIPT: &str = "eth_getTransactionReceipt";
    let node = final_to(&Arc::new(AtomicU64::new(100)), |method, params| match method {
        RECEIPT => Say::Result(json!({"blockNumber": "0x1", "of": params[0]})),
        _ => Say::Result(json!("0x1")),
    });
    let chain = connecting(std::slice::from_ref(&node), &Gate::new(1), SIZE, None).await.unwrap();
    let calls = [("eth_gasPrice", json!([])), (RECEIPT, json!(["0xa"])), (RECEIPT, json!(["0xa"]))];
    let began = Instant::now();
    let made = ask_many(&chain, &calls, 1, Timeout::Default).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert!(began.elapsed() < 500 * MS, "{:?}", began.elapsed());
    assert_eq!(node.asked(RECEIPT), 1);
}
