//! Work of the engine that begins when it is first asked for something, and can be ended at any time.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use super::bridge::lock;
use super::errors::to_py;
use super::process::Owned;
use super::runtime::{self, Io};
use crate::engine::error::Result;

/// Something that can be ended.
pub trait Ends {
    /// End it. The second time does nothing.
    fn end(&self);
}

/// What was asked for, or what has become of it.
pub struct Staged<P, W: Ends>(Owned<Mutex<Stage<P, W>>>);

enum Stage<P, W> {
    /// Nothing was asked for yet.
    New(P),
    Open(Arc<W>, Arc<Io>),
    Closed,
}

impl<P, W: Ends> Staged<P, W> {
    /// What is to be done.
    pub fn new(plan: P) -> Self {
        Self(Owned::new(Mutex::new(Stage::New(plan))))
    }

    /// The work; it begins now, in the context of the runtime, if it has not. `None` after the end. What cannot begin may
    /// do so later.
    pub fn running(&self, py: Python<'_>, begin: impl FnOnce(&P) -> Result<W>) -> PyResult<Option<Arc<W>>> {
        // No Python code runs under the lock, where another thread may wait for it with the GIL.
        let io = runtime::io(py)?;
        self.begun(io, begin)?.map_err(|error| to_py(py, error))
    }

    fn begun(&self, io: Arc<Io>, begin: impl FnOnce(&P) -> Result<W>) -> PyResult<Result<Option<Arc<W>>>> {
        let mut stage = lock(self.0.get()?);
        if let Stage::New(plan) = &*stage {
            let runtime = io.enter();
            let work = match begin(plan) {
                Ok(work) => Arc::new(work),
                Err(error) => return Ok(Err(error)),
            };
            drop(runtime);
            *stage = Stage::Open(work, io);
        }
        Ok(Ok(match &*stage {
            Stage::Open(work, _) => Some(Arc::clone(work)),
            _ => None,
        }))
    }

    /// The work, while it goes on.
    pub fn open(&self) -> PyResult<Option<Arc<W>>> {
        Ok(match &*lock(self.0.get()?) {
            Stage::Open(work, _) => Some(Arc::clone(work)),
            _ => None,
        })
    }

    /// End it.
    pub fn close(&self) {
        // In a child after a fork there is nothing that could be ended.
        let Ok(stage) = self.0.get() else { return };
        let stage = std::mem::replace(&mut *lock(stage), Stage::Closed);
        if let Stage::Open(work, io) = stage {
            let _runtime = io.enter();
            work.end();
            drop(work);
        }
    }
}

impl<P, W: Ends> Drop for Staged<P, W> {
    fn drop(&mut self) {
        self.close();
    }
}
