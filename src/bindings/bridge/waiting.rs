//! A coroutine that is suspended: the job it waits for, and the future that it yields.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use tokio::runtime::EnterGuard;

use super::event_loop::LoopBridge;
use super::job::{Job, Outcome, Work};
use super::queue::Key;
use crate::bindings::runtime::Io;

/// What a suspended coroutine holds. Dropping it cancels the job and leaves nothing behind.
pub struct Waiting {
    job: Job,
    bridge: Py<LoopBridge>,
    key: Key,
    future: Py<PyAny>,
}

impl Waiting {
    /// Hands work to the runtime on behalf of the running loop. Without a running loop the work is dropped.
    pub fn start(py: Python<'_>, io: Arc<Io>, work: Work) -> PyResult<Self> {
        let bridge = LoopBridge::running(py)?;
        let (key, future) = bridge.get().wait(py)?;
        let job = Job::start(io, Arc::clone(bridge.get().queue()), key, work);
        Ok(Self { job, bridge: bridge.unbind(), key, future })
    }

    /// The outcome, once, when there is one.
    pub fn take(&self) -> Option<Outcome> {
        self.job.take()
    }

    /// Enters the context of the runtime.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.job.io().enter()
    }

    /// The future to yield. A new one if somebody else has completed the one before.
    pub fn future(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.future.call_method0(py, intern!(py, "done"))?.is_truthy(py)? {
            self.future = self.bridge.get().wait_again(py, self.key)?;
        }
        // This is how a task knows that the future was yielded in order to wait for it.
        self.future.setattr(py, intern!(py, "_asyncio_future_blocking"), true)?;
        Ok(self.future.clone_ref(py))
    }

    /// Shows the garbage collector what this holds.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.bridge)?;
        visit.call(&self.future)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bridge.get().forget(self.key);
    }
}
