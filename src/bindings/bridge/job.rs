//! Work on the runtime that somebody in Python waits for. Whoever waits may drop it at any moment, on the Python
//! thread: when that returns, everything that the work held is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use super::lock;
use super::queue::{Key, Queue};
use crate::bindings::runtime::{Io, is_shut_down};

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

/// A future that ends with what is left to do in Python.
pub type Work = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// How work ended.
pub enum Outcome {
    /// With a result or an error of its own.
    Finished(Finish),
    /// With a panic: a bug.
    Panicked,
    /// The runtime was stopped before the work was done.
    Stopped,
}

impl Outcome {
    /// The value or the exception. A result that never gets here is dropped, and what it holds is free again.
    pub fn into_python(self, py: Python<'_>) -> PyResult<Finished> {
        match self {
            Self::Finished(finish) => finish(py),
            Self::Panicked => {
                Err(PyRuntimeError::new_err("a bug in genesis_replicator: the operation panicked"))
            }
            Self::Stopped => Err(is_shut_down()),
        }
    }
}

/// Polls work; a panic in it is an outcome, so that whoever waits hears of it.
pub fn poll(work: &mut Work, context: &mut Context<'_>) -> Poll<Outcome> {
    match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Outcome::Finished),
        Err(_) => Poll::Ready(Outcome::Panicked),
    }
}

/// Work that was handed to the runtime. Dropping it cancels the work.
pub struct Job {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    io: Arc<Io>,
    queue: Arc<Queue>,
    key: Key,
    /// Locked while the work is polled, which is short and never takes the GIL.
    stage: Mutex<Stage>,
}

enum Stage {
    Working(Work),
    Done(Outcome),
    /// The outcome was taken, or nobody wants it any more.
    Over,
}

impl Job {
    /// Hands work over. When it is done its key goes to the queue.
    pub fn start(io: Arc<Io>, queue: Arc<Queue>, key: Key, work: Work) -> Self {
        let shared = Arc::new(Shared { io, queue, key, stage: Mutex::new(Stage::Working(work)) });
        let task = shared.io.handle().spawn(Task(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// The runtime that it runs on.
    pub fn io(&self) -> &Io {
        &self.shared.io
    }

    /// The outcome, once, when there is one.
    pub fn take(&self) -> Option<Outcome> {
        let mut stage = lock(&self.shared.stage);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Done(outcome) => Some(outcome),
            unfinished => {
                *stage = unfinished;
                None
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let stage = self.shared.replace(Stage::Over);
        if matches!(stage, Stage::Working(_)) {
            self.task.abort();
        }
        // Here and now, outside the lock: when this returns, the slot or permit that it holds is free.
        let _runtime = self.shared.io.enter();
        drop(stage);
    }
}

impl Shared {
    fn replace(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *lock(&self.stage), stage)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut stage = lock(&self.stage);
        let Stage::Working(work) = &mut *stage else { return Poll::Ready(()) };
        let polled = poll(work, context).map(|outcome| std::mem::replace(&mut *stage, Stage::Done(outcome)));
        drop(stage);
        if polled.is_ready() {
            self.io.flusher().push(&self.queue, self.key);
        }
        self.io.flusher().flush_if_due();
        polled.map(drop)
    }
}

/// The job as the runtime sees it.
struct Task(Arc<Shared>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let shared = &self.0;
        let mut stage = lock(&shared.stage);
        if !matches!(*stage, Stage::Working(_)) {
            return;
        }
        let work = std::mem::replace(&mut *stage, Stage::Done(Outcome::Stopped));
        drop(stage);
        drop(work);
        // The interpreter is exiting. A daemon thread ends with it, and would only print an error that helps nobody.
        if shared.queue.ends_in_silence() {
            return;
        }
        // Nobody will rest or flush any more, so the waiter is told at once.
        shared.io.flusher().push(&shared.queue, shared.key);
        shared.io.flusher().flush();
    }
}
