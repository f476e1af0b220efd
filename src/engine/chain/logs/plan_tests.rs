//! Searches against nodes that are a function: what is given out is always the whole of it.

use proptest::prelude::*;

use super::*;

/// A node: how many logs a block has, how many blocks and logs it gives, and how it says so.
#[derive(Debug, Clone)]
struct Node {
    logs: Vec<u64>,
    most_blocks: u64,
    most_logs: u64,
    /// What has more logs is cut off without a word.
    is_silent: bool,
    tells: bool,
}

impl Node {
    fn count(&self, blocks: Blocks) -> u64 {
        (blocks.first()..=blocks.last()).map(|block| self.logs[usize::try_from(block).unwrap()]).sum()
    }

    fn ask(&self, blocks: Blocks) -> std::result::Result<u64, Error> {
        let refusal = |suggested| {
            Error::new(Kind::RangeTooLarge, "too much").with(|facts| {
                facts.class = Some(Class::RangeTooLarge);
                facts.suggested = suggested;
            })
        };
        if blocks.count() > self.most_blocks {
            return Err(refusal(self.tells.then_some(Suggestion::Width(self.most_blocks))));
        }
        match self.count(blocks) {
            count if count <= self.most_logs => Ok(count),
            _ if self.is_silent => Ok(self.most_logs),
            _ => Err(refusal(None)),
        }
    }
}

/// What is given out, block rows with their counts, and how many requests that took. Requests end in any order.
fn search(node: &Node, blocks: Blocks, most: usize, mut order: u64) -> Result<(Vec<(Blocks, u64)>, usize)> {
    let (mut plan, mut asked, mut given, mut asks) = (Plan::new(blocks), Vec::new(), Vec::new(), 0);
    let mut reach = None;
    while !plan.is_over() {
        while asked.len() < most {
            let Some(blocks) = plan.next(reach, most) else { break };
            asked.push(blocks);
            asks += 1;
        }
        assert!(!asked.is_empty(), "nothing is under way: {plan:?}");
        assert!(plan.found.len() <= 2 * most, "{plan:?}");
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = asked.swap_remove(usize::try_from(order >> 33).unwrap() % asked.len());
        match node.ask(next) {
            Ok(count) => plan.answered(next, count.to_string().into(), count)?,
            Err(error) => {
                reach = reach.or(node.tells.then_some(node.most_blocks));
                plan.failed(next, error)?;
            }
        }
        while let Some((blocks, text)) = plan.take() {
            let count = str::from_utf8(&text).unwrap().parse().unwrap();
            given.push((blocks, count));
        }
    }
    assert!(asked.is_empty());
    Ok((given, asks))
}

fn check_complete(node: &Node, blocks: Blocks, given: &[(Blocks, u64)]) {
    let mut next = blocks.first();
    for (piece, count) in given {
        assert_eq!((piece.first(), *count), (next, node.count(*piece)));
        next = piece.last() + 1;
    }
    assert_eq!(next, blocks.last() + 1);
}

fn all(node: &Node) -> Blocks {
    Blocks::new(0, node.logs.len() as u64 - 1).unwrap()
}

proptest! {
    #[test]
    fn every_log_is_given_out_once_and_in_order(
        logs in prop::collection::vec(prop_oneof![6 => Just(0_u64), 3 => 0..30_u64, 1 => 0..1000_u64], 1..300),
        most_blocks in 1..400_u64,
        most_logs in prop_oneof![Just(1_000_u64), Just(1_024), Just(10_000)],
        is_silent: bool,
        tells: bool,
        most in 1..9_usize,
        order: u64,
    ) {
        let node = Node { logs, most_blocks, most_logs, is_silent, tells };
        let (given, _) = search(&node, all(&node), most, order).unwrap();
        check_complete(&node, all(&node), &given);
    }
}

#[test]
fn a_told_limit_costs_one_refusal() {
    let node =
        Node { logs: vec![1; 100_000], most_blocks: 2_000, most_logs: 10_000, is_silent: false, tells: true };
    let (given, asks) = search(&node, all(&node), 8, 1).unwrap();
    check_complete(&node, all(&node), &given);
    assert!(asks <= 60, "{asks}");
}

#[test]
fn a_limit_that_is_not_told_costs_few_requests() {
    for (logs, most_blocks) in [(0, 2_000), (5, 100_000), (5, 500), (700, 10_000)] {
        let logs = vec![logs; 100_000];
        let node = Node { logs, most_blocks, most_logs: 10_000, is_silent: false, tells: false };
        let (given, asks) = search(&node, all(&node), 8, 1).unwrap();
        check_complete(&node, all(&node), &given);
        let fewest = (node.count(all(&node)) / 10_000).max(100_000 / most_blocks);
        assert!(asks as u64 <= 3 * fewest + 10, "{asks} of {fewest}");
    }
}

#[test]
fn a_block_that_is_too_much_by_itself_ends_the_search() {
    for is_silent in [true, false] {
        let node =
            Node { logs: vec![0, 5_000, 0], most_blocks: 100, most_logs: 1_000, is_silent, tells: false };
        let error = search(&node, all(&node), 4, 1).unwrap_err();
        assert_eq!(error.kind(), Kind::RangeTooLarge, "{error}");
    }
}

#[test]
fn a_round_number_of_logs_is_believed_of_a_single_block() {
    let node =
        Node { logs: vec![3_000; 10], most_blocks: 2, most_logs: 10_000, is_silent: false, tells: true };
    let (given, _) = search(&node, all(&node), 4, 1).unwrap();
    check_complete(&node, all(&node), &given);
}

#[test]
fn other_errors_are_the_searchs_own() {
    let mut plan = Plan::new(Blocks::new(0, 9).unwrap());
    let first = plan.next(None, 4).unwrap();
    assert_eq!(plan.failed(first, Error::new(Kind::Rpc, "no")).unwrap_err().kind(), Kind::Rpc);
}

#[test]
fn no_more_is_asked_for_than_the_nodes_take_and_than_may_be_kept() {
    let mut plan = Plan::new(Blocks::new(0, 99).unwrap());
    let first = plan.next(Some(10), 2).unwrap();
    assert_eq!(first, Blocks::new(0, 9).unwrap());
    plan.answered(first, Bytes::new(), 0).unwrap();
    let late = plan.next(Some(10), 2).unwrap();
    let next = plan.next(Some(10), 2).unwrap();
    plan.answered(next, Bytes::new(), 0).unwrap();
    // One is here that was not taken, and one that cannot be.
    assert_eq!(plan.next(Some(10), 2), None);
    plan.answered(late, Bytes::new(), 0).unwrap();
    assert_eq!(std::iter::from_fn(|| plan.take()).count(), 3);
    assert!(plan.next(Some(10), 2).is_some());
}

#[test]
fn what_was_not_given_out_is_the_next_again() {
    let mut plan = Plan::new(Blocks::new(0, 0).unwrap());
    let blocks = plan.next(None, 1).unwrap();
    plan.answered(blocks, Bytes::from_static(b"[]"), 0).unwrap();
    let (blocks, text) = plan.take().unwrap();
    assert!(plan.is_over());
    plan.untake(blocks, text.clone());
    assert!(!plan.is_over());
    assert_eq!(plan.take(), Some((blocks, text)));
}

#[test]
fn what_comes_back_in_any_order_is_given_out_again_and_nothing_else_is() {
    let mut plan = Plan::new(Blocks::new(0, 9).unwrap());
    while !plan.is_over() {
        let Some(blocks) = plan.next(Some(3), 8) else { break };
        plan.answered(blocks, "1".into(), 1).unwrap();
    }
    let mut pieces = Vec::new();
    while let Some(piece) = plan.take() {
        pieces.push(piece);
    }
    assert!(plan.is_over() && pieces.len() >= 3, "{pieces:?}");
    for back in [vec![0], vec![1, 0], vec![0, 2, 1], vec![2]] {
        for place in &back {
            let (blocks, text) = pieces[*place].clone();
            plan.untake(blocks, text);
        }
        assert!(!plan.is_over());
        let mut again = Vec::new();
        while let Some(piece) = plan.take() {
            again.push(piece);
        }
        let mut expected: Vec<_> = back.iter().map(|place| pieces[*place].clone()).collect();
        expected.sort_by_key(|(blocks, _)| blocks.first());
        assert_eq!(again, expected);
        assert!(plan.is_over());
    }
}
