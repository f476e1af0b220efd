//! `KeyedRateLimiter`, the one that refuses, `validate_credentials` and `explain_credentials`.

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyInt, PyString};

use super::answers;
use super::arguments;
use super::bridge::{Coroutine, Start};
use super::errors::to_py;
use super::logging;
use super::metrics::MetricsCollector;
use super::process::Owned;
use super::security_event::Watch;
use super::sharing::sharing;
use crate::engine::config;
use crate::engine::credentials::{self, Field, Finding};
use crate::engine::limiter::{Decision, KeyedRateLimiter as Engine, SharedKeyedRateLimiter};
use crate::engine::log::{Area, Level};

/// Refuses clients that ask too often; `genesis_replicator.security.RateLimiter`.
///
/// No client is let through more than `max_requests` times in any window. Memory is bounded, and a flood of new ids
/// never makes it forget a client that is being refused.
///
/// What looks suspicious is logged to `genesis_replicator.security`, at most ten times of a kind in a window.
///
/// Args:
///     max_requests: Requests per window and client, 100 by default.
///     window_seconds: Seconds, 60 by default. A request counts for up to a sixteenth longer.
///     max_clients: How many clients are told apart, a million by default. The last of them is all who come when there
///         is no room for one more: they share one limit.
///     on_event: What to call with a `SecurityEvent`, at once and on the thread that made the limiter see it.
///     metrics: Counts the events too.
///     shared: The URL of a Redis or Valkey server, or the URLs of some nodes of a cluster: all limiters there with
///         the same `name` count together, in whatever process. Each watches for events what it lets through itself.
///     name: What the limit is called there.
///     on_outage: Who is let through while the server is away: "local_share", each client as often as the limit
///         divided by the number of processes seen last; "closed", nobody; "open", everybody.
///
/// Raises:
///     ConfigurationError: An argument is out of its range.
///     TypeError: `on_event` cannot be called.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct KeyedRateLimiter {
    limiter: Owned<Engine>,
    shared: Option<Owned<SharedKeyedRateLimiter>>,
    watch: Watch,
}

#[pymethods]
impl KeyedRateLimiter {
    #[new]
    #[pyo3(signature = (
        max_requests=100, window_seconds=60.0, *, max_clients=1_000_000, on_event=None, metrics=None,
        shared=None, name=None, on_outage="local_share"
    ))]
    #[expect(clippy::too_many_arguments, reason = "as many as a caller in Python may give")]
    fn new(
        py: Python<'_>,
        max_requests: i64,
        window_seconds: f64,
        max_clients: i64,
        on_event: Option<Bound<'_, PyAny>>,
        metrics: Option<Bound<'_, MetricsCollector>>,
        shared: Option<&Bound<'_, PyAny>>,
        name: Option<&str>,
        on_outage: &str,
    ) -> PyResult<Self> {
        let sharing = sharing(shared, name, on_outage)?;
        let build = || {
            let max_requests = config::count("max_requests", max_requests, 1)?;
            let window = config::window("window_seconds", window_seconds)?;
            let max_requests = max_requests as u64;
            let max_clients = config::count("max_clients", max_clients, 1)?;
            let limiter = Engine::new(max_requests, window, max_clients)?;
            let share = |sharing| SharedKeyedRateLimiter::new(max_requests, window, max_clients, sharing);
            Ok((limiter, sharing.map(share).transpose()?))
        };
        let (limiter, shared) = build().map_err(|error| to_py(py, error))?;
        let watch = Watch::new(on_event, metrics)?;
        Ok(Self { limiter: Owned::new(limiter), shared: shared.map(Owned::new), watch })
    }

    /// Let a client through, or refuse it.
    ///
    /// Args:
    ///     client_id: Whatever tells your clients apart: str, bytes or int, of less than 1,024 bytes.
    ///
    /// Returns:
    ///     A decision that is true, with `limit`, `remaining` and `reset_after` (seconds).
    ///
    /// Raises:
    ///     RateLimitExceededError: The client is over its limit; `retry_after` tells when it may come again.
    ///     ConfigurationError: `client_id` is too long.
    fn check_rate_limit(slf: &Bound<'_, Self>, client_id: &Bound<'_, PyAny>) -> PyResult<Coroutine> {
        let client = client_key(client_id)?;
        let this = slf.clone().unbind();
        let shared = slf.get().shared.as_ref().map(|shared| shared.get().cloned()).transpose()?;
        if shared.is_some() {
            logging::begin(slf.py())?;
        }
        let asked = client.clone();
        let ask = async move {
            match shared {
                Some(shared) => shared.check(&asked).await.map(Some),
                None => Ok(None),
            }
        };
        let check = move |py: Python<'_>, allowed: Option<Decision>| {
            let Self { limiter, watch, .. } = this.get();
            let checked = limiter.get()?.check(&client).map_err(|error| to_py(py, error))?;
            if let Some(event) = checked.event {
                watch.tell(py, event)?;
            }
            // Where all processes have decided together, this one's own count is only watched.
            let decision = allowed.map_or(checked.decision, Ok).map_err(|error| to_py(py, error))?;
            Ok(Py::new(py, RateLimitDecision(decision))?.into_any())
        };
        Ok(Coroutine::new("RateLimiter.check_rate_limit", Start::Poll, ask, check))
    }

    /// Tell that a client came with credentials that are not good. Five times within a window are an event; the limit
    /// of the client stays what it is.
    ///
    /// Args:
    ///     client_id: As for `check_rate_limit`.
    ///
    /// Raises:
    ///     ConfigurationError: `client_id` is too long.
    fn record_credential_failure(&self, py: Python<'_>, client_id: &Bound<'_, PyAny>) -> PyResult<()> {
        let recorded = self.limiter.get()?.record_failure(&client_key(client_id)?);
        let event = recorded.map_err(|error| to_py(py, error))?;
        event.map_or(Ok(()), |event| self.watch.tell(py, event))
    }

    /// What events and log lines call a client: a hash that is seeded anew for every limiter.
    ///
    /// Args:
    ///     client_id: As for `check_rate_limit`.
    ///
    /// Raises:
    ///     ConfigurationError: `client_id` is too long.
    fn fingerprint(&self, py: Python<'_>, client_id: &Bound<'_, PyAny>) -> PyResult<String> {
        let fingerprint = self.limiter.get()?.fingerprint(&client_key(client_id)?);
        fingerprint.map(|found| found.to_string()).map_err(|error| to_py(py, error))
    }

    fn __repr__(&self) -> PyResult<String> {
        let shared = if self.shared.is_some() { ", shared" } else { "" };
        Ok(format!("<RateLimiter of {} clients{shared}>", self.limiter.get()?.clients()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watch.traverse(&visit)
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
        // As many bytes as it takes, and one more for the sign: its digits may be more than Python writes.
        let bits: usize = client.call_method0("bit_length")?.extract()?;
        let signed = [("signed", true)].into_py_dict(client.py())?;
        let bytes = client.call_method("to_bytes", (bits / 8 + 1, "big"), Some(&signed))?;
        Ok(key(b'i', bytes.cast::<PyBytes>()?.as_bytes()))
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
    judging(NAME, credentials, endpoint, credentials::validate, |py, judged| {
        logging::begin(py)?;
        let good = judged.is_ok();
        if let Err(finding) = judged {
            let message = || format!("credentials refused: {}", finding.reason());
            logging::log().write(Level::Warning, Area::Security, message);
        }
        answers::boolean(py, good)
    })
}

/// Judge credentials as `validate_credentials` does, and tell everything that cannot be right about them.
///
/// Args:
///     credentials: A mapping, as `ChainManager.connect_to_chain` takes it.
///     endpoint: The URL that they are for, if it should be judged too.
///
/// Returns:
///     A list of reasons, such as `"api_key looks like a placeholder"`. None of them holds a value. It is empty for what
///     can be right.
///
/// Raises:
///     TypeError: `credentials` is not a mapping.
#[pyfunction]
#[pyo3(signature = (credentials, *, endpoint=None))]
pub fn explain_credentials(credentials: &Bound<'_, PyAny>, endpoint: Option<&Bound<'_, PyAny>>) -> Coroutine {
    const NAME: &str = "explain_credentials";
    judging(NAME, credentials, endpoint, credentials::explain, |py, found| {
        let reasons: Vec<_> = found.iter().map(Finding::reason).collect();
        Ok(reasons.into_pyobject(py)?.unbind())
    })
}

/// The coroutine that judges credentials.
fn judging<T: Send + 'static>(
    name: &'static str,
    credentials: &Bound<'_, PyAny>,
    endpoint: Option<&Bound<'_, PyAny>>,
    judge: impl FnOnce(&[(String, Field)], Option<&str>) -> T + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Coroutine {
    Coroutine::checked(name, || {
        let endpoint = endpoint.map(|endpoint| arguments::text("endpoint", endpoint)).transpose()?;
        let fields = arguments::fields("credentials", credentials)?;
        let judge = async move { Ok(judge(&fields, endpoint.as_deref())) };
        Ok(Coroutine::new(name, Start::Poll, judge, finish))
    })
}
