//! `LazyMapping`.

use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString, PyType};

use super::node::{Index, Members, Node};
use super::{abstract_class, decoded, index, member, reduced};
use crate::bindings::json_in::unescaped;

/// A JSON object that stays text: what is touched becomes a Python object, each time anew.
///
/// It is a `Mapping` that cannot be changed, equal to the dict it stands for, and it pickles as that dict. Objects and
/// arrays in it are lazy too. It keeps the whole answer in memory for as long as it, or anything lazy from it, lives.
#[pyclass(frozen, mapping, module = "genesis_replicator")]
pub struct LazyMapping(pub(super) Arc<Node>);

#[pymethods]
impl LazyMapping {
    /// All of it as a dict.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        decoded(py, &self.0)
    }

    /// The value of `key`, or `default`.
    #[pyo3(signature = (key, default=None, /))]
    fn get(&self, key: &Bound<'_, PyAny>, default: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
        match self.find(key)? {
            Some(at) => member(key.py(), &self.0, at).map(Some),
            None => Ok(default.map(|default| default.clone().unbind())),
        }
    }

    /// Its keys, as a set-like view.
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        abstract_class(slf.py(), "KeysView")?.call1((slf,))
    }

    /// Its pairs of a key and a value, as a set-like view.
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        abstract_class(slf.py(), "ItemsView")?.call1((slf,))
    }

    /// Its values, as a view.
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        abstract_class(slf.py(), "ValuesView")?.call1((slf,))
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.find(key)? {
            Some(at) => member(key.py(), &self.0, at),
            None => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.find(key)?.is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.members(py)?.map_or(0, Members::len))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.key_list(py)?.try_iter()
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let keys = self.key_list(py)?;
        keys.reverse()?;
        keys.try_iter()
    }

    fn __eq__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let equal = if let Ok(other) = other.cast::<Self>() {
            let other = &other.get().0;
            self.0.text() == other.text() || decoded(py, &self.0)?.eq(decoded(py, other)?)?
        } else if other.is_instance_of::<PyDict>() {
            decoded(py, &self.0)?.eq(other)?
        } else if other.is_instance(&abstract_class(py, "Mapping")?)? {
            decoded(py, &self.0)?.eq(py.get_type::<PyDict>().call1((other,))?)?
        } else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        Ok(equal.into_pyobject(py)?.to_owned().into_any())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
        reduced(py, &self.0)
    }

    fn __repr__(&self) -> String {
        format!("<LazyMapping of {} bytes>", self.0.text().len())
    }
}

impl LazyMapping {
    fn members(&self, py: Python<'_>) -> PyResult<Option<&Members>> {
        match index(py, &self.0)? {
            Index::Mapping(members) => Ok(Some(members)),
            Index::Sequence(_) => Ok(None),
        }
    }

    /// Where the value of a key stands.
    fn find(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<&Range<usize>>> {
        let Ok(text) = key.cast::<PyString>() else {
            // As in a dict, what cannot be a key of any is not just missing.
            return key.hash().map(|_| None);
        };
        let Some(members) = self.members(key.py())? else { return Ok(None) };
        if let Ok(text) = text.to_str() {
            return Ok(members.find(text.as_bytes()));
        }
        let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
        Ok(members.find(bytes.cast::<PyBytes>()?.as_bytes()))
    }

    fn key_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let keys = PyList::empty(py);
        let Some(members) = self.members(py)? else { return Ok(keys) };
        for key in members.keys() {
            keys.append(unescaped(py, key)?)?;
        }
        Ok(keys)
    }
}
