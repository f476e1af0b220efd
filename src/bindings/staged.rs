//! Work of the engine that begins when it is first asked for something, and can be ended at any time.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use super::bridge::lock;
use super::process::Owned;
use super::runtime::{self, Io};

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

    /// The work; it begins now, in the context of the runtime, if it has not. `None` after the end.
    pub fn running(&self, py: Python<'_>, begin: impl FnOnce(P) -> PyResult<W>) -> PyResult<Option<Arc<W>>> {
        let mut stage = lock(self.0.get()?);
        match std::mem::replace(&mut *stage, Stage::Closed) {
            Stage::New(plan) => {
                let io = runtime::io(py)?;
                let runtime = io.enter();
                let work = Arc::new(begin(plan)?);
                drop(runtime);
                *stage = Stage::Open(work, io);
            }
            other => *stage = other,
        }
        Ok(match &*stage {
            Stage::Open(work, _) => Some(Arc::clone(work)),
            _ => None,
        })
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
