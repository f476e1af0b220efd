//! The bindings' files that know no Python, built alone: their tests need no interpreter, and miri can run them.

#![allow(clippy::unwrap_used)]

mod bridge;
mod json_in;
#[path = "../../src/bindings/lazy/node.rs"]
mod node;
mod properties;

/// The places by which the files name each other.
mod bindings {
    pub(crate) use crate::{bridge, json_in};
}
