//! What becomes of a result: the option `decode` of `request`.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::bridge::Finished;
use super::errors::to_py;
use super::json_in::Decoder;
use super::{answers, lazy};
use crate::engine::error::Error;

/// How a result is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// As Python objects.
    Json,
    /// As the bytes of its text.
    Raw,
    /// As objects that are made when they are touched.
    Lazy,
}

impl Decode {
    /// Reads the option.
    pub fn parse(py: Python<'_>, name: &str) -> PyResult<Self> {
        match name {
            "json" => Ok(Self::Json),
            "raw" => Ok(Self::Raw),
            "lazy" => Ok(Self::Lazy),
            _ => Err(to_py(py, Error::argument("decode", "must be 'json', 'raw' or 'lazy'"))),
        }
    }

    /// Makes what the caller gets of a result.
    pub fn finish(self) -> impl FnOnce(Python<'_>, Bytes) -> PyResult<Finished> {
        move |py, text| match self {
            Self::Json => in_slices(py, text, Decoder::default(), |_, _, value| value),
            Self::Raw => Ok(PyBytes::new(py, &text).into_any().unbind().into()),
            Self::Lazy => lazy::value(py, text).map(Finished::from),
        }
    }
}

/// Decodes the text of `held` for one slice. What is left waits until the event loop has had its turn, and `held` with
/// it: whoever is cancelled meanwhile has taken nothing. In the end `wrap` makes what the caller gets.
pub fn in_slices<T: AsRef<[u8]> + Send + 'static>(
    py: Python<'_>,
    held: T,
    mut decoder: Decoder,
    wrap: impl FnOnce(Python<'_>, T, PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Finished> {
    let value = match decoder.slice(py, held.as_ref()) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => return Ok(Finished::Later(Box::new(move |py| in_slices(py, held, decoder, wrap)))),
        Err(error) => Err(answers::refused(py, error)),
    };
    wrap(py, held, value).map(Finished::from)
}
