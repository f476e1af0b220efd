//! What the task that reads an async iterator has of the stream: room, and where to put a call.

use std::sync::Mutex;

use pyo3::prelude::*;

use crate::bindings::bridge::{Coroutine, Start, lock};
use crate::bindings::process::Owned;
use crate::bindings::{answers, arguments};
use crate::engine::chain::Inlet;

/// The end of a stream where its calls go in. It does not keep the stream alive.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Feed {
    inlet: Owned<Inlet>,
    failure: Mutex<Option<PyErr>>,
}

impl Feed {
    /// The way into `inlet`.
    pub fn new(inlet: Inlet) -> Self {
        Self { inlet: Owned::new(inlet), failure: Mutex::default() }
    }

    /// What ended the calls, told once.
    pub fn failure(&self) -> Option<PyErr> {
        lock(&self.failure).take()
    }
}

#[pymethods]
impl Feed {
    /// Wait for room; `False` when no call is wanted any more.
    fn room(&self) -> PyResult<Coroutine> {
        let inlet = self.inlet.get()?.clone();
        let room = async move { Ok(inlet.room().await) };
        Ok(Coroutine::new("Feed.room", Start::Poll, room, answers::boolean))
    }

    /// Begin a call: a pair of a method and its parameters.
    fn put(&self, call: &Bound<'_, PyAny>) -> PyResult<()> {
        self.inlet.get()?.put(arguments::pair(call)?);
        Ok(())
    }

    /// No call comes any more, because of `error` if there is one.
    fn end(&self, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        *lock(&self.failure) = error.map(PyErr::from_value);
        self.inlet.get()?.end();
        Ok(())
    }
}
