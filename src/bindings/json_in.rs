//! JSON text to Python objects, as `json.loads` makes them.
//!
//! The text was checked on the I/O thread, so this only builds. It keeps its own stack: how deep an answer may nest
//! must not depend on the stack of the thread that it is read on.

mod escapes;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

/// How deep an answer may nest: a call trace nests twice for each of 1,024 calls.
pub const MAX_DEPTH: usize = 2_100;

/// Shorter texts have too few keys for a memo to pay.
const MEMO_FROM: usize = 512;

/// How many different keys the memo holds at a time; a power of two.
const MEMO_SLOTS: usize = 128;

/// Why a text was not turned into objects.
#[derive(Debug)]
pub enum InError {
    /// It nests deeper than `MAX_DEPTH`.
    TooDeep,
    /// Python raised: out of memory, or an integer longer than `sys.get_int_max_str_digits()`. A `ValueError` also if
    /// the text is not JSON, which does not happen to one that was checked.
    Python(PyErr),
}

impl From<PyErr> for InError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// Builds what `text` says.
pub fn to_python(py: Python<'_>, text: &[u8]) -> Result<Py<PyAny>, InError> {
    let mut reader = Reader { py, text, at: 0, keys: Vec::new() };
    let value = reader.document()?;
    match reader.after_space() {
        None => Ok(value.unbind()),
        Some(_) => Err(not_json()),
    }
}

fn not_json() -> InError {
    InError::Python(PyValueError::new_err("not JSON"))
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a [u8],
    at: usize,
    /// The keys that were seen, by a cheap hash: the objects of a list have the same ones.
    keys: Vec<Option<(&'a [u8], Bound<'py, PyString>)>>,
}

/// A container whose end was not reached yet.
enum Open<'py> {
    List(Bound<'py, PyList>),
    /// With the key of the value that comes next.
    Dict(Bound<'py, PyDict>, Bound<'py, PyString>),
}

impl<'py> Open<'py> {
    fn into_value(self) -> Bound<'py, PyAny> {
        match self {
            Self::List(list) => list.into_any(),
            Self::Dict(dict, _) => dict.into_any(),
        }
    }
}

/// What begins at a place in the text.
enum Begun<'py> {
    Value(Bound<'py, PyAny>),
    Container(Open<'py>),
}

impl<'py> Reader<'_, 'py> {
    fn document(&mut self) -> Result<Bound<'py, PyAny>, InError> {
        let mut open: Vec<Open<'py>> = Vec::new();
        loop {
            let mut value = match self.begin(open.len())? {
                Begun::Value(value) => value,
                Begun::Container(container) => {
                    open.push(container);
                    continue;
                }
            };
            // The value may be the last of its container, and that the last of the next, and so on.
            loop {
                let Some(mut container) = open.pop() else { return Ok(value) };
                if self.put(&mut container, value)? {
                    open.push(container);
                    break;
                }
                value = container.into_value();
            }
        }
    }

    fn begin(&mut self, depth: usize) -> Result<Begun<'py>, InError> {
        let value = match self.token()? {
            b'"' => self.string()?.into_any(),
            b'{' | b'[' if depth == MAX_DEPTH => return Err(InError::TooDeep),
            b'{' => {
                let dict = PyDict::new(self.py);
                match self.token()? {
                    b'}' => dict.into_any(),
                    b'"' => return Ok(Begun::Container(Open::Dict(dict, self.key()?))),
                    _ => return Err(not_json()),
                }
            }
            b'[' => {
                let list = PyList::empty(self.py);
                if self.after_space() != Some(b']') {
                    return Ok(Begun::Container(Open::List(list)));
                }
                self.at += 1;
                list.into_any()
            }
            b't' => self.word(b"rue", PyBool::new(self.py, true).to_owned().into_any())?,
            b'f' => self.word(b"alse", PyBool::new(self.py, false).to_owned().into_any())?,
            b'n' => self.word(b"ull", self.py.None().into_bound(self.py))?,
            _ => self.number()?,
        };
        Ok(Begun::Value(value))
    }

    /// Adds a value to its container; whether another one follows.
    fn put(&mut self, container: &mut Open<'py>, value: Bound<'py, PyAny>) -> Result<bool, InError> {
        match container {
            Open::List(list) => {
                list.append(value)?;
                match self.token()? {
                    b',' => Ok(true),
                    b']' => Ok(false),
                    _ => Err(not_json()),
                }
            }
            Open::Dict(dict, key) => {
                dict.set_item(&*key, value)?;
                match self.token()? {
                    b',' => {
                        if self.token()? != b'"' {
                            return Err(not_json());
                        }
                        *key = self.key()?;
                        Ok(true)
                    }
                    b'}' => Ok(false),
                    _ => Err(not_json()),
                }
            }
        }
    }

    /// The next byte that is not white space. It stays to be read.
    fn after_space(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads the next byte that is not white space.
    fn token(&mut self) -> Result<u8, InError> {
        let byte = self.after_space().ok_or_else(not_json)?;
        self.at += 1;
        Ok(byte)
    }

    fn word(&mut self, rest: &[u8], value: Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, InError> {
        if !self.text.get(self.at..).is_some_and(|text| text.starts_with(rest)) {
            return Err(not_json());
        }
        self.at += rest.len();
        Ok(value)
    }
}

impl<'a, 'py> Reader<'a, 'py> {
    /// A key, its first quote being read, and the colon after it.
    fn key(&mut self) -> Result<Bound<'py, PyString>, InError> {
        let key = self.known_key()?;
        match self.token()? {
            b':' => Ok(key),
            _ => Err(not_json()),
        }
    }

    fn known_key(&mut self) -> Result<Bound<'py, PyString>, InError> {
        let (raw, plain) = self.raw_string()?;
        if !plain || self.text.len() < MEMO_FROM {
            return self.decoded(raw, plain);
        }
        if self.keys.is_empty() {
            self.keys.resize_with(MEMO_SLOTS, || None);
        }
        let slot = slot(raw);
        if let Some(Some((known, key))) = self.keys.get(slot)
            && *known == raw
        {
            return Ok(key.clone());
        }
        let key = self.decoded(raw, plain)?;
        if let Some(entry) = self.keys.get_mut(slot) {
            *entry = Some((raw, key.clone()));
        }
        Ok(key)
    }

    /// A string whose first quote was read.
    fn string(&mut self) -> Result<Bound<'py, PyString>, InError> {
        let (raw, plain) = self.raw_string()?;
        self.decoded(raw, plain)
    }

    /// What stands between the quotes, and whether it has no escapes.
    fn raw_string(&mut self) -> Result<(&'a [u8], bool), InError> {
        let start = self.at;
        let mut plain = true;
        loop {
            let rest = self.text.get(self.at..).ok_or_else(not_json)?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or_else(not_json)?;
            let end = self.at + found;
            if rest.get(found) == Some(&b'"') {
                self.at = end + 1;
                return Ok((self.text.get(start..end).unwrap_or_default(), plain));
            }
            plain = false;
            self.at = end + 2;
        }
    }

    fn decoded(&self, raw: &[u8], plain: bool) -> Result<Bound<'py, PyString>, InError> {
        if plain {
            return Ok(PyString::from_bytes(self.py, raw)?);
        }
        let bytes = PyBytes::new(self.py, &escapes::unescape(raw).ok_or_else(not_json)?);
        Ok(PyString::from_encoded_object(&bytes, Some(c"utf-8"), Some(c"surrogatepass"))?)
    }

    /// A number whose first byte was read.
    fn number(&mut self) -> Result<Bound<'py, PyAny>, InError> {
        let rest = self.text.get(self.at - 1..).ok_or_else(not_json)?;
        let length =
            rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let digits = rest.get(..length.count()).unwrap_or_default();
        let digits = std::str::from_utf8(digits).map_err(|_| not_json())?;
        self.at += digits.len().checked_sub(1).ok_or_else(not_json)?;
        if digits.contains(['.', 'e', 'E']) {
            let value = digits.parse().map_err(|_| not_json())?;
            return Ok(PyFloat::new(self.py, value).into_any());
        }
        match digits.parse::<i64>() {
            Ok(value) => Ok(PyInt::new(self.py, value).into_any()),
            Err(_) => Ok(self.py.get_type::<PyInt>().call1((digits,))?),
        }
    }
}

/// The place of a key in the memo.
fn slot(key: &[u8]) -> usize {
    let hash =
        key.iter().fold(key.len(), |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    hash % MEMO_SLOTS
}
