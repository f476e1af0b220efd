//! What is done about a failure at one endpoint, where another may do better.

use super::*;

const SEND: &str = "eth_sendRawTransaction";

#[tokio::test(start_paused = true)]
async fn a_transaction_that_a_late_node_takes_is_not_told_to_be_refused() {
    let mut hedged = 0;
    for _ in 0..16 {
        let taker = Node::that(|method, _| match method {
            SEND => Say::After(3 * SECOND, Box::new(Say::Result(json!("0xhash")))),
            _ => Say::Result(json!("0x1")),
        });
        let other = Node::that(|method, _| match method {
            SEND => Say::Error(-32_000, "insufficient funds for gas * price + value"),
            _ => Say::Result(json!("0x1")),
        });
        let chain = chain(&[Arc::clone(&taker), Arc::clone(&other)], None).await;
        let sent = ask(&chain, SEND, &json!(["0x02aa"])).await;
        // Where the other was asked first it has refused it, and that is all.
        if taker.asked(SEND) == 0 {
            assert_eq!(kind(sent), Some(Class::Rejected.kind()));
        } else {
            assert_eq!(sent.unwrap(), "0xhash");
            hedged += other.asked(SEND);
        }
    }
    assert!(hedged > 0);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_all_refuse_is_refused() {
    let (sent, asked) = sent([3, 2].map(refused_after)).await;
    assert_eq!((sent.unwrap_err().facts().class, asked), (Some(Class::Rejected), [1, 1]));
}

/// What comes of a transaction at two nodes that answer late, and how often they were asked.
async fn sent(says: [Say; 2]) -> (Result<Value>, [usize; 2]) {
    let node = |say: Say| {
        Node::that(move |method, _| match method {
            SEND => say.clone(),
            // The one that is asked for has it.
            _ => Say::Result(json!({"hash": "0x"})),
        })
    };
    let nodes = says.map(node);
    let chain = chain(&nodes, None).await;
    let sent = ask(&chain, SEND, &json!(["0x02aa"])).await;
    (sent, nodes.map(|node| node.asked(SEND)))
}

fn refused_after(time: u32) -> Say {
    Say::After(time * SECOND, Box::new(Say::Error(-32_000, "intrinsic gas too low")))
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_not_told_to_be_refused_while_one_whose_answer_was_lost_has_it() {
    for (lost, refused) in [(2, 4), (4, 2)] {
        let says = [Say::After(lost * SECOND, Box::new(Say::Gone)), refused_after(refused)];
        let (sent, asked) = sent(says).await;
        assert!(sent.is_ok() && asked == [1, 1], "{sent:?} {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_rather_than_the_trouble_of_another() {
    for trouble in [Say::Status(503), Say::Garbage, Say::Status(403)] {
        let says = [Say::After(6 * SECOND, Box::new(trouble)), refused_after(4)];
        let (sent, asked) = sent(says).await;
        assert_eq!((sent.unwrap_err().facts().class, asked), (Some(Class::Rejected), [1, 1]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_is_forbidden_everywhere_leaves_the_others_alone() {
    let say = |method: &str, params: &Value| match method {
        "debug_traceTransaction" => Say::Status(403),
        _ => Say::Result(params[0].clone()),
    };
    let chain = chain(&[Node::that(say), Node::that(say)], None).await;
    let traced = ask(&chain, "debug_traceTransaction", &json!(["0x1"])).await;
    assert_eq!(kind(traced), Some(Kind::Authentication));
    for _ in 0..20 {
        assert_eq!(ask(&chain, "eth_call", &json!([7])).await.unwrap(), 7);
        sleep(50 * MS).await;
    }
}

/// A chain of two nodes, of which the first may be asked three times in all and is faster.
async fn limited() -> (Chain, [Arc<Node>; 2]) {
    let nodes = [Node::echo(), Node::echo()];
    *nodes[0].limit.lock().unwrap() = Some(RateLimiter::new(3, 600 * SECOND, None).unwrap());
    let chain = chain(&nodes, None).await;
    nodes[1].on(|_, params| Say::After(20 * MS, Box::new(Say::Result(params[0].clone()))));
    (chain, nodes)
}

#[tokio::test(start_paused = true)]
async fn a_full_limit_of_one_endpoint_sends_the_call_to_the_other() {
    let (chain, _) = limited().await;
    for method in ["eth_call", "something_that_changes"] {
        for _ in 0..20 {
            assert_eq!(ask_within(&chain, method, &json!([7]), SECOND).await.unwrap(), 7);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_no_answer_that_came_at_once() {
    let (chain, nodes) = limited().await;
    for _ in 0..10 {
        ask_within(&chain, "eth_call", &json!([7]), SECOND).await.unwrap();
    }
    let endpoint = &chain.router.endpoints()[0];
    let before = endpoint.latency();
    nodes[0].on(|_, _| Say::Nothing);
    for _ in 0..10 {
        ask_within(&chain, "eth_getBalance", &json!([7]), SECOND).await.unwrap();
    }
    assert_eq!((endpoint.latency(), endpoint.usual("eth_getBalance")), (before, Duration::ZERO));
    assert_eq!(counted(&chain, Event::BreakerOpened), 0);
}
