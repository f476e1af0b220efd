//! What awaited calls give back to Python.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::errors::to_py;
use super::json_in;
use super::metrics::to_dict;
use crate::engine::chain::{EndpointStatus, NetworkId, Status};
use crate::engine::error::{Error, Kind};
use crate::engine::metrics::{Event, error_answers};

/// `None`, for operations that have nothing to say.
#[allow(clippy::unnecessary_wraps)]
pub fn none(py: Python<'_>, _: ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// `True` or `False`.
pub fn boolean(py: Python<'_>, value: bool) -> PyResult<Py<PyAny>> {
    Ok(value.into_pyobject(py)?.to_owned().into_any().unbind())
}

/// Why an answer is refused that nests deeper than `json_in::MAX_DEPTH`.
pub const TOO_DEEP: &str = "the answer is nested too deeply";

/// The value that a JSON text stands for.
pub fn decoded(py: Python<'_>, text: Bytes) -> PyResult<Py<PyAny>> {
    json_in::to_python(py, &text).map_err(|error| refused(py, error))
}

/// The exception for a text that was not decoded.
pub fn refused(py: Python<'_>, error: json_in::InError) -> PyErr {
    match error {
        json_in::InError::TooDeep => to_py(py, Error::new(Kind::Protocol, TOO_DEEP)),
        // The only thing in a checked text that Python does not take.
        json_in::InError::Python(error) if error.is_instance_of::<PyValueError>(py) => {
            let message = "the answer holds an integer longer than sys.get_int_max_str_digits()";
            to_py(py, Error::new(Kind::Protocol, message))
        }
        json_in::InError::Python(error) => *error,
    }
}

/// How a chain is doing, as a dictionary.
pub fn status<'py>(py: Python<'py>, label: &str, of: &Status) -> PyResult<Bound<'py, PyDict>> {
    let endpoints = of.endpoints.iter().map(|of| endpoint(py, of)).collect::<PyResult<Vec<_>>>()?;
    let dict = PyDict::new(py);
    dict.set_item("label", label)?;
    dict.set_item("family", of.identity.family.name())?;
    match &of.identity.network {
        Some(NetworkId::Number(number)) => dict.set_item("network_id", number)?,
        Some(NetworkId::Name(name)) => dict.set_item("network_id", name)?,
        None => dict.set_item("network_id", py.None())?,
    }
    dict.set_item("head_block", of.head())?;
    dict.set_item("latency", of.latency().map(|latency| latency.as_secs_f64()))?;
    dict.set_item("endpoints", PyList::new(py, endpoints)?)?;
    Ok(dict)
}

fn endpoint<'py>(py: Python<'py>, of: &EndpointStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("endpoint", &of.endpoint)?;
    dict.set_item("healthy", of.is_healthy())?;
    dict.set_item("head_block", of.head)?;
    dict.set_item("latency", of.latency.map(|latency| latency.as_secs_f64()))?;
    dict.set_item("average_latency", of.average.map(|latency| latency.as_secs_f64()))?;
    dict.set_item("score", of.score)?;
    dict.set_item("circuit", of.circuit)?;
    dict.set_item("lag", of.lag)?;
    dict.set_item("lagging", of.is_lagging)?;
    dict.set_item("max_block_range", of.max_block_range)?;
    dict.set_item("max_batch_size", of.max_batch_size)?;
    dict.set_item("error_answers", to_dict(py, &error_answers(&of.counters))?)?;
    dict.set_item("hedges_won", of.counters.counted(Event::HedgeWon))?;
    dict.set_item("learned_rate", of.learned.map(|learned| learned.rate))?;
    dict.set_item("rate_refusals", of.learned.map(|learned| learned.refusals))?;
    dict.set_item("error", of.failure.as_ref().map(Error::message))?;
    Ok(dict)
}
