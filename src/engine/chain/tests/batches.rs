//! Batches: as few requests as the nodes take, and for each call its own answer or error.

use super::*;

const RAW: &str = "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025\
                   a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276\
                   a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
const HASH: &str = "0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788";

fn call(method: &str, params: &Value) -> Request {
    Request::new(method, params.to_string()).unwrap()
}

/// So many calls that are answered by their numbers.
fn numbers(count: usize) -> Vec<Request> {
    (0..count).map(|number| call("eth_call", &json!([number]))).collect()
}

async fn batch(chain: &Chain, requests: &[Request]) -> Vec<Result<Value>> {
    let results = chain.batch(requests, Timeout::Of(Some(10 * SECOND))).await;
    results.into_iter().map(|result| Ok(serde_json::from_slice(&result?).unwrap())).collect()
}

fn are_numbers(results: &[Result<Value>]) -> bool {
    results.iter().enumerate().all(|(number, result)| result.as_ref().is_ok_and(|found| *found == number))
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_request_and_its_results_are_in_order() {
    let node = Node::echo();
    let chain = chain(&[Arc::clone(&node)], None).await;
    let results = batch(&chain, &numbers(50)).await;
    assert!(results.len() == 50 && are_numbers(&results));
    assert_eq!(node.batches(), [50]);
    assert!(batch(&chain, &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_made_in_halves_and_the_size_is_remembered() {
    let node = Node::echo();
    node.most.store(8, Ordering::Relaxed);
    let chain = chain(&[Arc::clone(&node)], None).await;
    assert!(are_numbers(&batch(&chain, &numbers(40)).await));
    let taken = |sizes: &[usize]| sizes.iter().filter(|size| **size <= 8).sum::<usize>();
    let learning = node.batches();
    assert_eq!((learning[0], taken(&learning)), (40, 40));
    assert!(are_numbers(&batch(&chain, &numbers(40)).await));
    let later = node.batches().split_off(learning.len());
    assert!(later.iter().all(|size| *size <= 8) && later.iter().sum::<usize>() == 40, "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_no_batches_is_asked_call_by_call_whatever_it_says_to_them() {
    let invalid = Say::Error(-32_600, "Invalid Request");
    for refusal in [Say::Error(-32_014, "batch too large"), invalid, Say::Status(413)] {
        let node = Node::echo();
        node.most.store(0, Ordering::Relaxed);
        *node.refusal.lock().unwrap() = refusal.clone();
        let chain = chain(&[Arc::clone(&node)], None).await;
        assert!(are_numbers(&batch(&chain, &numbers(5)).await), "{refusal:?}");
        assert_eq!(node.asked("eth_call"), 5, "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_in_the_parts_that_the_best_node_takes() {
    let nodes = [2, 8].map(|most| {
        let node = Node::echo();
        node.most.store(most, Ordering::Relaxed);
        node
    });
    let chain = chain(&nodes, None).await;
    for _ in 0..20 {
        assert!(are_numbers(&batch(&chain, &numbers(16)).await));
    }
    let before = nodes[1].batches().len();
    assert!(are_numbers(&batch(&chain, &numbers(16)).await));
    assert_eq!(nodes[1].batches()[before..], [8, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_to_another_node_when_one_fails() {
    for trouble in [Say::Status(503), Say::Gone, Say::SlowDown(60), Say::Garbage, Say::Nothing] {
        let (bad, good) = (Node::echo(), Node::echo());
        let chain = chain(&[Arc::clone(&bad), Arc::clone(&good)], None).await;
        let say = trouble.clone();
        bad.on(move |_, _| say.clone());
        for _ in 0..5 {
            assert!(are_numbers(&batch(&chain, &numbers(20)).await), "{trouble:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_alone_are_made_again_alone_and_others_are_told() {
    let node = Node::echo();
    let chain = chain(&[Arc::clone(&node)], None).await;
    let seen = AtomicUsize::new(0);
    node.on(move |method, params| match method {
        "eth_call" if params[0] == 0 && seen.fetch_add(1, Ordering::Relaxed) == 0 => {
            Say::Error(429, "Your app has exceeded its compute units per second capacity")
        }
        "eth_estimateGas" => Say::Error(3, "execution reverted"),
        "eth_own" => Say::Error(-32_601, "the method eth_own does not exist"),
        _ => Say::Result(params[0].clone()),
    });
    let mut calls = numbers(5);
    calls.extend([call("eth_estimateGas", &json!([{}])), call("eth_own", &json!([]))]);
    let mut results = batch(&chain, &calls).await;
    let classes = results.split_off(5).into_iter().map(|result| result.unwrap_err().facts().class);
    assert!(classes.eq([Some(Class::Reverted), Some(Class::MethodNotSupported)]));
    assert!(are_numbers(&results));
    let asked = ["eth_call", "eth_estimateGas", "eth_own"].map(|method| node.asked(method));
    assert_eq!((node.batches(), asked), (vec![7], [6, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_all_calls_meet_is_told_once_for_each() {
    let node = Node::that(|_, _| Say::Error(3, "execution reverted"));
    let chain = chain(&[Arc::clone(&node)], None).await;
    let results = batch(&chain, &numbers(3)).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|e| e.kind() == Kind::ExecutionReverted)));
    assert_eq!(node.batches(), [3]);
}

#[tokio::test(start_paused = true)]
async fn reads_that_failed_together_are_made_again_together_and_not_one_by_one() {
    let node = Node::that(|_, _| Say::Status(503));
    let chain = chain(&[Arc::clone(&node)], None).await;
    assert!(batch(&chain, &numbers(3)).await.iter().all(Result::is_err));
    let batches = node.batches();
    assert!(batches.len() > 1 && batches.iter().all(|size| *size == 3), "{batches:?}");
    // It hears of one call before it refuses.
    assert_eq!(node.asked("eth_call"), batches.len());
}

#[tokio::test(start_paused = true)]
async fn each_call_of_a_batch_adds_to_what_may_be_made_again() {
    let node = Node::that(|_, _| Say::Status(503));
    let chain = chain(&[Arc::clone(&node)], None).await;
    let once = async || {
        let before = node.batches().len();
        let _ = batch(&chain, &numbers(20)).await;
        node.batches().len() - before == 1
    };
    while !once().await {}
    node.on(|_, params| Say::Result(params[0].clone()));
    assert!(are_numbers(&batch(&chain, &numbers(300)).await));
    node.on(|_, _| Say::Status(503));
    assert!(!once().await);
}

#[tokio::test(start_paused = true)]
async fn transactions_of_a_batch_whose_answer_was_lost_are_told_by_their_hashes() {
    let node = Node::echo();
    let chain = chain(&[Arc::clone(&node)], None).await;
    let lost = AtomicUsize::new(0);
    node.on(move |method, params| match method {
        "eth_sendRawTransaction" if lost.fetch_add(1, Ordering::Relaxed) == 0 => Say::Gone,
        "eth_sendRawTransaction" => Say::Error(-32_000, "already known"),
        _ => Say::Result(params[0].clone()),
    });
    let calls = [call("eth_call", &json!([0])), call("eth_sendRawTransaction", &json!([RAW]))];
    let results = batch(&chain, &calls).await;
    assert_eq!(*results[0].as_ref().unwrap(), 0);
    assert_eq!(*results[1].as_ref().unwrap(), HASH);
}

#[tokio::test(start_paused = true)]
async fn what_changes_something_is_in_no_second_batch_when_the_answer_was_lost() {
    let node = Node::that(|_, _| Say::Gone);
    let chain = chain(&[Arc::clone(&node), Node::echo()], None).await;
    let calls = [call("personal_newAccount", &json!(["x"])), call("personal_newAccount", &json!(["y"]))];
    for _ in 0..10 {
        let lost = batch(&chain, &calls).await.iter().any(Result::is_err);
        if lost {
            break;
        }
    }
    assert_eq!(node.asked("personal_newAccount"), 1, "the first that met it ended the batch");
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_by_its_deadline_with_an_error_for_each_call() {
    let node = Node::that(|_, _| Say::Nothing);
    let chain = chain(&[node], None).await;
    let began = tokio::time::Instant::now();
    let results = chain.batch(&numbers(3), Timeout::Of(Some(SECOND))).await;
    assert_eq!(began.elapsed(), SECOND);
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|e| e.kind() == Kind::RequestTimeout)));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_in_no_batch_and_what_a_batch_brings_is_kept() {
    let node = Node::that(|_, params| Say::Result(json!({"hash": params[0], "blockNumber": "0x1"})));
    let chain = chain(&[Arc::clone(&node)], Some(1 << 20)).await;
    let blocks = |hashes: &[&str]| -> Vec<_> {
        hashes
            .iter()
            .map(|hash| call("eth_getBlockByHash", &json!([format!("0x{hash:0>64}"), false])))
            .collect()
    };
    assert!(batch(&chain, &blocks(&["a", "b"])).await.iter().all(Result::is_ok));
    let results = batch(&chain, &blocks(&["c", "a", "d", "b"])).await;
    let hashes: Vec<_> =
        results.iter().map(|found| found.as_ref().unwrap()["hash"].as_str().unwrap()).collect();
    assert!(hashes.iter().zip(["c", "a", "d", "b"]).all(|(hash, end)| hash.ends_with(end)), "{hashes:?}");
    assert_eq!((node.batches(), counted(&chain, Event::CacheHit)), (vec![2, 2], 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_beyond_the_limit_of_its_node_goes_in_parts_that_keep_it() {
    let node = Node::echo();
    *node.limit.lock().unwrap() = Some(RateLimiter::new(25, SECOND, None).unwrap());
    let chain = chain(&[Arc::clone(&node)], None).await;
    let began = tokio::time::Instant::now();
    assert!(are_numbers(&batch(&chain, &numbers(60)).await));
    assert_eq!(node.batches(), [25, 25, 10]);
    assert!(began.elapsed() > 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_made_the_calls_before_it_refuses_the_batch_is_asked_for_no_write_twice() {
    let node = Node::echo();
    let chain = chain(&[Arc::clone(&node)], None).await;
    node.is_stingy.store(true, Ordering::Relaxed);
    let taken = AtomicUsize::new(0);
    node.on(move |method, params| match method {
        "eth_sendRawTransaction" if taken.fetch_add(1, Ordering::Relaxed) > 0 => {
            Say::Error(-32_000, "already known")
        }
        _ => Say::Result(params[0].clone()),
    });
    let calls = [
        call("personal_newAccount", &json!(["x"])),
        call("eth_sendRawTransaction", &json!([RAW])),
        call("eth_call", &json!([7])),
    ];
    let results = batch(&chain, &calls).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), Kind::RangeTooLarge);
    assert_eq!((results[1].as_ref().unwrap(), results[2].as_ref().unwrap()), (&json!(HASH), &json!(7)));
    assert_eq!(node.asked("personal_newAccount"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_before_the_deadline_is_given_whatever_the_rest_comes_to() {
    let node = Node::echo();
    let chain = chain(&[Arc::clone(&node)], None).await;
    let seen = AtomicUsize::new(0);
    node.on(move |_, params| match params[0].as_u64() {
        Some(3) if seen.fetch_add(1, Ordering::Relaxed) == 0 => Say::Error(-32_603, "internal error"),
        Some(3) => Say::Nothing,
        _ => Say::Result(params[0].clone()),
    });
    let mut results = batch(&chain, &numbers(4)).await;
    assert_eq!(results.pop().unwrap().unwrap_err().facts().class, Some(Class::Transient));
    assert!(are_numbers(&results));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_each_call_is_no_word_about_batches() {
    for (code, words) in [(-32_005, "query returned more than 10000 results"), (-32_600, "invalid request")] {
        let node = Node::echo();
        let chain = chain(&[Arc::clone(&node)], None).await;
        node.on(move |_, _| Say::Error(code, words));
        assert!(batch(&chain, &numbers(64)).await.iter().all(Result::is_err));
        assert_eq!(node.batches(), [64], "{words}");
        assert_eq!(chain.router.first().batch().most(tokio::time::Instant::now()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn that_a_node_takes_no_batches_is_learned_once() {
    let node = Node::echo();
    node.most.store(0, Ordering::Relaxed);
    let chain = chain(&[Arc::clone(&node)], None).await;
    assert!(are_numbers(&batch(&chain, &numbers(2000)).await));
    assert!(node.batches().len() < 16, "{:?}", node.batches());
}

#[tokio::test(start_paused = true)]
async fn a_method_that_a_node_lacks_keeps_no_other_batches_from_it() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    nodes[0].on(|method, params| match method {
        "trace_block" => Say::Error(-32_601, "the method trace_block does not exist"),
        _ => Say::Result(params[0].clone()),
    });
    let traces: Vec<_> = (0..5).map(|number| call("trace_block", &json!([number]))).collect();
    for _ in 0..10 {
        assert!(are_numbers(&batch(&chain, &traces).await));
    }
    let before = nodes[0].batches().len();
    for _ in 0..50 {
        assert!(are_numbers(&batch(&chain, &numbers(5)).await));
    }
    assert!(nodes[0].batches().len() > before);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_a_batch_is_looked_up_when_nothing_may_be_sent_again() {
    let node = Node::that(|_, _| Say::Status(503));
    let chain = chain(&[Arc::clone(&node)], None).await;
    for _ in 0..300 {
        assert!(ask_within(&chain, "eth_gasPrice", &json!([]), SECOND).await.is_err());
    }
    node.on(|method, params| match method {
        "eth_sendRawTransaction" => Say::Gone,
        _ => Say::Result(params[0].clone()),
    });
    let calls = [call("eth_call", &json!([0])), call("eth_sendRawTransaction", &json!([RAW]))];
    assert_eq!(*batch(&chain, &calls).await[1].as_ref().unwrap(), HASH);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_too_long_is_asked_for_in_parts_and_says_nothing_of_what_the_node_takes() {
    let node = Node::echo();
    node.most.store(2, Ordering::Relaxed);
    *node.refusal.lock().unwrap() = Say::TooLong;
    let chain = chain(&[Arc::clone(&node)], None).await;
    for round in 1..=2 {
        assert!(are_numbers(&batch(&chain, &numbers(4)).await));
        assert_eq!(node.batches(), [4, 2, 2].repeat(round));
    }
}

#[tokio::test(start_paused = true)]
async fn writes_whose_answer_is_too_long_are_not_made_again() {
    let node = Node::echo();
    node.most.store(0, Ordering::Relaxed);
    *node.refusal.lock().unwrap() = Say::TooLong;
    let chain = chain(&[Arc::clone(&node)], None).await;
    let calls = [call("personal_newAccount", &json!(["x"])), call("eth_call", &json!([7]))];
    let results = batch(&chain, &calls).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), Kind::Protocol);
    assert_eq!((node.batches(), node.asked("personal_newAccount")), (vec![2], 0));
}
