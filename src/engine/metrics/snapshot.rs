//! The present counts as a tree of plain values, which the bindings turn into a dictionary.

use std::sync::Arc;

use super::{CloseCause, Counters, Event, Gauge, Latency, Process, Summary, Why, float};
use crate::engine::classify::Class;
use crate::engine::error::Kind;

/// A value that every language has.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count.
    Int(u64),
    /// A measure.
    Float(f64),
    /// A word.
    Text(String),
    /// Not known.
    None,
    /// Names with their values, in order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A map of fixed keys.
    pub(super) fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl FromIterator<(String, Self)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Self)>>(pairs: I) -> Self {
        Self::Map(pairs.into_iter().collect())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Int(count)
    }
}

impl From<f64> for Value {
    fn from(measure: f64) -> Self {
        Self::Float(measure)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl Summary {
    /// The keys of a latency; the measures of an empty one are not known.
    pub(super) fn pairs(self) -> [(&'static str, Value); 6] {
        let known = |seconds: f64| (self.count > 0).then_some(seconds).into();
        [
            ("count", self.count.into()),
            ("mean", self.mean().into()),
            ("p50", known(self.p50)),
            ("p90", known(self.p90)),
            ("p99", known(self.p99)),
            ("max", known(self.max)),
        ]
    }
}

impl From<Summary> for Value {
    fn from(summary: Summary) -> Self {
        Self::map(summary.pairs())
    }
}

impl From<Process> for Value {
    fn from(process: Process) -> Self {
        Self::map([
            ("resident_memory_bytes", process.resident_memory_bytes.into()),
            ("open_descriptors", process.open_descriptors.into()),
        ])
    }
}

/// How much of a pool is in use, in percent. A pool that was just made smaller may hold more than it should.
fn utilization(active: u64, max_connections: u64) -> f64 {
    if max_connections == 0 {
        return 0.0;
    }
    (100.0 * float(active) / float(max_connections)).min(100.0)
}

/// Everything about one pool or chain.
#[must_use]
pub fn pool_snapshot(counters: &Counters, max_connections: u64) -> Value {
    Value::map(pool_pairs(counters, max_connections))
}

fn pool_pairs(counters: &Counters, max_connections: u64) -> [(&'static str, Value); 37] {
    let levels = counters.levels().snapshot();
    let counted = |event| Value::Int(counters.counted(event));
    [
        ("max_connections", max_connections.into()),
        ("active_connections", levels.active.into()),
        ("idle_connections", levels.idle.into()),
        ("connecting", levels.connecting.into()),
        ("total_connections", levels.total().into()),
        ("in_flight_requests", counters.gauge(Gauge::InFlight).into()),
        ("waiting_requests", counters.gauge(Gauge::Waiting).into()),
        ("pool_utilization", utilization(levels.active, max_connections).into()),
        ("acquisitions", counted(Event::Acquisition)),
        ("waits", counted(Event::Wait)),
        ("timeouts", counted(Event::Timeout)),
        ("cancellations", counted(Event::Cancellation)),
        ("rejections", counted(Event::Rejection)),
        ("connections_opened", counted(Event::Opened)),
        ("connections_closed", closed_by_cause(counters)),
        ("connections_lost", counted(Event::Closed(CloseCause::Lost))),
        ("connect_failures", counted(Event::ConnectFailure)),
        ("requests", counted(Event::Request)),
        ("errors", errors_by_code(counters)),
        ("error_answers", error_answers(counters)),
        ("retries", Why::ALL.into_iter().map(|why| counters.counted(Event::Retry(why))).sum::<u64>().into()),
        ("retry_reasons", retry_reasons(counters)),
        ("hedges", counted(Event::Hedge)),
        ("hedges_won", counted(Event::HedgeWon)),
        ("breakers_opened", counted(Event::BreakerOpened)),
        ("rate_refusals", counted(Event::Refusal)),
        ("learned_rate", counters.gauge(Gauge::LearnedRate).into()),
        ("cache_hits", counted(Event::CacheHit)),
        ("cache_misses", counted(Event::CacheMiss)),
        ("cache_bytes", counters.gauge(Gauge::CacheBytes).into()),
        ("shared_requests", counted(Event::Shared)),
        ("subscriptions", counters.gauge(Gauge::Subscriptions).into()),
        ("resubscriptions", counted(Event::Resubscribed)),
        ("gaps_filled", counted(Event::GapFilled)),
        ("items_dropped", counted(Event::ItemDropped)),
        ("wait_seconds", counters.latency(Latency::Wait).into()),
        ("request_seconds", counters.latency(Latency::Request).into()),
    ]
}

fn closed_by_cause(counters: &Counters) -> Value {
    let closed = |cause: CloseCause| counters.counted(Event::Closed(cause)).into();
    CloseCause::ALL.into_iter().map(|cause| (cause.name().to_owned(), closed(cause))).collect()
}

fn errors_by_code(counters: &Counters) -> Value {
    seen(Kind::ALL.into_iter().map(|kind| (kind.code(), counters.counted(Event::Error(kind)))))
}

/// What nodes answered with, by class, whatever became of the calls.
#[must_use]
pub fn error_answers(counters: &Counters) -> Value {
    seen(Class::ALL.into_iter().map(|class| (class.name(), counters.counted(Event::Answer(class)))))
}

fn retry_reasons(counters: &Counters) -> Value {
    seen(Why::ALL.into_iter().map(|why| (why.name(), counters.counted(Event::Retry(why)))))
}

/// What has happened at all.
fn seen(counts: impl Iterator<Item = (&'static str, u64)>) -> Value {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count.into())).collect()
}

/// The counters of a manager: all of it, and each of its chains.
#[derive(Debug, Clone)]
pub struct Pools {
    /// How many connections it may hold open.
    pub max_connections: u64,
    /// Everything, including chains that are gone.
    pub all: Arc<Counters>,
    /// The chains by label.
    pub chains: Vec<(String, Arc<Counters>)>,
}

impl Pools {
    /// How much of it is in use, in percent.
    pub(super) fn utilization(&self) -> f64 {
        utilization(self.all.levels().snapshot().active, self.max_connections)
    }

    /// The whole manager, the process it runs in, and `chains`: the same for each chain.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let chain = |(label, counters): &(String, Arc<Counters>)| {
            (label.clone(), pool_snapshot(counters, self.max_connections))
        };
        let chains = self.chains.iter().map(chain).collect();
        let pairs = pool_pairs(&self.all, self.max_connections);
        Value::map(pairs.into_iter().chain([("process", Process::read().into()), ("chains", chains)]))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::metrics::{Level, Member, Scopes};

    fn keys(value: &Value) -> Vec<&str> {
        let Value::Map(pairs) = value else { unreachable!("{value:?} is not a map") };
        pairs.iter().map(|(key, _)| key.as_str()).collect()
    }

    fn get<'a>(value: &'a Value, key: &str) -> &'a Value {
        let Value::Map(pairs) = value else { unreachable!("{value:?} is not a map") };
        &pairs.iter().find(|(name, _)| name == key).unwrap().1
    }

    const POOL_KEYS: [&str; 37] = [
        "max_connections",
        "active_connections",
        "idle_connections",
        "connecting",
        "total_connections",
        "in_flight_requests",
        "waiting_requests",
        "pool_utilization",
        "acquisitions",
        "waits",
        "timeouts",
        "cancellations",
        "rejections",
        "connections_opened",
        "connections_closed",
        "connections_lost",
        "connect_failures",
        "requests",
        "errors",
        "error_answers",
        "retries",
        "retry_reasons",
        "hedges",
        "hedges_won",
        "breakers_opened",
        "rate_refusals",
        "learned_rate",
        "cache_hits",
        "cache_misses",
        "cache_bytes",
        "shared_requests",
        "subscriptions",
        "resubscriptions",
        "gaps_filled",
        "items_dropped",
        "wait_seconds",
        "request_seconds",
    ];

    #[test]
    fn a_pool_tells_everything_that_is_promised() {
        let scopes = Arc::new(Scopes::alone(Arc::default()));
        let connections = [Level::Active, Level::Active, Level::Idle, Level::Connecting]
            .map(|level| Member::new(Arc::clone(&scopes), level));
        let (flying, waiting) = (scopes.hold(Gauge::InFlight), scopes.hold(Gauge::Waiting));
        scopes.count(Event::Closed(CloseCause::Lost));
        scopes.count(Event::Error(Kind::Protocol));
        scopes.observe(Latency::Request, Duration::from_secs(2));
        let pool = pool_snapshot(scopes.own(), 8);
        assert_eq!(keys(&pool), POOL_KEYS);
        let of_one =
            ["in_flight_requests", "waiting_requests", "connections_lost"].map(|key| get(&pool, key));
        assert_eq!(of_one, [&Value::Int(1); 3]);
        assert_eq!(get(&pool, "total_connections"), &Value::Int(4));
        assert_eq!(get(&pool, "pool_utilization"), &Value::Float(25.0));
        assert_eq!(get(&pool, "errors"), &Value::map([("protocol", Value::Int(1))]));
        assert_eq!(keys(get(&pool, "connections_closed")), CloseCause::ALL.map(CloseCause::name));
        assert_eq!(get(get(&pool, "request_seconds"), "mean"), &Value::Float(2.0));
        assert_eq!(get(get(&pool, "wait_seconds"), "p99"), &Value::None);
        assert_eq!(get(get(&pool, "wait_seconds"), "count"), &Value::Int(0));
        drop((connections, flying, waiting));
    }

    #[test]
    fn a_manager_tells_the_same_and_the_process_and_its_chains() {
        let pools = Pools {
            max_connections: 10,
            all: Arc::default(),
            chains: vec![("eth".into(), Arc::default()), ("btc".into(), Arc::default())],
        };
        let manager = pools.snapshot();
        assert_eq!(keys(&manager), [&POOL_KEYS[..], &["process", "chains"]].concat());
        assert_eq!(keys(get(&manager, "process")), ["resident_memory_bytes", "open_descriptors"]);
        assert_eq!(keys(get(&manager, "chains")), ["eth", "btc"]);
        assert_eq!(keys(get(get(&manager, "chains"), "btc")), POOL_KEYS);
    }

    #[test]
    fn utilization_stays_between_zero_and_a_hundred_percent() {
        let percent = |active, max| Value::Float(utilization(active, max));
        assert_eq!(percent(12, 10), Value::Float(100.0));
        assert_eq!(percent(0, 10), Value::Float(0.0));
        assert_eq!(percent(0, 0), Value::Float(0.0));
    }
}
