//! Where Python is calling from, as `file:line`: whoever keeps a connection too long is named by it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;

use super::process::PerProcess;

/// How many places are remembered, so that code that is made and run on the fly does not pile up.
const MOST: usize = 1024;

/// The texts of places by their code object's address and the instruction in it. Finding the line of an instruction
/// and writing it down takes longer than everything else that is done to lease a connection.
static PLACES: PerProcess<BTreeMap<(usize, i64), Place>> = PerProcess::new();

struct Place {
    /// Held, so that its address is nobody else's.
    _code: Py<PyAny>,
    text: Arc<str>,
}

/// The line of Python that is calling.
pub fn place(py: Python<'_>) -> Arc<str> {
    find(py).unwrap_or_else(|_| "an unknown place".into())
}

fn find(py: Python<'_>) -> PyResult<Arc<str>> {
    static FRAME: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();
    let frame = FRAME.import(py, "sys", "_getframe")?.call0()?;
    let code = frame.getattr(intern!(py, "f_code"))?;
    let instruction: i64 = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let key = (code.as_ptr() as usize, instruction);
    if let Some(text) = PLACES.with(|places| places.get(&key).map(|place| Arc::clone(&place.text))) {
        return Ok(text);
    }
    let file: String = code.getattr("co_filename")?.extract()?;
    let line: u32 = frame.getattr("f_lineno")?.extract()?;
    let text: Arc<str> = format!("{file}:{line}").into();
    let place = Place { _code: code.unbind(), text: Arc::clone(&text) };
    let forgotten = PLACES.with(|places| {
        let forgotten = if places.len() < MOST { BTreeMap::new() } else { mem::take(places) };
        places.insert(key, place);
        forgotten
    });
    // Outside the lock: code that ends may have something to say.
    drop(forgotten);
    Ok(text)
}
