//! Searches for logs: what is given out, and whose errors they are.

use super::*;
use crate::engine::chain::{LogFilter, LogOptions, LogStream};

/// A node whose chain ends with block 64, and which says this of the blocks that are searched.
fn of_blocks(say: impl Fn(u64, u64) -> Say + Send + 'static) -> Arc<Node> {
    Node::that(move |method, params| match method {
        "eth_blockNumber" => Say::Result(json!("0x40")),
        "eth_getLogs" => {
            let at = |name: &str| u64::from_str_radix(&params[0][name].as_str().unwrap()[2..], 16).unwrap();
            say(at("fromBlock"), at("toBlock"))
        }
        _ => Say::Result(json!("0x1")),
    })
}

async fn search(node: Arc<Node>) -> Arc<LogStream> {
    let chain = Arc::new(chain(&[node], None).await);
    let filter = LogFilter::new(br#"[{"fromBlock":0,"toBlock":64}]"#).unwrap();
    let options =
        LogOptions { concurrency: None, each: Timeout::Default, together: Timeout::Of(Some(20 * SECOND)) };
    Arc::new(LogStream::new(chain, filter, options))
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_is_not_taken_comes_again_and_then_the_others() {
    let stream = search(of_blocks(|first, last| {
        if last - first >= 10 {
            Say::Error(-32_000, "block range is too wide: limited to 10 blocks")
        } else {
            Say::Result(json!([]))
        }
    }))
    .await;
    let (first, second) = (stream.next().await.unwrap().unwrap(), stream.next().await.unwrap().unwrap());
    let second = second.take().unwrap().0;
    drop(first);
    let mut given = Vec::new();
    while let Some(piece) = stream.next().await.unwrap() {
        given.push(piece.take().unwrap().0);
    }
    // The second was taken and does not come again.
    assert_eq!(
        (given[0].first(), given[0].last() + 1, given[1].first()),
        (0, second.first(), second.last() + 1)
    );
    assert!(given[1..].windows(2).all(|pair| pair[0].last() + 1 == pair[1].first()), "{given:?}");
    assert_eq!(given.last().unwrap().last(), 64);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_usable_is_an_error_of_the_chain_without_its_text() {
    for answer in
        [json!(["s3cret".repeat(1000)]), json!([314_159_265]), json!("s3cret"), json!({"s3cret": 1})]
    {
        let stream = search(of_blocks(move |_, _| Say::Result(answer.clone()))).await;
        let error = stream.next().await.err().unwrap();
        assert_eq!((error.kind(), error.facts().chain.as_deref()), (Kind::Protocol, Some("eth")));
        let told = error.message();
        assert!(!told.contains("s3cret") && !told.contains("314159265"), "{told}");
    }
}
