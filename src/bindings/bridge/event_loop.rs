//! What an event loop has of the bridge: the futures that wait in it, and the callback that completes them.
//!
//! The loop owns its bridge, through the callback that watches the descriptor, and so do the coroutines that wait.
//! The bridge holds the loop; so an address in the registry is a living loop as long as its bridge lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyAttributeError, PyNotImplementedError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyType, PyWeakrefMethods, PyWeakrefReference};

use super::lock;
use super::queue::{Bell, Key, Queue};
use super::signal::Signal;
use crate::bindings::process::PerProcess;
use crate::bindings::runtime::LoopWaker;

/// The bridges of this process by the address of their loop.
static REGISTRY: PerProcess<HashMap<usize, Py<PyWeakrefReference>>> = PerProcess::new();

/// The bridge's end in one event loop. The loop calls it when results are there.
#[pyclass(frozen, weakref, module = "genesis_replicator")]
pub struct LoopBridge {
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
    queue: Arc<Queue>,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    last: Key,
    futures: HashMap<Key, Py<PyAny>>,
}

impl LoopBridge {
    /// The bridge of the running loop, or the `RuntimeError` that asyncio gives where none runs.
    pub fn running(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        static RUNNING_LOOP: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();
        let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let address = event_loop.as_ptr() as usize;
        match Self::find(py, address) {
            Some(bridge) => Ok(bridge),
            None => Self::attach(&event_loop, address),
        }
    }

    /// Has the loop at this address take its results soon. For a loop that cannot watch a descriptor.
    pub fn wake(py: Python<'_>, address: usize) {
        let Some(bridge) = Self::find(py, address) else { return };
        let event_loop = bridge.get().event_loop.bind(py);
        // It fails when the loop was closed; then nobody waits for these results.
        let _ = event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (&bridge,));
    }

    fn find(py: Python<'_>, address: usize) -> Option<Bound<'_, Self>> {
        let reference = REGISTRY.with(|bridges| bridges.get(&address).map(|bridge| bridge.clone_ref(py)))?;
        reference.bind(py).upgrade()?.cast_into().ok()
    }

    fn attach<'py>(event_loop: &Bound<'py, PyAny>, address: usize) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let signal = Signal::new()?;
        let descriptor = signal.descriptor();
        let bridge = Self::make(event_loop, Bell::Descriptor(signal))?;
        let bridge = match watch(event_loop, descriptor, &bridge) {
            Ok(()) => bridge,
            Err(error) if cannot_watch(py, &error) => {
                Self::make(event_loop, Bell::Service(LoopWaker::new(py, address)?))?
            }
            Err(error) => return Err(error),
        };
        Self::register(&bridge, address)?;
        Ok(bridge)
    }

    fn make<'py>(event_loop: &Bound<'py, PyAny>, bell: Bell) -> PyResult<Bound<'py, Self>> {
        let create_future = event_loop.getattr("create_future")?.unbind();
        let thread = event_loop.py().import("threading")?.call_method0("current_thread")?;
        let queue = Arc::new(Queue::new(bell, thread.getattr("daemon")?.is_truthy()?));
        let waiters = Mutex::default();
        let event_loop = event_loop.clone();
        Bound::new(event_loop.py(), Self { event_loop: event_loop.unbind(), create_future, queue, waiters })
    }

    fn register(bridge: &Bound<'_, Self>, address: usize) -> PyResult<()> {
        let py = bridge.py();
        let reference = PyWeakrefReference::new(bridge)?.unbind();
        let dead = REGISTRY.with(|bridges| {
            let dead: Vec<_> = bridges.extract_if(|_, old| old.bind(py).upgrade().is_none()).collect();
            (dead, bridges.insert(address, reference))
        });
        drop(dead);
        Ok(())
    }

    /// Where the jobs of this loop go when they are done.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// A key for a job, and the future that is completed when the job is done.
    pub fn wait(&self, py: Python<'_>) -> PyResult<(Key, Py<PyAny>)> {
        let future = self.create_future.call0(py)?;
        let mut waiters = lock(&self.waiters);
        waiters.last += 1;
        let key = waiters.last;
        waiters.futures.insert(key, future.clone_ref(py));
        Ok((key, future))
    }

    /// Another future for a job whose future somebody else has completed.
    pub fn wait_again(&self, py: Python<'_>, key: Key) -> PyResult<Py<PyAny>> {
        let future = self.create_future.call0(py)?;
        let before = lock(&self.waiters).futures.insert(key, future.clone_ref(py));
        drop(before);
        Ok(future)
    }

    /// Nobody waits for this job any more.
    pub fn forget(&self, key: Key) {
        let future = lock(&self.waiters).futures.remove(&key);
        drop(future);
    }
}

#[pymethods]
impl LoopBridge {
    /// Completes the futures whose jobs are done.
    fn __call__(&self, py: Python<'_>) {
        for key in self.queue.take() {
            let future = lock(&self.waiters).futures.remove(&key);
            if let Some(future) = future
                && let Err(error) = complete(future.bind(py))
            {
                // The others must still hear of their results.
                error.write_unraisable(py, Some(future.bind(py)));
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.create_future)?;
        if let Ok(waiters) = self.waiters.try_lock() {
            for future in waiters.futures.values() {
                visit.call(future)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let futures = std::mem::take(&mut lock(&self.waiters).futures);
        drop(futures);
    }
}

/// Has the loop call the bridge when the descriptor is readable.
fn watch(event_loop: &Bound<'_, PyAny>, descriptor: i32, bridge: &Bound<'_, LoopBridge>) -> PyResult<()> {
    static CONTEXT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = event_loop.py();
    // The callback keeps the context in which it is added: an empty one, so that no caller's variables live on in it.
    let context = CONTEXT.import(py, "contextvars", "Context")?.call0()?;
    let add_reader = event_loop.getattr("add_reader")?;
    context.call_method1("run", (add_reader, descriptor, bridge)).map(drop)
}

fn cannot_watch(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyNotImplementedError>(py) || error.is_instance_of::<PyAttributeError>(py)
}

/// Wakes whoever waits for the future.
fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}
