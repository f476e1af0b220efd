//! Credentials that a callable of the user's makes. The engine asks for them on its own thread, which never takes the
//! GIL; the service thread has the caller's event loop call it there, in no task; what is awaitable becomes a task,
//! which ends when nobody waits for it any more.

use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyAttributeError, PyException};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

use super::arguments;
use super::bridge::{LoopBridge, caller, lock};
use super::runtime::Errands;
use crate::engine::credentials::{Question, Source};
use crate::engine::error::{Error, Kind};

/// A callable that makes credentials.
pub struct Callable {
    call: Arc<Py<PyAny>>,
    errands: Errands,
}

impl Callable {
    /// The source that asks `call`.
    pub fn source(call: &Bound<'_, PyAny>) -> PyResult<Arc<dyn Source>> {
        let errands = Errands::new(call.py())?;
        Ok(Arc::new(Self { call: Arc::new(call.clone().unbind()), errands }))
    }
}

impl Source for Callable {
    fn ask(&self, question: Question) -> Box<dyn Send + Sync> {
        let asked = Arc::new(Asked { question: Mutex::new(Some(question)), task: Mutex::default() });
        let (call, ours) = (Arc::clone(&self.call), Arc::clone(&asked));
        // Without a loop to run it the question is dropped, and asked again by the next who has one.
        let caller = caller();
        self.errands.send(move |py| {
            let Some(event_loop) = caller.and_then(|caller| LoopBridge::of(py, &caller)) else {
                ours.drop_question();
                return Ok(());
            };
            let first = Begin { call: call.clone_ref(py), asked: Arc::clone(&ours) };
            let begun = event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), (first,));
            if begun.is_err() {
                // The loop is closed.
                ours.drop_question();
            }
            Ok(())
        });
        Box::new(Withdrawal { asked, errands: self.errands.clone() })
    }

    fn identity(&self) -> usize {
        self.call.as_ptr() as usize
    }
}

/// A question on its way through Python.
struct Asked {
    question: Mutex<Option<Question>>,
    /// What awaits the callable's answer, and the loop that it runs in.
    task: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

impl Asked {
    fn is_open(&self) -> bool {
        lock(&self.question).is_some()
    }

    fn drop_question(&self) {
        let question = lock(&self.question).take();
        drop(question);
    }

    /// Passes on what the callable has returned or raised.
    fn answer(&self, py: Python<'_>, made: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(question) = lock(&self.question).take() else { return Ok(()) };
        let fields = made.and_then(|made| arguments::fields("credentials", &made));
        let error = match fields {
            Ok(fields) => {
                question.answer(Ok(fields));
                return Ok(());
            }
            Err(error) => error,
        };
        let failed = Error::new(Kind::Security, "credentials: the callable that makes them has failed");
        question.answer(Err(failed.raised_by(error.clone_ref(py))));
        // What must end the loop is the loop's, too.
        if error.is_instance_of::<PyException>(py) || is_cancelled(py, &error)? { Ok(()) } else { Err(error) }
    }
}

/// Ends the task when nobody waits for the answer any more.
struct Withdrawal {
    asked: Arc<Asked>,
    errands: Errands,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if !self.asked.is_open() {
            return;
        }
        let asked = Arc::clone(&self.asked);
        self.errands.send(move |py| {
            asked.drop_question();
            let task = lock(&asked.task).take();
            let Some((task, event_loop)) = task else { return Ok(()) };
            let cancel = task.getattr(py, intern!(py, "cancel"))?;
            // It fails when the loop is closed; then nothing runs there.
            let _ = event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), (cancel,));
            Ok(())
        });
    }
}

/// Calls the callable, from the event loop.
#[pyclass(frozen, module = "genesis_replicator")]
struct Begin {
    call: Py<PyAny>,
    asked: Arc<Asked>,
}

#[pymethods]
impl Begin {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        if !self.asked.is_open() {
            return Ok(());
        }
        let made = match self.call.bind(py).call0() {
            Ok(made) if is_awaitable(&made)? => made,
            made => return self.asked.answer(py, made),
        };
        let asyncio = py.import("asyncio")?;
        let event_loop = asyncio.call_method0("get_running_loop")?;
        let options = [("loop", &event_loop)].into_py_dict(py)?;
        let task = match asyncio.call_method("ensure_future", (made,), Some(&options)) {
            Ok(task) => task,
            Err(error) => return self.asked.answer(py, Err(error)),
        };
        *lock(&self.asked.task) = Some((task.clone().unbind(), event_loop.unbind()));
        task.call_method1("add_done_callback", (End { asked: Arc::clone(&self.asked) },)).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call)
    }
}

/// Hears of the end of the task.
#[pyclass(frozen, module = "genesis_replicator")]
struct End {
    asked: Arc<Asked>,
}

#[pymethods]
impl End {
    fn __call__(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let done = lock(&self.asked.task).take();
        drop(done);
        self.asked.answer(task.py(), task.call_method0(intern!(task.py(), "result")))
    }
}

fn is_awaitable(made: &Bound<'_, PyAny>) -> PyResult<bool> {
    match made.getattr(intern!(made.py(), "__await__")) {
        Ok(_) => Ok(true),
        Err(error) if error.is_instance_of::<PyAttributeError>(made.py()) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_cancelled(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let cancelled = py.import("asyncio")?.getattr("CancelledError")?;
    Ok(error.matches(py, cancelled)?)
}
