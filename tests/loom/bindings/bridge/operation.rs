//! Stands in for the work of a job: it waits for an event, and holds something until it is dropped.

use std::sync::Arc;
use std::task::{Context, Waker};

use loom::future::AtomicWaker;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Something to wait for.
#[derive(Default)]
pub struct Event {
    is_set: AtomicBool,
    waker: AtomicWaker,
}

impl Event {
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it is set; else whoever waits is woken when it is.
    fn poll(&self, waker: &Waker) -> bool {
        self.waker.register_by_ref(waker);
        self.is_set.load(Ordering::Acquire)
    }
}

/// A slot that is taken while this lives.
pub struct Held(Arc<AtomicUsize>);

impl Held {
    pub fn new(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(taken))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// It is done when its event is set.
pub struct Work {
    pub event: Arc<Event>,
    pub held: Held,
}

pub enum Outcome {
    /// With what it holds, like a lease.
    Finished(#[allow(dead_code, reason = "held until it is dropped")] Held),
    Stopped,
}

pub fn poll(work: Work, context: &mut Context<'_>) -> Result<Outcome, Work> {
    if work.event.poll(context.waker()) { Ok(Outcome::Finished(work.held)) } else { Err(work) }
}
