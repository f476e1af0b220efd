//! The bound on connections, and the order in which callers get them.
//!
//! A gate is shared by all pools of a manager. A `Ticket` is the right to use a connection, a `Permit` the right to
//! have a socket. Tickets are handed out per pool first come, first served; a freed ticket stays in its pool unless
//! the oldest waiter of another pool has waited `PATIENCE` longer, because changing pools costs a reconnect.

mod lines;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::sockets::{Permit, Sockets};
use crate::engine::error::{Error, Kind, Result};
use lines::{State, Waiter};

/// How much longer another pool's oldest waiter must have waited to be served before our own.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which pool a waiter belongs to.
pub type PoolId = u64;

/// A pool that can let another one go first.
pub trait Room: Send + Sync {
    /// Close an idle connection, if there is one: that frees a permit.
    fn close_one(&self) -> bool;
    /// Give up a dial that nobody waits for, if there is one: that frees a ticket, and a permit with it.
    fn give_up_dial(&self) -> bool;
}

/// The shared bound.
pub struct Gate {
    state: Mutex<State>,
    sockets: Arc<Sockets>,
    /// Live waiters over all pools: tells without a look at the queues that nobody is in them.
    waiting: AtomicUsize,
    /// Whether more tickets are out than there may be, since the limit was lowered. Changes under the lock.
    over: AtomicBool,
    /// Told whenever the last ticket came back.
    all_back: Notify,
}

/// The right to use one connection. Dropped, it goes to the next waiter.
pub struct Ticket {
    gate: Arc<Gate>,
    pool: PoolId,
}

/// What a caller wants a connection for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// For itself.
    Alone,
    /// For requests that share it.
    Shared,
}

/// A place in a queue. Dropped, it gives the place up, and a ticket that was just given to it.
struct Place {
    gate: Arc<Gate>,
    ticket: oneshot::Receiver<Result<Ticket>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                limit,
                used: 0,
                closed: false,
                next_pool: 0,
                queues: BTreeMap::new(),
                rooms: BTreeMap::new(),
            }),
            sockets: Sockets::new(limit),
            waiting: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            all_back: Notify::new(),
        })
    }

    /// Let another pool in; it is known by the id from now on.
    pub fn admit_pool(&self, room: Weak<dyn Room>) -> PoolId {
        let mut state = self.lock();
        state.next_pool += 1;
        let pool = state.next_pool;
        state.queues.insert(pool, VecDeque::new());
        state.rooms.insert(pool, room);
        pool
    }

    /// Forget a pool: its waiters are told that it is closed, by their tickets' absence.
    pub fn dismiss_pool(&self, pool: PoolId) {
        let mut state = self.lock();
        state.rooms.remove(&pool);
        let waiters = state.queues.remove(&pool);
        drop(state);
        drop(waiters);
    }

    /// Tell everybody who waits in the queue of `pool` that it was in vain, and why.
    pub fn turn_away(&self, pool: PoolId, error: &Error) {
        let waiters = self.lock().queues.get_mut(&pool).map(std::mem::take);
        for waiter in waiters.into_iter().flatten() {
            // Some have gone already.
            let _ = waiter.ticket.send(Err(error.clone()));
        }
    }

    /// The most connections there may be.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    /// How many tickets are out.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    /// Whether more tickets are out than there may be, since the limit was lowered.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A ticket if one is free now. Whoever waits goes first.
    ///
    /// # Errors
    /// `PoolClosed` when the gate or the pool is closed.
    pub fn try_ticket(self: &Arc<Self>, pool: PoolId) -> Result<Option<Ticket>> {
        self.ticket_from(&mut self.lock(), pool)
    }

    /// A ticket for `pool`, waiting in its queue.
    ///
    /// # Errors
    /// `PoolClosed` when the gate or the pool closes, `TooManyWaiters` when `max_waiting` callers wait already.
    pub async fn ticket(self: &Arc<Self>, pool: PoolId, max_waiting: Option<usize>) -> Result<Ticket> {
        self.ticket_in_line(pool, max_waiting, Purpose::Alone).await
    }

    /// The same for requests that will share the connection.
    ///
    /// # Errors
    /// `PoolClosed` when the gate or the pool closes.
    pub async fn ticket_to_share(self: &Arc<Self>, pool: PoolId) -> Result<Ticket> {
        self.ticket_in_line(pool, None, Purpose::Shared).await
    }

    async fn ticket_in_line(
        self: &Arc<Self>,
        pool: PoolId,
        max_waiting: Option<usize>,
        purpose: Purpose,
    ) -> Result<Ticket> {
        let (mut place, is_alone) = {
            let mut state = self.lock();
            if let Some(ticket) = self.ticket_from(&mut state, pool)? {
                return Ok(ticket);
            }
            (self.enqueue(&mut state, pool, max_waiting, purpose)?, state.queues.len() == 1)
        };
        if !is_alone {
            // Dials that nobody waits for may be in the way: of pools without waiters now, of the others later.
            self.reclaim();
            match tokio::time::timeout(PATIENCE, &mut place.ticket).await {
                Ok(ticket) => return ticket.unwrap_or_else(|_| Err(closed())),
                Err(_) => self.reclaim(),
            }
        }
        (&mut place.ticket).await.unwrap_or_else(|_| Err(closed()))
    }

    /// Whether anybody waits, in any pool.
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn reclaim(&self) {
        let rooms: Vec<_> = {
            let state = self.lock();
            let in_the_way = state.rooms.iter().filter(|(pool, _)| state.is_in_the_way(**pool));
            in_the_way.filter_map(|(_, room)| room.upgrade()).collect()
        };
        rooms.iter().any(|room| room.give_up_dial());
    }

    /// Whether a dial of `pool` that nobody waits for keeps a ticket from another pool's waiter.
    pub fn is_in_the_way(&self, pool: PoolId) -> bool {
        self.has_waiters() && self.lock().is_in_the_way(pool)
    }

    fn ticket_from(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        pool: PoolId,
    ) -> Result<Option<Ticket>> {
        if state.closed || !state.queues.contains_key(&pool) {
            return Err(closed());
        }
        // A ticket is free while somebody waits only in the moment in which the limit grows.
        let is_contested = || self.has_waiters() && state.has_waiter();
        if state.used >= state.limit || is_contested() {
            return Ok(None);
        }
        state.used += 1;
        Ok(Some(Ticket { gate: Arc::clone(self), pool }))
    }

    fn enqueue(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        pool: PoolId,
        max_waiting: Option<usize>,
        purpose: Purpose,
    ) -> Result<Place> {
        let queue = state.queues.entry(pool).or_default();
        // Waiters that gave up leave their entry behind; do not let them pile up, nor count.
        if max_waiting.is_some_and(|most| queue.len() >= most)
            || queue.len() > 2 * self.waiting.load(Ordering::Relaxed) + 16
        {
            queue.retain(|waiter| !waiter.ticket.is_closed());
        }
        if let Some(most) = max_waiting.filter(|most| queue.len() >= *most) {
            return Err(too_many(most));
        }
        let (sender, ticket) = oneshot::channel();
        queue.push_back(Waiter { since: Instant::now(), ticket: sender, purpose });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Place { gate: Arc::clone(self), ticket })
    }

    /// Whether `pool` should let a shared connection's ticket go as soon as it can: a caller of another pool has waited
    /// too long, or one of its own that wants a connection alone.
    pub fn owes_another(&self, pool: PoolId) -> bool {
        if !self.has_waiters() {
            return false;
        }
        let state = self.lock();
        state.others(pool).any(Waiter::is_overdue) || state.wants_alone(pool).is_some_and(Waiter::is_overdue)
    }

    /// The right to have a socket, as soon as there is one; an idle connection of any pool is closed for it.
    ///
    /// Whoever asks holds a ticket, so when all permits are out some of them belong to idle connections: there is
    /// always one to close, or one that is closing.
    pub async fn permit(self: &Arc<Self>) -> Permit {
        /// When to look for room again, should the room that was made have gone to somebody else.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);
        loop {
            if let Some(permit) = self.sockets.try_permit() {
                return permit;
            }
            self.close_one();
            if let Ok(Some(permit)) = tokio::time::timeout(LOOK_AGAIN, self.sockets.permit()).await {
                return permit;
            }
        }
    }

    fn close_one(&self) {
        // Collected first: a pool may be dropped here, and that takes the lock.
        let rooms: Vec<_> = self.lock().rooms.values().filter_map(Weak::upgrade).collect();
        rooms.iter().any(|room| room.close_one());
    }

    /// Change the bound. Lowered, it takes effect as connections come back.
    pub fn resize(self: &Arc<Self>, limit: usize) {
        let old = {
            let mut state = self.lock();
            self.over.store(state.used > limit, Ordering::Relaxed);
            std::mem::replace(&mut state.limit, limit)
        };
        if limit > old {
            self.sockets.grow(limit - old);
            self.serve();
        } else {
            self.sockets.shrink(old - limit);
        }
    }

    /// Hand out no more tickets; whoever waits is told.
    pub fn close(&self) {
        let queues: Vec<_> = {
            let mut state = self.lock();
            state.closed = true;
            state.queues.values_mut().map(std::mem::take).collect()
        };
        drop(queues);
        self.all_back.notify_waiters();
    }

    /// Wait until no ticket is out, or `timeout` is over.
    pub async fn all_back_within(&self, timeout: Option<Duration>) {
        match timeout {
            None => self.all_back().await,
            // Over or back: either way the wait is done.
            Some(timeout) => drop(tokio::time::timeout(timeout, self.all_back()).await),
        }
    }

    async fn all_back(&self) {
        loop {
            let back = self.all_back.notified();
            tokio::pin!(back);
            // Registered before the look, so that a ticket that comes back in between is not missed.
            back.as_mut().enable();
            if self.used() == 0 {
                return;
            }
            back.await;
        }
    }

    /// Give free tickets to waiters.
    fn serve(self: &Arc<Self>) {
        loop {
            let (pool, waiter) = {
                let mut state = self.lock();
                if state.used >= state.limit || state.closed {
                    return;
                }
                let Some(next) = state.next(None) else { return };
                state.used += 1;
                next
            };
            self.hand_over(pool, waiter);
        }
    }

    /// Give a waiter a ticket that is counted already. Done without the lock: a waiter that has just gone drops the
    /// ticket here, which serves the next.
    fn hand_over(self: &Arc<Self>, pool: PoolId, waiter: Waiter) {
        let refused = waiter.ticket.send(Ok(Ticket { gate: Arc::clone(self), pool }));
        drop(refused);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let next = {
            let mut state = self.gate.lock();
            let is_wanted = self.gate.has_waiters() && state.used <= state.limit && !state.closed;
            let next = if is_wanted { state.next(Some(self.pool)) } else { None };
            if next.is_none() {
                state.used -= 1;
                // Only a resize makes it true.
                if self.gate.is_over() {
                    self.gate.over.store(state.used > state.limit, Ordering::Relaxed);
                }
                if state.used == 0 {
                    self.gate.all_back.notify_waiters();
                }
            }
            next
        };
        if let Some((pool, waiter)) = next {
            self.gate.hand_over(pool, waiter);
        }
    }
}

/// The error of whoever comes when `most` callers wait already.
pub fn too_many(most: usize) -> Error {
    Error::new(Kind::TooManyWaiters, format!("{most} callers wait for a connection already (max_waiting)"))
}

/// The error of whoever waits for a pool that closes.
pub fn closed() -> Error {
    Error::new(Kind::PoolClosed, "the pool is closed")
}

#[cfg(test)]
mod tests;
