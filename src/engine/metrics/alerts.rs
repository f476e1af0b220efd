//! Thresholds on metrics: an alert fires once when its metric rises above, and again only after it came down.

use crate::engine::error::{Error, Result};

/// A metric that an alert can watch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Metric {
    ErrorRate,
    /// A quantile of the last minute's durations.
    Latency(f64),
    PoolUtilization,
    WaitingRequests,
    InFlightRequests,
    ActiveConnections,
    TotalConnections,
    ResidentMemory,
    OpenDescriptors,
}

/// Every metric by its name.
const METRICS: [(&str, Metric); 11] = [
    ("error_rate", Metric::ErrorRate),
    ("latency_p50", Metric::Latency(0.5)),
    ("latency_p90", Metric::Latency(0.9)),
    ("latency_p99", Metric::Latency(0.99)),
    ("pool_utilization", Metric::PoolUtilization),
    ("waiting_requests", Metric::WaitingRequests),
    ("in_flight_requests", Metric::InFlightRequests),
    ("active_connections", Metric::ActiveConnections),
    ("total_connections", Metric::TotalConnections),
    ("resident_memory_bytes", Metric::ResidentMemory),
    ("open_descriptors", Metric::OpenDescriptors),
];

/// Names one alert of one collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertId(u64);

impl AlertId {
    /// The number that stands for it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// An alert that fires now.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// Which alert.
    pub id: AlertId,
    /// The metric it watches.
    pub name: &'static str,
    /// The value that the metric has.
    pub value: f64,
    /// The threshold.
    pub above: f64,
}

/// The alerts of a collector.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    next: u64,
    alerts: Vec<Alert>,
}

#[derive(Debug)]
struct Alert {
    id: AlertId,
    name: &'static str,
    metric: Metric,
    above: f64,
    armed: bool,
}

impl Alerts {
    pub fn add(&mut self, name: &str, above: f64) -> Result<AlertId> {
        let Some(&(name, metric)) = METRICS.iter().find(|(known, _)| *known == name) else {
            let names = METRICS.map(|(known, _)| known).join(", ");
            return Err(Error::argument("name", format!("must be one of {names}")));
        };
        if !above.is_finite() {
            return Err(Error::argument("above", "must be a finite number"));
        }
        let id = AlertId(self.next);
        self.next += 1;
        self.alerts.push(Alert { id, name, metric, above, armed: true });
        Ok(id)
    }

    /// Whether there was such an alert.
    pub fn remove(&mut self, id: AlertId) -> bool {
        let before = self.alerts.len();
        self.alerts.retain(|alert| alert.id != id);
        self.alerts.len() < before
    }

    pub const fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// Compare every metric with its threshold. A metric that has no value now leaves its alerts as they are.
    pub fn check(&mut self, read: impl Fn(Metric) -> Option<f64>) -> Vec<Fired> {
        let mut fired = Vec::new();
        for alert in &mut self.alerts {
            let Some(value) = read(alert.metric) else { continue };
            let is_above = value > alert.above;
            if is_above && alert.armed {
                fired.push(Fired { id: alert.id, name: alert.name, value, above: alert.above });
            }
            alert.armed = !is_above;
        }
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    fn one_alert(above: f64) -> (Alerts, AlertId) {
        let mut alerts = Alerts::default();
        let id = alerts.add("waiting_requests", above).unwrap();
        (alerts, id)
    }

    #[test]
    fn an_alert_fires_once_on_the_way_up_and_again_after_the_metric_came_down() {
        let (mut alerts, id) = one_alert(10.0);
        let fires = [9.0, 10.0, 11.0, 12.0, 10.5, 10.0, 11.0, 3.0, 10.0]
            .map(|value| alerts.check(|_| Some(value)).iter().map(|fired| fired.value).collect::<Vec<_>>());
        let expected: [&[f64]; 9] = [&[], &[], &[11.0], &[], &[], &[], &[11.0], &[], &[]];
        assert_eq!(fires, expected);
        let last = alerts.check(|_| Some(20.0));
        assert_eq!(last, [Fired { id, name: "waiting_requests", value: 20.0, above: 10.0 }]);
    }

    #[test]
    fn a_metric_without_a_value_neither_fires_nor_arms() {
        let (mut alerts, _) = one_alert(10.0);
        assert!(alerts.check(|_| None).is_empty());
        assert_eq!(alerts.check(|_| Some(11.0)).len(), 1);
        assert!(alerts.check(|_| None).is_empty());
        assert!(alerts.check(|_| Some(11.0)).is_empty());
    }

    #[test]
    fn alerts_on_one_metric_are_independent_until_they_are_removed() {
        let (mut alerts, low) = one_alert(1.0);
        let high = alerts.add("waiting_requests", 5.0).unwrap();
        let mut fire = |value| alerts.check(|_| Some(value)).iter().map(|fired| fired.id).collect::<Vec<_>>();
        assert_eq!(fire(3.0), [low]);
        assert_eq!(fire(6.0), [high]);
        fire(0.0);
        assert!(alerts.remove(low));
        assert!(!alerts.remove(low));
        assert_eq!(alerts.check(|_| Some(9.0)).iter().map(|fired| fired.id).collect::<Vec<_>>(), [high]);
        assert_ne!(alerts.add("error_rate", 0.0).unwrap(), low);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_there_are() {
        let error = Alerts::default().add("cpu", 1.0).unwrap_err();
        assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("name")));
        assert!(METRICS.iter().all(|(name, _)| error.message().contains(name)), "{error}");
    }

    #[test]
    fn a_threshold_that_is_no_number_is_refused() {
        for above in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Alerts::default().add("error_rate", above).unwrap_err();
            assert_eq!(error.facts().argument, Some("above"));
        }
    }
}
