//! The bindings' files that know no Python, built alone: their tests need no interpreter, and miri can run them.

#![allow(clippy::unwrap_used)]

mod json_in;
mod properties;
