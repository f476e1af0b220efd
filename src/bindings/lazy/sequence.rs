//! `LazySequence`.

use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyIterator, PyList, PyRange, PySlice, PyType};

use super::node::{Index, Node};
use super::{abstract_class, decoded, index, member, reduced};

/// A JSON array that stays text: what is touched becomes a Python object, each time anew.
///
/// It is a `Sequence` that cannot be changed, equal to the list it stands for, and it pickles as that list. A slice of
/// it is a list. Objects and arrays in it are lazy too. It keeps the whole answer in memory for as long as it, or
/// anything lazy from it, lives.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct LazySequence(pub(super) Arc<Node>);

#[pymethods]
impl LazySequence {
    /// All of it as a list.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        decoded(py, &self.0)
    }

    /// The first place of `value`, between `start` and `stop` if they are given.
    ///
    /// Raises:
    ///     ValueError: It is not there.
    #[pyo3(signature = (value, start=None, stop=None, /), text_signature = "($self, value, start=0, stop=None, /)")]
    fn index<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
        start: Option<&Bound<'py, PyAny>>,
        stop: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let zero = PyInt::new(slf.py(), 0).into_any();
        abstract_class(slf.py(), "Sequence")?
            .call_method1("index", (slf, value, start.unwrap_or(&zero), stop))
    }

    /// How often `value` is in it.
    #[pyo3(signature = (value, /))]
    fn count<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        abstract_class(slf.py(), "Sequence")?.call_method1("count", (slf, value))
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let places = self.places(py)?;
        if let Ok(slice) = key.cast::<PySlice>() {
            return self.slice(py, slice, places);
        }
        let outside = || PyIndexError::new_err("LazySequence index out of range");
        let place: isize = key.extract().map_err(|error: PyErr| {
            if error.is_instance_of::<PyOverflowError>(py) { outside() } else { error }
        })?;
        let place =
            if place < 0 { places.len().checked_add_signed(place) } else { usize::try_from(place).ok() };
        let at = place.and_then(|place| places.get(place)).ok_or_else(outside)?;
        member(py, &self.0, at)
    }

    fn __contains__(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        for item in slf.try_iter()? {
            if item?.eq(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.places(py)?.len())
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let count = slf.len()?.cast_signed();
        items(slf, &PyRange::new(slf.py(), 0, count)?)
    }

    fn __reversed__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let count = slf.len()?.cast_signed();
        items(slf, &PyRange::new_with_step(slf.py(), count - 1, -1, -1)?)
    }

    fn __eq__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let equal = if let Ok(other) = other.cast::<Self>() {
            let other = &other.get().0;
            self.0.text() == other.text() || decoded(py, &self.0)?.eq(decoded(py, other)?)?
        } else if other.is_instance_of::<PyList>() {
            decoded(py, &self.0)?.eq(other)?
        } else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        Ok(equal.into_pyobject(py)?.to_owned().into_any())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
        reduced(py, &self.0)
    }

    fn __repr__(&self) -> String {
        format!("<LazySequence of {} bytes>", self.0.text().len())
    }
}

impl LazySequence {
    fn places(&self, py: Python<'_>) -> PyResult<&[Range<usize>]> {
        match index(py, &self.0)? {
            Index::Sequence(places) => Ok(places),
            Index::Mapping(_) => Ok(&[]),
        }
    }

    fn slice(
        &self,
        py: Python<'_>,
        slice: &Bound<'_, PySlice>,
        places: &[Range<usize>],
    ) -> PyResult<Py<PyAny>> {
        let indices = slice.indices(places.len().cast_signed())?;
        let list = PyList::empty(py);
        let mut place = indices.start;
        for _ in 0..indices.slicelength {
            if let Some(at) = usize::try_from(place).ok().and_then(|place| places.get(place)) {
                list.append(member(py, &self.0, at)?)?;
            }
            place += indices.step;
        }
        Ok(list.into_any().unbind())
    }
}

/// The items at these places, made one by one.
fn items<'py>(
    sequence: &Bound<'py, LazySequence>,
    places: &Bound<'py, PyRange>,
) -> PyResult<Bound<'py, PyIterator>> {
    let map = sequence.py().import("builtins")?.getattr("map")?;
    map.call1((sequence.getattr("__getitem__")?, places))?.try_iter()
}
