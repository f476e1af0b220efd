//! Who a node is taken for when it is met first.

use super::*;
use crate::engine::family::Family;

async fn met(nodes: &[Arc<Node>]) -> Result<Chain> {
    connecting(nodes, &Gate::new(4), None, None).await
}

/// A node that says the same to whatever it is asked.
fn always(say: Say) -> Arc<Node> {
    let node = Node::that(move |_, _| say.clone());
    node.is_strange.store(true, Ordering::Relaxed);
    node
}

#[tokio::test(start_paused = true)]
async fn a_node_in_trouble_is_not_taken_for_one_of_no_family() {
    let refused = met(&[always(Say::Error(-32_603, "internal error"))]).await.err().unwrap();
    assert_eq!(refused.facts().class, Some(Class::Transient), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_knows_no_question_is_one_of_no_family() {
    let chain = met(&[always(Say::Error(-32_601, "method not found"))]).await.unwrap();
    assert_eq!(chain.identity().family, Family::Generic);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_in_trouble_at_one_question_may_answer_another() {
    let node = Node::that(|method, _| match method {
        "getblockchaininfo" => Say::Result(json!({"chain": "main"})),
        _ => Say::Error(-32_603, "internal error"),
    });
    node.is_strange.store(true, Ordering::Relaxed);
    assert_eq!(met(&[node]).await.unwrap().identity().family, Family::Bitcoin);
}
