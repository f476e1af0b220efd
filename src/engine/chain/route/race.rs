//! One call on its way: asked at one endpoint, hedged at another when it is late, moved on when it fails, repeated
//! after a while when it has failed everywhere. The first good answer wins, and the others are given up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, Sleep, sleep};

use super::Router;
use super::ask::Ask;
use super::endpoint::Fitness;
use super::remedy::{Remedy, remedy, wait};
use crate::engine::classify::Effect;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::metrics::Event;

/// A wait as good as endless, for a call that is not hedged.
const NEVER: Duration = Duration::from_hours(24);

/// Who has not answered for so long when the caller gives up counts as hanging.
const HUNG: Duration = Duration::from_secs(1);

pub(super) struct Race<'a, A: Ask> {
    router: &'a Router,
    asks_for: &'a A,
    timeout: Timeout,
    call: &'a Call,
    effect: Effect,
    /// Who was asked in this round.
    tried: Vec<bool>,
    /// Who has not answered yet.
    asked: Vec<Option<Asked>>,
    /// How often it was asked at all.
    asks: u32,
    /// Rounds that are over.
    rounds: u32,
    /// What went wrong last, and with whom.
    error: Option<(usize, Error)>,
}

/// An endpoint that was asked: when, and how far that is.
struct Asked {
    at: Instant,
    call: Arc<Call>,
}

impl Asked {
    /// Whether the endpoint has the request; before, it cannot be blamed.
    fn is_sent(&self) -> bool {
        matches!(self.call.phase(), Phase::Send | Phase::Receive)
    }
}

/// Who answered, and what.
type Answered<T> = (usize, Result<T>);

impl<'a, A: Ask> Race<'a, A> {
    pub(super) fn new(router: &'a Router, asks_for: &'a A, timeout: Timeout, call: &'a Call) -> Self {
        let count = router.endpoints.len();
        let effect = asks_for.effect(|method| router.effect_of(method));
        let (tried, asked) = (vec![false; count], (0..count).map(|_| None).collect());
        Self { router, asks_for, timeout, call, effect, tried, asked, asks: 0, rounds: 0, error: None }
    }

    /// A race that the only endpoint has run into `error`.
    pub(super) fn after(
        router: &'a Router,
        asks_for: &'a A,
        timeout: Timeout,
        call: &'a Call,
        error: Error,
    ) -> Self {
        let mut race = Self::new(router, asks_for, timeout, call);
        race.tried.fill(true);
        race.asks = 1;
        race.heed(0, &error);
        race.error = Some((0, error));
        race
    }

    pub(super) async fn run(mut self) -> Result<A::Output> {
        let router = self.router;
        let mut asks = FuturesUnordered::new();
        let mut late = pin!(self.late());
        loop {
            if asks.is_empty() {
                if let Some(taken) = self.taken().await {
                    return Ok(taken);
                }
                let next = self.next_endpoint().await?;
                asks.push(self.ask(next));
                late.set(self.late());
            }
            tokio::select! {
                biased;
                Some((index, result)) = asks.next() => if let Some(result) = self.settle(index, result) {
                    return self.last_word(index, result).await;
                },
                () = late.as_mut() => {
                    if let Some(other) = self.other() {
                        // Those who hang would keep the connection that the other needs.
                        if router.first().pool().is_full() {
                            asks.clear();
                            self.give_up(Duration::ZERO);
                        }
                        router.scopes.count(Event::Hedge);
                        asks.push(self.ask(other));
                    }
                    late.set(self.late());
                }
            }
        }
    }

    /// Until when the call is not late.
    fn late(&self) -> Sleep {
        let hedged = self.router.policy.hedging
            && self.effect != Effect::Changes
            && self.tried.iter().any(|tried| !tried);
        sleep(if hedged { self.router.pace.late_after(Instant::now()) } else { NEVER })
    }

    /// Who is asked next, if anybody is left.
    fn pick(&self) -> Option<usize> {
        self.router.pick(self.asks_for.load(), &self.tried, Instant::now())
    }

    /// Who else may be asked while somebody is.
    fn other(&self) -> Option<usize> {
        let other = self.pick()?;
        let fitness = self.router.endpoints[other].fitness(self.asks_for.load(), Instant::now());
        // Who cannot answer will not do so sooner.
        if fitness == Some(Fitness::Lacking) {
            return None;
        }
        self.router.hedges.spend().then_some(other)
    }

    fn ask(&mut self, index: usize) -> impl Future<Output = Answered<A::Output>> + use<'a, A> {
        self.tried[index] = true;
        self.asks += 1;
        let call = Arc::new(self.call.part());
        self.asked[index] = Some(Asked { at: Instant::now(), call: Arc::clone(&call) });
        let (router, asks_for, timeout) = (self.router, self.asks_for, self.timeout);
        async move {
            let endpoint = &router.endpoints[index];
            let _carried = endpoint.carry();
            (index, asks_for.ask(endpoint, router.endpoints.len() > 1, timeout, &call).await)
        }
    }

    /// An endpoint has answered: what the caller is told, if that is the end of it.
    fn settle(&mut self, index: usize, result: Result<A::Output>) -> Option<Result<A::Output>> {
        let (router, now) = (self.router, Instant::now());
        let endpoint = &router.endpoints[index];
        let took = self.asked[index].take().map_or(Duration::ZERO, |asked| now.duration_since(asked.at));
        let error = match result {
            Ok(result) => {
                endpoint.succeeded(self.asks_for.load().method, took, now);
                router.pace.took(took, now);
                self.beat_the_others(took, now);
                return Some(Ok(result));
            }
            Err(error) => error,
        };
        router.failed(index, self.asks_for.load().method, &error, took, now);
        self.heed(index, &error);
        if remedy(&error, self.effect) == Remedy::Raise {
            return Some(Err(error));
        }
        self.error = Some((index, error));
        None
    }

    /// Remember what an endpoint takes, if that is what it says.
    fn heed(&self, index: usize, error: &Error) {
        self.asks_for.heed(&self.router.endpoints[index], error, Instant::now());
    }

    /// The hash of a transaction that a node took before its answer was lost.
    async fn taken(&self) -> Option<A::Output> {
        let (Effect::Submits, Some((index, error))) = (self.effect, &self.error) else { return None };
        self.asks_for.taken(self.router.endpoints[*index].pool(), self.call, error).await
    }

    /// What the caller is told in the end. A transaction that was handed in twice may be refused for its first time.
    async fn last_word(&self, index: usize, result: Result<A::Output>) -> Result<A::Output> {
        match result {
            Err(error) if self.effect == Effect::Submits && self.asks > 1 => {
                self.asks_for.settle(self.router.endpoints[index].pool(), self.call, error).await
            }
            result => result,
        }
    }

    /// Those who were asked before, and have not answered yet, hang.
    fn beat_the_others(&mut self, took: Duration, now: Instant) {
        let mut won = false;
        for (index, asked) in self.asked.iter_mut().enumerate() {
            let Some(asked) = asked.take() else { continue };
            if asked.is_sent() && now.duration_since(asked.at) > took {
                won = true;
                self.router.hung(index, self.asks_for.load().method, now);
            }
        }
        if won {
            self.router.scopes.count(Event::HedgeWon);
        }
    }

    /// Nobody waits any more for those who were asked; who has had the request for longer than `patience` hangs.
    fn give_up(&mut self, patience: Duration) {
        let now = Instant::now();
        for (index, asked) in self.asked.iter_mut().enumerate() {
            let hangs = |asked: Asked| asked.is_sent() && now.duration_since(asked.at) > patience;
            if asked.take().is_some_and(hangs) {
                self.router.hung(index, self.asks_for.load().method, now);
            }
        }
    }

    /// Who is asked next: another endpoint, or after a while the first ones again.
    async fn next_endpoint(&mut self) -> Result<usize> {
        let Some((_, error)) = self.error.clone() else {
            let first = self.pick();
            return first.ok_or_else(|| self.router.nobody());
        };
        let remedy = remedy(&error, self.effect);
        if remedy == Remedy::Raise {
            return Err(error);
        }
        if let Some(other) = self.pick() {
            return if self.may_send_more(&error) { Ok(other) } else { Err(error) };
        }
        self.rounds += 1;
        let wait = wait(&error, self.rounds);
        let in_time = self.call.remaining().is_none_or(|rest| wait < rest);
        if remedy != Remedy::Again
            || self.rounds > self.router.policy.retries
            || !in_time
            || !self.may_send_more(&error)
        {
            return Err(error);
        }
        sleep(wait).await;
        self.tried.fill(false);
        self.pick().ok_or(error)
    }

    /// Whether one more request may be sent. What never reached a node did not burden it.
    fn may_send_more(&self, error: &Error) -> bool {
        let may = matches!(error.kind(), Kind::ChainConnection | Kind::ConnectTimeout | Kind::Tls)
            || self.router.retries.spend();
        if may {
            self.router.scopes.count(Event::Retry);
        }
        may
    }
}

/// A call that is given up: who has kept it waiting for long hangs, and no hedge has told so.
impl<A: Ask> Drop for Race<'_, A> {
    fn drop(&mut self) {
        let longest = self.asked.iter().flatten().min_by_key(|asked| asked.at);
        if let Some(asked) = longest {
            self.call.enter(asked.call.phase());
        }
        if self.tried.len() > 1 {
            self.give_up(HUNG.max(self.router.pace.late_after(Instant::now())));
        }
    }
}
