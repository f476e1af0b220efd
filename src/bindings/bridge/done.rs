//! The awaitable of what is done already: its value is `None`, and there at once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What awaits to `None` at once, as often as it is awaited. One object serves everybody.
pub fn done(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static DONE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    DONE.import(py, "genesis_replicator._done", "DONE").cloned()
}
