//! A limit that processes and machines share through Redis or Valkey.
//!
//! The waiting line stays in the process. What differs is where room comes from: a `Stock` of permits that the server
//! lent (`grant.lua` decides, in one round trip), fetched by a task (`driver`) as the line asks for them. While the
//! server is away, the policy for outages decides what the stock gives.

mod breaker;
mod call;
mod driver;
mod health;
mod keyed;
mod servers;
mod stock;
#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::error::{Error, Result};
use crate::engine::log::Log;

use super::fair::{Line, Rule};
use super::{MOST, RateLimiter, Shared, check_count, check_quota};
use call::Terms;
pub use keyed::SharedKeyedRateLimiter;
pub use servers::Servers;

pub(super) use driver::Source;
pub(super) use stock::{Demand, Stock};

/// What callers get while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOutage {
    /// This process's share of the limit: the limit, divided by the processes that were seen last.
    LocalShare,
    /// Nothing.
    Closed,
    /// Everything.
    Open,
}

impl FromStr for OnOutage {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "local_share" => Ok(Self::LocalShare),
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            _ => Err(Error::argument("on_outage", "must be 'local_share', 'closed' or 'open'")),
        }
    }
}

impl OnOutage {
    fn name(self) -> &'static str {
        match self {
            Self::LocalShare => "local_share",
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// How a limit is shared.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// Where it is kept.
    pub servers: Servers,
    /// Limits of one name are one limit.
    pub name: String,
    /// What callers get while the servers are away.
    pub on_outage: OnOutage,
    /// Where outages are told.
    pub log: Log,
}

impl Sharing {
    /// A limit called `name`.
    ///
    /// # Errors
    /// `Configuration` naming `name` or `on_outage`.
    pub fn new(servers: Servers, name: &str, on_outage: &str, log: Log) -> Result<Self> {
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
        if name.is_empty() || name.len() > 100 || !name.chars().all(fits) {
            return Err(Error::argument(
                "name",
                "must be 1 to 100 ASCII characters, without spaces and braces",
            ));
        }
        Ok(Self { servers, name: name.to_owned(), on_outage: on_outage.parse()?, log })
    }

    /// The key of the limit. Its name is the hash tag, so that all that belongs to a limit is on one node.
    fn key(&self, kind: &str) -> String {
        format!("genesis-replicator:{{{}}}:{kind}", self.name)
    }
}

/// The shortest window that can be shared: an answer may take half of it.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest time in which a burst fills up: the scripts count microseconds in numbers of 53 bits.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

impl RateLimiter {
    /// A limiter of `max_rate` units per `window`, smooth if it has a `burst`, that is one with all others of this
    /// name, window and burst, wherever they are.
    ///
    /// It asks its server from a task in the runtime that polls its callers. Without a runtime there is only what it
    /// has at hand.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `max_rate`, `time_window` or `burst`.
    pub fn shared(max_rate: u64, window: Duration, burst: Option<u64>, sharing: Sharing) -> Result<Self> {
        check_quota(max_rate, window)?;
        if window < SHORTEST {
            return Err(Error::argument(
                "time_window",
                format_args!("must be at least {SHORTEST:?} to be shared"),
            ));
        }
        let micros = window.as_micros();
        let (terms, kind) = match burst {
            None => (Terms::window(max_rate, window), format!("window:{micros}")),
            Some(burst) => {
                check_count("burst", burst, MOST)?;
                let terms = Terms::smooth(max_rate, window, burst);
                if terms.window > LONGEST {
                    return Err(Error::argument("burst", "must fill up within 100 years to be shared"));
                }
                (terms, format!("burst:{burst}:{max_rate}:{micros}"))
            }
        };
        let largest = burst.map_or(max_rate, |burst| burst.min(max_rate));
        let source = Source::new(sharing, &kind);
        let line = Mutex::new(Line::new(Rule::Shared(Box::new(Stock::new(terms)))));
        Ok(Self(Arc::new(Shared {
            windows: [(max_rate, window)].into(),
            largest,
            line,
            source: Some(source),
        })))
    }

    /// Whether it is shared with other processes.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.source.is_some()
    }
}
