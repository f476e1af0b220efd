//! The bridge's queue, line and jobs, as they are in `src/bindings/bridge`, with loom's locks and atomics in the place
//! of the standard library's: each model here is run in every order that its threads can have.
//!
//! What knows Python or the runtime is a stand-in: the bell is a flag, the work an event that somebody sets.

#![cfg(test)]

mod bindings;
mod jobs;
mod results;
