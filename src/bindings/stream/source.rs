//! Where the calls of a stream come from: an iterator, or an async iterator that a task reads.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use super::feed::Feed;
use crate::bindings::arguments::{no_pairs, pair};
use crate::engine::chain::Inlet;

/// What is left to read.
pub enum Source {
    Iterator(Py<PyIterator>),
    /// An async iterator that nobody reads yet.
    Unread(Py<PyAny>),
    /// An async iterator, and the task that reads it.
    Fed(Py<PyAny>, Py<Feed>),
    /// It has failed; this is raised after the results of the calls before.
    Failed(PyErr),
    /// Its code is running.
    BeingRead,
    Over,
}

impl Source {
    /// The source that somebody's calls are.
    pub fn of(calls: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = calls.py();
        if let Ok(iterator) = calls.try_iter() {
            return Ok(Self::Iterator(iterator.unbind()));
        }
        let iterator = py.import("builtins")?.getattr("aiter")?.call1((calls,));
        iterator.map(|iterator| Self::Unread(iterator.unbind())).map_err(|_| no_pairs(py))
    }

    /// Hands calls in while there is room.
    pub fn read(&mut self, py: Python<'_>, inlet: &Inlet) -> PyResult<()> {
        match self {
            Self::Iterator(iterator) => {
                let outcome = pull(iterator.bind(py), inlet);
                match outcome {
                    Ok(true) => {}
                    Ok(false) => *self = Self::Over,
                    Err(error) => *self = Self::Failed(error),
                }
                if !matches!(self, Self::Iterator(_)) {
                    inlet.end();
                }
            }
            Self::Unread(calls) => {
                let feed = Py::new(py, Feed::new(inlet.clone()))?;
                let task = feed_in_task(py, calls.bind(py), &feed)?;
                *self = Self::Fed(task, feed);
            }
            Self::Fed(..) | Self::Failed(_) | Self::BeingRead | Self::Over => {}
        }
        Ok(())
    }

    /// What ended it, if it was not its end. Told once.
    pub fn failure(&mut self) -> Option<PyErr> {
        if let Self::Fed(_, feed) = self {
            return feed.get().failure();
        }
        match std::mem::replace(self, Self::Over) {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Reads no more.
    pub fn close(self, py: Python<'_>) {
        let Self::Fed(task, _) = self else { return };
        let task = task.bind(py);
        // Another thread may drop a stream. It fails when the loop was closed, and the task with it.
        let _ = task.call_method0(intern!(py, "get_loop")).and_then(|event_loop| {
            let cancel = task.getattr(intern!(py, "cancel"))?;
            event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (cancel,))
        });
    }

    /// Shows the garbage collector what this holds.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Iterator(iterator) => visit.call(iterator),
            Self::Unread(iterator) => visit.call(iterator),
            Self::Fed(task, feed) => {
                visit.call(task)?;
                visit.call(feed)
            }
            Self::Failed(_) | Self::BeingRead | Self::Over => Ok(()),
        }
    }
}

/// Whether there may be more.
fn pull(calls: &Bound<'_, PyIterator>, inlet: &Inlet) -> PyResult<bool> {
    let mut calls = calls.clone();
    while inlet.has_room() {
        match calls.next() {
            Some(call) => {
                inlet.put(pair(&call?)?);
            }
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// A task of the running loop that reads an async iterator.
fn feed_in_task(py: Python<'_>, calls: &Bound<'_, PyAny>, feed: &Py<Feed>) -> PyResult<Py<PyAny>> {
    let reading = py.import("genesis_replicator._feeding")?.getattr("feed")?.call1((calls, feed))?;
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    Ok(event_loop.call_method1("create_task", (reading,))?.unbind())
}
