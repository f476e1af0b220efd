//! The modules that the bridge's files name.

pub mod bridge;
pub mod runtime;
