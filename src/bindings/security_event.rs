//! `SecurityEvent`, and who hears of one: the logger, the metrics, a callback.

use std::time::UNIX_EPOCH;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::logging;
use super::metrics::MetricsCollector;
use crate::engine::limiter::Event;
use crate::engine::log::{Area, Level};
use crate::engine::metrics::Collector;

/// A suspicious pattern that a `security.RateLimiter` has seen.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct SecurityEvent(Event);

#[pymethods]
impl SecurityEvent {
    /// `hammering`: a client goes on though it was refused 100 times. `new_clients`: a tenth of `max_clients`, and ten
    /// at least, are new. `credential_failures`: five of one client. Each within one window.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    /// The fingerprint of the client's id; `None` where it is not one client.
    #[getter]
    fn client(&self) -> Option<String> {
        self.0.client.map(|client| client.to_string())
    }

    /// How many there were in the window.
    #[getter]
    fn count(&self) -> u64 {
        self.0.count
    }

    /// When the last of them was, in seconds since 1970.
    #[getter]
    fn when(&self) -> f64 {
        self.0.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    fn __repr__(&self) -> String {
        format!("<SecurityEvent {}>", self.0)
    }
}

/// Who hears of the events of one limiter, besides the logger.
pub struct Watch {
    callback: Option<Py<PyAny>>,
    metrics: Option<Collector>,
}

impl Watch {
    pub fn new(
        callback: Option<Bound<'_, PyAny>>,
        metrics: Option<Bound<'_, MetricsCollector>>,
    ) -> PyResult<Self> {
        if callback.as_ref().is_some_and(|callback| !callback.is_callable()) {
            return Err(PyTypeError::new_err("on_event must be callable"));
        }
        let metrics = metrics.map(|metrics| metrics.get().engine().cloned()).transpose()?;
        Ok(Self { callback: callback.map(Bound::unbind), metrics })
    }

    /// Tell everybody. A callback that raises harms nobody else.
    pub fn tell(&self, py: Python<'_>, event: Event) -> PyResult<()> {
        logging::begin(py)?;
        logging::log().write(Level::Warning, Area::Security, || event.to_string());
        if let Some(metrics) = &self.metrics {
            metrics.record_security_event(event.kind.name());
        }
        if let Some(callback) = &self.callback
            && let Err(error) = callback.call1(py, (SecurityEvent(event),))
        {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
        Ok(())
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)
    }
}
