//! What an event loop has of the bridge: who waits in it, and the callback that resumes them.
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

use super::bell::Bell;
use super::caller::Caller;
use super::job::Job;
use super::lock;
use super::operation::Work;
use super::queue::{Key, Queue};
use super::signal::Signal;
use super::waiter::{Run, Waiter};
use super::waiters::Waiters;
use crate::bindings::process::PerProcess;
use crate::bindings::runtime::{Io, LoopWaker, on_daemon_thread};

/// The bridges of this process by the address of their loop.
static REGISTRY: PerProcess<HashMap<usize, Py<PyWeakrefReference>>> = PerProcess::new();

/// The bridge's end in one event loop. The loop calls it when results are there.
#[pyclass(frozen, weakref, module = "genesis_replicator")]
pub struct LoopBridge {
    event_loop: Py<PyAny>,
    queue: Arc<Queue>,
    waiters: Mutex<Waiters>,
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

    /// Ends every job of every loop, when the runtime has ended.
    pub fn stop(py: Python<'_>) {
        let all: Vec<_> =
            REGISTRY.with(|bridges| bridges.values().map(|bridge| bridge.clone_ref(py)).collect());
        for bridge in all {
            let Some(bridge) = bridge.bind(py).upgrade() else { continue };
            let Ok(bridge) = bridge.cast_into::<Self>() else { continue };
            let jobs: Vec<_> = lock(&bridge.get().waiters).jobs().map(Arc::clone).collect();
            for job in jobs {
                job.stop();
            }
        }
    }

    /// The event loop of a caller, if it lives.
    pub fn of(py: Python<'_>, caller: &Caller) -> Option<Py<PyAny>> {
        let all: Vec<_> =
            REGISTRY.with(|bridges| bridges.values().map(|bridge| bridge.clone_ref(py)).collect());
        let mut bridges = all.iter().filter_map(|bridge| bridge.bind(py).upgrade()?.cast_into::<Self>().ok());
        let bridge = bridges.find(|bridge| Arc::ptr_eq(&bridge.get().queue, &caller.0))?;
        Some(bridge.get().event_loop.clone_ref(py))
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
        let queue = Arc::new(Queue::new(bell, on_daemon_thread(event_loop.py())?));
        let waiters = Mutex::default();
        let event_loop = event_loop.clone();
        Bound::new(event_loop.py(), Self { event_loop: event_loop.unbind(), queue, waiters })
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

    /// The loop.
    pub fn event_loop(&self) -> &Py<PyAny> {
        &self.event_loop
    }

    /// A job for work, and the waiter that is completed when it is done, by their key.
    pub fn wait(slf: &Bound<'_, Self>, io: Arc<Io>, work: Work) -> PyResult<(Key, Py<Waiter>, Arc<Job>)> {
        let py = slf.py();
        let queue = Arc::clone(&slf.get().queue);
        let waiter = Py::new(py, Waiter::new(slf.clone().unbind()))?;
        let (key, job) =
            lock(&slf.get().waiters).insert(waiter.clone_ref(py), |key| Job::new(io, queue, key, work));
        Ok((key, waiter, job))
    }

    /// Another waiter for a job whose waiter somebody else has ended.
    pub fn wait_again(slf: &Bound<'_, Self>, key: Key) -> PyResult<Py<Waiter>> {
        let py = slf.py();
        let waiter = Py::new(py, Waiter::new(slf.clone().unbind()))?;
        let before = lock(&slf.get().waiters).replace(key, waiter.clone_ref(py));
        drop(before);
        Ok(waiter)
    }

    /// Nobody waits for this job any more.
    pub fn forget(&self, key: Key) {
        let waiter = lock(&self.waiters).remove(key);
        drop(waiter);
    }

    /// How the loop wants callbacks to be run: in debug mode it looks at each.
    fn run(&self, py: Python<'_>) -> PyResult<Run> {
        let debug = self.event_loop.call_method0(py, intern!(py, "get_debug"))?.is_truthy(py)?;
        Ok(if debug { Run::Soon } else { Run::Now })
    }
}

#[pymethods]
impl LoopBridge {
    /// Resumes whoever waits for a job that is done. The loop calls this while no task is running.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let run = self.run(py)?;
        let mut keys = self.queue.take().into_iter();
        for key in keys.by_ref() {
            let waiter = lock(&self.waiters).remove(key);
            if let Some(waiter) = waiter
                && let Err(error) = Waiter::complete(waiter.bind(py), run)
            {
                // It ends the loop. The others hear of their results if the loop goes on.
                self.queue.put_back(keys);
                return Err(error);
            }
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        if let Ok(waiters) = self.waiters.try_lock() {
            for waiter in waiters.all() {
                visit.call(waiter)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let waiters = std::mem::take(&mut *lock(&self.waiters));
        drop(waiters);
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
