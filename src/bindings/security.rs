//! `KeyedRateLimiter`, the one that refuses, and `validate_credentials`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use super::answers;
use super::arguments;
use super::bridge::{Coroutine, Start};
use super::errors::to_py;
use super::logging;
use super::process::Owned;
use crate::engine::config;
use crate::engine::credentials;
use crate::engine::limiter::{Decision, KeyedRateLimiter as Engine};
use crate::engine::log::{Area, Level};

/// Refuses clients that ask too often; `genesis_replicator.security.RateLimiter`.
///
/// No client is let through more than `max_requests` times in any window. Memory is bounded, and a flood of new ids
/// never makes it forget a client that is being refused.
///
/// Args:
///     max_requests: Requests per window and client, 100 by default.
///     window_seconds: Seconds, 60 by default. A request counts for up to a sixteenth longer.
///     max_clients: How many clients are told apart, a million by default.
///
/// Raises:
///     ConfigurationError: An argument is out of its range.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct KeyedRateLimiter(Owned<Engine>);

#[pymethods]
impl KeyedRateLimiter {
    #[new]
    #[pyo3(signature = (max_requests=100, window_seconds=60.0, *, max_clients=1_000_000))]
    fn new(py: Python<'_>, max_requests: i64, window_seconds: f64, max_clients: i64) -> PyResult<Self> {
        let build = || {
            let max_requests = config::count("max_requests", max_requests, 1)?;
            let window = config::window("window_seconds", window_seconds)?;
            Engine::new(max_requests as u64, window, config::count("max_clients", max_clients, 1)?)
        };
        build().map(|limiter| Self(Owned::new(limiter))).map_err(|error| to_py(py, error))
    }

    /// Let a client through, or refuse it.
    ///
    /// Args:
    ///     client_id: Whatever tells your clients apart: str, bytes or int.
    ///
    /// Returns:
    ///     A decision that is true, with `limit`, `remaining` and `reset_after` (seconds).
    ///
    /// Raises:
    ///     RateLimitExceededError: The client is over its limit; `retry_after` tells when it may come again.
    fn check_rate_limit(&self, client_id: &Bound<'_, PyAny>) -> PyResult<Coroutine> {
        let limiter = self.0.get()?.clone();
        let client = client_key(client_id)?;
        let check = async move { limiter.check(&client) };
        Ok(Coroutine::new("RateLimiter.check_rate_limit", Start::Poll, check, |py, decision| {
            Ok(Py::new(py, RateLimitDecision(decision))?.into_any())
        }))
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<RateLimiter of {} clients>", self.0.get()?.clients()))
    }
}

/// What tells clients apart. The kind is part of it: 1, "1" and b"1" are three clients.
fn client_key(client: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let key = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    if let Ok(text) = client.cast::<PyString>() {
        Ok(key(b's', text.to_str()?.as_bytes()))
    } else if let Ok(bytes) = client.cast::<PyBytes>() {
        Ok(key(b'b', bytes.as_bytes()))
    } else if client.is_instance_of::<PyInt>() {
        Ok(key(b'i', client.str()?.to_str()?.as_bytes()))
    } else {
        let kind = client.get_type().name()?;
        Err(PyTypeError::new_err(format!("client_id must be a str, bytes or int, not {kind}")))
    }
}

/// A request that was let through. Always true.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct RateLimitDecision(Decision);

#[pymethods]
impl RateLimitDecision {
    /// Requests per window.
    #[getter]
    fn limit(&self) -> u64 {
        self.0.limit
    }

    /// How many are left.
    #[getter]
    fn remaining(&self) -> u64 {
        self.0.remaining
    }

    /// Seconds until all are there again.
    #[getter]
    fn reset_after(&self) -> f64 {
        self.0.reset_after.as_secs_f64()
    }

    #[expect(clippy::unused_self, reason = "Python's protocol")]
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        format!(
            "<RateLimitDecision limit={} remaining={} reset_after={:.3}>",
            self.0.limit,
            self.0.remaining,
            self.0.reset_after.as_secs_f64()
        )
    }
}

/// Judge credentials by their shape and content; nothing is asked over the network.
///
/// Args:
///     credentials: A mapping, as `ChainManager.connect_to_chain` takes it.
///     endpoint: The URL that they are for, if it should be judged too.
///
/// Returns:
///     `False` for what cannot be right: nothing at all, placeholders, private keys, broken tokens. The logger
///     `genesis_replicator.security` tells the reason, never the value.
///
/// Raises:
///     TypeError: `credentials` is not a mapping.
#[pyfunction]
#[pyo3(signature = (credentials, *, endpoint=None))]
pub fn validate_credentials(
    credentials: &Bound<'_, PyAny>,
    endpoint: Option<&Bound<'_, PyAny>>,
) -> Coroutine {
    const NAME: &str = "validate_credentials";
    let endpoint = endpoint.map(|endpoint| arguments::text("endpoint", endpoint)).transpose();
    let given = endpoint.and_then(|endpoint| Ok((arguments::fields("credentials", credentials)?, endpoint)));
    let (fields, endpoint) = match given {
        Ok(given) => given,
        Err(error) => return Coroutine::failed(NAME, error),
    };
    let judge = async move { Ok(credentials::validate(&fields, endpoint.as_deref())) };
    Coroutine::new(NAME, Start::Poll, judge, |py, judged: Result<(), credentials::Finding>| {
        logging::begin(py)?;
        let good = judged.is_ok();
        if let Err(finding) = judged {
            let message = || format!("credentials refused: {}", finding.reason());
            logging::log().write(Level::Warning, Area::Security, message);
        }
        answers::boolean(py, good)
    })
}
