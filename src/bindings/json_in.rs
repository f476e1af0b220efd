//! JSON text to Python objects, as `json.loads` makes them.
//!
//! The text was checked on the I/O thread, so this only builds. It keeps its own stack: how deep an answer may nest
//! must not depend on the stack of the thread that it is read on, and the work can stop at any value and go on later.

#[cfg(target_arch = "x86_64")]
mod blocks;
mod cursor;
mod escapes;
mod shapes;
mod stack;

use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use cursor::RawString;
pub use cursor::{Cursor, NotJson};
pub use escapes::unescape;
use shapes::Shapes;
use stack::{Key, Open, Stack};

/// How deep an answer may nest: a call trace nests twice for each of 1,024 calls.
pub const MAX_DEPTH: usize = 2_100;

/// How long the GIL is held, and the event loop kept, before others get their turn.
pub const SLICE: Duration = Duration::from_millis(2);

/// How much text is read between two looks at the clock.
pub const UNWATCHED: usize = 16 * 1024;

/// Shorter texts hardly say the same thing twice.
const REPEATING: usize = 2_048;

/// How many members wait until they are put into their container together.
const PENDING: usize = 4_096;

/// Why a text was not turned into objects.
#[derive(Debug)]
pub enum InError {
    /// It nests deeper than `MAX_DEPTH`.
    TooDeep,
    /// Python raised: out of memory, or an integer longer than `sys.get_int_max_str_digits()`. A `ValueError` also if
    /// the text is not JSON, which does not happen to one that was checked.
    Python(Box<PyErr>),
}

impl From<PyErr> for InError {
    fn from(error: PyErr) -> Self {
        Self::Python(Box::new(error))
    }
}

impl From<NotJson> for InError {
    fn from(_: NotJson) -> Self {
        PyValueError::new_err("not JSON").into()
    }
}

/// Builds what `text` says. Other threads get their turn between slices.
pub fn to_python(py: Python<'_>, text: &[u8]) -> Result<Py<PyAny>, InError> {
    let mut decoder = Decoder::new();
    loop {
        if let Some(value) = decoder.slice(py, text)? {
            return Ok(value);
        }
        // Whoever waits for the GIL has it before this returns.
        py.detach(|| {});
    }
}

/// Makes the objects of one text, slice by slice.
#[derive(Default)]
pub struct Decoder {
    at: usize,
    stack: Option<Box<Stack>>,
}

impl Decoder {
    /// Nothing is built yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds from the same text for one slice of time; the value, when it is complete.
    pub fn slice(&mut self, py: Python<'_>, text: &[u8]) -> Result<Option<Py<PyAny>>, InError> {
        let mut cursor = Cursor { text, at: self.at };
        let simple = self.at == 0 && !matches!(cursor.after_space(), Some(b'{' | b'['));
        if simple {
            let first = cursor.token()?;
            let value = scalar(py, &mut cursor, first)?;
            return cursor.end().map(|()| Some(value)).map_err(InError::from);
        }
        let mut reader = Reader { py, cursor, stack: self.stack.take().unwrap_or_else(Stack::spare) };
        let value = reader.slice()?;
        self.at = reader.cursor.at;
        if value.is_some() {
            reader.cursor.end()?;
            reader.stack.put_back();
        } else {
            self.stack = Some(reader.stack);
        }
        Ok(value)
    }
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    cursor: Cursor<'a>,
    stack: Box<Stack>,
}

impl Reader<'_, '_> {
    fn slice(&mut self) -> Result<Option<Py<PyAny>>, InError> {
        let mut watch = self.cursor.at + UNWATCHED;
        let mut since = None;
        loop {
            if self.cursor.at > watch {
                if since.get_or_insert_with(Instant::now).elapsed() > SLICE {
                    return Ok(None);
                }
                watch = self.cursor.at + UNWATCHED;
            }
            let Some(value) = self.begin()? else { continue };
            if let Some(value) = self.put(value)? {
                return Ok(Some(value));
            }
        }
    }

    /// Reads a value, or the beginning of a container, which is then open.
    fn begin(&mut self) -> Result<Option<Py<PyAny>>, InError> {
        let value = match self.cursor.token()? {
            b'"' => self.string()?.into_any(),
            b'{' | b'[' if self.stack.open.len() == MAX_DEPTH => return Err(InError::TooDeep),
            b'{' => match self.cursor.token()? {
                b'}' => PyDict::new(self.py).into_any().unbind(),
                b'"' => {
                    self.open(Some(self.stack.keys.len()));
                    self.key()?;
                    return Ok(None);
                }
                _ => return Err(NotJson.into()),
            },
            b'[' => {
                if self.cursor.after_space() != Some(b']') {
                    self.open(None);
                    return Ok(None);
                }
                self.cursor.at += 1;
                PyList::empty(self.py).into_any().unbind()
            }
            first => scalar(self.py, &mut self.cursor, first)?,
        };
        Ok(Some(value))
    }

    fn open(&mut self, keys: Option<usize>) {
        let shape = keys.map(|_| Shapes::ROOT);
        self.stack.open.push(Open { values: self.stack.values.len(), keys, shape, begun: None });
    }

    /// Adds a value to its container, and that to its own if it is complete, and so on; the outermost one comes back.
    fn put(&mut self, mut value: Py<PyAny>) -> Result<Option<Py<PyAny>>, InError> {
        loop {
            let Some(open) = self.stack.open.last_mut() else { return Ok(Some(value)) };
            self.stack.values.push(value);
            let (first, is_dict) = (open.values, open.keys.is_some());
            match (self.cursor.token()?, is_dict) {
                (b',', _) => {
                    if self.stack.values.len() - first >= PENDING {
                        self.flush()?;
                    }
                    if is_dict {
                        match self.cursor.token()? {
                            b'"' => self.key()?,
                            _ => return Err(NotJson.into()),
                        }
                    }
                    return Ok(None);
                }
                (b']', false) => value = self.list()?,
                (b'}', true) => value = self.dict()?,
                _ => return Err(NotJson.into()),
            }
        }
    }

    /// A key, its first quote being read, and the colon after it.
    fn key(&mut self) -> Result<(), InError> {
        let Stack { shapes, keys, open, .. } = &mut *self.stack;
        let Some(open) = open.last_mut() else { return Err(NotJson.into()) };
        if let Some(known) = open.shape.and_then(|shape| shapes.next(shape, &mut self.cursor)) {
            open.shape = Some(known);
            keys.push(Key::Known(known));
            return Ok(());
        }
        let start = self.cursor.at;
        let raw = self.cursor.string()?;
        self.cursor.expect(b':')?;
        let key = string(self.py, raw)?.unbind();
        let text = self.cursor.text.get(start..self.cursor.at).unwrap_or_default();
        // What follows a key that is not known is not known either.
        let learned = match open.shape.take() {
            Some(after) => shapes.learn(after, text, key),
            None => Err(key),
        };
        open.shape = learned.as_ref().ok().copied();
        keys.push(learned.map_or_else(Key::Own, Key::Known));
        Ok(())
    }

    /// A string whose first quote was read.
    fn string(&mut self) -> Result<Py<PyAny>, InError> {
        let shape = self.stack.open.last().and_then(|open| open.shape);
        let Some(known) = shape.filter(|_| self.cursor.text.len() >= REPEATING) else {
            return Ok(string(self.py, self.cursor.string()?)?.into_any().unbind());
        };
        if let Some(value) = self.stack.shapes.same_value(self.py, known, &mut self.cursor) {
            return Ok(value);
        }
        let start = self.cursor.at;
        let value = string(self.py, self.cursor.string()?)?.into_any().unbind();
        self.stack.shapes.remember_value(self.py, known, start..self.cursor.at, &value);
        Ok(value)
    }
}

/// Containers.
impl Reader<'_, '_> {
    /// Ends the innermost list.
    fn list(&mut self) -> Result<Py<PyAny>, InError> {
        let Some(open) = self.stack.open.pop() else { return Err(NotJson.into()) };
        let members = self.stack.values.drain(open.values..).map(|value| value.into_bound(self.py));
        match open.begun {
            None => Ok(PyList::new(self.py, members)?.into_any().unbind()),
            Some(begun) => {
                extend(begun.bind(self.py).cast::<PyList>().map_err(PyErr::from)?, members)?;
                Ok(begun)
            }
        }
    }

    /// Ends the innermost dict.
    fn dict(&mut self) -> Result<Py<PyAny>, InError> {
        let Some(open) = self.stack.open.pop() else { return Err(NotJson.into()) };
        let first = open.keys.unwrap_or_default();
        let Stack { shapes, keys, values, .. } = &mut *self.stack;
        let dict = match (open.begun, open.shape) {
            (Some(begun), _) => begun.into_bound(self.py).cast_into::<PyDict>().map_err(PyErr::from)?,
            (None, Some(shape)) => shapes.dict(self.py, shape, keys.get(first..).unwrap_or_default())?,
            (None, None) => PyDict::new(self.py),
        };
        let members = keys.drain(first..).zip(values.drain(open.values..));
        fill(&dict, shapes, members)?;
        Ok(dict.into_any().unbind())
    }

    /// Puts the members that wait into the innermost container.
    fn flush(&mut self) -> Result<(), InError> {
        let Stack { open, shapes, keys, values, .. } = &mut *self.stack;
        let Some(open) = open.last_mut() else { return Err(NotJson.into()) };
        let values = values.drain(open.values..);
        if let Some(first) = open.keys {
            let dict = match &open.begun {
                Some(begun) => begun.bind(self.py).cast::<PyDict>().map_err(PyErr::from)?.clone(),
                None => PyDict::new(self.py),
            };
            fill(&dict, shapes, keys.drain(first..).zip(values))?;
            open.begun = Some(dict.into_any().unbind());
        } else {
            let list = match &open.begun {
                Some(begun) => begun.bind(self.py).cast::<PyList>().map_err(PyErr::from)?.clone(),
                None => PyList::empty(self.py),
            };
            extend(&list, values.map(|value| value.into_bound(self.py)))?;
            open.begun = Some(list.into_any().unbind());
        }
        Ok(())
    }
}

fn extend<'py>(list: &Bound<'py, PyList>, members: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
    for member in members {
        list.append(member)?;
    }
    Ok(())
}

fn fill(
    dict: &Bound<'_, PyDict>,
    shapes: &Shapes,
    members: impl Iterator<Item = (Key, Py<PyAny>)>,
) -> PyResult<()> {
    let py = dict.py();
    for (key, value) in members {
        let value = value.into_bound(py);
        match key {
            Key::Known(known) => shapes.key(py, known).map_or(Ok(()), |key| dict.set_item(key, value))?,
            Key::Own(key) => dict.set_item(key.into_bound(py), value)?,
        }
    }
    Ok(())
}

/// A value that is no container, its first byte being read.
fn scalar(py: Python<'_>, cursor: &mut Cursor<'_>, first: u8) -> Result<Py<PyAny>, InError> {
    let word = match first {
        b'"' => return Ok(string(py, cursor.string()?)?.into_any().unbind()),
        b't' => (&b"rue"[..], PyBool::new(py, true).to_owned().into_any().unbind()),
        b'f' => (&b"alse"[..], PyBool::new(py, false).to_owned().into_any().unbind()),
        b'n' => (&b"ull"[..], py.None()),
        _ => return number(py, cursor),
    };
    if cursor.take(word.0) { Ok(word.1) } else { Err(NotJson.into()) }
}

fn number(py: Python<'_>, cursor: &mut Cursor<'_>) -> Result<Py<PyAny>, InError> {
    if let Some(value) = cursor.short_integer() {
        return Ok(PyInt::new(py, value).into_any().unbind());
    }
    let digits = cursor.number()?;
    if digits.contains(['.', 'e', 'E']) {
        let value = digits.parse().map_err(|_| NotJson)?;
        return Ok(PyFloat::new(py, value).into_any().unbind());
    }
    Ok(py.get_type::<PyInt>().call1((digits,))?.unbind())
}

/// The string that stands between two quotes.
fn string<'py>(py: Python<'py>, raw: RawString<'_>) -> Result<Bound<'py, PyString>, InError> {
    if raw.plain {
        return Ok(PyString::from_bytes(py, raw.text)?);
    }
    Ok(unescaped(py, &unescape(raw.text).ok_or(NotJson)?)?)
}

/// The string of these bytes: UTF-8, where a lone surrogate has three bytes.
pub fn unescaped<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    PyString::from_encoded_object(&PyBytes::new(py, bytes), Some(c"utf-8"), Some(c"surrogatepass"))
}
