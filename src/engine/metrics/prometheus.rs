//! The page that a Prometheus server scrapes: text exposition format, version 0.0.4.
//!
//! The samples of one metric must stand together, so the page goes metric by metric and, within one, pool by
//! pool.

use std::fmt::{Display, Write};

use super::report::Report;
use super::{CloseCause, Counters, Event, Gauge, Latency, Summary, Why};
use crate::engine::classify::Class;
use crate::engine::error::Kind;

/// What every name begins with.
const PREFIX: &str = "genesis_replicator_";

/// The plain counters of a pool.
const COUNTED: [(&str, Event, &str); 18] = [
    ("pool_acquisitions_total", Event::Acquisition, "Connections given to callers."),
    ("pool_waits_total", Event::Wait, "Connections for which the caller had to wait."),
    ("pool_timeouts_total", Event::Timeout, "Callers that waited for a connection in vain."),
    (
        "pool_cancellations_total",
        Event::Cancellation,
        "Callers cancelled while they waited for a connection.",
    ),
    ("pool_rejections_total", Event::Rejection, "Callers turned away at once."),
    ("pool_connections_opened_total", Event::Opened, "Connections opened."),
    ("pool_connect_failures_total", Event::ConnectFailure, "Connections that could not be opened."),
    ("pool_requests_total", Event::Request, "Requests made."),
    ("pool_hedges_total", Event::Hedge, "Late requests made at a second endpoint too."),
    ("pool_hedges_won_total", Event::HedgeWon, "Late requests that the second endpoint answered first."),
    ("pool_breakers_opened_total", Event::BreakerOpened, "Endpoints left alone until they are well again."),
    ("pool_rate_refusals_total", Event::Refusal, "Requests that an endpoint refused for its rate."),
    ("pool_cache_hits_total", Event::CacheHit, "Calls answered by a result that was kept."),
    ("pool_cache_misses_total", Event::CacheMiss, "Calls made whose result could have been kept."),
    ("pool_shared_requests_total", Event::Shared, "Calls answered by an equal one under way."),
    (
        "pool_resubscriptions_total",
        Event::Resubscribed,
        "Subscriptions made anew after the one before had ended.",
    ),
    ("pool_gaps_filled_total", Event::GapFilled, "Blocks asked for because no notice of them was seen."),
    ("pool_items_dropped_total", Event::ItemDropped, "Items let go because their reader was slow."),
];

const GAUGES: [(&str, Gauge, &str); 5] = [
    ("pool_in_flight_requests", Gauge::InFlight, "Requests sent and not yet answered."),
    ("pool_waiting_requests", Gauge::Waiting, "Callers waiting for a connection."),
    ("pool_learned_rate", Gauge::LearnedRate, "Requests a second that endpoints were found to allow."),
    ("pool_subscriptions", Gauge::Subscriptions, "Readers of what the chain tells."),
    ("pool_cache_bytes", Gauge::CacheBytes, "Bytes of results that are kept."),
];

const LATENCIES: [(&str, Latency, &str); 2] = [
    ("pool_wait_seconds", Latency::Wait, "Time that a caller had to wait for its connection."),
    ("pool_request_seconds", Latency::Request, "Time from a request to its answer."),
];

/// The labels of one sample.
type Labels<'a> = [(&'a str, &'a str)];

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    operations(&mut page, report);
    process(&mut page, report);
    managers(&mut page, report);
    chains(&mut page, report);
    page.0
}

fn operations(page: &mut Page, report: &Report) {
    page.family("duration_seconds", "summary", "Durations recorded, of all operations.");
    page.summary("duration_seconds", &[], &report.durations);
    page.family("operation_duration_seconds", "summary", "Durations recorded, by operation.");
    for operation in &report.operations {
        page.summary("operation_duration_seconds", &[("operation", &operation.name)], &operation.durations);
    }
    page.family("errors_total", "counter", "Errors recorded, by class.");
    for (class, count) in &report.errors_by_class {
        page.sample("errors_total", &[("class", class)], count);
    }
    page.family("operation_errors_total", "counter", "Errors recorded, by operation.");
    for operation in &report.operations {
        page.sample("operation_errors_total", &[("operation", &operation.name)], operation.errors);
    }
    page.family("error_ratio", "gauge", "Errors divided by operations in the last minute.");
    page.sample("error_ratio", &[], report.error_rate);
    page.family("security_events_total", "counter", "Suspicious patterns of clients, by kind.");
    for (kind, count) in &report.security_events {
        page.sample("security_events_total", &[("kind", kind)], count);
    }
}

fn process(page: &mut Page, report: &Report) {
    let process = report.process;
    if let Some(bytes) = process.resident_memory_bytes {
        page.family("process_resident_memory_bytes", "gauge", "Memory of this process that is in RAM.");
        page.sample("process_resident_memory_bytes", &[], bytes);
    }
    if let Some(count) = process.open_descriptors {
        page.family("process_open_descriptors", "gauge", "Open descriptors of this process.");
        page.sample("process_open_descriptors", &[], count);
    }
}

fn managers(page: &mut Page, report: &Report) {
    page.family("max_connections", "gauge", "Connections that the manager may hold open.");
    for (manager, pools) in &report.pools {
        page.sample("max_connections", &[("manager", manager)], pools.max_connections);
    }
    page.family("pool_utilization_ratio", "gauge", "Active connections divided by max_connections.");
    for (manager, pools) in &report.pools {
        page.sample("pool_utilization_ratio", &[("manager", manager)], pools.utilization() / 100.0);
    }
}

fn chains(page: &mut Page, report: &Report) {
    page.family("pool_connections", "gauge", "Connections by what they do.");
    each_chain(report, |labels, counters| {
        let levels = counters.levels().snapshot();
        let states = [("active", levels.active), ("idle", levels.idle), ("connecting", levels.connecting)];
        for (state, count) in states {
            page.sample("pool_connections", &with(labels, ("state", state)), count);
        }
    });
    for (name, gauge, help) in GAUGES {
        page.family(name, "gauge", help);
        each_chain(report, |labels, counters| page.sample(name, labels, counters.gauge(gauge)));
    }
    for (name, event, help) in COUNTED {
        page.family(name, "counter", help);
        each_chain(report, |labels, counters| page.sample(name, labels, counters.counted(event)));
    }
    page.family("pool_connections_closed_total", "counter", "Connections closed, by cause.");
    each_chain(report, |labels, counters| {
        for cause in CloseCause::ALL {
            let count = counters.counted(Event::Closed(cause));
            page.sample("pool_connections_closed_total", &with(labels, ("cause", cause.name())), count);
        }
    });
    let errors = Kind::ALL.map(|kind| (kind.code(), Event::Error(kind)));
    told_apart(page, report, "pool_errors_total", "Calls that failed, by error code.", ("code", &errors));
    let retries = Why::ALL.map(|why| (why.name(), Event::Retry(why)));
    let help = "Requests tried once more, by what was wrong before.";
    told_apart(page, report, "pool_retries_total", help, ("reason", &retries));
    let answers = Class::ALL.map(|class| (class.name(), Event::Answer(class)));
    let help = "Error answers of nodes, by class, whatever became of the calls.";
    told_apart(page, report, "pool_error_answers_total", help, ("class", &answers));
    for (name, latency, help) in LATENCIES {
        page.family(name, "summary", help);
        each_chain(report, |labels, counters| page.summary(name, labels, &counters.latency(latency)));
    }
}

/// Counts that are told apart by a label, as far as there are any.
fn told_apart(page: &mut Page, report: &Report, name: &str, help: &str, by: (&str, &[(&str, Event)])) {
    page.family(name, "counter", help);
    each_chain(report, |labels, counters| {
        for (value, event) in by.1 {
            let count = counters.counted(*event);
            if count > 0 {
                page.sample(name, &with(labels, (by.0, value)), count);
            }
        }
    });
}

fn each_chain(report: &Report, mut show: impl FnMut(&Labels, &Counters)) {
    for (manager, pools) in &report.pools {
        for (chain, counters) in &pools.chains {
            show(&[("manager", manager), ("chain", chain)], counters);
        }
    }
}

fn with<'a>(labels: &Labels<'a>, more: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([more]).collect()
}

/// The page so far. Writing to a string cannot fail, which is why the results of `write!` are let go.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}").ok();
    }

    fn sample(&mut self, name: &str, labels: &Labels, value: impl Display) {
        write!(self.0, "{PREFIX}{name}").ok();
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(self.0, "{before}{label}=\"{}\"", escaped(text)).ok();
        }
        let after = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{after} {value}").ok();
    }

    /// Quantiles of nothing are left out.
    fn summary(&mut self, name: &str, labels: &Labels, summary: &Summary) {
        if summary.count > 0 {
            for (quantile, value) in [("0.5", summary.p50), ("0.9", summary.p90), ("0.99", summary.p99)] {
                self.sample(name, &with(labels, ("quantile", quantile)), value);
            }
        }
        self.sample(&format!("{name}_sum"), labels, summary.sum);
        self.sample(&format!("{name}_count"), labels, summary.count);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
