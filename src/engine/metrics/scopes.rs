//! One event counts in an endpoint, its chain and its manager at once; guards give back what they took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Collector, Counters, Event, Gauge, Latency, Level};
use crate::engine::error::{Error, Kind, Result};

/// The counters that an event touches: those of a pool, an endpoint or a chain, and those of whatever it belongs to.
#[derive(Debug, Clone)]
pub struct Scopes {
    own: Arc<Counters>,
    above: Option<Arc<Scopes>>,
}

impl Scopes {
    /// A pool that stands alone.
    #[must_use]
    pub const fn alone(own: Arc<Counters>) -> Self {
        Self { own, above: None }
    }

    /// A chain within a manager.
    #[must_use]
    pub fn within(own: Arc<Counters>, manager: Arc<Counters>) -> Self {
        Self::under(own, Arc::new(Self::alone(manager)))
    }

    /// A part of something larger.
    #[must_use]
    pub const fn under(own: Arc<Counters>, above: Arc<Self>) -> Self {
        Self { own, above: Some(above) }
    }

    /// The counters of the pool or chain itself.
    #[must_use]
    pub const fn own(&self) -> &Arc<Counters> {
        &self.own
    }

    /// Count one event.
    pub fn count(&self, event: Event) {
        self.count_all(event, 1);
    }

    /// Count so many events.
    pub fn count_all(&self, event: Event, times: u64) {
        self.each(|counters| counters.count(event, times));
    }

    /// Record how long something took.
    pub fn observe(&self, latency: Latency, duration: Duration) {
        self.each(|counters| counters.observe(latency, duration));
    }

    /// Raise a gauge for as long as the guard lives.
    #[must_use]
    pub fn hold(&self, gauge: Gauge) -> Held<'_> {
        self.each(|counters| counters.raise(gauge));
        Held { scopes: self, gauge }
    }

    /// Change this holder's part of a gauge.
    pub fn change(&self, gauge: Gauge, from: u64, to: u64) {
        self.each(|counters| counters.change(gauge, from, to));
    }

    fn each(&self, act: impl Fn(&Counters)) {
        let mut scope = self;
        loop {
            act(&scope.own);
            match &scope.above {
                Some(above) => scope = above,
                None => return,
            }
        }
    }
}

/// What one holder adds to a gauge. It goes with its holder.
pub struct Portion {
    scopes: Arc<Scopes>,
    gauge: Gauge,
    told: u64,
}

impl Portion {
    /// Nothing yet.
    #[must_use]
    pub fn new(scopes: Arc<Scopes>, gauge: Gauge) -> Self {
        Self { scopes, gauge, told: 0 }
    }

    /// It is this now.
    pub fn set(&mut self, value: u64) {
        if value != self.told {
            self.scopes.change(self.gauge, self.told, value);
            self.told = value;
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Count a call that is over, here and in the user's own book.
pub fn finish_call<T>(
    scopes: &Scopes,
    collector: Option<&Collector>,
    method: &str,
    took: Duration,
    result: &Result<T>,
) {
    scopes.observe(Latency::Request, took);
    let error = result.as_ref().err().map(Error::kind);
    if let Some(collector) = collector {
        collector.observe(method, took, error.map(Kind::code));
    }
    if let Some(kind) = error {
        scopes.count(Event::Error(kind));
    }
}

/// One request in flight, or one waiting caller: counted until it is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    scopes: &'a Scopes,
    gauge: Gauge,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.scopes.each(|counters| counters.lower(self.gauge));
    }
}

/// One connection: counted at its level until it is dropped.
#[derive(Debug)]
pub struct Member {
    scopes: Arc<Scopes>,
    /// Locked while the counts change, so that two shifts at once happen one after the other.
    level: Mutex<Level>,
}

impl Member {
    /// A connection that starts at `level`.
    #[must_use]
    pub fn new(scopes: Arc<Scopes>, level: Level) -> Self {
        scopes.each(|counters| counters.levels().enter(level));
        Self { scopes, level: Mutex::new(level) }
    }

    /// Move it to another level.
    pub fn shift(&self, to: Level) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let from = std::mem::replace(&mut *level, to);
        self.scopes.each(|counters| counters.levels().shift(from, to));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let level = *self.level.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.scopes.each(|counters| counters.levels().leave(level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::LevelCounts;

    fn chain_and_manager() -> (Arc<Scopes>, Arc<Counters>, Arc<Counters>) {
        let (chain, manager) = (Arc::<Counters>::default(), Arc::<Counters>::default());
        (Arc::new(Scopes::within(Arc::clone(&chain), Arc::clone(&manager))), chain, manager)
    }

    #[test]
    fn an_event_counts_in_its_chain_and_in_the_manager() {
        let (scopes, chain, manager) = chain_and_manager();
        let other = Scopes::within(Arc::default(), Arc::clone(&manager));
        scopes.count(Event::Request);
        other.count(Event::Request);
        scopes.observe(Latency::Request, Duration::from_millis(5));
        assert_eq!([&chain, &manager].map(|counters| counters.counted(Event::Request)), [1, 2]);
        assert_eq!([&chain, &manager].map(|counters| counters.latency(Latency::Request).count), [1, 1]);
    }

    #[test]
    fn a_pool_alone_counts_once() {
        let scopes = Scopes::alone(Arc::default());
        scopes.count(Event::Opened);
        assert_eq!(scopes.own().counted(Event::Opened), 1);
    }

    #[test]
    fn a_gauge_is_up_while_its_guard_lives() {
        let (scopes, chain, manager) = chain_and_manager();
        let first = scopes.hold(Gauge::Waiting);
        let second = scopes.hold(Gauge::Waiting);
        assert_eq!([&chain, &manager].map(|counters| counters.gauge(Gauge::Waiting)), [2, 2]);
        assert_eq!(chain.gauge(Gauge::InFlight), 0);
        drop(first);
        assert_eq!([&chain, &manager].map(|counters| counters.gauge(Gauge::Waiting)), [1, 1]);
        drop(second);
        assert_eq!([&chain, &manager].map(|counters| counters.gauge(Gauge::Waiting)), [0, 0]);
    }

    #[test]
    fn a_member_is_counted_at_its_level_until_it_is_dropped() {
        let (scopes, chain, manager) = chain_and_manager();
        let member = Member::new(scopes, Level::Connecting);
        assert_eq!(chain.levels().snapshot(), LevelCounts { connecting: 1, ..LevelCounts::default() });
        member.shift(Level::Idle);
        member.shift(Level::Active);
        assert_eq!(manager.levels().snapshot(), LevelCounts { active: 1, ..LevelCounts::default() });
        drop(member);
        assert_eq!([chain, manager].map(|counters| counters.levels().snapshot().total()), [0, 0]);
    }

    #[test]
    fn threads_that_shift_one_member_at_once_never_count_it_twice_or_below_zero() {
        let (scopes, chain, _) = chain_and_manager();
        let member = Member::new(scopes, Level::Idle);
        std::thread::scope(|scope| {
            for level in [Level::Idle, Level::Active, Level::Connecting] {
                let member = &member;
                scope.spawn(move || (0..20_000).for_each(|_| member.shift(level)));
            }
            for _ in 0..20_000 {
                assert_eq!(chain.levels().snapshot().total(), 1);
            }
        });
        drop(member);
        assert_eq!(chain.levels().snapshot(), LevelCounts::default());
    }
}
