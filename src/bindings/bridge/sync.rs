//! What the threads of the bridge meet at. `tests/loom` builds the bridge with loom's own, which tries every order.

pub use std::sync::Mutex;
pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use std::time::Instant;

use std::sync::{MutexGuard, PoisonError};

pub use futures_util::task::AtomicWaker;

/// Locks, also after a panic: nothing that is locked here is left half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
