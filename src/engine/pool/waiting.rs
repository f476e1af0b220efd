//! A caller in the queue, as the metrics see it.

use tokio::time::Instant;

use super::core::Pool;
use crate::engine::deadline::Call;
use crate::engine::metrics::{Event, Gauge, Held, Latency};

/// A caller in the queue: counted as cancelled if it goes before it is served and its time is not up.
pub(super) struct Waiting<'a> {
    pool: &'a Pool,
    call: &'a Call,
    since: Instant,
    ended: bool,
    _gauge: Held<'a>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(pool: &'a Pool, call: &'a Call) -> Self {
        Self { pool, call, since: Instant::now(), ended: false, _gauge: pool.scopes().hold(Gauge::Waiting) }
    }

    pub(super) fn end(mut self, is_served: bool) {
        self.ended = true;
        if is_served {
            self.pool.scopes().count(Event::Wait);
            self.pool.scopes().observe(Latency::Wait, self.since.elapsed());
        } else {
            self.pool.scopes().count(Event::Rejection);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.call.is_expired() {
            self.pool.scopes().count(Event::Cancellation);
        }
    }
}
