//! What is open while a text is read: containers, their keys and members.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::shapes::{Known, Shapes};

/// With room for more than this, a stack is not kept for the next text.
const ROOM: usize = 8_192;

thread_local! {
    /// The stack of the text that was read last. Nodes give the same few kinds of objects again and again.
    static SPARE: Cell<Option<Box<Stack>>> = const { Cell::new(None) };
}

/// The containers whose end was not reached yet, and what is known of their kind.
#[derive(Default)]
pub struct Stack {
    pub open: Vec<Open>,
    /// The members of the open containers,
    pub values: Vec<Py<PyAny>>,
    /// and the keys of those that are dicts.
    pub keys: Vec<Key>,
    pub shapes: Shapes,
}

/// A container whose end was not reached yet.
pub struct Open {
    /// Where its members begin among the values.
    pub values: usize,
    /// Where its keys begin, if it is a dict.
    pub keys: Option<usize>,
    /// The last key, where it is known.
    pub shape: Option<Known>,
    /// What members that were too many to wait were put into.
    pub begun: Option<Py<PyAny>>,
}

/// A key that waits for its dict to end.
pub enum Key {
    Known(Known),
    Own(Py<PyString>),
}

impl Stack {
    /// The one that was put back last, or a new one.
    #[allow(clippy::unnecessary_box_returns, reason = "it stays in the box that it was left in")]
    pub fn spare() -> Box<Self> {
        SPARE.with(Cell::take).unwrap_or_default()
    }

    /// Leaves an empty stack to the next text, with the shapes that it knows.
    pub fn put_back(mut self: Box<Self>) {
        self.shapes.forget_values();
        let small = self.values.capacity() <= ROOM && self.keys.capacity() <= ROOM;
        if small && !self.shapes.is_full() {
            SPARE.set(Some(self));
        }
    }
}
