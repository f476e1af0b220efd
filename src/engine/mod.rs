//! The engine: everything that decides, and nothing that knows Python. It has no globals and no runtime of its own;
//! whoever uses it brings a tokio runtime.
//!
//! The way of a call: `manager` → `chain` → `limiter` → `pool` → `transport` → `jsonrpc` → `classify`, with one
//! `deadline` for all of it, counted by `metrics` and told to `log`.

pub mod blocks;
pub mod chain;
pub mod classify;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod error;
mod exchange;
pub mod family;
mod hex;
pub mod jsonrpc;
pub mod limiter;
mod lock;
pub mod log;
pub mod manager;
pub mod metrics;
pub mod plans;
pub mod pool;
mod printable;
pub mod target;
pub mod transport;
