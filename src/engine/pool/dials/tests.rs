//! When attempts may begin, with the clock in hand.

use tokio::time::sleep;

use super::*;

fn refused() -> Error {
    Error::new(Kind::ChainConnection, "connection refused")
}

/// Whether an attempt may begin now, without waiting.
async fn begins(dials: &Dials) -> Option<Turn<'_>> {
    timeout(Duration::ZERO, dials.turn()).await.ok().map(|turn| turn.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_few_may_try_until_the_first_has_succeeded_and_then_many() {
    let dials = Dials::new();
    let mut turns = Vec::new();
    while let Some(turn) = begins(&dials).await {
        turns.push(turn);
    }
    assert_eq!(turns.len(), AT_FIRST);
    turns.pop().unwrap().succeeded();
    while let Some(turn) = begins(&dials).await {
        turns.push(turn);
    }
    assert_eq!(turns.len(), MOST);
    dials.doubt();
    turns.truncate(AT_FIRST);
    assert!(begins(&dials).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_holds_up_the_next_one_for_a_second() {
    let dials = Dials::new();
    let turn = dials.turn().await.unwrap();
    assert!(turn.failed(&refused()));
    let _hangs = dials.turn().await.unwrap();
    let began = Instant::now();
    let _next = dials.turn().await.unwrap();
    // The clock counts whole milliseconds.
    let took = began.elapsed();
    assert!(took.abs_diff(PATIENCE) <= Duration::from_millis(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn fewer_than_ten_attempts_begin_in_any_second_however_many_wait() {
    let dials = std::sync::Arc::new(Dials::new());
    let attempts = std::sync::Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (dials, attempts) = (std::sync::Arc::clone(&dials), std::sync::Arc::clone(&attempts));
            tokio::spawn(async move {
                loop {
                    let _probe = if dials.is_down() { dials.probe().await.ok() } else { None };
                    if let Ok(turn) = dials.turn().await {
                        attempts.lock().unwrap().push(Instant::now());
                        sleep(Duration::from_millis(1)).await;
                        turn.failed(&refused());
                    }
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(20)).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let attempts = attempts.lock().unwrap();
    for (at, first) in attempts.iter().enumerate() {
        let within = attempts[at..].iter().filter(|next| next.duration_since(*first) < PATIENCE).count();
        assert!(within < 10, "{within} attempts in a second");
    }
    // Each is at most half a second, and its own time, after the one before.
    assert!(
        attempts.windows(2).all(|pair| pair[1].duration_since(pair[0]) <= Duration::from_millis(503)),
        "{attempts:?}"
    );
    assert!(attempts.len() > 38, "{}", attempts.len());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_attempt_gets_what_it_failed_with() {
    let dials = Dials::new();
    dials.turn().await.unwrap().failed(&refused());
    let probe = dials.probe().await.unwrap();
    assert!(probe.is_some());
    let turn = dials.turn().await.unwrap();
    let fail = async {
        sleep(Duration::from_millis(10)).await;
        turn.failed(&refused().because(refused()))
    };
    let (waits, in_line, told) = tokio::join!(dials.probe(), dials.turn(), fail);
    assert!(told);
    assert!(waits.err().unwrap().cause().is_some() && in_line.err().unwrap().cause().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_delays_and_lets_everybody_go() {
    let dials = Dials::new();
    dials.turn().await.unwrap().failed(&refused());
    assert!(dials.is_down() && dials.failure().is_some() && dials.allowance() == 0);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(dials.allowance(), 1);
    let probe = dials.probe().await.unwrap();
    let turn = dials.turn().await.unwrap();
    assert_eq!(dials.allowance(), 0);
    let succeed = async {
        sleep(Duration::from_millis(10)).await;
        turn.succeeded();
    };
    let (waits, ()) = tokio::join!(dials.probe(), succeed);
    assert!(waits.unwrap().is_none());
    drop(probe);
    assert!(!dials.is_down() && dials.failure().is_none() && dials.allowance() == usize::MAX);
    assert!(begins(&dials).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_leaves_its_turn_to_the_next() {
    let dials = Dials::new();
    dials.turn().await.unwrap().failed(&refused());
    let turn = dials.turn().await.unwrap();
    let began = Instant::now();
    let give_up = async {
        sleep(Duration::from_millis(10)).await;
        drop(turn);
    };
    let (next, ()) = tokio::join!(dials.turn(), give_up);
    assert!(next.is_ok() && began.elapsed() < Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn what_never_came_to_an_attempt_is_no_failure_of_the_endpoint() {
    let dials = Dials::new();
    let turn = dials.turn().await.unwrap();
    assert!(!turn.failed(&Error::new(Kind::Security, "not to be dialled")));
    assert!(!dials.is_down());
}
