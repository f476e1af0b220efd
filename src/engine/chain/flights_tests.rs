//! Who makes a call, who waits, and what each of them gets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::*;
use crate::engine::classify::Class;

const MS: Duration = Duration::from_millis(1);

/// A node that takes 10 ms, and counts how often it was asked.
#[derive(Default)]
struct Node {
    asked: AtomicUsize,
}

impl Node {
    async fn answers(&self, result: Result<Bytes>, is_settled: bool) -> (Result<Bytes>, bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(10 * MS).await;
        (result, is_settled)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

const GOOD: Result<Bytes> = Ok(Bytes::from_static(b"1"));

fn kind_of(flown: Flown) -> Option<Kind> {
    match flown {
        Flown::Own(Err(error)) | Flown::Shared(Err(error)) => Some(error.kind()),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_equal_calls_ask_once_and_leave_nothing() {
    let (flights, node) = (Flights::default(), Node::default());
    let calls = (0..1000).map(|_| flights.join(b"a", node.answers(GOOD, true)));
    let flown = join_all(calls).await;
    let own = flown.iter().filter(|flown| matches!(flown, Flown::Own(Ok(_)))).count();
    let shared = flown.iter().filter(|flown| matches!(flown, Flown::Shared(Ok(_)))).count();
    assert_eq!((node.asked(), own, shared), (1, 1, 999));
    assert!(flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn different_calls_and_later_ones_ask_for_themselves() {
    let (flights, node) = (Flights::default(), Node::default());
    let two = [b"a", b"b"].map(|call| flights.join(call, node.answers(GOOD, true)));
    join_all(two).await;
    flights.join(b"a", node.answers(GOOD, true)).await;
    assert_eq!(node.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_hands_the_call_over_and_the_others_still_share_it() {
    let (flights, node) = (Flights::default(), Node::default());
    let first = timeout(5 * MS, flights.join(b"a", node.answers(GOOD, true)));
    let others = join_all((0..10).map(|_| flights.join(b"a", node.answers(GOOD, true))));
    let (first, others) = tokio::join!(first, others);
    assert!(first.is_err());
    assert_eq!(others.iter().filter(|flown| matches!(flown, Flown::Own(_))).count(), 1);
    assert_eq!(others.iter().filter(|flown| matches!(flown, Flown::Shared(_))).count(), 9);
    assert_eq!(node.asked(), 2);
    assert!(flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn cancelled_callers_leave_nothing_whoever_they_are() {
    let (flights, node) = (Flights::default(), Node::default());
    for waits in [1, 5, 9] {
        let calls = (0..waits).map(|_| flights.join(b"a", node.answers(GOOD, true)));
        assert!(timeout(5 * MS, join_all(calls)).await.is_err());
        assert!(flights.lock().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_node_is_everybodys() {
    let (flights, node) = (Flights::default(), Node::default());
    let reverted = || Err(Error::new(Kind::ExecutionReverted, "reverted"));
    let flown = join_all((0..5).map(|_| flights.join(b"a", node.answers(reverted(), true)))).await;
    assert_eq!(node.asked(), 1);
    assert!(flown.into_iter().all(|flown| kind_of(flown) == Some(Kind::ExecutionReverted)));
}

#[tokio::test(start_paused = true)]
async fn an_error_about_the_time_of_one_is_nobody_elses() {
    for kind in [Kind::PoolTimeout, Kind::RequestTimeout, Kind::LimiterTimeout, Kind::ProviderRateLimit] {
        let (flights, node) = (Flights::default(), Node::default());
        let class = (kind == Kind::ProviderRateLimit).then_some(Class::RateLimited);
        let no_time = Error::new(kind, "no time").with(|facts| facts.class = class);
        let late = flights.join(b"a", node.answers(Err(no_time), true));
        let others = join_all((0..3).map(|_| flights.join(b"a", node.answers(GOOD, true))));
        let (late, others) = tokio::join!(late, others);
        assert_eq!(kind_of(late), Some(kind));
        assert!(others.into_iter().all(|flown| kind_of(flown).is_none()));
        assert_eq!(node.asked(), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_something_else_by_now_is_not_shared() {
    let behind = || Err(Error::new(Kind::NodeBehind, "not yet"));
    for result in [GOOD, behind()] {
        let (flights, node) = (Flights::default(), Node::default());
        let calls = (0..3).map(|_| flights.join(b"a", node.answers(result.clone(), false)));
        let flown = join_all(calls).await;
        assert_eq!(flown.iter().filter(|flown| matches!(flown, Flown::Alone)).count(), 2);
        assert_eq!(node.asked(), 1);
    }
}
