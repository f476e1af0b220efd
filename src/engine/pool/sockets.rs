//! How many sockets there may be: permits that each socket holds until it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of a gate.
pub(super) struct Sockets {
    free: Arc<Semaphore>,
    /// Permits to take out of circulation as they come back, after the limit was lowered.
    excess: AtomicUsize,
}

/// The right to have one socket.
pub struct Permit {
    sockets: Arc<Sockets>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Sockets {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(limit)), excess: AtomicUsize::new(0) })
    }

    /// A permit if one is free now.
    pub(super) fn try_permit(self: &Arc<Self>) -> Option<Permit> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Permit { sockets: Arc::clone(self), permit: Some(permit) })
    }

    /// The next permit that comes back. `None` never comes: nobody closes the semaphore.
    pub(super) async fn permit(self: &Arc<Self>) -> Option<Permit> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Permit { sockets: Arc::clone(self), permit: Some(permit) })
    }

    pub(super) fn grow(&self, by: usize) {
        for _ in 0..by {
            if !self.pay_excess() {
                self.free.add_permits(1);
            }
        }
    }

    pub(super) fn shrink(&self, by: usize) {
        self.excess.fetch_add(by, Ordering::Relaxed);
        // Forgotten before it is paid: a permit that comes back meanwhile pays too, and then ours is put back.
        while self.excess.load(Ordering::Relaxed) > 0 && self.free.forget_permits(1) == 1 {
            if !self.pay_excess() {
                self.free.add_permits(1);
            }
        }
    }

    /// One permit less to take out of circulation, if there was one.
    fn pay_excess(&self) -> bool {
        let pay = |excess: usize| excess.checked_sub(1);
        self.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }

    /// How many permits are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        if self.sockets.pay_excess() {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_limit_takes_free_permits_at_once_and_the_others_as_they_come_back() {
        let sockets = Sockets::new(3);
        let held: Vec<_> = (0..2).filter_map(|_| sockets.try_permit()).collect();
        sockets.shrink(2);
        assert_eq!(sockets.free(), 0);
        drop(held);
        assert_eq!(sockets.free(), 1);
    }

    #[test]
    fn a_limit_that_grows_again_first_forgives_what_was_to_be_taken() {
        let sockets = Sockets::new(2);
        let held: Vec<_> = (0..2).filter_map(|_| sockets.try_permit()).collect();
        sockets.shrink(1);
        sockets.grow(3);
        assert_eq!(sockets.free(), 2);
        drop(held);
        assert_eq!(sockets.free(), 4);
    }

    #[test]
    fn permits_that_come_back_while_the_limit_changes_are_neither_lost_nor_made() {
        let sockets = Sockets::new(8);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..20_000).for_each(|_| drop(sockets.try_permit())));
            }
            for _ in 0..5_000 {
                sockets.shrink(6);
                sockets.grow(6);
            }
        });
        assert_eq!(sockets.free(), 8);
    }
}
