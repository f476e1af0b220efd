//! A coroutine that is suspended: the job it waits for, and the waiter that it yields.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use tokio::runtime::EnterGuard;

use super::event_loop::LoopBridge;
use super::job::Job;
use super::operation::{Outcome, Work};
use super::queue::Key;
use super::waiter::Waiter;
use crate::bindings::runtime::Io;

/// What a suspended coroutine holds. Dropping it cancels the job and leaves nothing behind.
pub struct Waiting {
    job: Arc<Job>,
    key: Key,
    waiter: Py<Waiter>,
}

impl Waiting {
    /// Hands work to the runtime on behalf of the running loop. Without a running loop the work is dropped.
    pub fn start(py: Python<'_>, io: Arc<Io>, work: Work) -> PyResult<Self> {
        let bridge = LoopBridge::running(py)?;
        let (key, waiter, job) = LoopBridge::wait(&bridge, io, work)?;
        job.start();
        Ok(Self { job, key, waiter })
    }

    /// The outcome, once, when there is one.
    pub fn take(&self) -> Option<Outcome> {
        self.job.take()
    }

    /// Enters the context of the runtime.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.job.io().enter()
    }

    /// What to yield. A new one if somebody else has ended the one before.
    pub fn waiter(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.waiter.get().is_done() {
            self.waiter = LoopBridge::wait_again(self.waiter.get().bridge().bind(py), self.key)?;
        }
        // This is how a task knows that it was yielded in order to wait for it.
        self.waiter.get().block();
        Ok(self.waiter.clone_ref(py).into_any())
    }

    /// Shows the garbage collector what this holds.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.job.cancel();
        self.waiter.get().bridge().get().forget(self.key);
    }
}
