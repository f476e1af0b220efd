//! `Connection`.

use std::ffi::CString;

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;

use super::answers;
use super::arguments;
use super::bridge::{Coroutine, Start, done};
use super::decode::Decode;
use super::listing;
use super::process::Owned;
use super::runtime;
use crate::engine::config;
use crate::engine::pool::Connection as Engine;

/// A network connection that is yours until you give it back.
///
/// On HTTP/1.1 its calls run one after the other. `async with` gives it back at the end, as `await close()` does.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Connection(Owned<Engine>);

#[pymethods]
impl Connection {
    /// Its unique name.
    #[getter]
    fn id(&self) -> PyResult<&str> {
        Ok(self.0.get()?.id())
    }

    /// The label of its chain; `None` for a pool that stands alone.
    #[getter]
    fn chain_id(&self) -> PyResult<Option<&str>> {
        Ok(self.0.get()?.chain_id())
    }

    /// Where it leads: scheme, host and port.
    #[getter]
    fn endpoint(&self) -> PyResult<String> {
        Ok(self.0.get()?.endpoint())
    }

    /// Make one JSON-RPC call on this connection.
    ///
    /// Args:
    ///     method: Such as `"eth_blockNumber"`.
    ///     params: Anything that `json.dumps` takes; `bytes` become `0x…`.
    ///     timeout: Seconds for all of it; the `request_timeout` of its manager, or 30, by default.
    ///     decode: `"json"` for Python objects, `"raw"` for the text as bytes, `"lazy"` for objects made when touched.
    ///
    /// Returns:
    ///     The `result`.
    ///
    /// Raises:
    ///     ConnectionClosedError: It was given back.
    ///     RpcError: The node answered with an error.
    ///     RequestTimeoutError: The time is up.
    #[pyo3(
        signature = (method, params=None, *, timeout=None, decode="json"),
        text_signature = "($self, method, params=(), *, timeout=None, decode='json')"
    )]
    fn request(
        slf: &Bound<'_, Self>,
        method: &str,
        params: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        decode: &str,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "Connection.request";
        let connection = slf.get().0.get()?.clone();
        let py = slf.py();
        Ok(Coroutine::checked(NAME, || {
            let request = arguments::request(py, method, params)?;
            let decode = Decode::parse(py, decode)?;
            let call = async move { connection.request(&request, config::timeout(timeout)?).await };
            let coroutine = Coroutine::new(NAME, Start::Spawn, call, decode.finish());
            // Held as a method would: one that nobody else holds would be given back in the middle of its call.
            Ok(coroutine.keeping(slf.clone().into_any().unbind()))
        }))
    }

    /// Make several calls in one HTTP request.
    ///
    /// Args:
    ///     calls: Pairs of a method and its parameters.
    ///     timeout: Seconds for all of it.
    ///     return_exceptions: Whether a failed call gives its exception in its place, instead of raising it.
    ///
    /// Returns:
    ///     The results, in the order of the calls.
    #[pyo3(signature = (calls, *, timeout=None, return_exceptions=false))]
    fn batch(
        slf: &Bound<'_, Self>,
        calls: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        return_exceptions: bool,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "Connection.batch";
        let connection = slf.get().0.get()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let requests = arguments::requests(slf.py(), calls)?;
            let call = async move {
                let results = connection.batch(&requests, config::timeout(timeout)?).await?;
                match results.iter().find_map(|result| result.as_ref().err()) {
                    Some(error) if !return_exceptions => Err(error.clone()),
                    _ => Ok(results),
                }
            };
            let coroutine = Coroutine::new(NAME, Start::Spawn, call, listing::list(return_exceptions));
            Ok(coroutine.keeping(slf.clone().into_any().unbind()))
        }))
    }

    /// Give it back. Calls in flight fail with `ConnectionClosedError`. The second time does nothing.
    fn close(&self) -> PyResult<Coroutine> {
        let connection = self.0.get()?.clone();
        let close = async move {
            connection.close();
            Ok(())
        };
        Ok(Coroutine::new("Connection.close", Start::Poll, close, answers::none))
    }

    fn __aenter__(slf: Py<Self>) -> Coroutine {
        Coroutine::ready("Connection.__aenter__", slf.into_any())
    }

    fn __aexit__<'py>(
        &self,
        py: Python<'py>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.give_back(py)?;
        done(py)
    }

    fn __repr__(&self) -> PyResult<String> {
        let connection = self.0.get()?;
        let closed = if connection.is_closed() { " closed" } else { "" };
        Ok(format!("<Connection {} to {}{closed}>", connection.id(), connection.endpoint()))
    }
}

/// The Python side of a connection that was just leased.
pub fn wrap(py: Python<'_>, connection: Engine) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, Connection(Owned::new(connection)))?.into_any())
}

/// Give back what an `async with` had.
pub fn release(py: Python<'_>, connection: &Py<PyAny>) -> PyResult<()> {
    connection.bind(py).cast::<Connection>()?.get().give_back(py)
}

impl Connection {
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        // Nobody is left to give it back to.
        let Some(runtime) = runtime::io_or_silence(py)? else { return Ok(()) };
        let _runtime = runtime.enter();
        self.0.get()?.close();
        Ok(())
    }
}

impl Drop for Connection {
    /// A connection that nobody gave back goes back now, and its holder is told.
    fn drop(&mut self) {
        let Ok(connection) = self.0.get() else { return };
        if connection.is_closed() {
            return;
        }
        Python::try_attach(|py| {
            // An exception may be on its way while its frames are dropped.
            let pending = PyErr::take(py);
            let text = format!("unclosed connection {}, acquired at {}", connection.id(), connection.place());
            let text = CString::new(text).unwrap_or_default();
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &text, 1) {
                error.write_unraisable(py, None);
            }
            if let Ok(runtime) = runtime::io(py) {
                let _runtime = runtime.enter();
                connection.close();
            }
            if let Some(error) = pending {
                error.restore(py);
            }
        });
    }
}
