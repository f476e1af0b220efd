//! A node that was away is asked who it is before anything else.

use futures_util::future::join_all;

use super::*;

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
