//! Work that somebody in Python waits for: a future, and what is to be made of its result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{MaybeDone, maybe_done};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::bindings::errors;
use crate::bindings::runtime::is_shut_down;
use crate::engine::error;

/// Turns a result into a Python object, on the thread of the event loop.
pub type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Finished> + Send>;

/// How far a result has become a Python object.
pub enum Finished {
    /// It has.
    Value(Py<PyAny>),
    /// The rest would keep the event loop for too long: it is done in its next iterations.
    Later(Finish),
}

impl From<Py<PyAny>> for Finished {
    fn from(value: Py<PyAny>) -> Self {
        Self::Value(value)
    }
}

/// A future that keeps its result until Python comes for it. All of it is one allocation, made and freed by the loop's
/// thread: memory that one thread takes and another gives back costs both of them a lock.
pub trait Operation: Send {
    /// Goes on. Once it is ready the future is gone, with all that it held but its result.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()>;

    /// Makes the result a Python object, once, on the thread of the event loop.
    fn finish(self: Pin<&mut Self>, py: Python<'_>) -> PyResult<Finished>;
}

/// An operation under way.
pub type Work = Pin<Box<dyn Operation>>;

impl<F, T, G, R> Operation for MaybeDone<F>
where
    F: Future<Output = (error::Result<T>, G)> + Send,
    T: Send,
    G: FnOnce(Python<'_>, T) -> PyResult<R> + Send,
    R: Into<Finished>,
{
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Future::poll(self, context)
    }

    fn finish(self: Pin<&mut Self>, py: Python<'_>) -> PyResult<Finished> {
        match self.take_output() {
            Some((Ok(value), finish)) => finish(py, value).map(Into::into),
            Some((Err(error), _)) => Err(errors::to_py(py, error)),
            None => Err(bug()),
        }
    }
}

/// The operation of `future`, whose result `finish` makes a Python object.
pub fn work<F, T, G, R>(future: F, finish: G) -> Work
where
    F: Future<Output = error::Result<T>> + Send + 'static,
    T: Send + 'static,
    G: FnOnce(Python<'_>, T) -> PyResult<R> + Send + 'static,
    R: Into<Finished> + 'static,
{
    Box::pin(maybe_done(future.map(|result| (result, finish))))
}

/// How work ended.
pub enum Outcome {
    /// With a result or an error of its own.
    Finished(Work),
    /// With a panic: a bug.
    Panicked,
    /// The runtime was stopped before the work was done.
    Stopped,
}

impl Outcome {
    /// The value or the exception. A result that never gets here is dropped, and what it holds is free again.
    pub fn into_python(self, py: Python<'_>) -> PyResult<Finished> {
        match self {
            Self::Finished(mut work) => work.as_mut().finish(py),
            Self::Panicked => Err(bug()),
            Self::Stopped => Err(is_shut_down()),
        }
    }
}

/// Polls work: its outcome, or itself. A panic in it is an outcome, so that whoever waits hears of it.
pub fn poll(mut work: Work, context: &mut Context<'_>) -> Result<Outcome, Work> {
    match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(())) => Ok(Outcome::Finished(work)),
        Ok(Poll::Pending) => Err(work),
        Err(_) => Ok(Outcome::Panicked),
    }
}

fn bug() -> PyErr {
    PyRuntimeError::new_err("a bug in genesis_replicator: the operation panicked")
}
