//! Retries never melt nodes that are in trouble already, and a storm leaves nothing behind.

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::engine::metrics::Gauge;

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

/// A number below `sides`, out of a row of them that is the same in every run.
fn dice(seed: &mut u64, sides: u32) -> u32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    u32::try_from((*seed >> 33) % u64::from(sides)).unwrap()
}

/// A node that does one thing or another, sooner or later.
fn moody(seed: u64) -> Arc<Node> {
    let seed = Mutex::new(seed);
    Node::that(move |method, params| {
        if method == "eth_blockNumber" {
            return Say::Result(json!("0x1"));
        }
        let mut seed = seed.lock().unwrap();
        let say = match dice(&mut seed, 20) {
            0 => Say::Nothing,
            1 => Say::Status(503),
            2 => Say::SlowDown(1),
            3 => Say::Garbage,
            4 => Say::Gone,
            5 => Say::Error(-32_603, "internal error"),
            6 => Say::Error(-32_000, "header not found"),
            _ => Say::Result(params[0].clone()),
        };
        Say::After(MS * dice(&mut seed, 300), Box::new(say))
    })
}

/// Asks for something in one of the ways that there are, of which every good result is `name`.
async fn ask_somehow(chain: &Chain, seed: &mut u64, name: &str, time: Duration) -> Vec<Result<Bytes>> {
    const METHODS: [&str; 5] = [
        "eth_call",
        "something_that_changes",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
        "eth_getBlockByHash",
    ];
    let timeout = Timeout::Of(Some(time));
    let way = dice(seed, 4);
    let mut call = || (METHODS[dice(seed, 5) as usize], json!([name]));
    let request = |(method, params): (&str, Value)| Request::new(method, params.to_string()).unwrap();
    match way {
        0 => {
            let requests: Vec<_> = (0..5).map(|_| request(call())).collect();
            chain.batch(&requests, timeout).await
        }
        1 => {
            let calls: Vec<_> = (0..6).map(|_| call()).collect();
            ask_many(chain, &calls, 2, timeout).await
        }
        2 => {
            let leased = chain.connection(timeout, "here".into()).await;
            sleep(MS * 20).await;
            drop(leased);
            vec![]
        }
        _ => vec![chain.request(&request(call()), timeout).await],
    }
}

/// One caller, who comes some time, has some time, and may go before it is over.
async fn caller(chain: &Chain, number: u64, mut seed: u64) {
    sleep(MS * dice(&mut seed, 5000)).await;
    let (time, patience) = (MS * (1 + dice(&mut seed, 3000)), MS * dice(&mut seed, 2000));
    let (name, began) = (number.to_string(), Instant::now());
    let work = ask_somehow(chain, &mut seed, &name, time);
    let results = match number % 2 {
        0 => tokio::time::timeout(patience, work).await.ok(),
        _ => Some(work.await),
    };
    let Some(results) = results else { return };
    assert!(began.elapsed() <= time + 25 * MS, "{number}: {:?} of {time:?} {results:?}", began.elapsed());
    for result in results {
        match result {
            Ok(text) => assert_eq!(text, format!("{name:?}"), "{number}"),
            Err(error) => assert!(!matches!(error.kind(), Kind::ChainMismatch | Kind::PoolClosed), "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_at_whatever_moment_nothing_is_left_behind() {
    for start in 1..=40_u64 {
        let mut seed = start;
        let nodes: Vec<_> =
            (0..=u64::from(dice(&mut seed, 3))).map(|number| moody(start * 1000 + number)).collect();
        let batching = (dice(&mut seed, 2) == 0).then_some(Batching { window: 5 * MS, size: 4 });
        let cache = (dice(&mut seed, 2) == 0).then_some(1 << 20);
        let most = 1 + dice(&mut seed, 6);
        let gate = Gate::new(most as usize);
        let chain = connecting(&nodes, &gate, cache, batching).await.unwrap();
        join_all((0..150).map(|number| caller(&chain, number, start * 77_777 + number))).await;
        sleep(30 * SECOND).await;
        let counters = chain.scopes().own();
        let gauges = [Gauge::InFlight, Gauge::Waiting].map(|gauge| counters.gauge(gauge));
        assert_eq!((gate.used(), gauges), (0, [0, 0]), "{start}");
        let levels = counters.levels().snapshot();
        assert!(
            levels.total() <= u64::from(most) && levels.active + levels.connecting == 0,
            "{start} {levels:?}"
        );
    }
}
