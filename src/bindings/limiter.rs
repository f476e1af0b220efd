//! `RateLimiter`, the one that waits.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PySequence;

use super::answers;
use super::arguments;
use super::bridge::{Coroutine, Start, done};
use super::errors::to_py;
use super::logging;
use super::process::Owned;
use super::runtime;
use super::sharing::sharing;
use crate::engine::config;
use crate::engine::error;
use crate::engine::limiter::{Grant, RateLimiter as Engine};

/// Lets callers through at a rate, first come, first served.
///
/// No window of `time_window` seconds, wherever it starts, ever holds more than `max_rate` admissions, counted when
/// the callers resume. Tasks, event loops and threads may share one.
///
/// Args:
///     max_rate: Admissions per window. Or several limits that hold at the same time, as pairs of admissions and
///         seconds: `RateLimiter([(25, 1), (3_000_000, 86_400)])`, without any other argument.
///     time_window: Seconds, 60 by default.
///     burst: Admit smoothly instead (GCRA), with at most so many at once.
///     shared: The URL of a Redis or Valkey server, or the URLs of some nodes of a cluster: all limiters there with
///         the same `name` are one, in whatever process. Permits are fetched a few at a time. They are counted until
///         the last moment at which they could be used, so the limit holds over all processes.
///     name: What the limit is called there.
///     on_outage: What callers get while the server is away: "local_share", the limit divided by the number of
///         processes seen last (nothing for one that has just joined others); "closed", nothing; "open", everything.
///
/// Raises:
///     ConfigurationError: An argument is out of its range.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct RateLimiter(Owned<Engine>);

#[pymethods]
impl RateLimiter {
    #[new]
    #[pyo3(
        signature = (max_rate, time_window=None, *, burst=None, shared=None, name=None, on_outage="local_share"),
        text_signature = "(max_rate, time_window=60.0, *, burst=None, shared=None, name=None, \
                          on_outage='local_share')"
    )]
    fn new(
        max_rate: &Bound<'_, PyAny>,
        time_window: Option<f64>,
        burst: Option<i64>,
        shared: Option<&Bound<'_, PyAny>>,
        name: Option<&str>,
        on_outage: &str,
    ) -> PyResult<Self> {
        let py = max_rate.py();
        let sharing = sharing(shared, name, on_outage)?;
        let limiter = if max_rate.cast::<PySequence>().is_ok() {
            if time_window.is_some() {
                return Err(arguments::bad(py, "time_window", "each window in max_rate has its own"));
            }
            if burst.is_some() {
                return Err(arguments::bad(py, "burst", "several windows are exact, and have none"));
            }
            if sharing.is_some() {
                return Err(arguments::bad(py, "shared", "several windows cannot be shared"));
            }
            several(max_rate)?
        } else {
            let max_rate: i64 = max_rate.extract()?;
            let build = || {
                let (max_rate, window) = quota(max_rate, time_window.unwrap_or(60.0))?;
                let burst = burst.map(|burst| config::count("burst", burst, 1)).transpose()?;
                let burst = burst.map(|burst| burst as u64);
                match sharing {
                    None => Engine::new(max_rate, window, burst),
                    Some(sharing) => Engine::shared(max_rate, window, burst, sharing),
                }
            };
            build().map_err(|error| to_py(py, error))?
        };
        Ok(Self(Owned::new(limiter)))
    }

    /// Admissions per window; of several, the first.
    #[getter]
    fn max_rate(&self) -> PyResult<u64> {
        Ok(self.engine()?.max_rate())
    }

    /// The window, in seconds; of several, the first.
    #[getter]
    fn time_window(&self) -> PyResult<f64> {
        Ok(self.engine()?.window().as_secs_f64())
    }

    /// Every limit: pairs of admissions and seconds.
    #[getter]
    fn windows(&self) -> PyResult<Vec<(u64, f64)>> {
        let windows = self.engine()?.windows().iter();
        Ok(windows.map(|&(max_rate, window)| (max_rate, window.as_secs_f64())).collect())
    }

    /// Wait for `amount` admissions.
    ///
    /// Args:
    ///     amount: How many, 1 by default, at most `max_rate`.
    ///     timeout: Seconds. A wait that would be longer is refused at once. For ever by default.
    ///
    /// Raises:
    ///     LimiterTimeoutError: The wait would be too long; `retry_after` tells how long it would be.
    ///     ConfigurationError: `amount` can never be admitted.
    #[pyo3(signature = (amount=1, timeout=None))]
    fn acquire(&self, py: Python<'_>, amount: i64, timeout: Option<f64>) -> PyResult<Coroutine> {
        let limiter = self.engine()?.clone();
        begin(py, &limiter)?;
        let wait = async move {
            let timeout: Option<Duration> = config::timeout(timeout)?.or(None);
            limiter.grant(config::count("amount", amount, 1)? as u64, timeout).await
        };
        Ok(Coroutine::new("RateLimiter.acquire", Start::Poll, wait, admit))
    }

    /// Admit `amount` at once, or not at all.
    ///
    /// A shared limiter knows only what it has fetched. What it lacks now it fetches for the next try.
    #[pyo3(signature = (amount=1))]
    fn try_acquire(&self, py: Python<'_>, amount: i64) -> PyResult<bool> {
        self.look(py, amount, Engine::try_acquire)
    }

    /// Whether `amount` would be admitted now.
    #[pyo3(signature = (amount=1))]
    fn has_capacity(&self, py: Python<'_>, amount: i64) -> PyResult<bool> {
        self.look(py, amount, Engine::has_capacity)
    }

    /// How many seconds from now `amount` would be admitted to a caller who came now.
    ///
    /// It is a question: nothing is booked, and whoever comes first goes first. The answer counts those who wait, and
    /// is right if each of them goes on as soon as it may and none goes away.
    ///
    /// Args:
    ///     amount: As for `acquire`.
    ///
    /// Returns:
    ///     Seconds, 0.0 if there is room.
    ///
    /// Raises:
    ///     ConfigurationError: `amount` can never be admitted.
    #[pyo3(signature = (amount=1))]
    fn reserve(&self, py: Python<'_>, amount: i64) -> PyResult<f64> {
        let limiter = self.engine()?;
        let wait = config::count("amount", amount, 1).and_then(|amount| limiter.wait_for(amount as u64));
        wait.map(|wait| wait.as_secs_f64()).map_err(|error| to_py(py, error))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let limiter = slf.get().engine()?;
        // `async with` awaits at once, so where there is room the caller goes on in this very instant.
        if limiter.try_acquire(1).map_err(|error| to_py(py, error))? {
            return done(py);
        }
        let limiter = limiter.clone();
        begin(py, &limiter)?;
        let wait = async move { limiter.grant(1, None).await };
        let coroutine = Coroutine::new("RateLimiter.__aenter__", Start::Poll, wait, admit);
        Ok(Bound::new(py, coroutine)?.into_any())
    }

    #[expect(clippy::unused_self, reason = "Python's protocol")]
    fn __aexit__<'py>(
        &self,
        py: Python<'py>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        done(py)
    }

    fn __repr__(&self) -> PyResult<String> {
        let windows = self.engine()?.windows().iter();
        let limits = windows.map(|(max_rate, window)| format!("{max_rate} per {} s", window.as_secs_f64()));
        let shared = if self.engine()?.is_shared() { ", shared" } else { "" };
        Ok(format!("<RateLimiter {}{shared}>", limits.collect::<Vec<_>>().join(" and ")))
    }
}

/// A limiter of several windows, given as pairs.
fn several(pairs: &Bound<'_, PyAny>) -> PyResult<Engine> {
    let py = pairs.py();
    let pairs: Vec<(i64, f64)> = pairs
        .extract()
        .map_err(|_| arguments::bad(py, "max_rate", "must be an int, or pairs of admissions and seconds"))?;
    let windows = pairs.into_iter().map(|(max_rate, window)| quota(max_rate, window));
    let windows: error::Result<Vec<_>> = windows.collect();
    windows.and_then(|windows| Engine::with_windows(&windows)).map_err(|error| to_py(py, error))
}

fn quota(max_rate: i64, window: f64) -> error::Result<(u64, Duration)> {
    Ok((config::count("max_rate", max_rate, 1)? as u64, config::window("time_window", window)?))
}

/// From now on a shared limiter's outages are told.
fn begin(py: Python<'_>, limiter: &Engine) -> PyResult<()> {
    if limiter.is_shared() { logging::begin(py) } else { Ok(()) }
}

/// Stamped here, where the caller resumes: it may be long after the grant.
fn admit(py: Python<'_>, grant: Grant) -> PyResult<Py<PyAny>> {
    grant.admit();
    answers::none(py, ())
}

impl RateLimiter {
    /// Asks for what can be told at once. A shared limiter may have to send for more, from within the runtime.
    fn look(
        &self,
        py: Python<'_>,
        amount: i64,
        ask: impl FnOnce(&Engine, u64) -> error::Result<bool>,
    ) -> PyResult<bool> {
        let limiter = self.engine()?;
        begin(py, limiter)?;
        let io = if limiter.is_shared() { Some(runtime::io(py)?) } else { None };
        let _runtime = io.as_ref().map(|io| io.enter());
        let amount = config::count("amount", amount, 1);
        amount.and_then(|amount| ask(limiter, amount as u64)).map_err(|error| to_py(py, error))
    }

    /// The engine's limiter.
    pub fn engine(&self) -> PyResult<&Engine> {
        self.0.get()
    }
}
