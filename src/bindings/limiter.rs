//! `RateLimiter`, the one that waits.

use std::time::Duration;

use pyo3::prelude::*;

use super::answers;
use super::bridge::{Coroutine, Start, done};
use super::errors::to_py;
use super::process::Owned;
use crate::engine::config;
use crate::engine::limiter::{Grant, RateLimiter as Engine};

/// Lets callers through at a rate, first come, first served.
///
/// No window of `time_window` seconds, wherever it starts, ever holds more than `max_rate` admissions, counted when
/// the callers resume. Tasks, event loops and threads may share one.
///
/// Args:
///     max_rate: Admissions per window.
///     time_window: Seconds, 60 by default.
///     burst: Admit smoothly instead (GCRA), with at most so many at once.
///
/// Raises:
///     ConfigurationError: An argument is out of its range.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct RateLimiter(Owned<Engine>);

#[pymethods]
impl RateLimiter {
    #[new]
    #[pyo3(signature = (max_rate, time_window=60.0, *, burst=None))]
    fn new(py: Python<'_>, max_rate: i64, time_window: f64, burst: Option<i64>) -> PyResult<Self> {
        let build = || {
            let max_rate = config::count("max_rate", max_rate, 1)?;
            let window = config::window("time_window", time_window)?;
            let burst = burst.map(|burst| config::count("burst", burst, 1)).transpose()?;
            Engine::new(max_rate as u64, window, burst.map(|burst| burst as u64))
        };
        build().map(|limiter| Self(Owned::new(limiter))).map_err(|error| to_py(py, error))
    }

    /// Admissions per window.
    #[getter]
    fn max_rate(&self) -> PyResult<u64> {
        Ok(self.engine()?.max_rate())
    }

    /// The window, in seconds.
    #[getter]
    fn time_window(&self) -> PyResult<f64> {
        Ok(self.engine()?.window().as_secs_f64())
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
    fn acquire(&self, amount: i64, timeout: Option<f64>) -> PyResult<Coroutine> {
        let limiter = self.engine()?.clone();
        let wait = async move {
            let timeout: Option<Duration> = config::timeout(timeout)?.or(None);
            limiter.grant(config::count("amount", amount, 1)? as u64, timeout).await
        };
        Ok(Coroutine::new("RateLimiter.acquire", Start::Poll, wait, admit))
    }

    /// Admit `amount` at once, or not at all.
    #[pyo3(signature = (amount=1))]
    fn try_acquire(&self, py: Python<'_>, amount: i64) -> PyResult<bool> {
        let limiter = self.engine()?;
        let amount = config::count("amount", amount, 1);
        amount.and_then(|amount| limiter.try_acquire(amount as u64)).map_err(|error| to_py(py, error))
    }

    /// Whether `amount` would be admitted now.
    #[pyo3(signature = (amount=1))]
    fn has_capacity(&self, py: Python<'_>, amount: i64) -> PyResult<bool> {
        let limiter = self.engine()?;
        let amount = config::count("amount", amount, 1);
        amount.and_then(|amount| limiter.has_capacity(amount as u64)).map_err(|error| to_py(py, error))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let limiter = slf.get().engine()?;
        // `async with` awaits at once, so where there is room the caller goes on in this very instant.
        if limiter.try_acquire(1).map_err(|error| to_py(py, error))? {
            return done(py);
        }
        let limiter = limiter.clone();
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
        let limiter = self.engine()?;
        Ok(format!("<RateLimiter {} per {} s>", limiter.max_rate(), limiter.window().as_secs_f64()))
    }
}

/// Stamped here, where the caller resumes: it may be long after the grant.
fn admit(py: Python<'_>, grant: Grant) -> PyResult<Py<PyAny>> {
    grant.admit();
    answers::none(py, ())
}

impl RateLimiter {
    /// The engine's limiter.
    pub fn engine(&self) -> PyResult<&Engine> {
        self.0.get()
    }
}
