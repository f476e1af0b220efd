//! The book that a user keeps of durations and errors, with alerts and exporters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::alerts::{AlertId, Alerts, Fired, Metric};
use super::histogram::{Histogram, LONGEST};
use super::named::Named;
use super::process::Process;
use super::recent::Recent;
use super::report::{Operation, Report};
use super::snapshot::{Pools, Value};
use super::sources::{Source, Sources};
use super::{Gauge, LevelCounts, float, prometheus};
use crate::engine::error::{Error, Result};

/// Collects durations and errors, and shows them with the pools of the managers it is attached to. A clone is
/// the same collector; any thread may use it.
#[derive(Clone)]
pub struct Collector(Arc<Inner>);

struct Inner {
    durations: Histogram,
    errors: AtomicU64,
    operations: Named<Book>,
    classes: Named<AtomicU64>,
    security_events: Named<AtomicU64>,
    recent: Mutex<Recent>,
    sources: Sources,
    alerts: Mutex<Alerts>,
}

/// What is kept for one operation.
#[derive(Debug, Default)]
struct Book {
    durations: Histogram,
    errors: AtomicU64,
}

impl Default for Collector {
    fn default() -> Self {
        Self(Arc::new(Inner {
            durations: Histogram::default(),
            errors: AtomicU64::new(0),
            operations: Named::default(),
            classes: Named::default(),
            security_events: Named::default(),
            recent: Mutex::new(Recent::new()),
            sources: Sources::default(),
            alerts: Mutex::default(),
        }))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Collector {
    /// Record that an operation took so many seconds, whether it failed or not. The first 1,000 names of
    /// operations are told apart; later ones count as `other`.
    ///
    /// # Errors
    /// `seconds` is negative or not a finite number.
    pub fn record_duration(&self, seconds: f64, operation: Option<&str>) -> Result<()> {
        let finite = seconds.is_finite().then(|| seconds.min(LONGEST.as_secs_f64()));
        let Some(duration) = finite.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
            return Err(Error::argument("seconds", "must be a finite number that is not negative"));
        };
        self.0.durations.record(duration);
        self.recent().record_duration(duration);
        if let Some(name) = operation {
            self.0.operations.entry(name).durations.record(duration);
        }
        Ok(())
    }

    /// Record that an operation failed with an error of `class`. The first 1,000 classes are told apart.
    pub fn record_error(&self, class: &str, operation: Option<&str>) {
        self.0.errors.fetch_add(1, Ordering::Relaxed);
        self.0.classes.entry(class).fetch_add(1, Ordering::Relaxed);
        self.recent().record_error();
        if let Some(name) = operation {
            self.0.operations.entry(name).errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Record an operation that is over, and its error if it failed.
    pub fn observe(&self, operation: &str, took: Duration, error: Option<&str>) {
        let took = took.min(LONGEST);
        self.0.durations.record(took);
        self.recent().record_duration(took);
        self.0.operations.entry(operation).durations.record(took);
        if let Some(class) = error {
            self.record_error(class, Some(operation));
        }
    }

    /// Record a suspicious pattern, by its kind.
    pub fn record_security_event(&self, kind: &str) {
        self.0.security_events.entry(kind).fetch_add(1, Ordering::Relaxed);
    }

    /// Errors divided by operations, over this second and the 59 before it: 0.0 if nothing happened, never
    /// above 1.0.
    ///
    /// An operation is a recorded duration. If more errors than durations were recorded, each error was an
    /// operation.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        self.recent().error_rate()
    }

    /// The seconds that a share `q` of all durations, or of those of one operation, took no longer than.
    /// `None` if there were none.
    ///
    /// # Errors
    /// `q` is not between 0 and 1.
    pub fn quantile(&self, q: f64, operation: Option<&str>) -> Result<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::argument("q", "must be between 0 and 1"));
        }
        Ok(match operation {
            None => self.0.durations.quantile(q),
            Some(name) => self.0.operations.get(name).and_then(|book| book.durations.quantile(q)),
        })
    }

    /// How many durations were recorded, of all operations or of one.
    #[must_use]
    pub fn count(&self, operation: Option<&str>) -> u64 {
        match operation {
            None => self.0.durations.count(),
            Some(name) => self.0.operations.get(name).map_or(0, |book| book.durations.count()),
        }
    }

    /// Show the pools of `source` too, for as long as it lives.
    pub fn attach(&self, source: &Weak<dyn Source>) {
        self.0.sources.attach(source);
    }

    /// Everything as a tree.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        self.report().snapshot()
    }

    /// Everything as a page in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn prometheus(&self) -> String {
        prometheus::page(&self.report())
    }

    /// Watch a metric: `error_rate`, `latency_p50`, `latency_p90`, `latency_p99` (seconds, over the last
    /// minute), `pool_utilization` (percent, of the fullest manager), `waiting_requests`,
    /// `in_flight_requests`, `active_connections`, `total_connections` (over all managers),
    /// `resident_memory_bytes`, `open_descriptors`.
    ///
    /// # Errors
    /// There is no such metric, or `above` is not a finite number.
    pub fn alert(&self, name: &str, above: f64) -> Result<AlertId> {
        self.alerts().add(name, above)
    }

    /// Stop watching. Returns whether there was such an alert.
    #[must_use]
    pub fn remove(&self, id: AlertId) -> bool {
        self.alerts().remove(id)
    }

    /// The alerts whose metric rose above its threshold since it was last seen at or below it.
    #[must_use]
    pub fn check(&self) -> Vec<Fired> {
        // Locked throughout: of two checks at once, the later must not judge by the older values.
        let mut alerts = self.alerts();
        if alerts.is_empty() {
            return Vec::new();
        }
        let pools = self.0.sources.pools();
        let process = Process::read();
        alerts.check(|metric| self.read(metric, &pools, process))
    }

    fn read(&self, metric: Metric, sources: &[(String, Pools)], process: Process) -> Option<f64> {
        let pools = || sources.iter().map(|(_, pools)| pools);
        let gauges = |gauge| float(pools().map(|pools| pools.all.gauge(gauge)).sum());
        let connections = |pick: fn(LevelCounts) -> u64| {
            float(pools().map(|pools| pick(pools.all.levels().snapshot())).sum())
        };
        match metric {
            Metric::ErrorRate => Some(self.error_rate()),
            Metric::Latency(q) => self.recent().quantile(q),
            Metric::PoolUtilization => Some(pools().map(Pools::utilization).fold(0.0, f64::max)),
            Metric::WaitingRequests => Some(gauges(Gauge::Waiting)),
            Metric::InFlightRequests => Some(gauges(Gauge::InFlight)),
            Metric::ActiveConnections => Some(connections(|counts| counts.active)),
            Metric::TotalConnections => Some(connections(LevelCounts::total)),
            Metric::ResidentMemory => process.resident_memory_bytes.map(float),
            Metric::OpenDescriptors => process.open_descriptors.map(float),
        }
    }

    fn report(&self) -> Report {
        let counts = |counts: &Named<AtomicU64>| {
            let counts = counts.all().into_iter();
            counts.map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
        };
        let operations = self.0.operations.all().into_iter();
        Report {
            durations: self.0.durations.summary(),
            operations: operations.map(|(name, book)| book.report(name)).collect(),
            errors: self.0.errors.load(Ordering::Relaxed),
            errors_by_class: counts(&self.0.classes),
            security_events: counts(&self.0.security_events),
            error_rate: self.error_rate(),
            process: Process::read(),
            pools: self.0.sources.pools(),
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alerts(&self) -> MutexGuard<'_, Alerts> {
        self.0.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn report(&self, name: String) -> Operation {
        Operation { name, durations: self.durations.summary(), errors: self.errors.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;
    use crate::engine::metrics::{Counters, Level, Member, Scopes};

    /// A manager of which the test sets everything.
    struct Manager {
        max_connections: u64,
        all: Arc<Counters>,
    }

    impl Source for Manager {
        fn label(&self) -> String {
            "main".into()
        }

        fn pools(&self) -> Pools {
            let chains = vec![("eth".to_owned(), Arc::clone(&self.all))];
            Pools { max_connections: self.max_connections, all: Arc::clone(&self.all), chains }
        }
    }

    /// A manager with so many active connections, and what keeps them.
    fn attach(collector: &Collector, max_connections: u64, active: usize) -> (Arc<dyn Source>, Vec<Member>) {
        let all = Arc::<Counters>::default();
        let scopes = Arc::new(Scopes::alone(Arc::clone(&all)));
        let members = (0..active).map(|_| Member::new(Arc::clone(&scopes), Level::Active)).collect();
        let source: Arc<dyn Source> = Arc::new(Manager { max_connections, all });
        collector.attach(&Arc::downgrade(&source));
        (source, members)
    }

    fn values(collector: &Collector) -> Vec<(&'static str, f64)> {
        collector.check().into_iter().map(|fired| (fired.name, fired.value)).collect()
    }

    #[test]
    fn a_duration_counts_for_all_and_for_its_operation() {
        let collector = Collector::default();
        collector.record_duration(1.0, Some("mint")).unwrap();
        collector.clone().record_duration(3.0, None).unwrap();
        assert_eq!(["mint", "burn"].map(|name| collector.count(Some(name))), [1, 0]);
        assert_eq!(collector.count(None), 2);
        assert_eq!(collector.quantile(1.0, Some("mint")).unwrap(), Some(1.0));
        assert_eq!(collector.quantile(1.0, None).unwrap(), Some(3.0));
        assert_eq!(collector.quantile(0.5, Some("burn")).unwrap(), None);
    }

    #[test]
    fn what_is_no_duration_or_no_quantile_is_refused_and_not_counted() {
        let collector = Collector::default();
        for seconds in [f64::NAN, -1.0, -1e-300, f64::INFINITY, f64::NEG_INFINITY] {
            let error = collector.record_duration(seconds, Some("mint")).unwrap_err();
            assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("seconds")));
        }
        for q in [f64::NAN, -0.1, 1.1] {
            assert_eq!(collector.quantile(q, None).unwrap_err().facts().argument, Some("q"));
        }
        assert_eq!((collector.count(None), collector.count(Some("mint"))), (0, 0));
    }

    #[test]
    fn a_duration_may_be_zero_or_longer_than_time_can_tell() {
        let collector = Collector::default();
        for seconds in [0.0, -0.0, f64::MAX] {
            collector.record_duration(seconds, None).unwrap();
        }
        assert_eq!(collector.quantile(0.5, None).unwrap(), Some(0.0));
        assert_eq!(collector.quantile(1.0, None).unwrap(), Some(3600.0));
    }

    #[test]
    fn more_than_a_thousand_operations_or_classes_count_as_other() {
        let collector = Collector::default();
        for n in 0..1200 {
            collector.record_duration(0.1, Some(&format!("operation {n}"))).unwrap();
            collector.record_error(&format!("class {n}"), None);
        }
        let report = collector.report();
        assert_eq!((report.operations.len(), report.errors_by_class.len()), (1001, 1001));
        assert_eq!(collector.count(Some("other")), 200);
        assert_eq!((collector.count(None), report.errors), (1200, 1200));
        assert!(report.errors_by_class.contains(&("other".to_owned(), 200)));
    }

    #[test]
    fn the_snapshot_holds_durations_errors_process_and_pools() {
        let collector = Collector::default();
        let manager = attach(&collector, 10, 1);
        collector.record_duration(2.0, Some("mint")).unwrap();
        collector.record_error("ValueError", Some("mint"));
        collector.record_security_event("hammering");
        let Value::Map(pairs) = collector.snapshot() else { unreachable!() };
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["durations", "errors", "error_rate", "security_events", "process", "pools"]);
        let one = |name| Value::map([(name, Value::Int(1))]);
        let errors =
            [("total", Value::Int(1)), ("by_class", one("ValueError")), ("by_operation", one("mint"))];
        assert_eq!(pairs[1].1, Value::map(errors));
        assert_eq!(pairs[2].1, Value::Float(1.0));
        assert_eq!(pairs[3].1, one("hammering"));
        let Value::Map(pools) = &pairs[5].1 else { unreachable!() };
        assert_eq!(pools.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["main"]);
        drop(manager);
        let Value::Map(pairs) = collector.snapshot() else { unreachable!() };
        assert_eq!(pairs[5].1, Value::Map(vec![]));
    }

    #[test]
    fn pool_alerts_take_the_fullest_manager_and_the_sum_of_connections() {
        let collector = Collector::default();
        let managers = (attach(&collector, 10, 9), attach(&collector, 4, 1));
        for (name, above) in
            [("pool_utilization", 80.0), ("active_connections", 9.0), ("total_connections", 10.0)]
        {
            collector.alert(name, above).unwrap();
        }
        assert_eq!(values(&collector), [("pool_utilization", 90.0), ("active_connections", 10.0)]);
        assert_eq!(values(&collector), []);
        drop(managers);
        assert_eq!(values(&collector), []);
        let _full = attach(&collector, 10, 10);
        assert_eq!(values(&collector), [("pool_utilization", 100.0), ("active_connections", 10.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn latency_and_error_alerts_follow_the_last_minute() {
        let collector = Collector::default();
        let removed = collector.alert("latency_p50", 0.0).unwrap();
        collector.alert("latency_p99", 1.0).unwrap();
        collector.alert("error_rate", 0.5).unwrap();
        assert!(collector.remove(removed));
        assert_eq!(values(&collector), []);
        collector.record_duration(2.0, None).unwrap();
        collector.record_error("TimeoutError", None);
        let both = [("latency_p99", 2.0), ("error_rate", 1.0)];
        assert_eq!(values(&collector), both);
        tokio::time::advance(Duration::from_mins(1)).await;
        collector.record_duration(0.5, None).unwrap();
        assert_eq!(values(&collector), []);
        collector.record_duration(2.0, None).unwrap();
        (0..2).for_each(|_| collector.record_error("TimeoutError", None));
        assert_eq!(values(&collector), both);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn process_alerts_read_this_process() {
        let collector = Collector::default();
        collector.alert("resident_memory_bytes", 100_000.0).unwrap();
        collector.alert("open_descriptors", 2.0).unwrap();
        assert_eq!(collector.check().len(), 2);
    }
}
