//! Whatever callers ask for, delay or cancel, the limit holds and nothing is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::RateLimiter;
use super::tests::assert_bound;

const SECOND: Duration = Duration::from_secs(1);

/// One caller: what it asks for, when, and what it does with it. Times in milliseconds.
type Caller = (u64, u64, Option<u64>, u64, bool);

async fn call(limiter: RateLimiter, caller: Caller, stamps: Arc<Mutex<Vec<(Instant, u64)>>>) {
    let (amount, start, timeout, delay, keep) = caller;
    sleep(Duration::from_millis(start)).await;
    if let Ok(grant) = limiter.grant(amount, timeout.map(Duration::from_millis)).await {
        sleep(Duration::from_millis(delay)).await;
        if keep {
            grant.admit();
            stamps.lock().unwrap().push((Instant::now(), amount));
        }
    }
}

async fn run(limiter: &RateLimiter, callers: Vec<(Caller, Option<u64>)>) -> Vec<(Instant, u64)> {
    let stamps = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for (caller, cancel) in callers {
        let task = call(limiter.clone(), caller, Arc::clone(&stamps));
        let patience = Duration::from_millis(cancel.unwrap_or(1_000_000));
        tasks.spawn(async move {
            let done = tokio::time::timeout(patience, task).await.is_ok();
            assert!(done || cancel.is_some(), "a waiter was never woken");
        });
    }
    tasks.join_all().await;
    Arc::into_inner(stamps).unwrap().into_inner().unwrap()
}

fn callers() -> impl Strategy<Value = Vec<(Caller, Option<u64>)>> {
    let late = prop_oneof![3 => Just(0), 1 => 0_u64..1_500];
    let caller = (1_u64..=5, 0_u64..4_000, prop::option::weighted(0.3, 0_u64..5_000), late, any::<bool>());
    prop::collection::vec((caller, prop::option::weighted(0.3, 0_u64..6_000)), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_callers_do_no_window_overflows_and_nothing_is_lost(max in 5_u64..12, callers in callers()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let limiter = RateLimiter::new(max, SECOND, None).unwrap();
            let stamps = run(&limiter, callers).await;
            assert_bound(&stamps, max, SECOND);
            assert_eq!(limiter.waiting(), 0);
            sleep(SECOND).await;
            assert!(limiter.has_capacity(max).unwrap());
        });
    }

    #[test]
    fn whatever_callers_do_a_bucket_never_gives_more_than_it_holds(callers in callers()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let limiter = RateLimiter::new(10, SECOND, Some(5)).unwrap();
            let stamps = run(&limiter, callers).await;
            for (first, &(from, _)) in stamps.iter().enumerate() {
                let mut units = 0;
                for &(to, amount) in &stamps[first..] {
                    units += amount;
                    assert!(u128::from(units) <= 5 + (to - from).as_millis() / 100);
                }
            }
            assert_eq!(limiter.waiting(), 0);
            sleep(SECOND).await;
            assert!(limiter.has_capacity(5).unwrap());
        });
    }
}
