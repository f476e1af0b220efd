//! Records of what happens, handed over without waiting: a level check, a bounded queue, a count of what was dropped.
//!
//! The engine only ever pushes; whoever made the `Log` (the bindings, or a test) takes the records out on a thread of
//! its own. A full queue drops the record and counts it: no I/O ever waits for a handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use super::printable::one_line;

/// How many records may wait to be delivered.
const QUEUE: usize = 8192;

/// How serious a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each connection's life.
    Debug,
    /// Chains that come and go.
    Info,
    /// Something to look at.
    Warning,
}

/// The part of the engine that speaks: a child of the logger `genesis_replicator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Connections: opened, acquired, returned, closed and why.
    Pool,
    /// Chains: connected, disconnected.
    Manager,
    /// Credentials and clients that were refused.
    Security,
    /// Limits that are kept elsewhere: whether their servers can be reached.
    Limiter,
}

impl Area {
    /// Every area, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Pool, Self::Manager, Self::Security, Self::Limiter];

    /// The name of the child logger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Manager => "manager",
            Self::Security => "security",
            Self::Limiter => "limiter",
        }
    }
}

/// One line for the log.
#[derive(Debug)]
pub struct Record {
    /// How serious it is.
    pub level: Level,
    /// Who speaks.
    pub area: Area,
    /// The text, free of secrets.
    pub message: String,
    /// When it was left.
    pub at: SystemTime,
}

/// Where the engine leaves its records.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For each area, the lowest level that somebody wants to see; 3 is nothing.
    thresholds: [AtomicU8; Area::ALL.len()],
    queue: SyncSender<Record>,
    dropped: AtomicU64,
    /// Records that were left and are not delivered yet.
    pending: AtomicU64,
}

impl Log {
    /// A log that passes warnings, and the end from which its records are taken.
    #[must_use]
    pub fn new() -> (Self, Receiver<Record>) {
        let (queue, records) = sync_channel(QUEUE);
        let thresholds = std::array::from_fn(|_| AtomicU8::new(Level::Warning as u8));
        let shared = Shared { thresholds, queue, dropped: AtomicU64::new(0), pending: AtomicU64::new(0) };
        (Self(Arc::new(shared)), records)
    }

    /// A log that nobody reads.
    #[must_use]
    pub fn silent() -> Self {
        let (log, _) = Self::new();
        for area in Area::ALL {
            log.set_threshold(area, None);
        }
        log
    }

    /// From now on, pass records of `area` from `level` up; `None` passes nothing.
    pub fn set_threshold(&self, area: Area, level: Option<Level>) {
        let value = level.map_or(3, |level| level as u8);
        self.0.thresholds[area as usize].store(value, Ordering::Relaxed);
    }

    /// Leave a record of one line; the text is only made if somebody wants it.
    pub fn write(&self, level: Level, area: Area, message: impl FnOnce() -> String) {
        if (level as u8) < self.0.thresholds[area as usize].load(Ordering::Relaxed) {
            return;
        }
        let record = Record { level, area, message: one_line(message()), at: SystemTime::now() };
        self.0.pending.fetch_add(1, Ordering::Relaxed);
        if self.0.queue.try_send(record).is_err() {
            self.0.pending.fetch_sub(1, Ordering::Relaxed);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whoever takes the records has delivered one.
    pub fn mark_delivered(&self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wait until everything that was left is delivered, at most for `patience`.
    pub async fn delivered(&self, patience: Duration) {
        const LOOK: Duration = Duration::from_millis(5);
        let until = tokio::time::Instant::now() + patience;
        while self.0.pending.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many records were dropped since the last time this was asked.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.0.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_instead_of_waiting() {
        let (log, records) = Log::new();
        for _ in 0..QUEUE + 5 {
            log.write(Level::Warning, Area::Pool, || "x".into());
        }
        assert_eq!(log.take_dropped(), 5);
        assert_eq!(log.take_dropped(), 0);
        assert_eq!(records.try_iter().count(), QUEUE);
    }

    #[test]
    fn a_record_is_one_line() {
        let (log, records) = Log::new();
        log.write(Level::Warning, Area::Pool, || "a\nWARNING b\u{1b}[2J".into());
        assert_eq!(records.try_recv().unwrap().message, "a\u{fffd}WARNING b\u{fffd}[2J");
    }

    #[test]
    fn a_record_below_the_threshold_is_never_built() {
        let (log, records) = Log::new();
        log.write(Level::Debug, Area::Pool, || unreachable!());
        log.set_threshold(Area::Pool, Some(Level::Debug));
        log.write(Level::Debug, Area::Pool, || "seen".into());
        log.write(Level::Debug, Area::Manager, || unreachable!());
        assert_eq!(records.try_recv().map(|r| r.message).as_deref(), Ok("seen"));
    }
}
