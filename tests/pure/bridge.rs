//! What of the bridge others use to lock.

#[allow(dead_code, unused_imports, reason = "the rest of the bridge uses them")]
#[path = "../../src/bindings/bridge/sync.rs"]
mod sync;

pub use sync::lock;
