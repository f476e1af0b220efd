//! What callers of a `RateLimiter` see: order, the bound, cancelling, timeouts, several runtimes.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep};

use super::RateLimiter;
use crate::engine::error::{Error, Kind, Phase, Result};

const SECOND: Duration = Duration::from_secs(1);

fn exact(max_rate: u64) -> RateLimiter {
    RateLimiter::new(max_rate, SECOND, None).unwrap()
}

/// Start to wait for `amount`, and be in the line when this returns.
async fn queue(limiter: &RateLimiter, amount: u64, timeout: Option<Duration>) -> JoinHandle<Result<Instant>> {
    let limiter = limiter.clone();
    let task = tokio::spawn(async move { limiter.acquire(amount, timeout).await.map(|()| Instant::now()) });
    yield_now().await;
    task
}

/// When a queued caller went on. A caller that is never woken fails the test instead of hanging it.
async fn resumed(task: JoinHandle<Result<Instant>>) -> Result<Instant> {
    tokio::time::timeout(SECOND * 1_000, task).await.expect("a waiter was never woken").unwrap()
}

pub(super) fn assert_bound(stamps: &[(Instant, u64)], max: u64, span: Duration) {
    let (mut first, mut held) = (0, 0);
    for &(now, amount) in stamps {
        held += amount;
        while now - stamps[first].0 >= span {
            held -= stamps[first].1;
            first += 1;
        }
        assert!(held <= max, "{held} of {max}");
    }
}

fn assert_timeout(error: &Error, elapsed: Duration, retry_after: Duration) {
    assert_eq!(error.kind(), Kind::LimiterTimeout);
    assert_eq!(error.facts().phase, Some(Phase::Limit));
    assert_eq!(error.facts().elapsed, Some(elapsed));
    assert_eq!(error.facts().retry_after, Some(retry_after));
}

#[test]
fn a_bad_argument_is_named() {
    let new = |rate, window, burst| RateLimiter::new(rate, window, burst).unwrap_err().facts().argument;
    assert_eq!(new(0, SECOND, None), Some("max_rate"));
    assert_eq!(new(u64::MAX, SECOND, None), Some("max_rate"));
    assert_eq!(new(1, Duration::ZERO, None), Some("time_window"));
    assert_eq!(new(1, Duration::MAX, None), Some("time_window"));
    assert_eq!(new(1, SECOND, Some(0)), Some("burst"));
    assert_eq!(new(1, SECOND * 86_400, Some(1_000)), Some("burst"));
    let several = |windows: &[_]| RateLimiter::with_windows(windows).unwrap_err().facts().argument;
    assert_eq!(several(&[]), Some("max_rate"));
    assert_eq!(several(&[(1, SECOND); 17]), Some("max_rate"));
    assert_eq!(several(&[(1, SECOND), (0, SECOND)]), Some("max_rate"));
    assert_eq!(several(&[(1, SECOND), (1, Duration::ZERO)]), Some("time_window"));
    let smooth = RateLimiter::new(10, SECOND, Some(4)).unwrap();
    for (limiter, amount) in [(&exact(10), 11), (&exact(10), 0), (&smooth, 5)] {
        let error = limiter.try_acquire(amount).unwrap_err();
        assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("amount")));
        assert!(limiter.has_capacity(amount).is_err());
    }
}

#[test]
fn room_is_granted_at_the_first_poll_without_any_runtime() {
    for burst in [None, Some(2)] {
        let limiter = RateLimiter::new(2, SECOND, burst).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(matches!(pin!(limiter.acquire(1, None)).poll(&mut context), Poll::Ready(Ok(()))));
        }
        let mut waiting = pin!(limiter.acquire(1, Some(SECOND * 2)));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(limiter.waiting(), 1);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }
}

#[test]
fn a_wait_that_began_outside_a_runtime_ends_inside_one() {
    let limiter = exact(1);
    assert!(limiter.try_acquire(1).unwrap());
    let mut waiting = Box::pin(limiter.acquire(1, None));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(waiting).unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_come_in_order_at_the_full_rate_and_no_window_overflows() {
    for (rate, window) in [(100, SECOND), (500, SECOND), (5, SECOND * 60)] {
        let limiter = RateLimiter::new(rate, window, None).unwrap();
        let stamps = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for number in 0..10_000_u64 {
            let (limiter, stamps) = (limiter.clone(), Arc::clone(&stamps));
            tasks.spawn(async move {
                limiter.acquire(1, None).await.unwrap();
                stamps.lock().unwrap().push((number, Instant::now()));
            });
            if number % 97 == 0 {
                sleep(Duration::from_millis(3)).await;
            }
        }
        tasks.join_all().await;
        let stamps = stamps.lock().unwrap();
        assert!(stamps.iter().map(|stamp| stamp.0).eq(0..10_000));
        let times: Vec<_> = stamps.iter().map(|stamp| (stamp.1, 1)).collect();
        assert_bound(&times, rate, window);
        // The first window's units come at once; all others are waited for.
        let full_rate = window * u32::try_from((10_000 - rate) / rate).unwrap();
        let took = times[times.len() - 1].0 - times[0].0;
        assert!(took.mul_f64(0.99) < full_rate, "{took:?} instead of {full_rate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_admitted_late_counts_from_then() {
    let limiter = exact(2);
    let late = limiter.grant(1, None).await.unwrap();
    assert!(limiter.try_acquire(1).unwrap());
    advance(SECOND * 5).await;
    assert!(limiter.try_acquire(1).unwrap());
    assert!(!limiter.has_capacity(1).unwrap(), "the late one still takes a place");
    late.admit();
    advance(SECOND.checked_sub(Duration::from_nanos(1)).unwrap()).await;
    assert!(!limiter.has_capacity(1).unwrap());
    advance(Duration::from_nanos(1)).await;
    assert!(limiter.has_capacity(2).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_behind_a_late_grant_waits_for_its_window() {
    let limiter = exact(1);
    let late = limiter.grant(1, None).await.unwrap();
    let waiter = queue(&limiter, 1, None).await;
    sleep(SECOND * 10).await;
    late.admit();
    let admitted = Instant::now();
    assert!(resumed(waiter).await.unwrap() >= admitted + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_burst_late_to_be_admitted_still_fits_the_bucket() {
    let limiter = RateLimiter::new(10, SECOND, Some(3)).unwrap();
    let grants = [limiter.grant(2, None).await.unwrap(), limiter.grant(1, None).await.unwrap()];
    advance(SECOND * 10).await;
    assert!(!limiter.try_acquire(1).unwrap());
    for grant in grants {
        grant.admit();
    }
    advance(Duration::from_millis(99)).await;
    assert!(!limiter.try_acquire(1).unwrap());
    advance(Duration::from_millis(1)).await;
    assert!(limiter.try_acquire(1).unwrap());
    assert!(!limiter.try_acquire(1).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_the_rest_comes_steadily() {
    let limiter = RateLimiter::new(10, SECOND, Some(5)).unwrap();
    let start = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..8 {
        limiter.acquire(1, None).await.unwrap();
        waits.push(start.elapsed().as_millis());
    }
    assert_eq!(waits, [0, 0, 0, 0, 0, 100, 200, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_heavy_request_at_the_head_is_not_overtaken() {
    let limiter = exact(10);
    assert!(limiter.try_acquire(5).unwrap());
    let heavy = queue(&limiter, 10, None).await;
    let light = queue(&limiter, 1, None).await;
    assert!(!limiter.has_capacity(1).unwrap());
    assert!(!limiter.try_acquire(1).unwrap(), "five units are free, but others came first");
    let heavy = resumed(heavy).await.unwrap();
    assert!(resumed(light).await.unwrap() >= heavy + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_gives_its_place_to_those_behind() {
    let limiter = exact(10);
    let start = Instant::now();
    assert!(limiter.try_acquire(5).unwrap());
    let heavy = queue(&limiter, 10, None).await;
    let light = [queue(&limiter, 3, None).await, queue(&limiter, 2, None).await];
    assert_eq!(limiter.waiting(), 3);
    heavy.abort();
    for task in light {
        assert_eq!(resumed(task).await.unwrap(), start);
    }
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_head_is_cancelled_the_next_one_keeps_the_time() {
    let limiter = exact(1);
    assert!(limiter.try_acquire(1).unwrap());
    let start = Instant::now();
    let head = queue(&limiter, 1, None).await;
    let next = queue(&limiter, 1, None).await;
    head.abort();
    assert_eq!(resumed(next).await.unwrap(), start + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_cancelled_after_it_was_granted_gives_the_room_back() {
    let limiter = exact(1);
    let held = limiter.grant(1, None).await.unwrap();
    let first = queue(&limiter, 1, None).await;
    let second = queue(&limiter, 1, None).await;
    drop(held);
    assert_eq!(limiter.waiting(), 1, "the first is granted, but has not gone on yet");
    first.abort();
    let now = Instant::now();
    assert_eq!(resumed(second).await.unwrap(), now);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_grant_gives_its_room_back() {
    for burst in [None, Some(4)] {
        let limiter = RateLimiter::new(4, SECOND, burst).unwrap();
        let grant = limiter.grant(4, None).await.unwrap();
        let waiter = queue(&limiter, 4, None).await;
        drop(grant);
        let now = Instant::now();
        assert_eq!(resumed(waiter).await.unwrap(), now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_fit_yet_still_profits_from_a_dropped_grant() {
    let limiter = exact(2);
    let start = Instant::now();
    assert!(limiter.try_acquire(1).unwrap());
    let grant = limiter.grant(1, None).await.unwrap();
    advance(SECOND / 2).await;
    let head = queue(&limiter, 2, None).await;
    drop(grant);
    assert_eq!(resumed(head).await.unwrap(), start + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_its_timeout_is_refused_at_once() {
    let limiter = exact(2);
    assert!(limiter.try_acquire(2).unwrap());
    advance(SECOND / 4).await;
    let start = Instant::now();
    let most = SECOND * 3 / 4;
    let too_short = most.checked_sub(Duration::from_nanos(1));
    let error = limiter.acquire(1, too_short).await.unwrap_err();
    assert_timeout(&error, Duration::ZERO, most);
    let in_time = queue(&limiter, 2, Some(most)).await;
    let error = limiter.acquire(1, Some(SECOND)).await.unwrap_err();
    assert_timeout(&error, Duration::ZERO, most + SECOND);
    assert_eq!((start.elapsed(), limiter.waiting()), (Duration::ZERO, 1));
    resumed(in_time).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_told_anew_when_a_grant_was_late() {
    let limiter = exact(2);
    let held = limiter.grant(1, None).await.unwrap();
    let heavy = queue(&limiter, 2, None).await;
    assert_eq!(limiter.wait_for(1).unwrap(), SECOND * 2);
    advance(SECOND / 2).await;
    held.admit();
    assert_eq!(limiter.wait_for(1).unwrap(), SECOND * 2);
    resumed(heavy).await.unwrap();
    assert_eq!(limiter.wait_for(2).unwrap(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn several_windows_hold_at_the_same_time() {
    let limiter = RateLimiter::with_windows(&[(2, SECOND), (5, SECOND * 10)]).unwrap();
    let start = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..8 {
        limiter.acquire(1, None).await.unwrap();
        waits.push(start.elapsed().as_secs());
    }
    assert_eq!(waits, [0, 0, 1, 1, 2, 10, 10, 11]);
    assert_eq!(limiter.try_acquire(3).unwrap_err().facts().argument, Some("amount"));
}

#[tokio::test(start_paused = true)]
async fn a_smooth_wait_longer_than_its_timeout_is_refused_at_once() {
    let limiter = RateLimiter::new(10, SECOND, Some(5)).unwrap();
    assert!(limiter.try_acquire(5).unwrap());
    let waiter = queue(&limiter, 4, None).await;
    let error = limiter.acquire(2, Some(SECOND / 2)).await.unwrap_err();
    assert_timeout(&error, Duration::ZERO, Duration::from_millis(600));
    limiter.acquire(2, Some(Duration::from_millis(601))).await.unwrap();
    resumed(waiter).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_drags_on_ends_at_its_deadline() {
    let limiter = exact(1);
    let never_admitted = limiter.grant(1, None).await.unwrap();
    let patient = queue(&limiter, 1, None).await;
    let start = Instant::now();
    let error = limiter.acquire(1, Some(SECOND * 5 / 2)).await.unwrap_err();
    assert_timeout(&error, SECOND * 5 / 2, SECOND * 2);
    assert_eq!((start.elapsed(), limiter.waiting()), (SECOND * 5 / 2, 1));
    drop(never_admitted);
    resumed(patient).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_runs_out_of_time_makes_room_for_a_lighter_one() {
    let limiter = exact(2);
    let held = limiter.grant(1, None).await.unwrap();
    let start = Instant::now();
    let heavy = queue(&limiter, 2, Some(SECOND * 3 / 2)).await;
    let light = queue(&limiter, 1, None).await;
    assert_eq!(resumed(heavy).await.unwrap_err().kind(), Kind::LimiterTimeout);
    assert_eq!(resumed(light).await.unwrap(), start + SECOND * 3 / 2);
    drop(held);
}

#[test]
fn runtimes_on_several_threads_share_one_limiter_even_if_one_goes_away() {
    let limiter = RateLimiter::new(5, Duration::from_millis(2), None).unwrap();
    let build = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let waiting_for_ever = exact(1);
    assert!(waiting_for_ever.try_acquire(1).unwrap());
    let passed = std::thread::scope(|scope| {
        let work = || {
            build().block_on(async {
                let mut passed = 0;
                for _ in 0..50 {
                    passed += u32::from(limiter.acquire(1, None).await.is_ok());
                }
                passed
            })
        };
        // This one leaves waiters behind when it is dropped.
        scope.spawn(|| {
            build().block_on(async {
                for _ in 0..20 {
                    queue(&limiter, 5, None).await;
                }
            });
        });
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
    });
    assert_eq!((passed, limiter.waiting()), (200, 0));
}
