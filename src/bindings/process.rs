//! Which process this is. Threads and locks do not survive a fork, so whatever was made before one is dead in the
//! child: it is refused with a clear error, and forgotten instead of dropped. And which interpreter: the first.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, OnceLock};

use pyo3::exceptions::{PyImportError, PyRuntimeError};
use pyo3::prelude::*;

use super::bridge::lock;

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Refuses every interpreter of a process but the first: our globals hold objects of one. Python 3.11 asks nobody.
pub fn refuse_subinterpreters(py: Python<'_>) -> PyResult<()> {
    static FIRST: OnceLock<usize> = OnceLock::new();
    // Each interpreter has its own.
    let here = py.import("builtins")?.as_ptr() as usize;
    if *FIRST.get_or_init(|| here) == here {
        return Ok(());
    }
    Err(PyImportError::new_err("genesis_replicator does not support subinterpreters"))
}

/// How many forks lie between this process and the one that loaded the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// The generation of this process.
    #[expect(
        unsafe_code,
        reason = "no safe interface to pthread_atfork, and comparing process ids costs a call each"
    )]
    pub fn current() -> Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            // SAFETY: the handler only changes an atomic, which is allowed between fork and exec. It fails only when
            // memory is exhausted; then a child is not recognised, which is what happens without it.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }
}

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A value that belongs to the process that made it.
#[derive(Debug)]
pub struct Owned<T> {
    /// Always there until the drop.
    value: Option<T>,
    born: Generation,
}

impl<T> Owned<T> {
    /// A value of this process.
    pub fn new(value: T) -> Self {
        Self { value: Some(value), born: Generation::current() }
    }

    /// The value, or in a child of its process a `RuntimeError`.
    pub fn get(&self) -> PyResult<&T> {
        self.value.as_ref().filter(|_| self.is_ours()).ok_or_else(|| {
            PyRuntimeError::new_err(
                "this object was made before a fork and cannot be used in the child; make a new one",
            )
        })
    }

    fn is_ours(&self) -> bool {
        self.born == Generation::current()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // In a child a lock inside may be held by a thread that is not there.
        if !self.is_ours() {
            mem::forget(self.value.take());
        }
    }
}

/// A global of which every process has its own, made at its first use.
pub struct PerProcess<T>(Mutex<Option<(Generation, T)>>);

impl<T: Default> PerProcess<T> {
    /// A global that nobody has used yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Works on this process's value. Call it with the GIL, and never let `work` release the GIL: then no fork can
    /// happen while the lock is held, and no thread waits for the one with the other in hand.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let current = Generation::current();
        let mut slot = lock(&self.0);
        if slot.as_ref().is_some_and(|(born, _)| *born != current) {
            mem::forget(slot.take());
        }
        work(&mut slot.get_or_insert_with(|| (current, T::default())).1)
    }
}
