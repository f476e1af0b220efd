//! A limiter against a naive model of it: one list of what was admitted, gone through anew for every question.
//!
//! Whatever comes and goes, both admit the same callers at the same instants, and the limiter knows the instant
//! beforehand.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep_until};

use super::RateLimiter;
use crate::engine::error::{Kind, Result};

/// What the clock of the model counts in: 10 ms.
type Tick = u64;

fn ticks(count: Tick) -> Duration {
    Duration::from_millis(10 * count)
}

#[derive(Debug, Clone)]
enum Quota {
    /// Units in any window of so many ticks.
    Windows(Vec<(u64, Tick)>),
    /// A bucket of so many units, which gets one more after so many ticks.
    Bucket(u64, Tick),
}

impl Quota {
    fn limiter(&self) -> RateLimiter {
        let made = match self {
            Self::Windows(quotas) => {
                let quotas: Vec<_> = quotas.iter().map(|&(max, span)| (max, ticks(span))).collect();
                RateLimiter::with_windows(&quotas)
            }
            // Ten units in ten intervals: no window, but the rate.
            Self::Bucket(burst, interval) => RateLimiter::new(10, ticks(interval * 10), Some(*burst)),
        };
        made.unwrap()
    }

    fn holds(&self, stamps: &[(Tick, u64)], now: Tick, amount: u64) -> bool {
        match self {
            Self::Windows(quotas) => quotas.iter().all(|&(max, span)| {
                let inside = stamps.iter().filter(|(at, _)| now - at < span);
                inside.map(|(_, units)| units).sum::<u64>() + amount <= max
            }),
            Self::Bucket(burst, interval) => {
                let (mut filled, mut last) = (burst * interval, 0);
                for &(at, units) in stamps.iter().chain([&(now, amount)]) {
                    filled = (filled + at - last).min(burst * interval);
                    last = at;
                    let Some(rest) = filled.checked_sub(units * interval) else { return false };
                    filled = rest;
                }
                true
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Model {
    quota: Quota,
    now: Tick,
    stamps: Vec<(Tick, u64)>,
    /// Numbers of callers, and what they want.
    line: VecDeque<(usize, u64)>,
    /// Which caller went on when.
    admitted: Vec<(usize, Tick)>,
}

impl Model {
    fn new(quota: Quota) -> Self {
        Self { quota, now: 0, stamps: vec![], line: VecDeque::new(), admitted: vec![] }
    }

    fn settle(&mut self) {
        while let Some(&(caller, amount)) = self.line.front()
            && self.quota.holds(&self.stamps, self.now, amount)
        {
            self.line.pop_front();
            self.stamps.push((self.now, amount));
            self.admitted.push((caller, self.now));
        }
    }

    fn go_to(&mut self, until: Tick) {
        while self.now < until {
            self.now += 1;
            self.settle();
        }
    }

    /// How long one more would wait.
    fn wait_for(&self, amount: u64) -> Tick {
        let mut future = self.clone();
        future.line.push_back((usize::MAX, amount));
        future.settle();
        while future.admitted.last().is_none_or(|(caller, _)| *caller != usize::MAX) {
            future.go_to(future.now + 1);
        }
        future.now - self.now
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Pause(Tick),
    /// Somebody comes for so many units, with so much time.
    Come(u64, Option<Tick>),
    /// Somebody takes so many units now or not at all.
    Try(u64),
    /// One of those who came goes away.
    Leave(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u64..40).prop_map(Step::Pause),
        6 => (1_u64..=5, prop::option::weighted(0.5, 0_u64..300)).prop_map(|(n, time)| Step::Come(n, time)),
        1 => (1_u64..=5).prop_map(Step::Try),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..70)
}

/// Everybody who can go on at this instant does.
async fn all_go_on() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Play the steps to both, and compare them after each.
async fn play(quota: Quota, steps: Vec<Step>) {
    let limiter = quota.limiter();
    let mut model = Model::new(quota);
    let start = Instant::now();
    let mut callers: Vec<JoinHandle<Result<Instant>>> = Vec::new();
    let mut refused = Vec::new();
    for step in steps {
        match step {
            Step::Pause(pause) => {
                model.go_to(model.now + pause);
                sleep_until(start + ticks(model.now)).await;
            }
            Step::Come(amount, time) => {
                let wait = model.wait_for(amount);
                assert_eq!(limiter.wait_for(amount).unwrap(), ticks(wait));
                let (limiter, timeout) = (limiter.clone(), time.map(ticks));
                let caller = async move { limiter.acquire(amount, timeout).await.map(|()| Instant::now()) };
                if time.is_none_or(|time| wait <= time) {
                    model.line.push_back((callers.len(), amount));
                    model.settle();
                } else {
                    refused.push(callers.len());
                }
                callers.push(tokio::spawn(caller));
            }
            Step::Try(amount) => {
                let passes = model.line.is_empty() && model.quota.holds(&model.stamps, model.now, amount);
                assert_eq!(limiter.has_capacity(amount).unwrap(), passes);
                assert_eq!(limiter.try_acquire(amount).unwrap(), passes);
                model.stamps.extend(passes.then_some((model.now, amount)));
            }
            Step::Leave(who) if !callers.is_empty() => {
                let who = who.index(callers.len());
                callers[who].abort();
                model.line.retain(|&(caller, _)| caller != who);
                model.settle();
            }
            Step::Leave(_) => {}
        }
        all_go_on().await;
        assert_eq!(limiter.waiting(), model.line.len());
    }
    while !model.line.is_empty() {
        model.go_to(model.now + 1);
    }
    sleep_until(start + ticks(model.now)).await;
    all_go_on().await;
    for (number, caller) in callers.into_iter().enumerate() {
        let at = model.admitted.iter().find(|(admitted, _)| *admitted == number).map(|(_, at)| *at);
        assert!(caller.is_finished(), "a waiter was never woken");
        match caller.await {
            Ok(Ok(resumed)) => assert_eq!(at.map(ticks), Some(resumed - start)),
            Ok(Err(error)) => {
                assert_eq!((error.kind(), at), (Kind::LimiterTimeout, None));
                assert_eq!(error.facts().elapsed, Some(Duration::ZERO), "refused at once or never");
                assert!(refused.contains(&number));
            }
            Err(_) => assert_eq!(at, None, "only those who left are not admitted"),
        }
    }
}

fn run(quota: Quota, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(play(quota, steps));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_admits_what_the_model_admits_when_it_does(max in 5_u64..12, steps in steps()) {
        run(Quota::Windows(vec![(max, 100)]), steps);
    }

    #[test]
    fn several_windows_admit_what_the_model_admits_when_it_does(
        quotas in prop::collection::vec((5_u64..20, 10_u64..200), 2..4),
        steps in steps(),
    ) {
        run(Quota::Windows(quotas), steps);
    }

    #[test]
    fn a_bucket_admits_what_the_model_admits_when_it_does(burst in 5_u64..10, steps in steps()) {
        run(Quota::Bucket(burst, 7), steps);
    }
}
