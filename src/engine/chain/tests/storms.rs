//! Retries never melt nodes that are in trouble already.

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::*;

/// The callers go on for a minute. A burst of retries is allowed, and over by then.
const MINUTE: u32 = 60;
const AFTER_THE_BURST: u32 = 20;
const BURST: u32 = 200;

/// How often nodes that all say `say` are asked by callers who make so many calls a second: in all of a minute, and
/// in what is left of it after the burst.
async fn load(nodes: u32, rate: u32, say: &Say) -> (u32, u32) {
    let node = |_| {
        let say = say.clone();
        Node::that(move |_, _| say.clone())
    };
    let nodes: Vec<_> = (0..nodes).map(node).collect();
    let chain = chain(&nodes, None).await;
    let began = Instant::now();
    let mut calls: FuturesUnordered<_> = (0..rate * MINUTE)
        .map(|call| {
            let chain = &chain;
            async move {
                sleep_until(began + SECOND * call / rate).await;
                assert!(ask(chain, "eth_gasPrice", &json!([])).await.is_err());
            }
        })
        .collect();
    let asked = || -> usize { nodes.iter().map(|node| node.asked("eth_gasPrice")).sum() };
    let mut in_the_burst = None;
    while calls.next().await.is_some() {
        if began.elapsed() > SECOND * AFTER_THE_BURST {
            in_the_burst.get_or_insert_with(asked);
        }
    }
    let (all, before) = (asked(), in_the_burst.unwrap());
    (u32::try_from(all).unwrap(), u32::try_from(all - before).unwrap())
}

#[tokio::test(start_paused = true)]
async fn nodes_that_all_answer_503_see_less_than_a_fifth_more_than_the_callers_ask() {
    for nodes in 1..=3 {
        for rate in [10, 100, 500] {
            let (all, later) = load(nodes, rate, &Say::Status(503)).await;
            let calls = rate * (MINUTE - AFTER_THE_BURST);
            assert!(later * 5 < calls * 6, "{nodes} nodes, {rate}/s: {later} for {calls}");
            assert!(all * 5 < rate * MINUTE * 6 + BURST * 5, "{nodes} nodes, {rate}/s: {all} in all");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_made_again_as_seldom_as_their_calls_would_be() {
    const CALLS: u32 = 5;
    let node = Node::that(|_, _| Say::Status(503));
    let chain = chain(&[Arc::clone(&node)], None).await;
    let call = Request::new("eth_gasPrice", "[]").unwrap();
    let requests = vec![call; CALLS as usize];
    let mut made = 0;
    for _ in 0..500 {
        assert!(chain.batch(&requests, Timeout::Of(Some(SECOND))).await.iter().all(Result::is_err));
        made += 1;
    }
    let seen = u32::try_from(node.batches().len()).unwrap();
    assert!(made < seen && (seen - BURST / CALLS) * 10 <= made * 11, "{seen} for {made}");
}
