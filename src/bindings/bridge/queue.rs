//! The way of a result from the runtime to its event loop: a list of finished jobs, and one wake-up for many of them.

use std::sync::Arc;
use std::time::Duration;

use super::bell::Bell;
use super::sync::{AtomicUsize, Instant, Mutex, Ordering, lock};

/// A job of one event loop, by the number of its waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its place among the waiters.
    pub place: usize,
    /// How often that was taken before.
    pub uses: u32,
}

/// A busy runtime, which never rests, lets this many results wait,
const MANY: usize = 32;

/// or lets the oldest wait for so long.
const LONG: Duration = Duration::from_micros(100);

/// The finished jobs of one event loop.
#[derive(Debug)]
pub struct Queue {
    bell: Bell,
    /// Whether the loop runs on a daemon thread, which the exit of the interpreter does not wait for.
    daemon: bool,
    finished: Mutex<Finished>,
}

#[derive(Debug, Default)]
struct Finished {
    keys: Vec<Key>,
    /// The bell was rung and the loop has not come yet.
    rung: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new(bell: Bell, daemon: bool) -> Self {
        Self { bell, daemon, finished: Mutex::default() }
    }

    /// Whether its loop ends with the process, without a word.
    pub fn ends_in_silence(&self) -> bool {
        self.daemon
    }

    /// Takes what is finished.
    pub fn take(&self) -> Vec<Key> {
        // The bell first: whoever rings after this finds it silent and rings again.
        self.bell.clear();
        let mut finished = lock(&self.finished);
        finished.rung = false;
        std::mem::take(&mut finished.keys)
    }

    /// Puts back what was taken, in front, and has the loop come again.
    pub fn put_back(&self, keys: impl Iterator<Item = Key>) {
        lock(&self.finished).keys.splice(..0, keys);
        self.ring();
    }

    /// Adds a job; whether it is the first since the loop last came.
    fn push(&self, key: Key) -> bool {
        let mut finished = lock(&self.finished);
        finished.keys.push(key);
        finished.keys.len() == 1
    }

    fn ring(&self) {
        let mut finished = lock(&self.finished);
        if finished.rung || finished.keys.is_empty() {
            return;
        }
        finished.rung = true;
        drop(finished);
        self.bell.ring();
    }
}

/// Wakes the event loops of one runtime: when it comes to rest, or when results have waited long enough.
#[derive(Debug, Default)]
pub struct Flusher {
    silent: Mutex<Silent>,
    /// The results since the last flush.
    count: AtomicUsize,
}

/// What no loop was told of yet.
#[derive(Debug, Default)]
struct Silent {
    queues: Vec<Arc<Queue>>,
    since: Option<Instant>,
}

impl Flusher {
    /// Leaves a finished job for its event loop.
    pub fn push(&self, queue: &Arc<Queue>, key: Key) {
        if queue.push(key) {
            let mut silent = lock(&self.silent);
            silent.queues.push(Arc::clone(queue));
            silent.since.get_or_insert_with(Instant::now);
        }
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Wakes the loops if they have results that have waited long enough.
    pub fn flush_if_due(&self) {
        let count = self.count.load(Ordering::Acquire);
        let late = || lock(&self.silent).since.is_some_and(|since| since.elapsed() > LONG);
        if count >= MANY || (count > 0 && late()) {
            self.flush();
        }
    }

    /// Wakes the loops that have results.
    pub fn flush(&self) {
        if self.count.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        let mut silent = lock(&self.silent);
        silent.since = None;
        let queues = std::mem::take(&mut silent.queues);
        drop(silent);
        for queue in queues {
            queue.ring();
        }
    }
}
