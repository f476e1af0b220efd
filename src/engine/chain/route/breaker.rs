//! A circuit breaker: an endpoint that keeps failing is left alone until a probe finds it well again.
//!
//! Requests count; a hang counts like a refusal. Probes are made by the chain's watch, never with a caller's request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures on end open it.
const ON_END: u32 = 5;
/// And so does half of the outcomes, once there are so many in one period.
const ENOUGH: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);
/// The time until the first probe, doubled by each that fails, up to the longest: a node that is back shall not wait.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::chain) enum Circuit {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One probe.
    HalfOpen,
}

impl Circuit {
    /// The name that people read.
    pub(in crate::engine::chain) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    on_end: u32,
    period: Option<Instant>,
    good: u32,
    bad: u32,
    /// There while it is not closed.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    length: Duration,
    probing: bool,
}

impl Breaker {
    pub(super) fn circuit(&self) -> Circuit {
        match &self.lock().rest {
            None => Circuit::Closed,
            Some(rest) if rest.probing => Circuit::HalfOpen,
            Some(_) => Circuit::Open,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().rest.is_none()
    }

    /// A request came to a good end.
    pub(super) fn succeeded(&self, now: Instant) {
        let mut state = self.lock();
        state.turn(now);
        state.on_end = 0;
        state.good += 1;
    }

    /// A request failed, or hangs: whether that opened it.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.turn(now);
        state.on_end += 1;
        state.bad += 1;
        let half = state.good + state.bad >= ENOUGH && state.bad >= state.good;
        let opens = state.rest.is_none() && (state.on_end >= ON_END || half);
        if opens {
            state.open(now);
        }
        opens
    }

    /// Leave the endpoint alone from now on, whatever it did before: whether it was not left alone already.
    pub(super) fn trip(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let opens = state.rest.is_none();
        if opens {
            state.open(now);
        }
        opens
    }

    /// Whether it is time for a probe. Whoever is told so makes it, and says how it ended.
    pub(super) fn probe(&self, now: Instant) -> bool {
        match &mut self.lock().rest {
            Some(rest) if !rest.probing && rest.until <= now => {
                rest.probing = true;
                true
            }
            _ => false,
        }
    }

    /// The probe found the endpoint well.
    pub(super) fn close(&self) {
        *self.lock() = State::default();
    }

    /// The probe found it as it was.
    pub(super) fn stay_open(&self, now: Instant) {
        if let Some(rest) = &mut self.lock().rest {
            let length = (rest.length * 2).min(LONGEST_REST);
            *rest = Rest { until: now + length, length, probing: false };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begin a new period when one is over.
    fn turn(&mut self, now: Instant) {
        if self.period.is_none_or(|begun| now.duration_since(begun) >= PERIOD) {
            (self.period, self.good, self.bad) = (Some(now), 0, 0);
        }
    }

    fn open(&mut self, now: Instant) {
        self.rest = Some(Rest { until: now + FIRST_REST, length: FIRST_REST, probing: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_on_end_open_it_and_a_success_between_them_does_not() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            (0..ON_END - 1).for_each(|_| assert!(!breaker.failed(now)));
            (0..2 * ON_END).for_each(|_| breaker.succeeded(now));
        }
        assert_eq!(breaker.circuit(), Circuit::Closed);
        let opened = (0..ON_END).map(|_| breaker.failed(now)).filter(|opens| *opens).count();
        assert_eq!((opened, breaker.circuit()), (1, Circuit::Open));
    }

    #[test]
    fn half_of_the_outcomes_of_a_period_open_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let each = |_| {
            breaker.succeeded(now);
            breaker.failed(now)
        };
        assert_eq!((0..ENOUGH / 2).map(each).filter(|opens| *opens).count(), 1);
    }

    #[test]
    fn what_is_over_does_not_count() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for period in 0..10 {
            let now = now + PERIOD * period;
            breaker.succeeded(now);
            assert!(!breaker.failed(now) && !breaker.failed(now));
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn one_probe_at_a_time_comes_later_and_later() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(!breaker.probe(now));
        assert!(breaker.trip(now) && !breaker.trip(now));
        assert!(!breaker.probe(now));
        let mut now = now + FIRST_REST;
        for expected in [1, 2, 2] {
            assert!(breaker.probe(now) && !breaker.probe(now));
            assert_eq!(breaker.circuit(), Circuit::HalfOpen);
            breaker.stay_open(now);
            let wait = Duration::from_secs(expected);
            assert!(!breaker.probe(now + wait - Duration::from_nanos(1)));
            now += wait;
        }
        assert!(breaker.probe(now));
        breaker.close();
        assert!(breaker.is_closed() && !breaker.failed(now));
    }
}
