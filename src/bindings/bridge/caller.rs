//! Which event loop the runtime works for: that of the job which went on last. When the engine needs something of
//! Python's, it is asked for there.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::queue::Queue;

thread_local! {
    static LAST: RefCell<Weak<Queue>> = const { RefCell::new(Weak::new()) };
}

/// An event loop that waits for something.
pub struct Caller(pub(super) Arc<Queue>);

/// From now on this thread works for the loop that has `queue`.
pub(super) fn work_for(queue: &Arc<Queue>) {
    LAST.with(|last| {
        // Nearly always the one of before, and then nothing is counted.
        if last.borrow().as_ptr() != Arc::as_ptr(queue) {
            *last.borrow_mut() = Arc::downgrade(queue);
        }
    });
}

/// The loop that this thread works for, if there is one and it lives.
pub fn caller() -> Option<Caller> {
    LAST.with(|last| last.borrow().upgrade().map(Caller))
}
