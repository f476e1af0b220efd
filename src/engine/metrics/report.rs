//! Everything a collector knows at one moment, from which the snapshot and the Prometheus page are made.

use super::{Pools, Process, Summary, Value};

/// What a collector knows.
pub(super) struct Report {
    pub durations: Summary,
    pub operations: Vec<Operation>,
    pub errors: u64,
    pub errors_by_class: Vec<(String, u64)>,
    pub error_rate: f64,
    pub security_events: Vec<(String, u64)>,
    pub process: Process,
    pub pools: Vec<(String, Pools)>,
}

/// One operation by name.
pub(super) struct Operation {
    pub name: String,
    pub durations: Summary,
    pub errors: u64,
}

impl Report {
    pub fn snapshot(&self) -> Value {
        Value::map([
            ("durations", self.durations()),
            ("errors", self.errors()),
            ("error_rate", self.error_rate.into()),
            ("security_events", counts(&self.security_events)),
            ("process", self.process.into()),
            ("pools", self.pools.iter().map(|(label, pools)| (label.clone(), pools.snapshot())).collect()),
        ])
    }

    fn durations(&self) -> Value {
        let timed = self.operations.iter().filter(|operation| operation.durations.count > 0);
        let by_operation =
            timed.map(|operation| (operation.name.clone(), operation.durations.into())).collect();
        Value::map(self.durations.pairs().into_iter().chain([("by_operation", by_operation)]))
    }

    fn errors(&self) -> Value {
        let failed = self.operations.iter().filter(|operation| operation.errors > 0);
        let by_operation = failed.map(|operation| (operation.name.clone(), operation.errors.into()));
        Value::map([
            ("total", self.errors.into()),
            ("by_class", counts(&self.errors_by_class)),
            ("by_operation", by_operation.collect()),
        ])
    }
}

fn counts(counts: &[(String, u64)]) -> Value {
    counts.iter().map(|(name, count)| (name.clone(), (*count).into())).collect()
}
