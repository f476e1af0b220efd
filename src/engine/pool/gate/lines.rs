//! Who waits at the gate, pool by pool, and who is next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Weak;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{PATIENCE, PoolId, Purpose, Room, Ticket};
use crate::engine::error::Result;

pub(super) struct State {
    pub(super) limit: usize,
    pub(super) used: usize,
    pub(super) closed: bool,
    pub(super) next_pool: PoolId,
    pub(super) queues: BTreeMap<PoolId, VecDeque<Waiter>>,
    pub(super) rooms: BTreeMap<PoolId, Weak<dyn Room>>,
}

pub(super) struct Waiter {
    pub(super) since: Instant,
    pub(super) ticket: oneshot::Sender<Result<Ticket>>,
    pub(super) purpose: Purpose,
}

impl Waiter {
    pub(super) fn is_live(&self) -> bool {
        !self.ticket.is_closed()
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }
}

impl State {
    pub(super) fn has_waiter(&self) -> bool {
        self.queues.values().flatten().any(Waiter::is_live)
    }

    /// The waiter of each pool but this one that has waited longest.
    pub(super) fn others(&self, pool: PoolId) -> impl Iterator<Item = &Waiter> {
        let others = self.queues.iter().filter(move |(id, _)| **id != pool);
        others.filter_map(|(_, queue)| queue.iter().find(|waiter| waiter.is_live()))
    }

    /// The waiter of this pool that has waited longest for a connection alone.
    pub(super) fn wants_alone(&self, pool: PoolId) -> Option<&Waiter> {
        let mut waiters = self.queues.get(&pool)?.iter();
        waiters.find(|waiter| waiter.is_live() && waiter.purpose == Purpose::Alone)
    }

    /// Whether `pool` should give up what no caller of it waits for.
    pub(super) fn is_in_the_way(&self, pool: PoolId) -> bool {
        let has_use = self.queues.get(&pool).is_some_and(|queue| queue.iter().any(Waiter::is_live));
        self.others(pool).any(|waiter| !has_use || waiter.is_overdue())
    }

    /// The waiter to serve next.
    pub(super) fn next(&mut self, own: Option<PoolId>) -> Option<(PoolId, Waiter)> {
        // Waiters that gave up left their entry behind.
        for queue in self.queues.values_mut() {
            while queue.front().is_some_and(|waiter| waiter.ticket.is_closed()) {
                queue.pop_front();
            }
        }
        let oldest = |pool: &PoolId| self.queues.get(pool).and_then(|q| q.front()).map(|w| w.since);
        let mine = own.and_then(|pool| Some((pool, oldest(&pool)?)));
        let other = self
            .queues
            .iter()
            .filter(|(pool, _)| Some(**pool) != own)
            .filter_map(|(pool, queue)| Some((*pool, queue.front()?.since)))
            .min_by_key(|(_, since)| *since);
        let pool = match (mine, other) {
            (Some((mine, since)), Some((other, theirs))) => {
                if theirs + PATIENCE < since {
                    other
                } else {
                    mine
                }
            }
            (Some((pool, _)), None) | (None, Some((pool, _))) => pool,
            (None, None) => return None,
        };
        let waiter = self.queues.get_mut(&pool)?.pop_front()?;
        Some((pool, waiter))
    }
}
