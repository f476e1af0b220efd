//! How many connections are connecting, idle and active: three counts in one atomic number.
//!
//! One number means that a connection moves from one level to another in one step: whoever looks sees it in
//! exactly one of them, and the three always add up to the total.

use std::sync::atomic::{AtomicU64, Ordering};

/// The width of one count. Two million connections are far beyond what a process may hold open.
const BITS: u32 = 21;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is being opened.
    Connecting,
    /// It is open and free.
    Idle,
    /// It is leased, or carries a request.
    Active,
}

impl Level {
    /// One connection at this level, in the packed form.
    const fn unit(self) -> u64 {
        1 << (BITS * self as u32)
    }

    /// The count of this level in the packed form.
    const fn count(self, packed: u64) -> u64 {
        (packed / self.unit()) & ((1 << BITS) - 1)
    }
}

/// The counts of one scope: a chain, or a whole manager.
#[derive(Debug, Default)]
pub struct Levels(AtomicU64);

impl Levels {
    /// One more connection, at `level`.
    pub fn enter(&self, level: Level) {
        self.0.fetch_add(level.unit(), Ordering::Relaxed);
    }

    /// One connection less; it was at `level`.
    pub fn leave(&self, level: Level) {
        self.0.fetch_sub(level.unit(), Ordering::Relaxed);
    }

    /// One connection moves, in one step.
    pub fn shift(&self, from: Level, to: Level) {
        self.0.fetch_add(to.unit().wrapping_sub(from.unit()), Ordering::Relaxed);
    }

    /// The three counts of one instant.
    #[must_use]
    pub fn snapshot(&self) -> LevelCounts {
        let packed = self.0.load(Ordering::Relaxed);
        LevelCounts {
            active: Level::Active.count(packed),
            idle: Level::Idle.count(packed),
            connecting: Level::Connecting.count(packed),
        }
    }
}

/// The connections of one instant, by level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelCounts {
    /// Leased, or carrying a request.
    pub active: u64,
    /// Open and free.
    pub idle: u64,
    /// Being opened.
    pub connecting: u64,
}

impl LevelCounts {
    /// All connections.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.active + self.idle + self.connecting
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn each_level_is_counted_for_itself() {
        let levels = Levels::default();
        levels.enter(Level::Connecting);
        levels.enter(Level::Connecting);
        levels.enter(Level::Connecting);
        levels.shift(Level::Connecting, Level::Idle);
        levels.shift(Level::Connecting, Level::Active);
        levels.shift(Level::Active, Level::Active);
        assert_eq!(levels.snapshot(), LevelCounts { active: 1, idle: 1, connecting: 1 });
        levels.leave(Level::Active);
        levels.shift(Level::Idle, Level::Active);
        assert_eq!(levels.snapshot(), LevelCounts { active: 1, idle: 0, connecting: 1 });
    }

    #[test]
    fn a_level_holds_two_million_connections_without_touching_its_neighbours() {
        let levels = Levels::default();
        let most = (1 << BITS) - 1;
        (0..most).for_each(|_| levels.enter(Level::Idle));
        assert_eq!(levels.snapshot(), LevelCounts { active: 0, idle: most, connecting: 0 });
    }

    #[test]
    fn no_snapshot_is_torn_while_threads_move_connections() {
        const THREADS: u64 = 4;
        let levels = Levels::default();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let movers: Vec<_> = (0..THREADS)
                .map(|_| {
                    levels.enter(Level::Connecting);
                    scope.spawn(|| {
                        for _ in 0..20_000 {
                            levels.shift(Level::Connecting, Level::Idle);
                            levels.shift(Level::Idle, Level::Active);
                            levels.shift(Level::Active, Level::Connecting);
                        }
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut seen = 0_u64;
                while !over.load(Ordering::Relaxed) || seen == 0 {
                    assert_eq!(levels.snapshot().total(), THREADS);
                    seen += 1;
                }
            });
            for mover in movers {
                mover.join().unwrap();
            }
            over.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        assert_eq!(levels.snapshot(), LevelCounts { active: 0, idle: 0, connecting: THREADS });
    }
}
