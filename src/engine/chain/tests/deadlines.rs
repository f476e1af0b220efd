//! A call ends by its deadline, whatever its nodes do.

use tokio::time::Instant;

use super::*;

/// Everything that a node can do to a call.
fn faults() -> Vec<Say> {
    let late = |say| Say::After(700 * MS, Box::new(say));
    let faults = [
        Say::Nothing,
        Say::Status(503),
        Say::Status(500),
        Say::SlowDown(0),
        Say::SlowDown(1),
        Say::SlowDown(30),
        Say::Garbage,
        Say::Gone,
        Say::Error(-32000, "header not found"),
        Say::Error(-32005, "limit exceeded"),
        Say::Error(-32603, "internal error"),
    ];
    faults.iter().cloned().chain(faults.iter().skip(1).cloned().map(late)).collect()
}

async fn took(nodes: &[Say], method: &str) -> (Duration, Result<Value>) {
    let node = |say: &Say| {
        let say = say.clone();
        Node::that(move |_, _| say.clone())
    };
    let nodes: Vec<_> = nodes.iter().map(node).collect();
    let chain = chain(&nodes, None).await;
    let began = Instant::now();
    let result = ask_within(&chain, method, &json!([]), SECOND).await;
    (began.elapsed(), result)
}

/// The clock counts in milliseconds.
fn is_in_time(took: Duration) -> bool {
    took <= SECOND + MS
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_deadline_whatever_its_node_does() {
    for say in faults() {
        for method in ["eth_gasPrice", "eth_sendRawTransaction", "something_that_changes"] {
            let (took, result) = took(std::slice::from_ref(&say), method).await;
            assert!(is_in_time(took) && result.is_err(), "{method} {say:?}: {took:?} {result:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_deadline_whatever_its_two_nodes_do() {
    for one in faults() {
        for other in faults() {
            let (took, result) = took(&[one.clone(), other.clone()], "eth_gasPrice").await;
            assert!(is_in_time(took) && result.is_err(), "{one:?} {other:?}: {took:?} {result:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_answered_by_the_good_one_of_two_nodes_in_time_whatever_the_other_does() {
    let good = Say::After(10 * MS, Box::new(Say::Result(json!("0x1"))));
    for fault in faults() {
        for nodes in [[fault.clone(), good.clone()], [good.clone(), fault.clone()]] {
            let (took, result) = took(&nodes, "eth_gasPrice").await;
            assert!(is_in_time(took) && result.is_ok(), "{fault:?}: {took:?} {result:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_takes_all_of_the_time_and_no_more() {
    let (took, result) = took(&[Say::Nothing, Say::Nothing], "eth_gasPrice").await;
    assert!(took >= SECOND && is_in_time(took), "{took:?}");
    assert_eq!(result.unwrap_err().kind(), Kind::RequestTimeout);
}

#[tokio::test(start_paused = true)]
async fn one_of_many_calls_that_nobody_answers_is_a_request_that_timed_out() {
    let nodes = [Node::that(|_, _| Say::Nothing), Node::that(|_, _| Say::Nothing)];
    let chain = chain(&nodes, None).await;
    let alone = ask_within(&chain, "eth_call", &json!([7]), 5 * SECOND).await.unwrap_err();
    let calls = [("eth_call", json!([7])), ("eth_call", json!([8]))];
    let many = ask_many(&chain, &calls, 2, Timeout::Of(Some(5 * SECOND))).await;
    assert_eq!(alone.kind(), Kind::RequestTimeout);
    for one in many.into_iter().map(Result::unwrap_err) {
        assert_eq!((one.kind(), one.facts().phase), (alone.kind(), alone.facts().phase));
        assert_eq!(one.message(), alone.message());
    }
}
