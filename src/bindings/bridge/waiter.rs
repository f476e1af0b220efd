//! What a suspended coroutine yields: a future as far as tasks can tell, without what nobody asks of it.
//!
//! It is completed from a callback of its event loop, where no task is running, so whoever waits is resumed right
//! there. An `asyncio.Future` would have the loop call back once more for each.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict};

use super::event_loop::LoopBridge;
use super::lock;

/// Waits for one job, in one event loop.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Waiter {
    bridge: Py<LoopBridge>,
    /// Whether it was yielded just now, in order to wait for it.
    blocking: AtomicBool,
    stage: Mutex<Stage>,
}

enum Stage {
    Pending(Callbacks),
    Done,
    Cancelled(Option<Py<PyAny>>),
}

/// A task adds one callback. Others are rare.
#[derive(Default)]
struct Callbacks {
    first: Option<Callback>,
    more: Vec<Callback>,
}

struct Callback {
    call: Py<PyAny>,
    context: Py<PyAny>,
}

/// How callbacks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// At once, one after the other.
    Now,
    /// Each by the loop, which measures it and names it when it was slow.
    Soon,
}

impl Waiter {
    /// A waiter that nobody waits for yet.
    pub fn new(bridge: Py<LoopBridge>) -> Self {
        let stage = Mutex::new(Stage::Pending(Callbacks::default()));
        Self { bridge, blocking: AtomicBool::new(false), stage }
    }

    /// It is about to be yielded.
    pub fn block(&self) {
        self.blocking.store(true, Ordering::Relaxed);
    }

    /// Who completes it.
    pub fn bridge(&self) -> &Py<LoopBridge> {
        &self.bridge
    }

    /// Whether nothing more will come of it.
    pub fn is_done(&self) -> bool {
        !matches!(*lock(&self.stage), Stage::Pending(_))
    }

    /// Resumes whoever waits. Call it where no task is running. The error is one that must end the loop.
    pub fn complete(slf: &Bound<'_, Self>, run: Run) -> PyResult<()> {
        let Some(callbacks) = slf.get().end(Stage::Done) else { return Ok(()) };
        let mut callbacks = callbacks.into_iter();
        if run == Run::Now {
            while let Some(callback) = callbacks.next() {
                if let Err(error) = callback.now(slf) {
                    // The others must still hear of it.
                    callbacks.try_for_each(|other| other.soon(slf))?;
                    return Err(error);
                }
            }
        }
        callbacks.try_for_each(|callback| callback.soon(slf))
    }

    /// Its callbacks, if it has not ended before.
    fn end(&self, end: Stage) -> Option<Callbacks> {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, end) {
            Stage::Pending(callbacks) => Some(callbacks),
            before => {
                let end = mem::replace(&mut *stage, before);
                drop(stage);
                drop(end);
                None
            }
        }
    }
}

#[pymethods]
impl Waiter {
    #[getter(_asyncio_future_blocking)]
    fn blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    #[getter(_loop)]
    fn event_loop(&self) -> &Py<PyAny> {
        self.bridge.get().event_loop()
    }

    fn get_loop(&self) -> &Py<PyAny> {
        self.bridge.get().event_loop()
    }

    #[pyo3(signature = (callback, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let context = context.map_or_else(|| current_context(slf.py()), Ok)?;
        let callback = Callback { call: callback, context };
        let mut stage = lock(&slf.get().stage);
        if let Stage::Pending(callbacks) = &mut *stage {
            callbacks.push(callback);
            return Ok(());
        }
        drop(stage);
        callback.soon(slf)
    }

    /// Answers how many there were.
    fn remove_done_callback(&self, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        // Comparing runs Python code, which must not meet the lock.
        let all: Vec<Callback> = match &mut *lock(&self.stage) {
            Stage::Pending(callbacks) => mem::take(callbacks).into_iter().collect(),
            _ => return Ok(0),
        };
        let before = all.len();
        let mut kept = Callbacks::default();
        for one in all {
            if !callback.eq(&one.call)? {
                kept.push(one);
            }
        }
        let removed = before - kept.len();
        if let Stage::Pending(callbacks) = &mut *lock(&self.stage) {
            mem::take(callbacks).into_iter().for_each(|later| kept.push(later));
            *callbacks = kept;
        }
        Ok(removed)
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let Some(callbacks) = slf.get().end(Stage::Cancelled(msg)) else { return Ok(false) };
        // A task is running: the one who cancels.
        callbacks.into_iter().try_for_each(|callback| callback.soon(slf))?;
        Ok(true)
    }

    fn cancelled(&self) -> bool {
        matches!(*lock(&self.stage), Stage::Cancelled(_))
    }

    fn done(&self) -> bool {
        self.is_done()
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        match &*lock(&self.stage) {
            Stage::Done => Ok(()),
            Stage::Pending(_) => Err(InvalidStateError::new_err("the operation is not done")),
            Stage::Cancelled(None) => Err(CancelledError::new_err(())),
            Stage::Cancelled(Some(message)) => Err(CancelledError::new_err((message.clone_ref(py),))),
        }
    }

    fn exception(&self, py: Python<'_>) -> PyResult<()> {
        self.result(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let stage = match *lock(&slf.get().stage) {
            Stage::Pending(_) => "pending",
            Stage::Done => "done",
            Stage::Cancelled(_) => "cancelled",
        };
        format!("<Waiter {stage} at {:#x}>", slf.as_ptr() as usize)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.bridge)?;
        match self.stage.try_lock().as_deref() {
            Ok(Stage::Pending(callbacks)) => callbacks.traverse(&visit),
            Ok(Stage::Cancelled(message)) => visit.call(message),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let before = mem::replace(&mut *lock(&self.stage), Stage::Done);
        drop(before);
    }
}

impl Callbacks {
    fn push(&mut self, callback: Callback) {
        match &self.first {
            None => self.first = Some(callback),
            Some(_) => self.more.push(callback),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn into_iter(self) -> impl Iterator<Item = Callback> {
        self.first.into_iter().chain(self.more)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.first.iter().chain(&self.more).try_for_each(|callback| {
            visit.call(&callback.call)?;
            visit.call(&callback.context)
        })
    }
}

impl Callback {
    /// Calls it. What it raises is for the loop's handler, but for what must end the loop.
    fn now(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        let called = self.context.call_method1(py, intern!(py, "run"), (&self.call, waiter));
        let Err(error) = called else { return Ok(()) };
        if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
            return Err(error);
        }
        let report = PyDict::new(py);
        report.set_item("message", format!("Exception in callback {}", self.call.bind(py).repr()?))?;
        report.set_item("exception", error.into_value(py))?;
        report.set_item("future", waiter)?;
        let event_loop = waiter.get().bridge.get().event_loop();
        event_loop.call_method1(py, "call_exception_handler", (report,)).map(drop)
    }

    /// Has the loop call it.
    fn soon(self, waiter: &Bound<'_, Waiter>) -> PyResult<()> {
        let py = waiter.py();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "context"), self.context)?;
        let event_loop = waiter.get().bridge.get().event_loop();
        event_loop.call_method(py, intern!(py, "call_soon"), (self.call, waiter), Some(&options)).map(drop)
    }
}

fn current_context(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static COPY: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();
    Ok(COPY.import(py, "contextvars", "copy_context")?.call0()?.unbind())
}
