//! Calls that are put together on the way: fewer requests, and for each caller a call as any other.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::engine::blocks::Blocks;

const WINDOW: Batching = Batching { window: Duration::from_millis(5), size: 10 };

async fn bundling(nodes: &[Arc<Node>]) -> Chain {
    connected(nodes, None, Some(WINDOW)).await
}

async fn numbers(chain: &Chain, count: usize) -> Vec<Result<Value>> {
    let calls: Vec<_> = (0..count).map(|number| json!([number])).collect();
    join_all(calls.iter().map(|params| ask(chain, "eth_call", params))).await
}

fn are_numbers(results: &[Result<Value>]) -> bool {
    results.iter().enumerate().all(|(number, result)| result.as_ref().is_ok_and(|found| *found == number))
}

#[tokio::test(start_paused = true)]
async fn calls_within_the_window_are_one_request_and_a_full_bundle_goes_at_once() {
    let node = Node::echo();
    let chain = bundling(&[Arc::clone(&node)]).await;
    let began = Instant::now();
    assert!(are_numbers(&numbers(&chain, 10).await));
    assert_eq!((node.batches(), began.elapsed()), (vec![10], Duration::ZERO));
    assert!(are_numbers(&numbers(&chain, 7).await));
    assert_eq!((node.batches(), began.elapsed()), (vec![10, 7], WINDOW.window));
    assert!(are_numbers(&numbers(&chain, 1).await));
    assert_eq!(node.batches().len(), 2, "one call goes alone");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_after_a_full_one_has_a_window_of_its_own() {
    let node = Node::echo();
    let chain = bundling(&[Arc::clone(&node)]).await;
    assert!(are_numbers(&numbers(&chain, 10).await));
    let params = json!([1]);
    let later = async |time| {
        sleep(time).await;
        ask(&chain, "eth_call", &params).await.unwrap()
    };
    tokio::join!(later(3 * MS), later(6 * MS));
    assert_eq!(node.batches(), [10, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_may_change_something_goes_alone_as_does_a_search_of_known_blocks() {
    let node = Node::echo();
    let chain = bundling(&[Arc::clone(&node)]).await;
    let write = Request::new("eth_sendTransaction", "[1]").unwrap();
    let search = Request::new("eth_getLogs", "[1]").unwrap().over(Blocks::one(1));
    for request in [write, search] {
        join_all((0..5).map(|_| chain.request(&request, Timeout::Default))).await;
        assert_eq!((node.batches().len(), node.asked(request.method())), (0, 5));
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_has_its_own_answer_or_error_and_its_own_deadline() {
    let node = Node::echo();
    let chain = bundling(&[Arc::clone(&node)]).await;
    node.on(|method, params| match method {
        "eth_estimateGas" => Say::Error(3, "execution reverted"),
        _ => Say::After(2 * SECOND, Box::new(Say::Result(params[0].clone()))),
    });
    let params = json!([1]);
    let began = Instant::now();
    let late = async {
        let result = ask_within(&chain, "eth_call", &params, SECOND).await;
        (result.unwrap_err().kind(), began.elapsed())
    };
    let (late, patient, reverted) =
        tokio::join!(late, ask(&chain, "eth_call", &params), ask(&chain, "eth_estimateGas", &params));
    assert_eq!(late, (Kind::RequestTimeout, SECOND));
    assert_eq!(patient.unwrap(), 1);
    assert_eq!(reverted.unwrap_err().kind(), Kind::ExecutionReverted);
    assert_eq!(node.batches(), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_given_up_with_the_last_who_waits_for_it() {
    let node = Node::that(|_, _| Say::Nothing);
    let chain = bundling(&[Arc::clone(&node)]).await;
    let params = json!([1]);
    let calls = (0..3).map(|_| ask_within(&chain, "eth_call", &params, SECOND));
    assert!(join_all(calls).await.iter().all(Result::is_err));
    sleep(MS).await;
    let in_use = chain.scopes().own().levels().snapshot().active;
    assert_eq!((node.batches(), in_use), (vec![3], 0));
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_is_too_large_is_made_in_parts_and_the_next_are_smaller() {
    let node = Node::echo();
    node.most.store(3, Ordering::Relaxed);
    let chain = bundling(&[Arc::clone(&node)]).await;
    assert!(are_numbers(&numbers(&chain, 10).await));
    let learning = node.batches().len();
    assert!(are_numbers(&numbers(&chain, 30).await));
    let later = node.batches().split_off(learning);
    assert!(later.iter().all(|size| *size <= 3), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_bundle_that_failed_find_another_node() {
    for trouble in [Say::Status(503), Say::Gone, Say::SlowDown(60), Say::Garbage, Say::Nothing] {
        let (bad, good) = (Node::echo(), Node::echo());
        let chain = bundling(&[Arc::clone(&bad), good]).await;
        let say = trouble.clone();
        bad.on(move |_, _| say.clone());
        for _ in 0..3 {
            assert!(are_numbers(&numbers(&chain, 10).await), "{trouble:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_beyond_the_limit_of_its_node_goes_in_parts_that_keep_it() {
    let node = Node::echo();
    *node.limit.lock().unwrap() = Some(RateLimiter::new(4, SECOND, None).unwrap());
    let chain = bundling(&[Arc::clone(&node)]).await;
    assert!(are_numbers(&numbers(&chain, 10).await));
    assert_eq!(node.batches(), [4, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn one_failure_of_a_bundle_counts_once() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = bundling(&nodes).await;
    let left = Arc::new(AtomicUsize::new(1));
    for node in &nodes {
        let left = Arc::clone(&left);
        node.on(move |_, params| {
            let is_first = left.swap(0, Ordering::Relaxed) > 0;
            if is_first { Say::Status(503) } else { Say::Result(params[0].clone()) }
        });
    }
    assert!(are_numbers(&numbers(&chain, 10).await));
    assert_eq!(counted(&chain, Event::BreakerOpened), 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_time_to_wait_for_a_limited_node_is_told_at_once() {
    let node = Node::that(|_, _| Say::SlowDown(60));
    let chain = bundling(&[node]).await;
    let params = json!([7]);
    assert!(ask(&chain, "eth_call", &params).await.is_err());
    let began = Instant::now();
    let told = ask(&chain, "eth_call", &params).await.unwrap_err();
    assert_eq!((told.kind(), began.elapsed()), (Kind::ProviderRateLimit, WINDOW.window));
    assert!(told.facts().retry_after.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_before_the_bundle_goes_is_not_in_it() {
    let node = Node::echo();
    let chain = bundling(&[Arc::clone(&node)]).await;
    let params = json!([7]);
    let gone = join_all((0..5).map(|_| ask_within(&chain, "eth_call", &params, MS)));
    let (gone, stays) = tokio::join!(gone, ask(&chain, "eth_call", &params));
    assert!(gone.iter().all(|told| told.as_ref().is_err_and(|error| error.kind() == Kind::RequestTimeout)));
    assert_eq!((stays.unwrap(), node.asked("eth_call"), node.batches().len()), (json!(7), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_row_of_calls_does_not_wait_for_the_connection_that_it_keeps() {
    let node = Node::echo();
    let chain = connecting(std::slice::from_ref(&node), &Gate::new(1), None, Some(WINDOW)).await.unwrap();
    let calls = [("something_that_changes", json!([1])), ("eth_call", json!([2])), ("eth_call", json!([3]))];
    let began = Instant::now();
    let made = ask_many(&chain, &calls, 1, Timeout::Default).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_bundle_counts_though_some_of_its_callers_have_gone() {
    for (gone, calls) in [(0, 1), (0, 4), (3, 1), (1, 3)] {
        let nodes = [Node::echo(), Node::echo()];
        let chain = bundling(&nodes).await;
        for node in &nodes {
            node.on(|_, _| Say::After(100 * MS, Box::new(Say::Status(503))));
        }
        let params = json!([7]);
        // Those who go were there first, or last.
        let stay = || join_all((0..calls).map(|_| ask_within(&chain, "eth_call", &params, 150 * MS)));
        let go = || join_all((0..gone).map(|_| ask_within(&chain, "eth_call", &params, 50 * MS)));
        for _ in 0..20 {
            drop(tokio::join!(stay(), go()));
        }
        assert!(counted(&chain, Event::BreakerOpened) > 0, "{gone} of {}", gone + calls);
    }
}
