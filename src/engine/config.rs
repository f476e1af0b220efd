//! Arguments that are checked once: numbers and times, and what the process can carry.

use std::time::Duration;

use super::deadline::Timeout;
use super::error::{Error, Result};

/// Descriptors that the rest of the process needs: standard streams, the event loop, libraries, logs.
const RESERVED_DESCRIPTORS: usize = 32;

/// More connections than any system opens, where it does not tell its limit.
const MOST_CONNECTIONS: usize = 1_000_000;

/// A time in seconds: zero or more, `inf` for ever.
///
/// # Errors
/// `Configuration` naming `argument` when it is negative or not a number.
pub fn seconds(argument: &'static str, value: f64) -> Result<Option<Duration>> {
    if value == f64::INFINITY {
        return Ok(None);
    }
    let duration = Duration::try_from_secs_f64(value);
    duration
        .map(Some)
        .map_err(|_| Error::argument(argument, "must be zero or more seconds, math.inf for ever"))
}

/// A length of time that must be more than nothing and have an end.
///
/// # Errors
/// `Configuration` naming `argument`.
pub fn window(argument: &'static str, value: f64) -> Result<Duration> {
    let window = Duration::try_from_secs_f64(value).ok().filter(|window| !window.is_zero());
    window.ok_or_else(|| Error::argument(argument, "must be seconds, above zero"))
}

/// The timeout of a call: none given is the default.
///
/// # Errors
/// As `seconds`.
pub fn timeout(value: Option<f64>) -> Result<Timeout> {
    value.map_or(Ok(Timeout::Default), |value| seconds("timeout", value).map(Timeout::Of))
}

/// A count that must be at least `least`.
///
/// # Errors
/// `Configuration` naming `argument`.
pub fn count(argument: &'static str, value: i64, least: usize) -> Result<usize> {
    let count = usize::try_from(value).ok().filter(|count| *count >= least);
    count.ok_or_else(|| Error::argument(argument, format!("must be {least} or more, not {value}")))
}

/// How much an endpoint counts beside the others.
///
/// # Errors
/// `Configuration` naming `argument` when it is not a number above zero.
pub fn weight(argument: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::argument(argument, "its weight must be a number above zero"))
}

/// A number of connections that this process can hold open.
///
/// # Errors
/// `Configuration` naming `max_connections` when it is less than one, or more than the limit on open files carries.
pub fn max_connections(value: i64) -> Result<usize> {
    let count = count("max_connections", value, 1)?;
    let limit = open_files_limit().unwrap_or(MOST_CONNECTIONS);
    if count.saturating_add(RESERVED_DESCRIPTORS) > limit {
        let message =
            format!("must leave room below this process's limit of {limit} open files, not {count}");
        return Err(Error::argument("max_connections", message));
    }
    Ok(count)
}

/// The soft limit on open files where the system tells it as text (Linux).
fn open_files_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_zero_or_more_or_for_ever() {
        assert_eq!(seconds("t", 0.5).unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(seconds("t", 0.0).unwrap(), Some(Duration::ZERO));
        assert_eq!(seconds("t", f64::INFINITY).unwrap(), None);
        for bad in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(seconds("t", bad).unwrap_err().facts().argument, Some("t"));
        }
    }

    #[test]
    fn a_bound_beyond_the_open_files_limit_is_refused() {
        assert_eq!(max_connections(10).unwrap(), 10);
        assert!(max_connections(0).is_err());
        assert!(max_connections(-3).is_err());
        assert!(max_connections(i64::MAX).unwrap_err().message().contains("open files"));
    }
}
