//! Answers that stay text: a mapping and a sequence that make Python objects of what is touched, and of nothing else.
//!
//! `node` finds the members of a container, `mapping` and `sequence` show them to Python.

mod mapping;
mod node;
mod sequence;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::answers;
use super::errors::to_py;
use crate::engine::error::{Error, Kind};

pub use mapping::LazyMapping;
pub use sequence::LazySequence;

use node::{Index, Node, Refusal};

/// Finding the members of a longer text is done without the GIL.
const LONG: usize = 256 * 1024;

/// What `text` stands for: a lazy container, or the value itself if it is none.
pub fn value(py: Python<'_>, text: Bytes) -> PyResult<Py<PyAny>> {
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => show(py, Arc::new(Node::root(text))),
        _ => answers::decoded(py, text),
    }
}

/// Makes the classes known to `collections.abc`.
pub fn register(py: Python<'_>) -> PyResult<()> {
    abstract_class(py, "Mapping")?.call_method1("register", (py.get_type::<LazyMapping>(),))?;
    abstract_class(py, "Sequence")?.call_method1("register", (py.get_type::<LazySequence>(),))?;
    Ok(())
}

/// A class of `collections.abc`.
fn abstract_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let import = || py.import("collections.abc").map(Bound::unbind);
    MODULE.get_or_try_init(py, import)?.bind(py).getattr(name)
}

/// The Python object for a container.
fn show(py: Python<'_>, node: Arc<Node>) -> PyResult<Py<PyAny>> {
    if node.is_mapping() {
        Ok(Py::new(py, LazyMapping(node))?.into_any())
    } else {
        Ok(Py::new(py, LazySequence(node))?.into_any())
    }
}

/// The members of a container.
fn index<'a>(py: Python<'_>, node: &'a Node) -> PyResult<&'a Index> {
    let index = if node.text().len() < LONG { node.index() } else { py.detach(|| node.index()) };
    index.map_err(|refusal| raise(py, &refusal))
}

/// The value of a member.
fn member(py: Python<'_>, node: &Node, at: &Range<usize>) -> PyResult<Py<PyAny>> {
    match node.child(at) {
        Ok(Some(child)) => show(py, child),
        Ok(None) => answers::decoded(py, node.part(at)),
        Err(refusal) => Err(raise(py, &refusal)),
    }
}

/// The whole container as `json.loads` makes it.
fn decoded<'py>(py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyAny>> {
    Ok(answers::decoded(py, node.text().clone())?.into_bound(py))
}

/// How a container pickles: as a call of the real thing.
fn reduced<'py>(py: Python<'py>, node: &Node) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
    let value = decoded(py, node)?;
    Ok((value.get_type(), (value,)))
}

fn raise(py: Python<'_>, refusal: &Refusal) -> PyErr {
    match refusal {
        Refusal::TooDeep => to_py(py, Error::new(Kind::Protocol, answers::TOO_DEEP)),
        Refusal::NotJson => PyValueError::new_err("not JSON"),
    }
}
