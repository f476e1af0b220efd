//! The small print of Python's coroutine protocol: how a value ends a coroutine, how an exception is thrown into one,
//! and what `async with` needs.

use std::mem;
use std::sync::Mutex;

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTraceback, PyTuple, PyType};

use super::lock;

/// The exception that carries the value of a coroutine. It is made here and now: one that is described first and made
/// when it is raised costs every await several hundred instructions.
pub fn stop_iteration(value: &Bound<'_, PyAny>) -> PyErr {
    let made = value.py().get_type::<PyStopIteration>().call1((value,));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The exception that the arguments of `throw` mean.
pub fn exception(
    typ: &Bound<'_, PyAny>,
    val: Option<&Bound<'_, PyAny>>,
    tb: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    let value = match typ.cast::<PyType>() {
        Ok(class) => instance(class, val)?,
        Err(_) if val.is_some() => {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        Err(_) => typ.clone(),
    };
    if !value.is_instance_of::<PyBaseException>() {
        return Err(PyTypeError::new_err(
            "exceptions must be classes or instances deriving from BaseException",
        ));
    }
    let error = PyErr::from_value(value);
    if let Some(tb) = tb {
        error.set_traceback(typ.py(), Some(tb.cast::<PyTraceback>()?.clone()));
    }
    Ok(error)
}

fn instance<'py>(class: &Bound<'py, PyType>, val: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match val {
        None => class.call0(),
        Some(value) if value.is_instance(class)? => Ok(value.clone()),
        Some(value) => match value.cast::<PyTuple>() {
            Ok(arguments) => class.call1(arguments),
            Err(_) => class.call1((value,)),
        },
    }
}

/// Gives back what an `async with` has entered.
pub type Release = fn(Python<'_>, &Py<PyAny>) -> PyResult<()>;

/// The `async with` around a coroutine.
pub struct Scope {
    release: Release,
    stage: Mutex<Stage>,
}

enum Stage {
    /// It is a plain `await` as far as one knows.
    Outside,
    Entering,
    Inside(Py<PyAny>),
}

impl Scope {
    /// A scope that nobody has entered.
    pub fn new(release: Release) -> Self {
        Self { release, stage: Mutex::new(Stage::Outside) }
    }

    /// The block is about to begin: the value that comes is to be kept.
    pub fn enter(&self) {
        *lock(&self.stage) = Stage::Entering;
    }

    /// Keeps the value if it is for a block.
    pub fn keep(&self, py: Python<'_>, value: &Py<PyAny>) {
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Entering) {
            *stage = Stage::Inside(value.clone_ref(py));
        }
    }

    /// The block has ended.
    pub fn leave(&self, py: Python<'_>) -> PyResult<()> {
        match self.take() {
            Stage::Inside(value) => (self.release)(py, &value),
            Stage::Outside | Stage::Entering => Err(PyRuntimeError::new_err("the block was never entered")),
        }
    }

    /// Shows the garbage collector what this holds.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.stage.try_lock().as_deref() {
            Ok(Stage::Inside(value)) => visit.call(value),
            _ => Ok(()),
        }
    }

    /// Lets go of the value.
    pub fn clear(&self) {
        drop(self.take());
    }

    fn take(&self) -> Stage {
        mem::replace(&mut *lock(&self.stage), Stage::Outside)
    }
}
