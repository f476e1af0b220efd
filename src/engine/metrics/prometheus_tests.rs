//! Reads the page as a Prometheus server would, and refuses what such a server refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::engine::metrics::{Collector, Level, Member, Pools, Scopes, Source};

const NASTY: &str = "a \"quoted\" back\\slash,\nnew line={}";

/// The labels of a sample, as they were before they were escaped.
type Pairs = Vec<(String, String)>;

#[derive(Default)]
struct Parsed {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Pairs), f64>,
}

impl Parsed {
    fn get(&self, name: &str, labels: &Labels) -> Option<f64> {
        let labels = labels.iter().map(|(label, text)| ((*label).to_owned(), (*text).to_owned())).collect();
        self.samples.get(&(format!("{PREFIX}{name}"), labels)).copied()
    }
}

fn is_legal(name: &str) -> bool {
    let mut chars = name.chars();
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    chars.next().is_some_and(is_letter) && chars.all(|c| is_letter(c) || c.is_ascii_digit())
}

/// Takes `label="text",...}` apart; returns the labels and what follows.
fn parse_labels(mut rest: &str) -> Result<(Pairs, &str), String> {
    let mut labels = Vec::new();
    loop {
        let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        let mut text = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (index, '"') => break index,
                (_, '\\') => text.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    other => return Err(format!("an unknown escape: {other:?}")),
                }),
                (_, c) => text.push(c),
            }
        };
        if !is_legal(label) {
            return Err(format!("an illegal label: {label}"));
        }
        labels.push((label.to_owned(), text));
        let (separator, after) = after[end + 1..].split_at(1);
        rest = after;
        match separator {
            "," => {}
            "}" => return Ok((labels, rest)),
            other => return Err(format!("{other} after a label")),
        }
    }
}

/// The metric that a sample belongs to.
fn family(name: &str, kinds: &BTreeMap<String, String>) -> String {
    let base = name.strip_suffix("_sum").or_else(|| name.strip_suffix("_count"));
    let summary = base.filter(|base| kinds.get(*base).is_some_and(|kind| kind == "summary"));
    summary.unwrap_or(name).to_owned()
}

fn parse(page: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    if !page.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').ok_or("HELP without text")?;
            if !is_legal(name) || !helped.insert(name.to_owned()) {
                return Err(format!("HELP twice or for an illegal name: {name}"));
            }
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or("TYPE without a type")?;
            if !helped.contains(name) || !["counter", "gauge", "summary"].contains(&kind) {
                return Err(format!("a TYPE without HELP, or unknown: {line}"));
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err(format!("counters, and only they, end in _total: {name}"));
            }
            name.clone_into(&mut current);
            parsed.kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let name_end = line.find(['{', ' ']).ok_or("a sample without a value")?;
            let (name, rest) = line.split_at(name_end);
            let (labels, value) = rest.strip_prefix('{').map_or(Ok((vec![], rest)), parse_labels)?;
            if family(name, &parsed.kinds) != current {
                return Err(format!("a sample without its TYPE before it: {line}"));
            }
            let value = value.strip_prefix(' ').ok_or("no space before the value")?;
            let value: f64 = value.parse().map_err(|_| format!("not a number: {value}"))?;
            if parsed.samples.insert((name.to_owned(), labels), value).is_some() {
                return Err(format!("a sample twice: {line}"));
            }
        }
    }
    Ok(parsed)
}

struct Manager(Vec<(String, Arc<Counters>)>);

impl Source for Manager {
    fn label(&self) -> String {
        "main".into()
    }

    fn pools(&self) -> Pools {
        Pools { max_connections: 10, all: Arc::clone(&self.0[0].1), chains: self.0.clone() }
    }
}

#[test]
fn a_server_can_read_the_page_of_several_managers_chains_and_operations() {
    let collector = Collector::default();
    let chains = || [NASTY, "eth"].map(|label| (label.to_owned(), Arc::default())).to_vec();
    let managers: [Arc<dyn Source>; 2] = [Arc::new(Manager(chains())), Arc::new(Manager(chains()))];
    for manager in &managers {
        collector.attach(&Arc::downgrade(manager));
    }
    let scopes = Arc::new(Scopes::alone(Arc::clone(&managers[1].pools().chains[0].1)));
    let _connections = [Level::Active, Level::Idle].map(|level| Member::new(Arc::clone(&scopes), level));
    scopes.count(Event::Error(Kind::Protocol));
    scopes.count(Event::Closed(CloseCause::Lost));
    scopes.observe(Latency::Request, Duration::from_millis(1500));
    collector.record_duration(0.25, Some(NASTY)).unwrap();
    collector.record_duration(0.75, None).unwrap();
    collector.record_error(NASTY, Some(NASTY));

    let page = parse(&collector.prometheus()).unwrap();
    let chain = [("manager", "main-2"), ("chain", NASTY)];
    let of_chain = |name, more: &Labels| page.get(name, &[&chain[..], more].concat());
    assert_eq!(of_chain("pool_connections", &[("state", "idle")]), Some(1.0));
    assert_eq!(of_chain("pool_errors_total", &[("code", "protocol")]), Some(1.0));
    assert_eq!(of_chain("pool_connections_closed_total", &[("cause", "lost")]), Some(1.0));
    assert_eq!(of_chain("pool_request_seconds", &[("quantile", "0.99")]), Some(1.5));
    assert_eq!(of_chain("pool_request_seconds_sum", &[]), Some(1.5));
    assert_eq!(of_chain("pool_wait_seconds_count", &[]), Some(0.0));
    assert_eq!(of_chain("pool_wait_seconds", &[("quantile", "0.5")]), None);
    assert_eq!(page.get("pool_requests_total", &[("manager", "main"), ("chain", "eth")]), Some(0.0));
    assert_eq!(page.get("pool_utilization_ratio", &[("manager", "main-2")]), Some(0.1));
    assert_eq!(page.get("max_connections", &[("manager", "main")]), Some(10.0));
    assert_eq!(page.get("duration_seconds_sum", &[]), Some(1.0));
    assert_eq!(page.get("operation_duration_seconds_count", &[("operation", NASTY)]), Some(1.0));
    assert_eq!(page.get("errors_total", &[("class", NASTY)]), Some(1.0));
    assert_eq!(page.get("error_ratio", &[]), Some(0.5));
    assert!(page.kinds.values().any(|kind| kind == "counter"));
}

#[test]
fn the_page_of_an_empty_collector_is_readable() {
    let page = parse(&Collector::default().prometheus()).unwrap();
    assert_eq!(page.get("duration_seconds_count", &[]), Some(0.0));
    assert_eq!(page.get("error_ratio", &[]), Some(0.0));
}

#[test]
fn the_reader_of_these_tests_refuses_what_a_server_refuses() {
    let head = "# HELP x_total X.\n# TYPE x_total counter\n";
    assert!(parse(&format!("{head}x_total{{a=\"b\"}} 1\n")).is_ok());
    for sample in [
        "x_total 1",
        "y 1\n",
        "x_total{a=\"b\nc\"} 1\n",
        "x_total{a=\"b\"c\"} 1\n",
        "x_total{1=\"b\"} 1\n",
        "x_total one\n",
        "x_total 1\nx_total 1\n",
        "# TYPE y_total counter\n",
    ] {
        assert!(parse(&format!("{head}{sample}")).is_err(), "{sample}");
    }
}
