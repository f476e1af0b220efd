//! A crowd that waits for a node which hangs finds another one, however many they are.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;

/// What so many callers at once get within ten seconds, and how long the last of them waits.
async fn crowd(chain: &Chain, callers: usize) -> (usize, Duration) {
    let began = Instant::now();
    let params = json!([7]);
    let answers = join_all((0..callers).map(|_| ask(chain, "eth_call", &params))).await;
    (answers.iter().filter(|answer| answer.is_ok()).count(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn more_callers_than_may_be_hedged_leave_a_node_that_hangs() {
    const CALLERS: usize = 1000;
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    let _known = crowd(&chain, 100).await;
    nodes[0].on(|_, _| Say::Nothing);
    let (answered, took) = crowd(&chain, CALLERS).await;
    assert_eq!(answered, CALLERS);
    assert!(took < 3 * SECOND, "{took:?}");
}

/// What so many callers get who wait for a node that hangs, where the only other one comes back after two seconds.
async fn crowd_until_one_is_back(callers: usize) -> (usize, Duration) {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    let _known = crowd(&chain, 100).await;
    chain.router.set_aside(&chain.router.endpoints()[1], Error::new(Kind::RequestTimeout, "it was slow"));
    nodes[1].is_strange.store(true, Ordering::Relaxed);
    nodes[1].on(|_, _| Say::Gone);
    nodes[0].on(|_, _| Say::Nothing);
    let back = async {
        sleep(2 * SECOND).await;
        nodes[1].is_strange.store(false, Ordering::Relaxed);
        nodes[1].on(|_, params| Say::Result(params[0].clone()));
    };
    let (seen, ()) = tokio::join!(crowd(&chain, callers), back);
    seen
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_takes_those_who_wait_for_one_that_hangs() {
    let (answered, took) = crowd_until_one_is_back(250).await;
    assert_eq!(answered, 250);
    assert!(took < 6 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_found_though_those_who_wait_could_hold_every_connection() {
    let (answered, took) = crowd_until_one_is_back(400).await;
    assert_eq!(answered, 400);
    assert!(took < 9 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_few_callers_leave_a_node_that_hangs_when_nothing_may_be_hedged() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    // Slower each time, so that all of these are late, until no more may be hedged.
    for time in [SECOND, 2 * SECOND, 3 * SECOND] {
        for node in &nodes {
            node.on(move |_, params| Say::After(time, Box::new(Say::Result(params[0].clone()))));
        }
        assert_eq!(crowd(&chain, 100).await, (100, time));
    }
    let hedged = counted(&chain, Event::Hedge);
    nodes[0].on(|_, _| Say::Nothing);
    // It is told that it hangs after twice what is usual, which are 3 s by now, and the other one takes as long.
    assert_eq!(crowd(&chain, 20).await.0, 20);
    assert!(counted(&chain, Event::Hedge) - hedged < 5);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_takes_long_everywhere_is_not_taken_for_a_hang() {
    const CALLS: usize = 60;
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    for node in &nodes {
        node.on(|_, params| Say::After(8 * SECOND, Box::new(Say::Result(params[0].clone()))));
    }
    let params = json!([7]);
    let mut asked = 0;
    for round in 0..8 {
        let traced = (0..CALLS).map(|_| ask_within(&chain, "debug_traceBlockByNumber", &params, 60 * SECOND));
        assert!(join_all(traced).await.iter().all(Result::is_ok));
        let all = nodes.iter().map(|node| node.asked("debug_traceBlockByNumber")).sum();
        // The first rounds use up what may be hedged, while it is not known yet what is usual.
        assert!(round < 4 || all - asked <= CALLS + CALLS / 5, "{} for {CALLS}", all - asked);
        asked = all;
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_hedged_as_soon_as_it_is_late() {
    for usual in [100, 260, 450] {
        let nodes = [Node::echo(), Node::echo()];
        let chain = chain(&nodes, None).await;
        let usual = usual * MS;
        for node in &nodes {
            node.on(move |_, params| Say::After(usual, Box::new(Say::Result(params[0].clone()))));
        }
        for _ in 0..40 {
            assert_eq!(crowd(&chain, 1).await.0, 1);
        }
        nodes[0].on(|_, _| Say::Nothing);
        for _ in 0..4 {
            let (answered, took) = crowd(&chain, 1).await;
            assert!(answered == 1 && took < usual * 5 / 2, "{usual:?}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_is_not_asked_because_another_is_late() {
    let good = Node::that(|method, _| match method {
        "eth_blockNumber" => Say::Result(json!("0x100")),
        _ => Say::After(SECOND, Box::new(Say::Result(json!("new")))),
    });
    let behind = Node::that(|method, _| match method {
        "eth_blockNumber" => Say::Result(json!("0x10")),
        _ => Say::Result(json!("old")),
    });
    let chain = chain(&[good, Arc::clone(&behind)], None).await;
    sleep(5 * SECOND).await;
    assert!(chain.router.endpoints()[1].is_lagging());
    assert_eq!(ask(&chain, "eth_getBalance", &json!(["0xa", "latest"])).await.unwrap(), "new");
    assert_eq!(behind.asked("eth_getBalance"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_steps_aside_ends_with_the_chain() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = Arc::new(connecting(&nodes, &Gate::new(4), None, None).await.unwrap());
    for node in &nodes {
        node.is_strange.store(true, Ordering::Relaxed);
    }
    nodes[1].on(|_, _| Say::Gone);
    nodes[0].on(|_, _| Say::After(20 * SECOND, Box::new(Say::Gone)));
    let leave = |place: usize| {
        let endpoint = &chain.router.endpoints()[place];
        chain.router.set_aside(endpoint, Error::new(Kind::ChainConnection, "it is gone"));
    };
    leave(1);
    let call = |_| {
        let chain = Arc::clone(&chain);
        let request = Request::new("eth_call", "[7]").unwrap();
        tokio::spawn(async move { chain.request(&request, Timeout::Of(None)).await })
    };
    let calls: Vec<_> = (0..8).map(call).collect();
    // They hang by now, and then nobody is left to ask.
    sleep(1150 * MS).await;
    leave(0);
    sleep(850 * MS).await;
    chain.dismiss();
    chain.pools().for_each(Pool::cut_all);
    for call in calls {
        let ended = tokio::time::timeout(60 * SECOND, call).await.unwrap().unwrap();
        assert!(ended.is_err(), "{ended:?}");
    }
}
