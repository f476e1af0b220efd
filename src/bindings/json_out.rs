//! Python arguments to JSON text: what `json.dumps` takes, and bytes as hex.
//!
//! It keeps its own stack, which also knows where in the arguments it is, for the error.

mod place;
mod scalar;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::list::BoundListIterator;
use pyo3::types::tuple::BoundTupleIterator;
use pyo3::types::{PyDict, PyList, PyTuple};

/// How deep arguments may nest.
pub const MAX_DEPTH: usize = 1_000;

/// Why arguments were not turned into text.
#[derive(Debug)]
pub enum OutError {
    /// They are not JSON: a sentence that says what is not, and where.
    Refused(String),
    /// Python raised, for example in the `items` of somebody's mapping.
    Python(PyErr),
}

impl From<PyErr> for OutError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// Writes the arguments of a call as JSON.
pub fn write(text: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> Result<(), OutError> {
    let mut writer = Writer { py: value.py(), text, open: Vec::new() };
    writer.value(value)?;
    while let Some(container) = writer.open.last_mut() {
        match container.next() {
            Some(value) => writer.item(&value)?,
            None => writer.close(),
        }
    }
    Ok(())
}

struct Writer<'a, 'py> {
    py: Python<'py>,
    text: &'a mut Vec<u8>,
    open: Vec<Open<'py>>,
}

/// A container whose end was not written yet.
struct Open<'py> {
    items: Items<'py>,
    /// How many items were begun.
    count: usize,
    /// The key of the last of them, in a dict.
    key: Option<Bound<'py, PyAny>>,
}

enum Items<'py> {
    List(BoundListIterator<'py>),
    Tuple(BoundTupleIterator<'py>),
    /// Taken all at once: somebody's code may change the dict meanwhile.
    Dict(std::vec::IntoIter<(Bound<'py, PyAny>, Bound<'py, PyAny>)>),
}

impl<'py> Open<'py> {
    /// The container that `value` is, if it is one of Python's own.
    fn plain(value: &Bound<'py, PyAny>) -> Option<Self> {
        let items = if let Ok(list) = value.cast_exact::<PyList>() {
            Items::List(list.iter())
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            Items::Dict(dict.iter().collect::<Vec<_>>().into_iter())
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            Items::Tuple(tuple.iter())
        } else {
            return None;
        };
        Some(Self { items, count: 0, key: None })
    }

    /// The container that `value` is, if it is of a class that somebody has derived.
    fn derived(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let items = if let Ok(list) = value.cast::<PyList>() {
            Items::List(list.iter())
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            Items::Tuple(tuple.iter())
        } else if value.is_instance_of::<PyDict>() {
            let items = value.call_method0(intern!(py, "items"))?;
            let items: PyResult<Vec<_>> = items.try_iter()?.map(|item| item?.extract()).collect();
            Items::Dict(items?.into_iter())
        } else {
            return Ok(None);
        };
        Ok(Some(Self { items, count: 0, key: None }))
    }

    /// Begins the next item.
    fn next(&mut self) -> Option<Bound<'py, PyAny>> {
        let value = match &mut self.items {
            Items::List(items) => items.next()?,
            Items::Tuple(items) => items.next()?,
            Items::Dict(items) => {
                let (key, value) = items.next()?;
                self.key = Some(key);
                value
            }
        };
        self.count += 1;
        Some(value)
    }

    fn brackets(&self) -> (u8, u8) {
        match self.items {
            Items::Dict(_) => (b'{', b'}'),
            Items::List(_) | Items::Tuple(_) => (b'[', b']'),
        }
    }
}

impl<'py> Writer<'_, 'py> {
    /// Writes a value, or the beginning of a container.
    fn value(&mut self, value: &Bound<'py, PyAny>) -> Result<(), OutError> {
        if let Some(container) = Open::plain(value) {
            return self.begin(container);
        }
        if scalar::write(self.text, value)? {
            return Ok(());
        }
        match Open::derived(self.py, value)? {
            Some(container) => self.begin(container),
            None => Err(self.refuse(&format!("{} is not JSON", scalar::describe(value)))),
        }
    }

    fn begin(&mut self, container: Open<'py>) -> Result<(), OutError> {
        if self.open.len() == MAX_DEPTH {
            let sentence = format!("params: nested deeper than {MAX_DEPTH} levels, or circular");
            return Err(OutError::Refused(sentence));
        }
        self.text.push(container.brackets().0);
        self.open.push(container);
        Ok(())
    }

    /// Writes what stands before an item, and the item.
    fn item(&mut self, value: &Bound<'py, PyAny>) -> Result<(), OutError> {
        if let Some(container) = self.open.last() {
            if container.count > 1 {
                self.text.push(b',');
            }
            if let Some(key) = &container.key {
                if !scalar::write_key(self.text, key)? {
                    let sentence =
                        format!("a key must be str, int, float, bool or None, not {}", scalar::describe(key));
                    return Err(self.refuse(&sentence));
                }
                self.text.push(b':');
            }
        }
        self.value(value)
    }

    fn close(&mut self) {
        if let Some(container) = self.open.pop() {
            self.text.push(container.brackets().1);
        }
    }

    fn refuse(&self, sentence: &str) -> OutError {
        OutError::Refused(format!("{}: {sentence}", place::of(&self.open)))
    }
}
