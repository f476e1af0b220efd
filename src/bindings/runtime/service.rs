//! The one Python thread. It wakes event loops that cannot watch a descriptor, and it runs hooks that deliver what
//! the engine has left for Python: log records, alerts. It takes the GIL only when there is something to do.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCFunction};

use super::{is_shut_down, stop_at_exit};
use crate::bindings::bridge::{LoopBridge, lock};
use crate::bindings::process::PerProcess;

/// How often the hooks are asked.
const TICK: Duration = Duration::from_millis(100);

/// How long the exit of the interpreter waits for the thread, in seconds.
const JOIN: f64 = 1.0;

static SERVICE: PerProcess<State> = PerProcess::new();

#[derive(Default)]
enum State {
    #[default]
    Unused,
    Running(Sender<Message>, Option<Py<PyAny>>),
    Stopped,
}

enum Message {
    /// Results wait for the event loop at this address.
    Wake(usize),
    Hook(Hook),
    Errand(Errand),
    Stop,
}

/// Something to be done once, with the GIL.
type Errand = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>;

struct Hook {
    due: Box<dyn Fn() -> bool + Send>,
    run: Box<dyn Fn(Python<'_>) -> PyResult<bool> + Send>,
}

/// Wakes one event loop through the thread.
#[derive(Debug)]
pub struct LoopWaker {
    event_loop: usize,
    inbox: Sender<Message>,
}

impl LoopWaker {
    /// A waker of the event loop at this address.
    pub fn new(py: Python<'_>, event_loop: usize) -> PyResult<Self> {
        Ok(Self { event_loop, inbox: inbox(py)? })
    }

    /// Has the event loop take its results. Never waits.
    pub fn wake(&self) {
        // It fails when the interpreter is exiting; then there is no loop to wake.
        let _ = self.inbox.send(Message::Wake(self.event_loop));
    }
}

/// Has things done in Python that come up where the GIL must not be waited for.
#[derive(Debug, Clone)]
pub struct Errands(Sender<Message>);

impl Errands {
    /// The way to the thread; it starts now if it has not.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        inbox(py).map(Self)
    }

    /// Has `errand` done soon. Never waits. When the interpreter is exiting it is dropped.
    pub fn send(&self, errand: impl FnOnce(Python<'_>) -> PyResult<()> + Send + 'static) {
        let _ = self.0.send(Message::Errand(Box::new(errand)));
    }
}

/// Every 100 ms: asks `due` without the GIL, and if it says so calls `run` with it, until that answers `false`. When
/// the interpreter exits both are asked a last time.
pub fn on_tick(
    py: Python<'_>,
    due: impl Fn() -> bool + Send + 'static,
    run: impl Fn(Python<'_>) -> PyResult<bool> + Send + 'static,
) -> PyResult<()> {
    let hook = Hook { due: Box::new(due), run: Box::new(run) };
    inbox(py)?.send(Message::Hook(hook)).map_err(|_| is_shut_down())
}

/// The way to the thread; it starts now if it has not.
fn inbox(py: Python<'_>) -> PyResult<Sender<Message>> {
    stop_at_exit(py)?;
    let (inbox, fresh) = SERVICE.with(|state| match state {
        State::Running(inbox, _) => Ok((inbox.clone(), None)),
        State::Stopped => Err(is_shut_down()),
        State::Unused => {
            let (inbox, messages) = channel();
            *state = State::Running(inbox.clone(), None);
            Ok((inbox, Some(messages)))
        }
    })?;
    if let Some(messages) = fresh {
        let thread = start(py, messages).inspect_err(|_| SERVICE.with(|state| *state = State::Unused))?;
        SERVICE.with(|state| {
            if let State::Running(_, slot) = state {
                *slot = Some(thread);
            }
        });
    }
    Ok(inbox)
}

fn start(py: Python<'_>, messages: Receiver<Message>) -> PyResult<Py<PyAny>> {
    let messages = Mutex::new(Some(messages));
    let target = PyCFunction::new_closure(py, Some(c"serve"), None, move |args, _| {
        if let Some(messages) = lock(&messages).take() {
            Service::new(messages).run(args.py());
        }
    })?;
    let options = [
        ("target", target.into_any()),
        ("name", "genesis-service".into_pyobject(py)?.into_any()),
        ("daemon", true.into_pyobject(py)?.to_owned().into_any()),
    ];
    let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&options.into_py_dict(py)?))?;
    thread.call_method0("start")?;
    Ok(thread.unbind())
}

/// Ends the thread after a last look at the hooks.
pub(super) fn stop(py: Python<'_>) -> PyResult<()> {
    let before = SERVICE.with(|state| std::mem::replace(state, State::Stopped));
    if let State::Running(inbox, thread) = before {
        // It fails when the thread is gone already.
        let _ = inbox.send(Message::Stop);
        if let Some(thread) = thread {
            thread.call_method1(py, "join", (JOIN,))?;
        }
    }
    Ok(())
}

/// What the thread knows.
struct Service {
    messages: Receiver<Message>,
    hooks: Vec<Hook>,
    next_tick: Instant,
}

/// Why the thread needs the GIL.
enum Task {
    Wake(usize),
    Errand(Errand),
    Hooks,
    Stop,
}

impl Service {
    fn new(messages: Receiver<Message>) -> Self {
        Self { messages, hooks: Vec::new(), next_tick: Instant::now() + TICK }
    }

    fn run(mut self, py: Python<'_>) {
        loop {
            match py.detach(|| self.next()) {
                Task::Wake(event_loop) => LoopBridge::wake(py, event_loop),
                Task::Errand(errand) => errand(py).unwrap_or_else(|error| error.write_unraisable(py, None)),
                Task::Hooks => self.run_hooks(py),
                Task::Stop => return self.run_hooks(py),
            }
        }
    }

    /// Waits, without the GIL, until there is something to do.
    fn next(&mut self) -> Task {
        loop {
            // First, so that a stream of messages does not keep the hooks waiting.
            if Instant::now() >= self.next_tick {
                self.next_tick = Instant::now() + TICK;
                if self.hooks.iter().any(|hook| (hook.due)()) {
                    return Task::Hooks;
                }
            }
            match self.messages.recv_timeout(self.next_tick.saturating_duration_since(Instant::now())) {
                Ok(Message::Wake(event_loop)) => return Task::Wake(event_loop),
                Ok(Message::Errand(errand)) => return Task::Errand(errand),
                Ok(Message::Hook(hook)) => self.hooks.push(hook),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Task::Stop,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn run_hooks(&mut self, py: Python<'_>) {
        self.hooks.retain(|hook| {
            !(hook.due)()
                || (hook.run)(py).unwrap_or_else(|error| {
                    error.write_unraisable(py, None);
                    true
                })
        });
    }
}
