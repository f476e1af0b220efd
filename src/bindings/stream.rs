//! `Stream`: calls that are read from the user's iterable as there is room, and their results as they come.

mod feed;
mod source;

use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::answers;
use super::bridge::{Coroutine, Finished, Start, lock};
use super::decode::in_slices;
use super::errors::to_py;
use super::json_in::Decoder;
use super::process::Owned;
use super::runtime::{self, Io};
use super::turn::Turn;
use crate::engine::chain::{Chain, Flow, Inlet, Taken};
use crate::engine::deadline::Timeout;
use crate::engine::manager::Manager;
use source::Source;

/// What a stream was asked for.
pub struct Plan {
    pub manager: Manager,
    pub chain_id: String,
    pub concurrency: Option<usize>,
    pub timeout: Timeout,
    pub return_exceptions: bool,
}

/// The results of `ChainManager.stream`, as pairs of a call's number and its result.
///
/// It is an async iterator. Its calls are ended by `await aclose()`, and when nobody holds it any more.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Stream {
    plan: Owned<Plan>,
    source: Mutex<Source>,
    stage: Owned<Mutex<Stage>>,
    turn: Turn,
}

enum Stage {
    /// Nothing was asked for yet.
    New,
    Open(Arc<Running>),
    Closed,
}

/// The calls of a stream and the runtime that they are on.
struct Running {
    flow: Flow,
    io: Arc<Io>,
}

impl Running {
    fn new(io: Arc<Io>, chain: Arc<Chain>, plan: &Plan) -> Self {
        let _runtime = io.enter();
        let flow = Flow::new(chain, plan.concurrency, plan.timeout);
        Self { flow, io: Arc::clone(&io) }
    }

    fn close(&self) {
        let _runtime = self.io.enter();
        self.flow.close();
    }
}

impl Stream {
    /// A stream of the results of `calls`, which begins when the first is asked for.
    pub fn new(plan: Plan, calls: &Bound<'_, PyAny>) -> PyResult<Self> {
        let source = Mutex::new(Source::of(calls)?);
        Ok(Self {
            plan: Owned::new(plan),
            source,
            stage: Owned::new(Mutex::new(Stage::New)),
            turn: Turn::new(),
        })
    }

    /// The calls; they begin now if they have not. `None` after the end.
    fn running(&self, py: Python<'_>) -> PyResult<Option<Arc<Running>>> {
        match &*lock(self.stage.get()?) {
            Stage::Open(running) => return Ok(Some(Arc::clone(running))),
            Stage::Closed => return Ok(None),
            Stage::New => {}
        }
        let plan = self.plan.get()?;
        let chain = plan.manager.chain(&plan.chain_id).map_err(|error| to_py(py, error))?;
        let running = Arc::new(Running::new(runtime::io(py)?, chain, plan));
        *lock(self.stage.get()?) = Stage::Open(Arc::clone(&running));
        Ok(Some(running))
    }

    /// Reads calls while there is room. Somebody else's code runs meanwhile, which finds no source to read.
    fn read(&self, py: Python<'_>, inlet: &Inlet) -> PyResult<()> {
        if !inlet.has_room() {
            return Ok(());
        }
        let mut source = std::mem::replace(&mut *lock(&self.source), Source::BeingRead);
        let outcome = source.read(py, inlet);
        let mut slot = lock(&self.source);
        // It was closed by the code that was just run.
        if matches!(*slot, Source::BeingRead) {
            *slot = source;
            return outcome;
        }
        drop(slot);
        source.close(py);
        outcome
    }

    /// The pair that a result is in Python, or what ends the stream.
    fn give(slf: Py<Self>, py: Python<'_>, taken: Option<Taken>) -> PyResult<Finished> {
        let Some(taken) = taken else { return Err(slf.get().end(py)) };
        if let Some(error) = taken.error() {
            let error = to_py(py, error.clone());
            return slf.get().pair(py, taken, Err(error)).map(Finished::from);
        }
        in_slices(py, taken, Decoder::default(), move |py, taken, value| slf.get().pair(py, taken, value))
    }

    /// What is raised at the end.
    fn end(&self, py: Python<'_>) -> PyErr {
        let failure = lock(&self.source).failure();
        self.close(py);
        failure.unwrap_or_else(|| PyStopAsyncIteration::new_err(()))
    }

    fn pair(&self, py: Python<'_>, taken: Taken, value: PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let Some((number, _)) = taken.take() else { return Err(self.end(py)) };
        let value = match value {
            Ok(value) => value,
            Err(error) if self.plan.get()?.return_exceptions => error.into_value(py).into_any(),
            Err(error) => {
                self.close(py);
                return Err(error);
            }
        };
        Ok((number, value).into_pyobject(py)?.into_any().unbind())
    }

    /// Ends every call and reads no more.
    fn close(&self, py: Python<'_>) {
        // In a child after a fork there is nothing that could be ended.
        let Ok(stage) = self.stage.get() else { return };
        let stage = std::mem::replace(&mut *lock(stage), Stage::Closed);
        if let Stage::Open(running) = stage {
            running.close();
        }
        let source = std::mem::replace(&mut *lock(&self.source), Source::Over);
        source.close(py);
    }
}

#[pymethods]
impl Stream {
    fn __aiter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> Coroutine {
        const NAME: &str = "Stream.__anext__";
        let (py, stream) = (slf.py(), slf.clone().unbind());
        Coroutine::checked(NAME, || {
            let running = stream.get().running(py)?;
            running.as_ref().map_or(Ok(()), |running| stream.get().read(py, running.flow.inlet()))?;
            let next = async move {
                match running {
                    Some(running) => running.flow.next().await,
                    None => Ok(None),
                }
            };
            let give = move |py: Python<'_>, taken| {
                let giver = stream.clone_ref(py);
                stream.get().turn.before(py, taken, move |py, taken| Self::give(giver, py, taken))
            };
            Ok(Coroutine::new(NAME, Start::Poll, next, give))
        })
    }

    /// End every call that is under way. The second time does nothing.
    fn aclose(slf: &Bound<'_, Self>) -> Coroutine {
        let stream = slf.clone().unbind();
        let close = move |py: Python<'_>, ()| {
            stream.get().close(py);
            answers::none(py, ())
        };
        Coroutine::new("Stream.aclose", Start::Poll, async { Ok(()) }, close)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.source.try_lock().map_or(Ok(()), |source| source.traverse(&visit))
    }

    fn __clear__(&self) {
        let source = std::mem::replace(&mut *lock(&self.source), Source::Over);
        drop(source);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            // An exception may be on its way while its frames are dropped.
            let pending = PyErr::take(py);
            self.close(py);
            if let Some(error) = pending {
                error.restore(py);
            }
        });
    }
}
