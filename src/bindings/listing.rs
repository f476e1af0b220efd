//! The results of many calls as one list. Where they are many, or large, the event loop has its turn in between.

use std::time::Instant;
use std::vec;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::answers;
use super::bridge::Finished;
use super::errors::to_py;
use super::json_in::{Decoder, SLICE, UNWATCHED};
use crate::engine::error::Result;

/// What a result costs besides its text, in bytes of text.
const COST: usize = 128;

/// A list under way.
struct Listing {
    results: vec::IntoIter<Result<Bytes>>,
    /// The result of which only a part is decoded.
    unfinished: Option<(Bytes, Decoder)>,
    values: Vec<Py<PyAny>>,
    return_exceptions: bool,
}

/// Makes a list of values, and of exceptions where a call failed and that is wanted.
pub fn list(
    return_exceptions: bool,
) -> impl FnOnce(Python<'_>, Vec<Result<Bytes>>) -> PyResult<Finished> + Send + 'static {
    move |py, results| {
        let values = Vec::with_capacity(results.len());
        Listing { results: results.into_iter(), unfinished: None, values, return_exceptions }.go_on(py)
    }
}

impl Listing {
    fn go_on(mut self, py: Python<'_>) -> PyResult<Finished> {
        let began = Instant::now();
        let mut unwatched = 0;
        loop {
            if unwatched > UNWATCHED {
                unwatched = 0;
                if began.elapsed() > SLICE {
                    return Ok(self.later());
                }
            }
            let result = match self.unfinished.take() {
                Some((text, decoder)) => Ok((text, decoder)),
                None => match self.results.next() {
                    Some(result) => result.map(|text| (text, Decoder::default())),
                    None => return Ok(PyList::new(py, self.values)?.into_any().unbind().into()),
                },
            };
            let (text, mut decoder) = match result {
                Ok(both) => both,
                Err(error) => {
                    unwatched += COST;
                    self.failed(py, to_py(py, error))?;
                    continue;
                }
            };
            unwatched += COST + text.len();
            match decoder.slice(py, &text).map_err(|error| answers::refused(py, error)) {
                Ok(Some(value)) => self.values.push(value),
                Ok(None) => {
                    self.unfinished = Some((text, decoder));
                    return Ok(self.later());
                }
                Err(error) => self.failed(py, error)?,
            }
        }
    }

    fn later(self) -> Finished {
        Finished::Later(Box::new(|py| self.go_on(py)))
    }

    fn failed(&mut self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if !self.return_exceptions {
            return Err(error);
        }
        self.values.push(error.into_value(py).into_any());
        Ok(())
    }
}
