//! When a call is late: it is asked for elsewhere, too, or leaves who hangs.

use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{HUNG, LOOK_AGAIN, NEVER, Race};
use crate::engine::chain::route::Circuit;
use crate::engine::chain::route::ask::Ask;
use crate::engine::chain::route::endpoint::Fitness;
use crate::engine::classify::Effect;
use crate::engine::metrics::{Event, Why};

impl<A: Ask> Race<'_, A> {
    /// Until it is looked whether the call is late.
    pub(super) fn late(&self) -> Sleep {
        let hedged = self.router.policy.hedging
            && self.effect != Effect::Changes
            && self.asked.iter().any(Option::is_none);
        let look = || {
            let now = Instant::now();
            let late = self.router.pace.late_after(now);
            match (self.since + late).saturating_duration_since(now) {
                Duration::ZERO => late.saturating_mul(1 << self.looks.min(16)).min(LOOK_AGAIN),
                due => due.min(LOOK_AGAIN),
            }
        };
        sleep(if hedged { look() } else { NEVER })
    }

    /// Who else may be asked while somebody is.
    pub(super) fn other(&mut self) -> Option<usize> {
        let is_stuck = self.is_stuck();
        let other = self.pick().or_else(|| if is_stuck { self.another_round() } else { None })?;
        let now = Instant::now();
        let load = self.asks_for.load();
        // Who cannot answer will not do so sooner, and who is behind is asked when there is nobody else.
        match self.router.endpoints[other].fitness(load, now) {
            Some(Fitness::Fit) => {}
            Some(Fitness::Lagging | Fitness::Cooling(_)) if is_stuck => {}
            _ => return None,
        }
        let scopes = self.router.endpoints[other].pool().scopes();
        if is_stuck && (!self.moved || self.router.retries.spend(load.calls)) {
            self.moved = true;
            scopes.count(Event::Retry(Why::Late));
            return Some(other);
        }
        let is_late = now.duration_since(self.since) >= self.router.pace.late_after(now);
        let may = is_late && self.router.hedges.spend(load.calls);
        if may {
            self.hedged = true;
            scopes.count(Event::Hedge);
        }
        may.then_some(other)
    }

    /// Whether all who were asked are left alone by now. Then another is asked as if they had failed, and no budget for
    /// what is asked twice stands in the way the first time: it would stay empty for as long as all callers wait.
    fn is_stuck(&self) -> bool {
        let mut asked = self.asked.iter().zip(&self.router.endpoints).filter(|(asked, _)| asked.is_some());
        asked.all(|(_, endpoint)| endpoint.circuit() != Circuit::Closed)
    }

    /// Who is asked once more, of those who have failed meanwhile.
    fn another_round(&mut self) -> Option<usize> {
        if self.rounds >= self.router.policy.retries {
            return None;
        }
        self.rounds += 1;
        self.tried = self.asked.iter().map(Option::is_some).collect();
        self.pick()
    }

    /// Who has had the request for too long hangs, though nobody else has answered it.
    pub(super) fn tell_who_hangs(&mut self) {
        let now = Instant::now();
        for index in 0..self.asked.len() {
            // The last one would not be left alone for it.
            if self.hangs(index, now) && self.router.has_others(index) {
                if let Some(asked) = &mut self.asked[index] {
                    asked.is_told = true;
                }
                self.router.hung(index, self.asks_for.load().method, now);
            }
        }
    }

    /// Whether all who were asked hang, and were not told.
    pub(super) fn waits_in_vain(&self) -> bool {
        let now = Instant::now();
        (0..self.asked.len()).all(|index| self.asked[index].is_none() || self.hangs(index, now))
    }

    /// Leave the connections to others for a moment, until there is somebody to ask.
    pub(super) async fn step_aside(&mut self) -> usize {
        loop {
            sleep(LOOK_AGAIN).await;
            // The chain is gone, and so is the watch: whoever is asked says so.
            if self.router.endpoints.iter().all(|endpoint| endpoint.pool().is_closed()) {
                return 0;
            }
            self.tried.fill(false);
            if let Some(next) = self.pick() {
                self.router.endpoints[next].pool().scopes().count(Event::Retry(Why::Late));
                return next;
            }
        }
    }

    /// Whether an endpoint hangs, and that was not told yet.
    fn hangs(&self, index: usize, now: Instant) -> bool {
        let usual = || self.router.endpoints[index].usual(self.asks_for.load().method);
        let patience = || HUNG.max(self.router.pace.late_after(now)).max(usual().saturating_mul(2));
        self.asked[index].as_ref().is_some_and(|asked| asked.hangs(patience(), now))
    }
}
