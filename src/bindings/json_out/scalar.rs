//! The values that hold no others: null, booleans, numbers, strings, and bytes as hex.

use std::io::{self, Write as _};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyString};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// How many bytes of a string are looked at in one step.
const BLOCK: usize = 32;

/// Writes `value` if it is one of these; whether it was. The common ones are asked for first: what is a subclass of
/// what is slower to tell.
pub fn write(text: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(string) = value.cast_exact::<PyString>() {
        write_string(text, string)?;
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        write_hex(text, bytes.as_bytes());
    } else {
        return Ok(write_atom(text, value)? || write_derived(text, value)?);
    }
    Ok(true)
}

fn write_derived(text: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(string) = value.cast::<PyString>() {
        write_string(text, string)?;
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        write_hex(text, bytes.as_bytes());
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        write_hex(text, &bytes.to_vec());
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Writes `key` as the key of an object, as `json.dumps` does; whether it can be one.
pub fn write_key(text: &mut Vec<u8>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(string) = key.cast::<PyString>() {
        return write_string(text, string).map(|()| true);
    }
    text.push(b'"');
    let written = write_atom(text, key)?;
    text.push(b'"');
    Ok(written)
}

/// What an error says of a value: its type, but never more of it than that it is no number.
pub fn describe(value: &Bound<'_, PyAny>) -> String {
    match value.cast::<PyFloat>() {
        Ok(number) if number.value().is_nan() => "nan".into(),
        Ok(_) => "an infinity".into(),
        Err(_) => value.get_type().name().map_or_else(|_| "the value".into(), |name| name.to_string()),
    }
}

/// Writes null, a boolean or a number.
fn write_atom(text: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_none() {
        text.extend_from_slice(b"null");
    } else if let Ok(flag) = value.cast::<PyBool>() {
        text.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if let Ok(number) = value.cast::<PyInt>() {
        write_int(text, number)?;
    } else if let Ok(number) = value.cast::<PyFloat>()
        && number.value().is_finite()
    {
        write!(text, "{:?}", number.value())?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn write_int(text: &mut Vec<u8>, number: &Bound<'_, PyInt>) -> PyResult<()> {
    if let Ok(small) = number.extract::<i64>() {
        return Ok(serde_json::to_writer(text, &small).map_err(io::Error::from)?);
    }
    // The method of `int` itself: a subclass, like an enum, may show itself otherwise.
    let py = number.py();
    let digits = py.get_type::<PyInt>().call_method1(intern!(py, "__repr__"), (number,))?;
    text.extend_from_slice(digits.cast::<PyString>()?.to_str()?.as_bytes());
    Ok(())
}

fn write_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    text.extend_from_slice(b"\"0x");
    let start = text.len();
    text.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in text[start..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    text.push(b'"');
}

fn write_string(text: &mut Vec<u8>, string: &Bound<'_, PyString>) -> PyResult<()> {
    text.push(b'"');
    match string.to_str() {
        Ok(plain) => write_escaped(text, plain.as_bytes()),
        Err(_) => write_units(text, string)?,
    }
    text.push(b'"');
    Ok(())
}

fn write_escaped(text: &mut Vec<u8>, mut plain: &[u8]) {
    while let Some(found) = first_special(plain) {
        let (before, rest) = plain.split_at(found);
        text.extend_from_slice(before);
        match rest.first() {
            Some(byte @ (b'"' | b'\\')) => text.extend_from_slice(&[b'\\', *byte]),
            Some(byte) => write_unit(text, u16::from(*byte)),
            None => {}
        }
        plain = rest.get(1..).unwrap_or_default();
    }
    text.extend_from_slice(plain);
}

/// The first byte that cannot stand in a string as it is.
fn first_special(plain: &[u8]) -> Option<usize> {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Blocks without a branch in them, which the compiler turns into vector instructions.
    let (blocks, _) = plain.as_chunks::<BLOCK>();
    let clean = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | special(byte)));
    let start = BLOCK * clean.count();
    plain.get(start..)?.iter().position(special).map(|found| start + found)
}

/// A string with a lone surrogate has no UTF-8: it is written as escapes.
fn write_units(text: &mut Vec<u8>, string: &Bound<'_, PyString>) -> PyResult<()> {
    let units = string.call_method1(intern!(string.py(), "encode"), ("utf-16-le", "surrogatepass"))?;
    for unit in units.cast::<PyBytes>()?.as_bytes().chunks_exact(2) {
        write_unit(text, u16::from_le_bytes([unit[0], unit[1]]));
    }
    Ok(())
}

fn write_unit(text: &mut Vec<u8>, unit: u16) {
    text.extend_from_slice(b"\\u");
    text.extend([12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)]));
}
