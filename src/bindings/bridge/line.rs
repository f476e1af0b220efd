//! The jobs that can go on, and the one task of the runtime that lets them. Jobs that start in the same moment cost one
//! wake-up of the runtime's thread, and a job needs no task of its own.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::job::Job;
use super::sync::{AtomicWaker, Mutex, lock};

/// Jobs that can go on.
#[derive(Default)]
pub struct Line {
    jobs: Mutex<Vec<Arc<Job>>>,
    worker: AtomicWaker,
}

impl Line {
    /// Adds a job that is not in it.
    pub fn push(&self, job: Arc<Job>) {
        let mut jobs = lock(&self.jobs);
        jobs.push(job);
        let first = jobs.len() == 1;
        drop(jobs);
        // After the first the worker is on its way.
        if first {
            self.worker.wake();
        }
    }
}

/// Goes along the line, for ever.
pub struct Worker {
    line: Arc<Line>,
    /// Those whose turn it is. Empty between two polls.
    turn: Vec<Arc<Job>>,
}

impl Worker {
    /// The worker of a line.
    pub fn new(line: Arc<Line>) -> Self {
        Self { line, turn: Vec::new() }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let worker = &mut *self;
        worker.line.worker.register(context.waker());
        mem::swap(&mut worker.turn, &mut *lock(&worker.line.jobs));
        // Whoever lines up meanwhile is next time's, after sockets and timers have had their turn.
        worker.turn.drain(..).for_each(Job::run);
        Poll::Pending
    }
}
