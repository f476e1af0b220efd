//! What Python awaits: an object that asyncio takes for a coroutine, and that knows nothing of what it waits for.

use std::ffi::CString;
use std::mem;
use std::sync::Mutex;
use std::task::{self, Context};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::done::done;
use super::event_loop::LoopBridge;
use super::operation::{self, Finish, Finished, Work};
use super::protocol::{Scope, exception, stop_iteration};
use super::waiter::Waiter;
use super::waiting::Waiting;
use super::{Release, lock};
use crate::bindings::process::Owned;
use crate::bindings::runtime;
use crate::engine::error;

/// How work begins when it is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is polled once on the thread of the event loop. If it is ready, nothing is suspended.
    Poll,
    /// It goes to the runtime without trying.
    Spawn,
}

/// An operation that starts when it is awaited.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Coroutine {
    name: &'static str,
    state: Owned<Mutex<State>>,
    scope: Option<Scope>,
    kept: Mutex<Option<Kept>>,
}

/// An object that lives as long as the operation.
struct Kept {
    object: Py<PyAny>,
    /// Whether it is also the value of the operation.
    given: bool,
}

enum State {
    New(Start, Work),
    Ready(Py<PyAny>),
    Waiting(Waiting),
    /// A part of the result is there, and the event loop has its turn.
    Finishing(Finish),
    /// It waits for the end of the process.
    TooLate,
    /// Also while it is being advanced.
    Closed,
}

impl Coroutine {
    /// An operation called `name`, like `"ChainManager.request"`.
    ///
    /// `future` is first polled when the operation is awaited; `finish` is called when the caller resumes, on the
    /// thread of the event loop. Both run in the context of the runtime, and so does every drop of a future that was
    /// polled and of a result that nobody takes.
    pub fn new<F, T, R>(
        name: &'static str,
        start: Start,
        future: F,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<R> + Send + 'static,
    ) -> Self
    where
        R: Into<Finished> + 'static,
        F: Future<Output = error::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        Self::in_state(name, State::New(start, operation::work(future, finish)))
    }

    /// An operation whose value is known.
    pub fn ready(name: &'static str, value: Py<PyAny>) -> Self {
        Self::in_state(name, State::Ready(value))
    }

    /// An operation that is made of what may be wrong, which is told when it is awaited.
    pub fn checked(name: &'static str, make: impl FnOnce() -> PyResult<Self>) -> Self {
        make().unwrap_or_else(|error| Self::failed(name, error))
    }

    /// One whose arguments are wrong.
    pub fn failed(name: &'static str, error: PyErr) -> Self {
        Self::new(name, Start::Poll, async { Ok(()) }, move |_, ()| Err::<Py<PyAny>, _>(error))
    }

    /// The same operation, also for `async with`: what it gives is handed to `release` at the end of the block.
    #[must_use]
    pub fn with_release(self, release: Release) -> Self {
        let mut coroutine = self;
        coroutine.scope = Some(Scope::new(release));
        coroutine
    }

    /// The same operation, of a method of `object`, which must not go away meanwhile.
    #[must_use]
    pub fn keeping(self, object: Py<PyAny>) -> Self {
        *lock(&self.kept) = Some(Kept { object, given: false });
        self
    }

    /// The same operation, which gives `object` in the end.
    #[must_use]
    pub fn giving(self, object: Py<PyAny>) -> Self {
        *lock(&self.kept) = Some(Kept { object, given: true });
        self
    }

    fn in_state(name: &'static str, state: State) -> Self {
        Self { name, state: Owned::new(Mutex::new(state)), scope: None, kept: Mutex::new(None) }
    }

    fn replace(&self, state: State) -> PyResult<State> {
        Ok(mem::replace(&mut *lock(self.state.get()?), state))
    }

    /// Goes on to the next future to wait for, or to the end, which is an exception.
    fn advance(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.replace(State::Closed)? {
            State::New(start, work) => self.begin(py, start, work),
            State::Ready(value) => Err(stop_iteration(value.bind(py))),
            State::Waiting(waiting) => self.resume(py, waiting),
            State::Finishing(finish) => {
                let Some(io) = runtime::io_or_silence(py)? else { return self.come_too_late(py) };
                let _runtime = io.enter();
                self.end(py, finish(py))
            }
            State::TooLate => self.come_too_late(py),
            State::Closed => Err(already_awaited()),
        }
    }

    fn begin(&self, py: Python<'_>, start: Start, mut work: Work) -> PyResult<Py<PyAny>> {
        let Some(io) = runtime::io_or_silence(py)? else { return self.come_too_late(py) };
        if start == Start::Poll {
            let _runtime = io.enter();
            match operation::poll(work, &mut Context::from_waker(task::Waker::noop())) {
                Ok(outcome) => return self.end(py, outcome.into_python(py)),
                Err(unfinished) => work = unfinished,
            }
        }
        self.suspend(py, Waiting::start(py, io, work)?)
    }

    fn resume(&self, py: Python<'_>, waiting: Waiting) -> PyResult<Py<PyAny>> {
        match waiting.take() {
            Some(outcome) => {
                let _runtime = waiting.enter();
                self.end(py, outcome.into_python(py))
            }
            None => self.suspend(py, waiting),
        }
    }

    /// Yields a waiter that nobody completes.
    fn come_too_late(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let waiter = Waiter::new(LoopBridge::running(py)?.unbind());
        waiter.block();
        self.replace(State::TooLate)?;
        Ok(Py::new(py, waiter)?.into_any())
    }

    fn suspend(&self, py: Python<'_>, mut waiting: Waiting) -> PyResult<Py<PyAny>> {
        let waiter = waiting.waiter(py)?;
        self.replace(State::Waiting(waiting))?;
        Ok(waiter)
    }

    /// Ends the coroutine with an exception: its own, or the one that carries its value. Where there is more to do
    /// than the event loop should wait for, a bare `None` is yielded: asyncio comes back in its next iteration.
    fn end(&self, py: Python<'_>, finished: PyResult<Finished>) -> PyResult<Py<PyAny>> {
        let value = match finished {
            Ok(Finished::Later(finish)) => {
                self.replace(State::Finishing(finish))?;
                return Ok(py.None());
            }
            Ok(Finished::Value(value)) => Ok(value),
            Err(error) => Err(error),
        };
        let kept = lock(&self.kept).take();
        let value = value?;
        let value = kept.filter(|kept| kept.given).map_or(value, |kept| kept.object);
        if let Some(scope) = &self.scope {
            scope.keep(py, &value);
        }
        Err(stop_iteration(value.bind(py)))
    }
}

#[pymethods]
impl Coroutine {
    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coroutine object {} at {:#x}>", slf.get().name, slf.as_ptr() as usize)
    }

    fn __await__<'a, 'py>(slf: &'a Bound<'py, Self>) -> PyResult<&'a Bound<'py, Self>> {
        match *lock(slf.get().state.get()?) {
            State::Waiting(_) | State::Finishing(_) => {
                Err(PyRuntimeError::new_err("coroutine is being awaited already"))
            }
            _ => Ok(slf),
        }
    }

    fn __iter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.advance(py)
    }

    #[pyo3(signature = (_value, /), text_signature = "($self, value, /)")]
    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.advance(py)
    }

    /// Ends the operation with an exception. When this returns, all that it held is free.
    #[pyo3(signature = (typ, val=None, tb=None, /))]
    fn throw(
        &self,
        typ: &Bound<'_, PyAny>,
        val: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let thrown = exception(typ, val, tb)?;
        let before = self.replace(State::Closed)?;
        let kept = lock(&self.kept).take();
        let error = if matches!(before, State::Closed) { already_awaited() } else { thrown };
        // What it held first, then the object that it was done for.
        drop(before);
        drop(kept);
        Err(error)
    }

    /// Ends the operation, if it has not ended.
    fn close(&self) {
        // In a child after a fork there is nothing that could be ended.
        drop(self.replace(State::Closed));
        drop(lock(&self.kept).take());
    }

    fn __aenter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> PyResult<&'a Bound<'py, Self>> {
        slf.get().scope()?.enter();
        Ok(slf)
    }

    fn __aexit__<'py>(
        &self,
        py: Python<'py>,
        _typ: &Bound<'_, PyAny>,
        _val: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.scope()?.leave(py)?;
        done(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(scope) = &self.scope {
            scope.traverse(&visit)?;
        }
        if let Ok(Some(kept)) = self.kept.try_lock().as_deref() {
            visit.call(&kept.object)?;
        }
        let Ok(Ok(state)) = self.state.get().map(Mutex::try_lock) else { return Ok(()) };
        match &*state {
            State::Ready(value) => visit.call(value),
            State::Waiting(waiting) => waiting.traverse(&visit),
            State::New(..) | State::Finishing(_) | State::TooLate | State::Closed => Ok(()),
        }
    }

    fn __clear__(&self) {
        if let Some(scope) = &self.scope {
            scope.clear();
        }
        drop(lock(&self.kept).take());
        // A new one holds nothing that is part of a cycle, and its drop has something to say.
        if let Ok(state) = self.state.get() {
            let mut state = lock(state);
            if matches!(*state, State::Waiting(_)) {
                let before = mem::replace(&mut *state, State::Closed);
                drop(state);
                drop(before);
            }
        }
    }
}

impl Coroutine {
    fn scope(&self) -> PyResult<&Scope> {
        self.scope.as_ref().ok_or_else(|| {
            PyTypeError::new_err(format!(
                "'{}' does not support the asynchronous context manager protocol",
                self.name
            ))
        })
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        let Ok(state) = self.state.get() else { return };
        if matches!(*lock(state), State::New(..) | State::Ready(_)) {
            Python::try_attach(|py| warn_never_awaited(py, self.name));
        }
    }
}

fn already_awaited() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

fn warn_never_awaited(py: Python<'_>, name: &str) {
    // An exception may be on its way while its frames are dropped.
    let pending = PyErr::take(py);
    let message = CString::new(format!("coroutine '{name}' was never awaited")).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1) {
        error.write_unraisable(py, None);
    }
    if let Some(error) = pending {
        error.restore(py);
    }
}
