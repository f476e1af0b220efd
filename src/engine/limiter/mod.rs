//! Rate limiters: `RateLimiter` waits and protects you from a provider, `KeyedRateLimiter` refuses and protects a
//! service from its clients.
//!
//! `window.rs` and `gcra.rs` count, `adaptive.rs` finds out; `fair.rs` keeps the order of those who wait, `plan.rs` tells when they will be
//! admitted; `grant.rs` waits and admits; `keyed/` counts by client; `shared/` lets processes and machines
//! have one limit.

mod adaptive;
mod fair;
mod gcra;
mod grant;
mod keyed;
#[cfg(test)]
mod model;
mod plan;
#[cfg(test)]
mod properties;
mod queue;
#[cfg(test)]
mod real_time;
mod shared;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::error::{Error, Result};

pub use adaptive::Learned;
use adaptive::Pace;
use fair::{Line, Rule};
use gcra::Gcra;
pub use grant::Grant;
pub use keyed::{Checked, Decision, Event, Fingerprint, KeyedRateLimiter, Suspicion};
pub use shared::{Servers, SharedKeyedRateLimiter, Sharing};
use window::Window;

/// The largest rate and burst.
const MOST: u64 = 1_000_000_000;
/// The shortest and the longest window: a timer's tick and a year.
const WINDOWS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(8784);
/// How many windows one limiter counts in.
const MOST_WINDOWS: usize = 16;

/// A limit that callers wait for, first come, first served. Clones share it, in any task, runtime or thread.
///
/// Without a burst it is exact: no window of time, wherever it starts, holds more than the maximum, counted at the
/// instants at which callers resume. Several windows hold at the same time. With a burst it is a bucket of that size which refills steadily.
#[derive(Clone)]
pub struct RateLimiter(Arc<Shared>);

struct Shared {
    /// How many units a window of which length may hold; at least one.
    windows: Box<[(u64, Duration)]>,
    /// The most units that one caller can have at once.
    largest: u64,
    line: Mutex<Line>,
    /// Where the permits come from, if it is shared.
    source: Option<shared::Source>,
}

impl RateLimiter {
    /// A limiter of `max_rate` units per `window`, smooth if it has a `burst`.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `max_rate`, `time_window` or `burst`.
    pub fn new(max_rate: u64, window: Duration, burst: Option<u64>) -> Result<Self> {
        let Some(burst) = burst else { return Self::with_windows(&[(max_rate, window)]) };
        check_quota(max_rate, window)?;
        check_count("burst", burst, MOST)?;
        let gcra = Gcra::new(max_rate, window, burst, *WINDOWS.end()).ok_or_else(|| {
            Error::argument("burst", "must refill within 366 days at the rate of max_rate per time_window")
        })?;
        Ok(Self::of([(max_rate, window)].into(), burst.min(max_rate), Rule::Gcra(gcra)))
    }

    /// A limiter that keeps to each of several quotas: units, and the window that may hold so many.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `max_rate` or `time_window`.
    pub fn with_windows(windows: &[(u64, Duration)]) -> Result<Self> {
        if !(1..=MOST_WINDOWS).contains(&windows.len()) {
            let message = format_args!("must hold 1 to {MOST_WINDOWS} windows, not {}", windows.len());
            return Err(Error::argument("max_rate", message));
        }
        let counted = windows
            .iter()
            .map(|&(max_rate, window)| check_quota(max_rate, window).map(|()| Window::new(max_rate, window)));
        let rule = Rule::Windows(counted.collect::<Result<_>>()?);
        let largest = windows.iter().map(|&(max_rate, _)| max_rate).min().unwrap_or_default();
        Ok(Self::of(windows.into(), largest, rule))
    }

    /// A limiter that finds out how fast it may go, from what it is told by `refused`.
    #[must_use]
    pub fn adaptive() -> Self {
        Self::of([].into(), MOST, Rule::Adaptive(Pace::new(Instant::now())))
    }

    /// Whoever this limit is for has refused a call for its rate. That means something to an adaptive limiter only.
    pub fn refused(&self) {
        let mut line = self.line();
        let now = Instant::now();
        let Some(pace) = line.pace() else { return };
        pace.refused(now);
        let bells = line.plan_anew(now);
        drop(line);
        bells.ring();
    }

    /// What an adaptive limiter has found out.
    #[must_use]
    pub fn learned(&self) -> Option<Learned> {
        self.line().pace().map(|pace| pace.learned())
    }

    fn of(windows: Box<[(u64, Duration)]>, largest: u64, rule: Rule) -> Self {
        Self(Arc::new(Shared { windows, largest, line: Mutex::new(Line::new(rule)), source: None }))
    }

    /// Admit `amount` now, or say that this is not possible. Never overtakes those who wait.
    ///
    /// # Errors
    /// `Configuration` if no wait could ever make room for `amount`.
    pub fn try_acquire(&self, amount: u64) -> Result<bool> {
        self.check_amount(amount)?;
        let admitted = self.with_room(|line, now| line.try_admit(now, amount));
        Ok(admitted || self.wish(amount))
    }

    /// Whether `try_acquire` would admit `amount` now.
    ///
    /// # Errors
    /// `Configuration` if no wait could ever make room for `amount`.
    pub fn has_capacity(&self, amount: u64) -> Result<bool> {
        self.check_amount(amount)?;
        let has_room = self.with_room(|line, now| line.has_room(now, amount));
        Ok(has_room || self.wish(amount))
    }

    /// How long a caller who asked for `amount` now would wait, if everybody in the line goes on at once and nobody
    /// leaves it. Nothing is kept for the one who asks.
    ///
    /// # Errors
    /// `Configuration` if no wait could ever make room for `amount`.
    pub fn wait_for(&self, amount: u64) -> Result<Duration> {
        self.check_amount(amount)?;
        Ok(self.with_room(|line, now| line.estimate(now, amount)))
    }

    /// Wait for room for `amount`, at most for `timeout`. It counts as admitted once `Grant::admit` is called, which
    /// is for the moment when the caller goes on.
    ///
    /// Room that is there at the first poll is granted at that poll, even outside a runtime. A wait that cannot end
    /// in time is refused at the first poll. To wait, it must be polled within a tokio runtime that has timers.
    ///
    /// # Errors
    /// `Configuration` if no wait could ever make room for `amount`; `LimiterTimeout`.
    pub async fn grant(&self, amount: u64, timeout: Option<Duration>) -> Result<Grant> {
        self.check_amount(amount)?;
        grant::wait(self, amount, timeout).await
    }

    /// Wait for room for `amount`, at most for `timeout`, and admit it.
    ///
    /// # Errors
    /// Those of `grant`.
    pub async fn acquire(&self, amount: u64, timeout: Option<Duration>) -> Result<()> {
        self.grant(amount, timeout).await.map(Grant::admit)
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line().len()
    }

    /// Whether both are the same limiter.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The most units that one caller can have at once.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.0.largest
    }

    /// How many units a window of which length may hold; the first is the one that `max_rate` and `window` tell.
    #[must_use]
    pub fn windows(&self) -> &[(u64, Duration)] {
        &self.0.windows
    }

    /// How many units a window may hold.
    #[must_use]
    pub fn max_rate(&self) -> u64 {
        self.0.windows.first().map_or(0, |quota| quota.0)
    }

    /// How long a window is.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.0.windows.first().map_or(Duration::ZERO, |quota| quota.1)
    }

    /// The limit in words.
    fn limits(&self) -> String {
        let limits = self.windows().iter().map(|(max_rate, window)| format!("{max_rate} per {window:?}"));
        if self.windows().is_empty() {
            "adaptive".to_owned()
        } else {
            limits.collect::<Vec<_>>().join(" and ")
        }
    }

    /// The line. Nothing that runs under its lock can panic, so a poisoned one is as good as any.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look at the line after those who wait have had what is theirs.
    fn with_room<T>(&self, look: impl FnOnce(&mut Line, Instant) -> T) -> T {
        let mut line = self.line();
        // Read under the lock, so that stamps are in order.
        let now = Instant::now();
        if line.is_at_rest() {
            return look(&mut line, now);
        }
        let bells = line.settle(now);
        let seen = look(&mut line, now);
        drop(line);
        bells.ring();
        seen
    }

    /// Have `amount` fetched, if this limiter is shared: it is not there now, but it may be for the next try.
    fn wish(&self, amount: u64) -> bool {
        if self.0.source.is_some() {
            if let Some(stock) = self.line().stock() {
                stock.wish(amount);
            }
            self.call_for_more();
        }
        false
    }

    /// Somebody waits for what is not there.
    fn call_for_more(&self) {
        if let Some(source) = &self.0.source {
            source.poke(&self.0);
        }
    }

    fn check_amount(&self, amount: u64) -> Result<()> {
        check_count("amount", amount, self.0.largest)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimiter({})", self.limits())
    }
}

fn check_quota(max_rate: u64, window: Duration) -> Result<()> {
    check_count("max_rate", max_rate, MOST)?;
    check_window("time_window", window)
}

fn check_count(argument: &'static str, value: u64, most: u64) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(argument, format_args!("must be from 1 to {most}, not {value}")))
}

fn check_window(argument: &'static str, value: Duration) -> Result<()> {
    if WINDOWS.contains(&value) {
        return Ok(());
    }
    Err(Error::argument(argument, format_args!("must be from 1 ms to 366 days, not {value:?}")))
}
