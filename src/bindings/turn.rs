//! The event loop's turn between items that are there already: whoever reads them waits for nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::bridge::{Finished, lock};

/// How long the loop goes without one.
const SLICE: Duration = Duration::from_millis(2);

/// When it had one last.
pub struct Turn(Mutex<Instant>);

impl Turn {
    /// It has it now.
    pub fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Make an item what Python gets, now or when the loop has had its turn.
    pub fn before<T: Send + 'static>(
        &self,
        py: Python<'_>,
        item: T,
        give: impl FnOnce(Python<'_>, T) -> PyResult<Finished> + Send + 'static,
    ) -> PyResult<Finished> {
        if self.is_due() { Ok(Finished::Later(Box::new(move |py| give(py, item)))) } else { give(py, item) }
    }

    fn is_due(&self) -> bool {
        let mut last = lock(&self.0);
        let is_due = last.elapsed() >= SLICE;
        if is_due {
            *last = Instant::now();
        }
        is_due
    }
}
