//! Who holds which connection and since when: for the message of a timeout, and to find what was never given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// The leases that callers hold themselves; a request's own lease is not among them.
#[derive(Default)]
pub(super) struct Holders(Mutex<Held>);

#[derive(Default)]
struct Held {
    next: u64,
    by_number: HashMap<u64, Holder>,
}

/// A connection in a caller's hands.
pub(super) trait Handle: Send + Sync {
    /// Take it back.
    fn close(&self);
}

struct Holder {
    handle: Weak<dyn Handle>,
    since: Instant,
    place: Arc<str>,
    told: bool,
}

impl Holders {
    /// Somebody at `place` holds a connection from now on. The number that comes back ends it.
    pub(super) fn enter(&self, place: Arc<str>, handle: Weak<dyn Handle>) -> u64 {
        let mut held = self.lock();
        held.next += 1;
        let number = held.next;
        held.by_number.insert(number, Holder { handle, since: Instant::now(), place, told: false });
        number
    }

    /// Take back whatever is held.
    pub(super) fn close_all(&self) {
        // Collected first: closing one takes the lock.
        let handles: Vec<_> =
            self.lock().by_number.values().filter_map(|holder| holder.handle.upgrade()).collect();
        for handle in handles {
            handle.close();
        }
    }

    pub(super) fn leave(&self, number: u64) {
        self.lock().by_number.remove(&number);
    }

    /// How long the longest holder has had its connection, and where it took it.
    pub(super) fn longest(&self) -> Option<(Duration, Arc<str>)> {
        let held = self.lock();
        let longest = held.by_number.values().min_by_key(|holder| holder.since)?;
        Some((longest.since.elapsed(), Arc::clone(&longest.place)))
    }

    /// Those that have held one longer than `threshold`, each told once.
    pub(super) fn overdue(&self, threshold: Duration) -> Vec<(Duration, Arc<str>)> {
        let mut held = self.lock();
        let late = held.by_number.values_mut().filter(|h| !h.told && h.since.elapsed() >= threshold);
        late.map(|holder| {
            holder.told = true;
            (holder.since.elapsed(), Arc::clone(&holder.place))
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
