//! The limit on a real clock, which no test may hurry.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::RateLimiter;

#[tokio::test]
async fn ten_thousand_waiters_come_in_order_and_no_window_overflows_in_real_time() {
    let (rate, window) = (1000, Duration::from_secs(1));
    let limiter = RateLimiter::new(rate, window, None).unwrap();
    let stamps = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for number in 0..10_000 {
        let (limiter, stamps) = (limiter.clone(), Arc::clone(&stamps));
        tasks.spawn(async move {
            let grant = limiter.grant(1, None).await.unwrap();
            // The limiter's own stamp is between these two, however long the machine pauses.
            let before = Instant::now();
            grant.admit();
            stamps.lock().unwrap().push((number, before, Instant::now()));
        });
    }
    tasks.join_all().await;
    let stamps = stamps.lock().unwrap();
    assert!(stamps.iter().map(|stamp| stamp.0).eq(0..10_000));
    for run in stamps.windows(usize::try_from(rate).unwrap() + 1) {
        let ((_, earliest, _), (_, _, latest)) = (run[0], run[run.len() - 1]);
        assert!(latest - earliest >= window);
    }
}
