//! Pooled, rate-limited, deadline-bound access to blockchain nodes.
//!
//! `engine` decides everything and knows no Python; `bindings` shows it to Python and decides nothing.

pub mod engine;

#[cfg(feature = "python")]
mod bindings;
