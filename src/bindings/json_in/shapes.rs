//! What the objects of a node have in common: the same keys in the same order, and often the same values.
//!
//! A shape is a way through a tree of keys. A key that follows where it followed before is found by one comparison
//! with the text, without looking for its end, and is the same Python string.

use std::ops::{Range, RangeInclusive};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::cursor::Cursor;
use super::stack::Key;

/// How many keys are known at most,
const KEYS: usize = 4_096;

/// and how many of them after the same one. A map with thousands of keys has no shape.
const BRANCHES: usize = 16;

/// The longest key that is worth knowing.
const LENGTH: usize = 64;

/// After so many strings that were new, or keys that nobody knew, there is less looking.
const PATIENCE: u8 = 16;

/// How many dicts are kept as patterns, and how many keys they have: fewer fit into an empty dict.
const PATTERNS: usize = 256;
const PATTERN_KEYS: RangeInclusive<usize> = 6..=64;

/// A key that is known to come after certain others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known(usize);

/// The tree of keys. The first is no key, but the beginning of every object.
pub struct Shapes {
    nodes: Vec<Node>,
    /// The keys that remember a value.
    remembering: Vec<Known>,
    patterns: usize,
    full: bool,
}

#[derive(Default)]
struct Node {
    /// The key in a text, from after its first quote to its colon.
    text: Box<[u8]>,
    key: Option<Py<PyString>>,
    /// What came after it, the latest first.
    next: Vec<Known>,
    /// How often something else came after it.
    strangers: u8,
    /// The last value, if it was a string: where in the text it is, with its closing quote.
    value: Option<(Range<usize>, Py<PyAny>)>,
    /// How many values were not the same as the one before.
    changes: u8,
    /// Whether an object ended here.
    ended: bool,
    /// A dict with just the keys that lead here, once there were two such objects.
    pattern: Option<Py<PyDict>>,
}

impl Default for Shapes {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], remembering: Vec::new(), patterns: 0, full: false }
    }
}

impl Shapes {
    /// The beginning of an object.
    pub const ROOT: Known = Known(0);

    /// Whether there was no room for a key. Then it is better to begin anew with the next text.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Reads a key, if it has followed here before.
    pub fn next(&mut self, after: Known, cursor: &mut Cursor<'_>) -> Option<Known> {
        let node = self.nodes.get(after.0)?;
        let first = *node.next.first()?;
        if cursor.take(&self.nodes.get(first.0)?.text) {
            return Some(first);
        }
        if node.strangers > PATIENCE {
            return None;
        }
        let others = node.next.iter().enumerate().skip(1);
        let mut others = others.filter_map(|(place, known)| Some((place, *known, self.nodes.get(known.0)?)));
        let (place, known, _) = others.find(|(_, _, node)| cursor.take(&node.text))?;
        self.nodes.get_mut(after.0)?.next.swap(0, place);
        Some(known)
    }

    /// Gets to know a key; it comes back if there are too many.
    pub fn learn(&mut self, after: Known, text: &[u8], key: Py<PyString>) -> Result<Known, Py<PyString>> {
        let known = Known(self.nodes.len());
        let Some(node) = self.nodes.get_mut(after.0) else { return Err(key) };
        if text.len() > LENGTH {
            return Err(key);
        }
        if known.0 > KEYS || node.next.len() == BRANCHES {
            self.full = true;
            node.strangers = node.strangers.saturating_add(1);
            return Err(key);
        }
        node.next.push(known);
        self.nodes.push(Node { text: text.into(), key: Some(key), ..Node::default() });
        Ok(known)
    }

    /// The key itself.
    pub fn key<'py>(&self, py: Python<'py>, known: Known) -> Option<&Bound<'py, PyString>> {
        self.nodes.get(known.0)?.key.as_ref().map(|key| key.bind(py))
    }

    /// The value of this key, if it is the same string as last time, which is then read.
    pub fn same_value(&self, py: Python<'_>, known: Known, cursor: &mut Cursor<'_>) -> Option<Py<PyAny>> {
        let (text, value) = self.nodes.get(known.0)?.value.as_ref()?;
        cursor.take(cursor.text.get(text.clone())?).then(|| value.clone_ref(py))
    }

    /// Remembers a string for the next object in this text that has this key.
    pub fn remember_value(&mut self, py: Python<'_>, known: Known, text: Range<usize>, value: &Py<PyAny>) {
        let Some(node) = self.nodes.get_mut(known.0) else { return };
        if node.changes > PATIENCE {
            return;
        }
        if node.changes == 0 {
            self.remembering.push(known);
        }
        node.changes += 1;
        node.value = (node.changes <= PATIENCE).then(|| (text, value.clone_ref(py)));
    }

    /// Forgets all values: the text that they stand in is read.
    pub fn forget_values(&mut self) {
        for known in self.remembering.drain(..) {
            if let Some(node) = self.nodes.get_mut(known.0) {
                node.value = None;
                node.changes = 0;
            }
        }
    }

    /// A dict to be filled with values for `keys`, which end with this one: of the right size, if such an object has
    /// been there before.
    pub fn dict<'py>(&mut self, py: Python<'py>, last: Known, keys: &[Key]) -> PyResult<Bound<'py, PyDict>> {
        let long = PATTERN_KEYS.contains(&keys.len());
        let Some(node) = self.nodes.get_mut(last.0).filter(|_| long) else { return Ok(PyDict::new(py)) };
        if let Some(pattern) = &node.pattern {
            return pattern.bind(py).copy();
        }
        let again = std::mem::replace(&mut node.ended, true);
        if !again || self.patterns == PATTERNS {
            return Ok(PyDict::new(py));
        }
        let pattern = PyDict::new(py);
        for key in keys {
            if let Key::Known(known) = key
                && let Some(key) = self.key(py, *known)
            {
                pattern.set_item(key, py.None())?;
            }
        }
        self.patterns += 1;
        if let Some(node) = self.nodes.get_mut(last.0) {
            node.pattern = Some(pattern.clone().unbind());
        }
        pattern.copy()
    }
}
