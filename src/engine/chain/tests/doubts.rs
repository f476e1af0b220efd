//! A node that was away is asked who it is before anything else.

use futures_util::future::join_all;

use super::*;
use crate::engine::metrics::Gauge;

/// A chain of one node that was away for a moment.
async fn after_an_outage(node: &Arc<Node>) -> Chain {
    let chain = chain(std::slice::from_ref(node), None).await;
    node.on(|_, _| Say::Gone);
    let lost = ask_within(&chain, "eth_gasPrice", &json!([]), 100 * MS).await;
    assert_eq!(lost.unwrap_err().kind(), Kind::ConnectionClosed);
    node.on(|_, params| Say::Result(params[0].clone()));
    chain
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_asked_once_and_used_again() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    node.is_strange.store(true, Ordering::Relaxed);
    node.on(|method, params| match method {
        "eth_chainId" => Say::After(MS, Box::new(Say::Result(json!("0x1")))),
        _ => Say::Result(params[0].clone()),
    });
    let before = node.asked("eth_chainId");
    let params = json!([7]);
    let answers = join_all((0..20).map(|_| ask(&chain, "eth_call", &params))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == 7));
    assert_eq!(node.asked("eth_chainId"), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_in_its_place_is_asked_nothing_until_it_is_gone() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    *node.network.lock().unwrap() = "0x5";
    for _ in 0..3 {
        let refused = ask(&chain, "eth_call", &json!([7])).await;
        assert_eq!(refused.unwrap_err().kind(), Kind::ChainMismatch);
    }
    assert_eq!(node.asked("eth_call"), 0);
    *node.network.lock().unwrap() = "0x1";
    assert_eq!(ask(&chain, "eth_call", &json!([7])).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn no_connection_to_a_stranger_is_leased() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    *node.network.lock().unwrap() = "0x5";
    let leased = chain.connection(Timeout::Default, "here".into()).await;
    assert_eq!(leased.err().map(|error| error.kind()), Some(Kind::ChainMismatch));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_that_answer_ends_by_his_own_deadline() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    node.is_strange.store(true, Ordering::Relaxed);
    node.on(|_, _| Say::Nothing);
    let began = tokio::time::Instant::now();
    let params = json!([7]);
    let first = ask_within(&chain, "eth_call", &params, 30 * SECOND);
    let leased = async {
        sleep(MS).await;
        let leased = chain.connection(Timeout::Of(Some(100 * MS)), "here".into()).await;
        (leased.is_err(), began.elapsed())
    };
    let asked = async {
        sleep(MS).await;
        (ask_within(&chain, "eth_call", &params, SECOND).await.unwrap_err().kind(), began.elapsed())
    };
    let (first, leased, asked) = tokio::join!(first, leased, asked);
    assert!(first.is_err());
    assert_eq!(leased, (true, 101 * MS));
    assert_eq!(asked, (Kind::RequestTimeout, SECOND + MS));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_that_answer_is_counted_with_those_in_line() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    node.is_strange.store(true, Ordering::Relaxed);
    node.on(|_, _| Say::Nothing);
    let waiting = || chain.router.first().pool().scopes().own().gauge(Gauge::Waiting);
    let params = json!([7]);
    let asks = join_all((0..3).map(|_| ask_within(&chain, "eth_call", &params, SECOND)));
    let look = async {
        sleep(MS).await;
        waiting()
    };
    // The first of them has a connection.
    assert_eq!(tokio::join!(asks, look).1, 2);
    assert_eq!(waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_ready_yet_is_no_stranger() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    node.is_strange.store(true, Ordering::Relaxed);
    node.on(|_, _| Say::Error(-32_011, "no backends available for method"));
    let params = json!([7]);
    let ready = async {
        sleep(50 * MS).await;
        node.is_strange.store(false, Ordering::Relaxed);
        node.on(|_, params| Say::Result(params[0].clone()));
    };
    let (told, ()) = tokio::join!(ask(&chain, "eth_call", &params), ready);
    // Retries wait by chance, and may be too soon: then it is told as it is.
    assert!(told.is_ok_and(|told| told == 7) || ask(&chain, "eth_call", &params).await.unwrap() == 7);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_sent_because_of_it_goes_elsewhere() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    nodes[0].on(|_, _| Say::Gone);
    while ask_within(&chain, "personal_newAccount", &json!(["x"]), SECOND).await.is_ok() {}
    let sent = nodes[0].asked("personal_newAccount");
    nodes[0].is_strange.store(true, Ordering::Relaxed);
    nodes[1].on(|_, params| Say::After(SECOND, Box::new(Say::Result(params[0].clone()))));
    let before = nodes[0].asked("eth_chainId");
    for _ in 0..20 {
        assert_eq!(ask(&chain, "personal_newAccount", &json!(["x"])).await.unwrap(), "x");
    }
    assert_eq!(nodes[0].asked("personal_newAccount"), sent);
    assert!(nodes[0].asked("eth_chainId") > before);
}

#[tokio::test(start_paused = true)]
async fn what_is_final_to_a_stranger_is_not_asked_for() {
    let node = Node::echo();
    let chain = chain(std::slice::from_ref(&node), Some(1 << 20)).await;
    node.on(|_, _| Say::Gone);
    let params = json!(["0x5", false]);
    assert!(ask_within(&chain, "eth_getBlockByNumber", &params, 100 * MS).await.is_err());
    *node.network.lock().unwrap() = "0x5";
    node.on(|_, _| Say::Result(json!({"number": "0xff"})));
    sleep(20 * SECOND).await;
    let before = node.asked("eth_getBlockByNumber");
    let refused = ask(&chain, "eth_getBlockByNumber", &params).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::ChainMismatch);
    assert_eq!(node.asked("eth_getBlockByNumber"), before);
}

#[tokio::test(start_paused = true)]
async fn one_of_several_that_was_away_when_its_head_was_asked_for_may_be_a_stranger() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    let head = |method: &str, params: &Value| match method {
        "eth_blockNumber" => Say::Result(json!("0x64")),
        _ => Say::Result(params[0].clone()),
    };
    nodes[0].on(head);
    nodes[1].on(|method, params| match method {
        "eth_blockNumber" => Say::Gone,
        _ => Say::Result(params[0].clone()),
    });
    sleep(4 * SECOND).await;
    nodes[1].on(head);
    *nodes[1].network.lock().unwrap() = "0x5";
    let asked = || ["eth_call", "eth_blockNumber"].map(|method| nodes[1].asked(method));
    let before = asked();
    sleep(10 * SECOND).await;
    for _ in 0..50 {
        assert_eq!(ask(&chain, "eth_call", &json!([7])).await.unwrap(), 7);
    }
    assert_eq!(asked(), before);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_line_when_a_node_goes_away_does_not_ask_a_stranger() {
    let node = Node::echo();
    let chain = connecting(std::slice::from_ref(&node), &Gate::new(1), None, None).await.unwrap();
    node.on(|_, _| Say::After(SECOND, Box::new(Say::Gone)));
    let params = json!([7]);
    let first = ask_within(&chain, "something_that_changes", &params, 10 * SECOND);
    let others = async {
        sleep(MS).await;
        join_all((0..3).map(|_| ask_within(&chain, "personal_send", &params, 10 * SECOND))).await
    };
    let change = async {
        sleep(500 * MS).await;
        *node.network.lock().unwrap() = "0x5";
        node.on(|_, _| Say::Result(json!("stranger")));
    };
    let (first, others, ()) = tokio::join!(first, others, change);
    assert_eq!(kind(first), Some(Kind::ConnectionClosed));
    assert!(others.into_iter().all(|other| kind(other) == Some(Kind::ChainMismatch)));
    assert_eq!(node.asked("personal_send"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_line_when_a_node_goes_away_is_answered_when_it_is_back() {
    for batching in [None, Some(Batching { window: MS, size: 2 })] {
        let node = Node::echo();
        let chain = connecting(std::slice::from_ref(&node), &Gate::new(1), None, batching).await.unwrap();
        node.on(|method, params| match method {
            "something_that_changes" => Say::After(SECOND, Box::new(Say::Gone)),
            _ => Say::Result(params[0].clone()),
        });
        let (before, began) = (node.asked("eth_chainId"), tokio::time::Instant::now());
        let params = json!([7]);
        let first = ask_within(&chain, "something_that_changes", &params, 10 * SECOND);
        let others = async {
            sleep(MS).await;
            let others = (0..4).map(|_| ask_within(&chain, "eth_call", &params, 10 * SECOND));
            (join_all(others).await, began.elapsed())
        };
        let (first, (others, took)) = tokio::join!(first, others);
        // A call that is made again waits by chance; this is none.
        assert!(took <= SECOND + 2 * MS, "{took:?}");
        assert_eq!(kind(first), Some(Kind::ConnectionClosed));
        assert!(others.into_iter().all(|other| other.unwrap() == 7));
        assert_eq!(node.asked("eth_chainId"), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_not_asked_what_became_of_a_transaction() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    for node in &nodes {
        node.on(|_, _| Say::Gone);
        *node.network.lock().unwrap() = "0x5";
    }
    let sent = ask(&chain, "eth_sendRawTransaction", &json!(["0x02aa"])).await;
    assert_eq!(kind(sent), Some(Kind::ChainMismatch));
    assert!(nodes.iter().all(|node| node.asked("eth_getTransactionByHash") == 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_say_who_it_is_keeps_a_transaction_from_another_for_two_seconds() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    let began = tokio::time::Instant::now();
    // Whoever is asked first goes away, and the other takes it.
    let is_first = Arc::new(AtomicBool::new(true));
    for node in &nodes {
        let (is_first, is_gone) = (Arc::clone(&is_first), AtomicBool::new(false));
        node.is_strange.store(true, Ordering::Relaxed);
        node.on(move |method, _| match method {
            "eth_sendRawTransaction" if is_first.swap(false, Ordering::Relaxed) => {
                is_gone.store(true, Ordering::Relaxed);
                Say::Gone
            }
            _ if is_gone.load(Ordering::Relaxed) => Say::Nothing,
            _ => Say::Result(json!("0xhash")),
        });
    }
    assert_eq!(ask(&chain, "eth_sendRawTransaction", &json!(["0x02aa"])).await.unwrap(), "0xhash");
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_whose_first_block_cannot_be_had_at_the_moment_is_not_trusted() {
    let answers = [Say::Error(-32_603, "internal error"), Say::Error(-32_005, "rate limit exceeded")];
    let faults = [Say::Status(503), Say::SlowDown(1), Say::Garbage];
    for trouble in answers.into_iter().chain(faults) {
        let nodes = [Node::echo(), Node::echo()];
        let chain = chain(&nodes, None).await;
        // It has the same number.
        nodes[0].is_strange.store(true, Ordering::Relaxed);
        nodes[0].on(move |method, _| match method {
            "eth_chainId" => Say::Result(json!("0x1")),
            "eth_getBlockByNumber" => trouble.clone(),
            _ => Say::Result(json!("stranger")),
        });
        chain.router.doubt(0);
        for _ in 0..20 {
            assert_eq!(ask(&chain, "eth_call", &json!([7])).await.unwrap(), 7);
            sleep(100 * MS).await;
        }
        assert_eq!(nodes[0].asked("eth_call"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_by_himself_in_the_end_trusts_what_he_hears() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    node.is_strange.store(true, Ordering::Relaxed);
    // To the first who asks it is behind, which is not for the others.
    let count = AtomicUsize::new(0);
    node.on(move |method, params| match method {
        "eth_chainId" if count.fetch_add(1, Ordering::Relaxed) == 0 => {
            Say::After(MS, Box::new(Say::Error(-32_000, "header not found")))
        }
        "eth_chainId" => Say::Result(json!("0x1")),
        _ => Say::Result(params[0].clone()),
    });
    let params = json!([7]);
    let told = join_all((0..2).map(|_| ask(&chain, "eth_call", &params))).await;
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1, "{told:?}");
    assert!(!chain.router.first().is_doubted());
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_stranger_says_so() {
    let node = Node::echo();
    let chain = after_an_outage(&node).await;
    *node.network.lock().unwrap() = "0x5";
    node.on(|_, _| Say::Result(json!("0x64")));
    let status = chain.status().await;
    let failure = status.endpoints[0].failure.as_ref().map(Error::kind);
    assert_eq!((failure, status.head()), (Some(Kind::ChainMismatch), None));
    assert_eq!(node.asked("eth_blockNumber"), 0);
}
