//! Who holds which connection and since when: for the message of a timeout, and to find what was never given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// The leases that callers hold themselves; a request's own lease is not among them.
#[derive(Default)]
pub(super) struct Holders(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Each holder at its number.
    places: Vec<Option<Holder>>,
    /// Numbers that nobody has.
    free: Vec<usize>,
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &Holder> {
        self.places.iter().flatten()
    }
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
    /// Somebody at `place` holds a connection `since` then. The number that comes back ends it.
    pub(super) fn enter(&self, place: Arc<str>, since: Instant, handle: Weak<dyn Handle>) -> usize {
        let holder = Some(Holder { handle, since, place, told: false });
        let mut held = self.lock();
        if let Some(number) = held.free.pop() {
            held.places[number] = holder;
            return number;
        }
        held.places.push(holder);
        held.places.len() - 1
    }

    /// Take back whatever is held.
    pub(super) fn close_all(&self) {
        // Collected first: closing one takes the lock.
        let handles: Vec<_> = self.lock().all().filter_map(|holder| holder.handle.upgrade()).collect();
        for handle in handles {
            handle.close();
        }
    }

    pub(super) fn leave(&self, number: usize) {
        let mut held = self.lock();
        held.places[number] = None;
        held.free.push(number);
    }

    /// How long the longest holder has had its connection, and where it took it.
    pub(super) fn longest(&self) -> Option<(Duration, Arc<str>)> {
        let held = self.lock();
        let longest = held.all().min_by_key(|holder| holder.since)?;
        Some((longest.since.elapsed(), Arc::clone(&longest.place)))
    }

    /// Those that have held one longer than `threshold`, each told once.
    pub(super) fn overdue(&self, threshold: Duration) -> Vec<(Duration, Arc<str>)> {
        let mut held = self.lock();
        let late = held.places.iter_mut().flatten().filter(|h| !h.told && h.since.elapsed() >= threshold);
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
