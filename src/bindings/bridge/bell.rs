//! How an event loop learns that results are there.

use super::signal::Signal;
use crate::bindings::runtime::LoopWaker;

/// The bell of one event loop.
#[derive(Debug)]
pub enum Bell {
    /// It watches a descriptor.
    Descriptor(Signal),
    /// It cannot; the service thread tells it.
    Service(LoopWaker),
}

impl Bell {
    /// Has the loop come.
    pub fn ring(&self) {
        match self {
            Self::Descriptor(signal) => signal.ring(),
            Self::Service(waker) => waker.wake(),
        }
    }

    /// The loop has come.
    pub fn clear(&self) {
        if let Self::Descriptor(signal) = self {
            signal.clear();
        }
    }
}
