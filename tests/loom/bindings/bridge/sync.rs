//! What the threads of the bridge meet at: loom's own.

use std::sync::PoisonError;
use std::task::Waker;
use std::time::Duration;

pub use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use loom::sync::{Mutex, MutexGuard};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time stands still, so that a model goes the same way each time.
#[derive(Debug, Clone, Copy)]
pub struct Instant;

impl Instant {
    pub fn now() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "the real one knows when it was made")]
    pub fn elapsed(self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
pub struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub fn wake(&self) {
        self.0.wake();
    }
}
