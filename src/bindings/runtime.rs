//! The threads of the package: the tokio runtime that does all I/O, and the Python thread in `service`. Both are made
//! at their first use, stopped when the interpreter exits, and made anew in a child after a fork.

mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::select;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

pub use service::{Errands, LoopWaker, on_tick};

use super::bridge::{Flusher, Line, LoopBridge, Worker};
use super::process::PerProcess;

static RUNTIME: PerProcess<State> = PerProcess::new();

#[derive(Default)]
enum State {
    #[default]
    Unused,
    /// Until the sender is dropped.
    Running(oneshot::Sender<()>, Arc<Io>),
    Stopped,
}

/// The running I/O thread: where jobs go, and where their results come back from.
pub struct Io {
    handle: Handle,
    line: Arc<Line>,
    flusher: Arc<Flusher>,
}

impl Io {
    /// Where jobs go that can go on.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Who tells event loops that results are there.
    pub fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    /// Makes this thread belong to the runtime while the guard lives. Futures and leases need that when they are
    /// made, polled or dropped on a Python thread.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }
}

/// The runtime of this process; it starts now if it has not. A `RuntimeError` once the interpreter is exiting.
pub fn io(py: Python<'_>) -> PyResult<Arc<Io>> {
    if let Some(io) = RUNTIME.with(|state| state.running())? {
        return Ok(io);
    }
    stop_at_exit(py)?;
    RUNTIME.with(|state| {
        // Another thread may have been faster.
        if let Some(io) = state.running()? {
            return Ok(io);
        }
        let (stop, io) = start()?;
        *state = State::Running(stop, Arc::clone(&io));
        Ok(io)
    })
}

/// The same, but `None` instead of that error on a daemon thread: it ends with the interpreter, and would only print
/// an error that helps nobody.
pub fn io_or_silence(py: Python<'_>) -> PyResult<Option<Arc<Io>>> {
    match io(py) {
        Err(_) if RUNTIME.with(|state| matches!(state, State::Stopped)) && on_daemon_thread(py)? => Ok(None),
        other => other.map(Some),
    }
}

/// Whether this thread ends with the interpreter, which does not wait for it.
pub fn on_daemon_thread(py: Python<'_>) -> PyResult<bool> {
    py.import("threading")?.call_method0("current_thread")?.getattr("daemon")?.is_truthy()
}

impl State {
    fn running(&self) -> PyResult<Option<Arc<Io>>> {
        match self {
            Self::Unused => Ok(None),
            Self::Running(_, io) => Ok(Some(Arc::clone(io))),
            Self::Stopped => Err(is_shut_down()),
        }
    }
}

/// The error of everything that comes too late.
pub fn is_shut_down() -> PyErr {
    PyRuntimeError::new_err("genesis_replicator is shut down: the interpreter is exiting")
}

/// Starts the I/O thread. It drives a runtime of its own: tokio's runtime for many threads costs a tenth more with one.
fn start() -> PyResult<(oneshot::Sender<()>, Arc<Io>)> {
    let flusher = Arc::new(Flusher::default());
    let at_rest = Arc::clone(&flusher);
    let runtime = Builder::new_current_thread()
        // For name lookups and for loading certificates; a slow resolver must not fill the process with threads.
        .max_blocking_threads(8)
        .thread_name("genesis-helper")
        .enable_io()
        .enable_time()
        .on_thread_park(move || at_rest.flush())
        .build()?;
    let line = Arc::new(Line::default());
    let io = Arc::new(Io { handle: runtime.handle().clone(), line: Arc::clone(&line), flusher });
    let (stop, stopped) = oneshot::channel();
    thread::Builder::new().name("genesis-io".to_owned()).spawn(move || {
        runtime.block_on(select(Worker::new(line), stopped));
        // A plain drop would wait for a name lookup that is under way.
        runtime.shutdown_background();
    })?;
    Ok((stop, io))
}

/// Has `stop` called at exit. A child inherits the registration together with everything else.
fn stop_at_exit(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        py.import("atexit")?.call_method1("register", (wrap_pyfunction!(stop, py)?,))?;
    }
    Ok(())
}

/// Ends both threads of this process. Work in flight ends with the error of what comes too late.
#[pyfunction]
fn stop(py: Python<'_>) -> PyResult<()> {
    let before = RUNTIME.with(|state| std::mem::replace(state, State::Stopped));
    if let State::Running(stop, _) = before {
        drop(stop);
        LoopBridge::stop(py);
    }
    service::stop(py)
}
