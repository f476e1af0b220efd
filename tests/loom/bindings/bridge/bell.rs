//! Stands in for the bell: a flag, like the counter of an eventfd.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};

/// The bell of one event loop. Its clones are the same bell.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<AtomicBool>);

impl Bell {
    pub fn ring(&self) {
        self.0.swap(true, Ordering::SeqCst);
    }

    pub fn clear(&self) {
        self.0.swap(false, Ordering::SeqCst);
    }

    /// Whether the loop would come.
    pub fn is_rung(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
