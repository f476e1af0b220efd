//! One of a chain's endpoints: its pool, and what is known of how it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::ask::{BATCH, Load};
use super::breaker::{Breaker, Circuit};
use super::bundler::Bundler;
use super::reach::Reach;
use super::remedy::{Blame, blame};
use super::score::{Carried, Score};
use crate::engine::blocks::Blocks;
use crate::engine::chain::EndpointConfig;
use crate::engine::chain::flights::Flights;
use crate::engine::error::Error;
use crate::engine::jsonrpc::Request;
use crate::engine::lock::lock;
use crate::engine::pool::Pool;

/// So long an endpoint is not asked for a method that it does not know: a node may be upgraded.
const LACKS_FOR: Duration = Duration::from_mins(10);
/// How many such methods are remembered.
const LACKED: usize = 256;
/// A height that is no height.
const UNKNOWN: u64 = u64::MAX;

/// An endpoint and its state.
pub(in crate::engine::chain) struct Endpoint {
    pool: Pool,
    weight: f64,
    score: Score,
    breaker: Breaker,
    head: AtomicU64,
    lagging: AtomicBool,
    reach: Reach,
    batch: Arc<Reach>,
    /// Puts calls together, where that is wanted.
    bundler: Option<Bundler>,
    /// The question who it is that is under way.
    questions: Flights,
    /// The methods that it does not know, and until when that is believed.
    lacks: Mutex<HashMap<Box<str>, Instant>>,
    /// Why it is left alone, or what went wrong last.
    trouble: Mutex<Option<Error>>,
}

/// How well an endpoint suits a call: lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fitness {
    /// Nothing is known against it.
    Fit,
    /// It is behind the others.
    Lagging,
    /// It asked to slow down, and will be asked when that is over.
    Cooling(Instant),
    /// It did not know the method the last time, or is asked for more than it takes.
    Lacking,
}

impl Endpoint {
    pub(in crate::engine::chain) fn new(pool: Pool, config: &EndpointConfig) -> Self {
        let batch = Arc::<Reach>::default();
        let bundle = |batching| Bundler::new(pool.clone(), batching, Arc::clone(&batch));
        Self {
            bundler: config.batching.map(bundle),
            pool,
            weight: config.weight,
            score: Score::default(),
            breaker: Breaker::default(),
            head: AtomicU64::new(UNKNOWN),
            lagging: AtomicBool::new(false),
            reach: Reach::default(),
            batch,
            questions: Flights::default(),
            lacks: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Its connections.
    pub(in crate::engine::chain) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether it is left alone.
    pub(in crate::engine::chain) fn circuit(&self) -> Circuit {
        self.breaker.circuit()
    }

    /// The newest block that it is known to have.
    pub(in crate::engine::chain) fn head(&self) -> Option<u64> {
        Some(self.head.load(Ordering::Relaxed)).filter(|head| *head != UNKNOWN)
    }

    /// Whether it is behind the others.
    pub(in crate::engine::chain) fn is_lagging(&self) -> bool {
        self.lagging.load(Ordering::Relaxed)
    }

    /// What its answers take, on average.
    pub(in crate::engine::chain) fn latency(&self) -> Option<Duration> {
        self.score.average()
    }

    /// Why it is left alone, or what went wrong last.
    pub(in crate::engine::chain) fn trouble(&self) -> Option<Error> {
        lock(&self.trouble).clone()
    }

    /// How many blocks it searches at a time.
    pub(in crate::engine::chain) const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// How many calls it takes in a batch.
    pub(in crate::engine::chain) fn batch(&self) -> &Reach {
        &self.batch
    }

    /// Who puts this call together with others, if anybody does.
    pub(super) fn bundler(&self, request: &Request) -> Option<&Bundler> {
        self.bundler.as_ref().filter(|_| Bundler::takes(request))
    }

    /// Whether it must say who it is before it is asked anything else.
    pub(in crate::engine::chain) fn is_doubted(&self) -> bool {
        self.pool.is_doubted()
    }

    /// It was away.
    pub(super) fn doubt(&self) {
        self.pool.set_doubted(true);
    }

    /// It is who it was.
    pub(super) fn trust(&self) {
        self.pool.set_doubted(false);
    }

    /// Where those meet who ask it that.
    pub(super) const fn questions(&self) -> &Flights {
        &self.questions
    }

    /// How well it suits what is asked; `None` while it is left alone.
    pub(super) fn fitness(&self, load: Load<'_>, now: Instant) -> Option<Fitness> {
        if !self.breaker.is_closed() {
            return None;
        }
        Some(if self.lacks_now(load.method, now) || self.is_too_small(load, now) {
            Fitness::Lacking
        } else if let Some(until) = self.pool.cools_until(now) {
            Fitness::Cooling(until)
        } else if self.is_lagging() {
            Fitness::Lagging
        } else {
            Fitness::Fit
        })
    }

    /// What one more call of any method is expected to cost here.
    pub(in crate::engine::chain) fn score(&self, now: Instant) -> f64 {
        self.cost("", now)
    }

    /// What one more call of `method` is expected to cost here.
    pub(super) fn cost(&self, method: &str, now: Instant) -> f64 {
        self.score.cost(method, now) / self.weight
    }

    /// What a call of `method` usually takes here.
    pub(in crate::engine::chain) fn usual(&self, method: &str) -> Duration {
        self.score.usual(method)
    }

    /// A call is under way until the guard is dropped.
    pub(super) fn carry(&self) -> Carried<'_> {
        self.score.carry()
    }

    /// A call of `method` was answered.
    pub(super) fn succeeded(&self, method: &str, took: Duration, now: Instant) {
        self.score.took(method, took, now);
        self.breaker.succeeded(now);
    }

    /// A call of `method` failed: whether the endpoint is left alone because of it.
    pub(super) fn failed(
        &self,
        method: &str,
        error: &Error,
        took: Duration,
        can_be_spared: bool,
        now: Instant,
    ) -> bool {
        let opens = match blame(error) {
            Blame::Unasked => return false,
            // An error answer is an answer.
            Blame::None => {
                self.succeeded(method, took, now);
                return false;
            }
            Blame::Lacks => {
                if method != BATCH {
                    self.remember_lack(method, now);
                }
                return false;
            }
            Blame::Failure => {
                self.score.failed(method, now);
                self.breaker.failed(now)
            }
            // It may be this method alone that it refuses.
            Blame::Refusal => can_be_spared && self.breaker.trip(now),
            Blame::Outage => self.breaker.trip(now),
        };
        *lock(&self.trouble) = Some(error.clone());
        opens
    }

    /// It has not answered in good time: whether it is left alone because of it, which it may be if it `can_be_spared`.
    pub(super) fn hung(&self, method: &str, can_be_spared: bool, now: Instant) -> bool {
        self.score.failed(method, now);
        can_be_spared && self.breaker.failed(now)
    }

    /// Leave it alone until a probe finds it well.
    pub(super) fn set_aside(&self, why: Error, now: Instant) {
        self.breaker.trip(now);
        *lock(&self.trouble) = Some(why);
    }

    /// Whether it is time to see whether it is well again.
    pub(super) fn is_probe_due(&self, now: Instant) -> bool {
        self.breaker.probe(now)
    }

    /// What the probe found.
    pub(super) fn probed(&self, found: Result<(), Error>, now: Instant) {
        match found {
            Ok(()) => {
                *lock(&self.trouble) = None;
                self.trust();
                self.score.forget();
                self.breaker.close();
            }
            Err(error) => {
                *lock(&self.trouble) = Some(error);
                self.breaker.stay_open(now);
            }
        }
    }

    pub(super) fn set_head(&self, head: Option<u64>) {
        self.head.store(head.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Whether that is news.
    pub(super) fn set_lagging(&self, lagging: bool) -> bool {
        self.lagging.swap(lagging, Ordering::Relaxed) != lagging
    }

    fn is_too_small(&self, load: Load<'_>, now: Instant) -> bool {
        let blocks = load.blocks.map_or(0, Blocks::count);
        self.reach.is_exceeded(blocks, now) || self.batch.is_exceeded(load.calls as u64, now)
    }

    fn lacks_now(&self, method: &str, now: Instant) -> bool {
        lock(&self.lacks).get(method).is_some_and(|until| now < *until)
    }

    fn remember_lack(&self, method: &str, now: Instant) {
        let mut lacks = lock(&self.lacks);
        if lacks.len() >= LACKED {
            lacks.retain(|_, until| now < *until);
        }
        if lacks.len() < LACKED {
            lacks.insert(method.into(), now + LACKS_FOR);
        }
    }
}
