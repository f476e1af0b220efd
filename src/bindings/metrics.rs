//! `MetricsCollector`, and the engine's values as dictionaries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::bridge::lock;
use super::errors::to_py;
use super::process::Owned;
use super::runtime;
use crate::engine::metrics::{AlertId, Collector, Fired, Value};

/// A book of durations and errors, with alerts and a page for Prometheus.
///
/// Given to `ChainManager(metrics=...)` it is fed with every request and shows the manager's connections too.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct MetricsCollector(Owned<Arc<Shared>>);

#[derive(Default)]
struct Shared {
    collector: Collector,
    alerts: Mutex<Alerts>,
}

#[derive(Default)]
struct Alerts {
    callbacks: HashMap<u64, Callback>,
    /// What fired and was not told yet.
    fired: Vec<Fired>,
    /// The loop that started the manager last.
    event_loop: Option<Py<PyAny>>,
    watched: bool,
}

struct Callback {
    id: AlertId,
    call: Py<PyAny>,
    /// The loop that asked for the alert.
    event_loop: Option<Py<PyAny>>,
}

#[pymethods]
impl MetricsCollector {
    #[new]
    fn new() -> Self {
        Self(Owned::new(Arc::default()))
    }

    /// Record that an operation took so long, whether it failed or not.
    ///
    /// Args:
    ///     seconds: How long, zero or more.
    ///     operation: A name to tell it from others; the first 1,000 names are told apart.
    ///
    /// Raises:
    ///     ConfigurationError: `seconds` is negative or not finite.
    #[pyo3(signature = (seconds, operation=None))]
    fn record_duration(&self, py: Python<'_>, seconds: f64, operation: Option<&str>) -> PyResult<()> {
        self.engine()?.record_duration(seconds, operation).map_err(|error| to_py(py, error))
    }

    /// Record that an operation failed.
    ///
    /// Args:
    ///     error: The exception, or a name for the kind of error.
    ///     operation: As for `record_duration`.
    #[pyo3(signature = (error, operation=None))]
    fn record_error(&self, error: &Bound<'_, PyAny>, operation: Option<&str>) -> PyResult<()> {
        let class = if let Ok(name) = error.cast::<PyString>() {
            name.to_str()?.to_owned()
        } else if error.is_instance_of::<pyo3::exceptions::PyBaseException>() {
            match error.getattr_opt("error_code")? {
                Some(code) if code.is_instance_of::<PyString>() => code.extract()?,
                _ => error.get_type().name()?.to_string(),
            }
        } else {
            return Err(PyTypeError::new_err("error must be an exception or a str"));
        };
        self.engine()?.record_error(&class, operation);
        Ok(())
    }

    /// Errors divided by operations over the last 60 s: 0.0 if nothing happened, at most 1.0.
    #[getter]
    fn error_rate(&self) -> PyResult<f64> {
        Ok(self.engine()?.error_rate())
    }

    /// The seconds that a share `q` (0 to 1) of the durations took no longer than; `None` if there are none.
    #[pyo3(signature = (q, operation=None))]
    fn quantile(&self, py: Python<'_>, q: f64, operation: Option<&str>) -> PyResult<Option<f64>> {
        self.engine()?.quantile(q, operation).map_err(|error| to_py(py, error))
    }

    /// Call `callback(name, value)` when a metric rises above a threshold; again once it was at or below it.
    ///
    /// Metrics are looked at ten times a second. The callback runs on the event loop that called this, or else on the
    /// one that started the manager; without either, on a thread of the package.
    ///
    /// Args:
    ///     name: `pool_utilization` (percent), `error_rate` (0 to 1), `latency_p50`, `latency_p90`, `latency_p99`
    ///         (seconds, over the last minute), `waiting_requests`, `in_flight_requests`, `active_connections`,
    ///         `total_connections`, `resident_memory_bytes` or `open_descriptors`.
    ///     above: The threshold.
    ///     callback: What to call.
    ///
    /// Returns:
    ///     A number for `remove_alert`.
    ///
    /// Raises:
    ///     ConfigurationError: There is no such metric.
    #[pyo3(signature = (name, *, above, callback))]
    fn alert(slf: &Bound<'_, Self>, name: &str, above: f64, callback: Bound<'_, PyAny>) -> PyResult<u64> {
        let py = slf.py();
        if !callback.is_callable() {
            return Err(PyTypeError::new_err("callback must be callable"));
        }
        let shared = slf.get().0.get()?;
        let id = shared.collector.alert(name, above).map_err(|error| to_py(py, error))?;
        let callback = Callback { id, call: callback.unbind(), event_loop: running_loop(py)? };
        lock(&shared.alerts).callbacks.insert(id.number(), callback);
        watch(shared, py)?;
        Ok(id.number())
    }

    /// Stop an alert; one that is gone already is no error.
    fn remove_alert(&self, alert_id: u64) -> PyResult<()> {
        let shared = self.0.get()?;
        let removed = lock(&shared.alerts).callbacks.remove(&alert_id);
        if let Some(callback) = removed {
            let _ = shared.collector.remove(callback.id);
        }
        Ok(())
    }

    /// Everything as a dictionary: durations and errors, by operation too, the process, the pools.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        to_dict(py, &self.engine()?.snapshot())
    }

    /// Everything as a page in Prometheus' text format, version 0.0.4.
    fn prometheus_text(&self) -> PyResult<String> {
        Ok(self.engine()?.prometheus())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(Ok(alerts)) = self.0.get().map(|shared| shared.alerts.try_lock()) else { return Ok(()) };
        for callback in alerts.callbacks.values() {
            visit.call(&callback.call)?;
            visit.call(&callback.event_loop)?;
        }
        visit.call(&alerts.event_loop)
    }

    fn __clear__(&self) {
        if let Ok(shared) = self.0.get() {
            let alerts = std::mem::take(&mut *lock(&shared.alerts));
            drop(alerts);
        }
    }
}

impl MetricsCollector {
    /// The engine's collector.
    pub fn engine(&self) -> PyResult<&Collector> {
        Ok(&self.0.get()?.collector)
    }

    /// A manager starts: alerts that no loop asked for are called back on this one.
    pub fn watch(this: &Py<Self>, py: Python<'_>) -> PyResult<()> {
        let shared = this.get().0.get()?;
        let running = running_loop(py)?;
        let before = std::mem::replace(&mut lock(&shared.alerts).event_loop, running);
        drop(before);
        watch(shared, py)
    }
}

fn running_loop(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    let running = py.import("asyncio")?.call_method0("_get_running_loop")?;
    Ok((!running.is_none()).then(|| running.unbind()))
}

/// Look at the alerts from now on, if there are any.
fn watch(shared: &Arc<Shared>, py: Python<'_>) -> PyResult<()> {
    {
        let mut alerts = lock(&shared.alerts);
        if alerts.callbacks.is_empty() || std::mem::replace(&mut alerts.watched, true) {
            return Ok(());
        }
    }
    let (looking, telling) = (Arc::downgrade(shared), Arc::downgrade(shared));
    runtime::on_tick(py, move || look(&looking), move |py| tell(&telling, py))
}

/// Without the GIL: whether something fired, or nobody is left to tell.
fn look(shared: &Weak<Shared>) -> bool {
    let Some(shared) = shared.upgrade() else { return true };
    let fired = shared.collector.check();
    let mut alerts = lock(&shared.alerts);
    alerts.fired.extend(fired);
    !alerts.fired.is_empty()
}

/// With the GIL: call back. `false` once the collector is gone.
#[expect(clippy::unnecessary_wraps, reason = "the form of a hook")]
fn tell(shared: &Weak<Shared>, py: Python<'_>) -> PyResult<bool> {
    let Some(shared) = shared.upgrade() else { return Ok(false) };
    let calls: Vec<_> = {
        let mut alerts = lock(&shared.alerts);
        let fired = std::mem::take(&mut alerts.fired);
        let calls = fired.into_iter().filter_map(|fired| {
            let callback = alerts.callbacks.get(&fired.id.number())?;
            let event_loop = callback.event_loop.as_ref().or(alerts.event_loop.as_ref());
            Some((callback.call.clone_ref(py), event_loop.map(|found| found.clone_ref(py)), fired))
        });
        calls.collect()
    };
    for (callback, event_loop, fired) in calls {
        if let Err(error) = call_back(py, event_loop.as_ref(), &callback, &fired) {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
    }
    Ok(true)
}

fn call_back(
    py: Python<'_>,
    event_loop: Option<&Py<PyAny>>,
    callback: &Py<PyAny>,
    fired: &Fired,
) -> PyResult<()> {
    match event_loop.map(|event_loop| event_loop.bind(py)) {
        Some(running) if !running.call_method0("is_closed")?.is_truthy()? => {
            running.call_method1("call_soon_threadsafe", (callback, fired.name, fired.value)).map(drop)
        }
        _ => callback.call1(py, (fired.name, fired.value)).map(drop),
    }
}

/// A tree of values as a dictionary.
pub fn to_dict(py: Python<'_>, value: &Value) -> PyResult<Py<PyAny>> {
    Ok(match value {
        Value::Int(count) => count.into_pyobject(py)?.into_any().unbind(),
        Value::Float(measure) => measure.into_pyobject(py)?.into_any().unbind(),
        Value::Text(text) => text.into_pyobject(py)?.into_any().unbind(),
        Value::None => py.None(),
        Value::Map(pairs) => {
            let dict = PyDict::new(py);
            for (key, value) in pairs {
                dict.set_item(key, to_dict(py, value)?)?;
            }
            dict.into_any().unbind()
        }
    })
}
