//! Everything that one scope counts: a chain, a pool, or a whole manager.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Histogram, Levels, Summary, Why};
use crate::engine::classify::Class;
use crate::engine::error::Kind;

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// It lay idle for longer than it may.
    Idle,
    /// It reached the end of its lifetime.
    Lifetime,
    /// It was idle, and another chain needed its room.
    Evicted,
    /// A call ended in its middle, so that an answer may still be on its way.
    Dirty,
    /// Its user, or a smaller pool, asked for it.
    Requested,
    /// The peer closed it.
    Lost,
    /// The pool or the manager was shut down.
    Shutdown,
}

impl CloseCause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Lifetime, Self::Evicted, Self::Dirty, Self::Requested, Self::Lost, Self::Shutdown];

    /// The key in a snapshot.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Evicted => "evicted",
            Self::Dirty => "dirty",
            Self::Requested => "requested",
            Self::Lost => "lost",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Something that happens and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A caller got a connection.
    Acquisition,
    /// A caller got a connection and had to wait for it.
    Wait,
    /// A caller waited for a connection as long as it may, in vain.
    Timeout,
    /// A caller was cancelled while it waited for a connection.
    Cancellation,
    /// A caller was turned away at once.
    Rejection,
    /// A connection was opened.
    Opened,
    /// A connection was closed.
    Closed(CloseCause),
    /// A connection could not be opened.
    ConnectFailure,
    /// A request was made.
    Request,
    /// A request was tried once more.
    Retry(Why),
    /// A late request was made at a second endpoint too.
    Hedge,
    /// The second endpoint answered first.
    HedgeWon,
    /// An endpoint is left alone until it is well again.
    BreakerOpened,
    /// An endpoint refused a request for its rate.
    Refusal,
    /// A node answered with an error of this class, whatever became of the call.
    Answer(Class),
    /// A result that was kept answered a call.
    CacheHit,
    /// A call whose result could have been kept had to be made.
    CacheMiss,
    /// A call had the result of an equal one that was under way.
    Shared,
    /// A subscription was made once more, after the one before had ended.
    Resubscribed,
    /// A block that no notice of was seen was asked for.
    GapFilled,
    /// An item was let go, because its reader was slow.
    ItemDropped,
    /// A call failed.
    Error(Kind),
}

/// Something that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gauge {
    /// Requests that were sent and are not answered.
    InFlight,
    /// Callers that wait for a connection.
    Waiting,
    /// Bytes of results that are kept.
    CacheBytes,
    /// Requests a second that endpoints were found to allow.
    LearnedRate,
    /// Readers of what the chain tells.
    Subscriptions,
}

/// Something that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Waiting for a connection, of each caller that had to wait and got one: as many as `Event::Wait`.
    Wait,
    /// A request, from the call to its answer.
    Request,
}

/// The counts of one scope. Nothing here waits; only a histogram takes a lock, for nanoseconds.
#[derive(Debug, Default)]
pub struct Counters {
    levels: Levels,
    acquisitions: AtomicU64,
    waits: AtomicU64,
    timeouts: AtomicU64,
    cancellations: AtomicU64,
    rejections: AtomicU64,
    opened: AtomicU64,
    closed: PerCause,
    connect_failures: AtomicU64,
    requests: AtomicU64,
    retries: PerWhy,
    hedges: AtomicU64,
    hedges_won: AtomicU64,
    breakers_opened: AtomicU64,
    refusals: AtomicU64,
    answers: PerClass,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    shared: AtomicU64,
    resubscribed: AtomicU64,
    gaps_filled: AtomicU64,
    items_dropped: AtomicU64,
    errors: PerKind,
    in_flight: AtomicU64,
    waiting: AtomicU64,
    cache_bytes: AtomicU64,
    learned_rate: AtomicU64,
    subscriptions: AtomicU64,
    wait: Histogram,
    request: Histogram,
}

#[derive(Debug, Default)]
struct PerCause([AtomicU64; CloseCause::ALL.len()]);

#[derive(Debug, Default)]
struct PerWhy([AtomicU64; Why::ALL.len()]);

#[derive(Debug, Default)]
struct PerClass([AtomicU64; Class::ALL.len()]);

#[derive(Debug, Default)]
struct PerKind([AtomicU64; Kind::ALL.len()]);

impl Counters {
    /// Count so many events.
    pub fn count(&self, event: Event, times: u64) {
        self.counter(event).fetch_add(times, Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn counted(&self, event: Event) -> u64 {
        self.counter(event).load(Ordering::Relaxed)
    }

    /// Record how long something took.
    pub fn observe(&self, latency: Latency, duration: Duration) {
        self.histogram(latency).record(duration);
    }

    /// How long it took so far.
    #[must_use]
    pub fn latency(&self, latency: Latency) -> Summary {
        self.histogram(latency).summary()
    }

    /// The present value of a gauge.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauge_cell(gauge).load(Ordering::Relaxed)
    }

    /// The connections, by what they do.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }

    pub(super) fn raise(&self, gauge: Gauge) {
        self.gauge_cell(gauge).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lower(&self, gauge: Gauge) {
        self.gauge_cell(gauge).fetch_sub(1, Ordering::Relaxed);
    }

    /// Change what is a sum of several holders' parts, of which one was `from` and is `to` now.
    pub(super) fn change(&self, gauge: Gauge, from: u64, to: u64) {
        // Wrapping around twice leads back.
        self.gauge_cell(gauge).fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
    }

    const fn gauge_cell(&self, gauge: Gauge) -> &AtomicU64 {
        match gauge {
            Gauge::InFlight => &self.in_flight,
            Gauge::Waiting => &self.waiting,
            Gauge::CacheBytes => &self.cache_bytes,
            Gauge::LearnedRate => &self.learned_rate,
            Gauge::Subscriptions => &self.subscriptions,
        }
    }

    const fn histogram(&self, latency: Latency) -> &Histogram {
        match latency {
            Latency::Wait => &self.wait,
            Latency::Request => &self.request,
        }
    }

    const fn counter(&self, event: Event) -> &AtomicU64 {
        match event {
            Event::Acquisition => &self.acquisitions,
            Event::Wait => &self.waits,
            Event::Timeout => &self.timeouts,
            Event::Cancellation => &self.cancellations,
            Event::Rejection => &self.rejections,
            Event::Opened => &self.opened,
            Event::Closed(cause) => &self.closed.0[cause as usize],
            Event::ConnectFailure => &self.connect_failures,
            Event::Request => &self.requests,
            Event::Retry(why) => &self.retries.0[why as usize],
            Event::Hedge => &self.hedges,
            Event::HedgeWon => &self.hedges_won,
            Event::BreakerOpened => &self.breakers_opened,
            Event::Refusal => &self.refusals,
            Event::Answer(class) => &self.answers.0[class as usize],
            Event::CacheHit => &self.cache_hits,
            Event::CacheMiss => &self.cache_misses,
            Event::Shared => &self.shared,
            Event::Resubscribed => &self.resubscribed,
            Event::GapFilled => &self.gaps_filled,
            Event::ItemDropped => &self.items_dropped,
            Event::Error(kind) => &self.errors.0[kind as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_count_of_its_own() {
        let plain = [
            Event::Acquisition,
            Event::Wait,
            Event::Timeout,
            Event::Cancellation,
            Event::Rejection,
            Event::Opened,
            Event::ConnectFailure,
            Event::Request,
            Event::Hedge,
            Event::HedgeWon,
            Event::BreakerOpened,
            Event::CacheHit,
            Event::CacheMiss,
            Event::Shared,
            Event::Resubscribed,
            Event::GapFilled,
            Event::ItemDropped,
        ];
        let causes = CloseCause::ALL.map(Event::Closed);
        let kinds = Kind::ALL.map(Event::Error);
        let whys = Why::ALL.map(Event::Retry);
        let classes = Class::ALL.map(Event::Answer);
        let events: Vec<_> =
            plain.into_iter().chain(causes).chain(kinds).chain(whys).chain(classes).collect();
        let counters = Counters::default();
        for (times, event) in (0..).zip(&events) {
            counters.count(*event, times);
        }
        for (times, event) in (0..).zip(&events) {
            assert_eq!(counters.counted(*event), times, "{event:?}");
        }
    }

    #[test]
    fn the_two_latencies_are_kept_apart() {
        let counters = Counters::default();
        counters.observe(Latency::Wait, Duration::from_secs(1));
        counters.observe(Latency::Request, Duration::from_secs(2));
        assert_eq!((counters.latency(Latency::Wait).max, counters.latency(Latency::Request).max), (1.0, 2.0));
    }
}
