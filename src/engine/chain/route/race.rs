//! One call on its way: asked at one endpoint, hedged at another when it is late, moved on when it fails, repeated
//! after a while when it has failed everywhere. The first good answer wins, and the others are given up.

mod late;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::ask::Ask;
use super::remedy::{Remedy, reached_nobody, remedy, wait};
use super::{Router, doubt, submit};
use crate::engine::classify::Effect;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::metrics::{Event, Why};

/// A wait as good as endless, for a call that is not hedged.
const NEVER: Duration = Duration::from_hours(24);

/// Who has not answered for so long counts as hanging.
const HUNG: Duration = Duration::from_secs(1);

/// A call looks whether it is to be made elsewhere when it is late, then after twice as long each time, and always after
/// this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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
    /// When somebody was asked last, and how often it was looked since whether that is too long ago.
    since: Instant,
    looks: u32,
    /// Whether it was hedged, and whether it has left who hangs at no price.
    hedged: bool,
    moved: bool,
    /// Rounds that are over.
    rounds: u32,
    /// What went wrong last, and with whom; a refusal of what another may have taken stays.
    error: Option<(usize, Error)>,
    /// Whose answers were lost: they may have taken a transaction.
    lost: Vec<usize>,
}

/// An endpoint that was asked: when, and how far that is.
struct Asked {
    at: Instant,
    call: Arc<Call>,
    /// Whether it was told that it hangs.
    is_told: bool,
}

impl Asked {
    /// Whether the endpoint has the request; before, it cannot be blamed.
    fn is_sent(&self) -> bool {
        matches!(self.call.phase(), Phase::Send | Phase::Receive)
    }

    fn hangs(&self, patience: Duration, now: Instant) -> bool {
        !self.is_told && self.is_sent() && now.duration_since(self.at) > patience
    }
}

/// Who answered, and what.
type Answered<T> = (usize, Result<T>);

impl<'a, A: Ask> Race<'a, A> {
    pub(super) fn new(router: &'a Router, asks_for: &'a A, timeout: Timeout, call: &'a Call) -> Self {
        let count = router.endpoints.len();
        let effect = asks_for.effect(|method| router.effect_of(method));
        let (tried, asked) = (vec![false; count], (0..count).map(|_| None).collect());
        Self {
            router,
            asks_for,
            timeout,
            call,
            effect,
            tried,
            asked,
            asks: 0,
            since: Instant::now(),
            looks: 0,
            hedged: false,
            moved: false,
            rounds: 0,
            error: None,
            lost: Vec::new(),
        }
    }

    /// The same after it was asked before and met `error`, wherever that was: any endpoint may tell what came of it.
    pub(super) fn resumed(mut self, error: Error) -> Self {
        let index = self.pick().unwrap_or(0);
        self.asks = 1;
        self.keep(index, error);
        self
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
        router.failed(0, asks_for.load().method, &error, Duration::ZERO, Instant::now());
        race.heed(0, &error);
        race.keep(0, error);
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
                Some((index, result)) = asks.next() => {
                    if let Some(result) = self.settle(index, result) {
                        return self.last_word(index, result).await;
                    }
                    late.set(self.late());
                }
                () = late.as_mut() => {
                    self.looks += 1;
                    self.tell_who_hangs();
                    let is_full = router.first().pool().is_full();
                    let other = self.other();
                    // Those who hang would keep the connection that the other needs, or who looks whether it is back.
                    if is_full && (other.is_some() || self.waits_in_vain()) {
                        asks.clear();
                        self.give_up();
                    }
                    let next = match other {
                        None if asks.is_empty() => Some(self.step_aside().await),
                        other => other,
                    };
                    if let Some(next) = next {
                        asks.push(self.ask(next));
                    }
                    late.set(self.late());
                }
            }
        }
    }

    /// Who is asked next, if anybody is left.
    fn pick(&self) -> Option<usize> {
        self.router.pick(self.asks_for.load(), &self.tried, Instant::now())
    }

    fn ask(&mut self, index: usize) -> impl Future<Output = Answered<A::Output>> + use<'a, A> {
        self.tried[index] = true;
        self.asks += 1;
        (self.since, self.looks) = (Instant::now(), 0);
        let call = Arc::new(self.call.part());
        self.asked[index] = Some(Asked { at: Instant::now(), call: Arc::clone(&call), is_told: false });
        let (router, asks_for, timeout) = (self.router, self.asks_for, self.timeout);
        async move {
            let endpoint = &router.endpoints[index];
            let _carried = endpoint.carry();
            loop {
                if let Err(error) = router.be_sure_of(endpoint, &call).await {
                    return (index, Err(doubt::not_sent(error)));
                }
                match asks_for.ask(endpoint, router.endpoints.len() > 1, timeout, &call).await {
                    // It went away while the call was in line.
                    Err(error) if error.facts().is_unsure => {}
                    result => return (index, result),
                }
            }
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
                self.beat_the_others(index, took, now);
                return Some(Ok(result));
            }
            Err(error) => error,
        };
        router.failed(index, self.asks_for.load().method, &error, took, now);
        self.heed(index, &error);
        // Another may have taken the transaction that this one refuses: who has not answered yet is heard first.
        let is_open = self.effect == Effect::Submits && self.asked.iter().any(Option::is_some);
        let waits = is_open && !submit::may_be_ours(&error);
        if self.is_refusal(&error) && !waits {
            return Some(Err(error));
        }
        self.keep(index, error);
        None
    }

    fn is_refusal(&self, error: &Error) -> bool {
        remedy(error, self.effect) == Remedy::Raise
    }

    fn keep(&mut self, index: usize, error: Error) {
        if self.effect == Effect::Submits && error.kind() == Kind::ConnectionClosed {
            self.lost.push(index);
        }
        if !self.error.as_ref().is_some_and(|(_, before)| self.is_refusal(before)) {
            self.error = Some((index, error));
        }
    }

    /// Remember what an endpoint takes, if that is what it says.
    fn heed(&self, index: usize, error: &Error) {
        self.asks_for.heed(&self.router.endpoints[index], error, Instant::now());
    }

    /// The hash of a transaction that a node took before its answer was lost.
    async fn taken(&mut self) -> Option<A::Output> {
        while let Some(index) = self.lost.pop() {
            let endpoint = &self.router.endpoints[index];
            let asked = async {
                self.router.be_sure_of(endpoint, self.call).await.ok()?;
                self.asks_for.taken(endpoint.pool(), self.call).await
            };
            if let Ok(Some(taken)) = timeout(submit::PATIENCE, asked).await {
                return Some(taken);
            }
        }
        None
    }

    /// What the caller is told in the end. A transaction that was handed in twice may be refused for its first time, and
    /// one may refuse what another took.
    async fn last_word(&mut self, index: usize, result: Result<A::Output>) -> Result<A::Output> {
        let error = match result {
            Err(error) if self.effect == Effect::Submits && self.asks > 1 => error,
            result => return result,
        };
        match self.asks_for.settle(self.router.endpoints[index].pool(), self.call, error).await {
            Err(error) => self.taken().await.ok_or(error),
            settled => settled,
        }
    }

    /// Those who were asked before, and have not answered yet, hang.
    fn beat_the_others(&mut self, winner: usize, took: Duration, now: Instant) {
        let mut won = false;
        for (index, asked) in self.asked.iter_mut().enumerate() {
            let Some(asked) = asked.take() else { continue };
            won |= asked.is_sent() && now.duration_since(asked.at) > took;
            if asked.hangs(took, now) {
                self.router.hung(index, self.asks_for.load().method, now);
            }
        }
        if won && self.hedged {
            self.router.endpoints[winner].pool().scopes().count(Event::HedgeWon);
        }
    }

    /// Nobody waits any more for those who were asked; who has the request hangs.
    fn give_up(&mut self) {
        let now = Instant::now();
        for (index, asked) in self.asked.iter_mut().enumerate() {
            if asked.take().is_some_and(|asked| asked.hangs(Duration::ZERO, now)) {
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
        let may = reached_nobody(error) || self.router.retries.spend(self.asks_for.load().calls);
        if may {
            self.router.scopes.count(Event::Retry(Why::of(error)));
        }
        may
    }
}

/// A call that is given up: who has kept it waiting for long hangs, and no hedge has told so.
impl<A: Ask> Drop for Race<'_, A> {
    fn drop(&mut self) {
        let longest = self.asked.iter().flatten().min_by_key(|asked| asked.at);
        let Some(asked) = longest else { return };
        self.call.enter(asked.call.phase());
        if self.tried.len() > 1 {
            self.tell_who_hangs();
        }
    }
}
