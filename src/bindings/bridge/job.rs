//! Work on the runtime that somebody in Python waits for. Whoever waits may drop it at any moment, on the Python
//! thread: when that returns, everything that the work held is free.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::caller;
use super::operation::{Outcome, Work, poll};
use super::queue::{Key, Queue};
use super::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::bindings::runtime::Io;

/// Work that is the runtime's to do. It is its own waker.
pub struct Job {
    io: Arc<Io>,
    queue: Arc<Queue>,
    key: Key,
    /// Whether it is in the runtime's line.
    lined_up: AtomicBool,
    /// Locked while the work is polled, which is short and never takes the GIL.
    stage: Mutex<Stage>,
}

enum Stage {
    Working(Work),
    Done(Outcome),
    /// The outcome was taken, or nobody wants it any more. Also while it is being polled, under the lock.
    Over,
}

impl Job {
    /// A job to `start`. When it is done its key goes to the queue.
    pub fn new(io: Arc<Io>, queue: Arc<Queue>, key: Key, work: Work) -> Arc<Self> {
        let stage = Mutex::new(Stage::Working(work));
        Arc::new(Self { io, queue, key, lined_up: AtomicBool::new(false), stage })
    }

    /// Hands it to the runtime.
    pub fn start(self: &Arc<Self>) {
        self.wake_by_ref();
    }

    /// The runtime that it runs on.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// The outcome, once, when there is one.
    pub fn take(&self) -> Option<Outcome> {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Done(outcome) => Some(outcome),
            unfinished => {
                *stage = unfinished;
                None
            }
        }
    }

    /// Goes on with the work, on the runtime's thread.
    pub fn run(self: Arc<Self>) {
        self.lined_up.store(false, Ordering::Release);
        caller::work_for(&self.queue);
        let waker = Waker::from(Arc::clone(&self));
        if self.advance(&mut Context::from_waker(&waker)) {
            self.io.flusher().push(&self.queue, self.key);
        }
        self.io.flusher().flush_if_due();
    }

    /// Whether it has come to its end now.
    fn advance(&self, context: &mut Context<'_>) -> bool {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Working(work) => match poll(work, context) {
                Ok(outcome) => {
                    *stage = Stage::Done(outcome);
                    true
                }
                Err(work) => {
                    *stage = Stage::Working(work);
                    false
                }
            },
            ended => {
                *stage = ended;
                false
            }
        }
    }

    /// Ends the work because nobody wants it any more.
    pub fn cancel(&self) {
        let stage = mem::replace(&mut *lock(&self.stage), Stage::Over);
        // Here and now, outside the lock: when this returns, the slot or permit that it holds is free.
        let _runtime = self.io.enter();
        drop(stage);
    }

    /// Ends the work because the runtime has ended, and tells whoever waits.
    pub fn stop(&self) {
        let mut stage = lock(&self.stage);
        if !matches!(*stage, Stage::Working(_)) {
            return;
        }
        let work = mem::replace(&mut *stage, Stage::Done(Outcome::Stopped));
        drop(stage);
        let _runtime = self.io.enter();
        drop(work);
        // The interpreter is exiting. A daemon thread ends with it, and would only print an error that helps nobody.
        if self.queue.ends_in_silence() {
            return;
        }
        // Nobody will rest or flush any more, so the waiter is told at once.
        self.io.flusher().push(&self.queue, self.key);
        self.io.flusher().flush();
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.lined_up.swap(true, Ordering::AcqRel) {
            self.io.line().push(Arc::clone(self));
        }
    }
}
