//! The bound on connections, and the order in which callers get them.
//!
//! A gate is shared by all pools of a manager. A `Ticket` is the right to use a connection, a `Permit` the right to
//! have a socket. Tickets are handed out per pool first come, first served; a freed ticket stays in its pool unless
//! the oldest waiter of another pool has waited `PATIENCE` longer, because changing pools costs a reconnect.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::engine::error::{Error, Kind, Result};

/// How much longer another pool's oldest waiter must have waited to be served before our own.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which pool a waiter belongs to.
pub type PoolId = u64;

/// A pool that can close an idle connection, or give up a dial that nobody waits for, so that another may open one.
pub trait Room: Send + Sync {
    /// Make room for one connection, if there is any to make.
    fn make_room(&self) -> bool;
}

/// The shared bound.
pub struct Gate {
    state: Mutex<State>,
    sockets: Arc<Semaphore>,
    /// Sockets to take out of circulation when they are closed, after the limit was lowered.
    excess: AtomicUsize,
    /// Live waiters over all pools: lets `owes_another` answer without the lock.
    waiting: AtomicUsize,
    /// Told whenever the last ticket came back.
    all_back: Notify,
}

struct State {
    limit: usize,
    used: usize,
    closed: bool,
    next_pool: PoolId,
    queues: HashMap<PoolId, VecDeque<Waiter>>,
    rooms: HashMap<PoolId, Weak<dyn Room>>,
}

struct Waiter {
    since: Instant,
    ticket: oneshot::Sender<Ticket>,
}

/// The right to use one connection. Dropped, it goes to the next waiter.
pub struct Ticket {
    gate: Arc<Gate>,
    pool: PoolId,
}

/// The right to have one socket.
pub struct Permit {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

/// A place in a queue. Dropped, it gives the place up, and a ticket that was just given to it.
struct Place {
    gate: Arc<Gate>,
    ticket: oneshot::Receiver<Ticket>,
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
                queues: HashMap::new(),
                rooms: HashMap::new(),
            }),
            sockets: Arc::new(Semaphore::new(limit)),
            excess: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
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

    /// The most connections there may be.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    /// How many tickets are out.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    /// How many callers of `pool` wait.
    pub fn waiting(&self, pool: PoolId) -> usize {
        let state = self.lock();
        state.queues.get(&pool).map_or(0, |queue| queue.iter().filter(|w| !w.ticket.is_closed()).count())
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
        let mut place = {
            let mut state = self.lock();
            if let Some(ticket) = self.ticket_from(&mut state, pool)? {
                return Ok(ticket);
            }
            self.enqueue(&mut state, pool, max_waiting)?
        };
        (&mut place.ticket).await.map_err(|_| closed())
    }

    fn ticket_from(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        pool: PoolId,
    ) -> Result<Option<Ticket>> {
        if state.closed || !state.queues.contains_key(&pool) {
            return Err(closed());
        }
        if state.used >= state.limit {
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
    ) -> Result<Place> {
        let queue = state.queues.entry(pool).or_default();
        // Waiters that gave up leave their entry behind; do not let them pile up, nor count.
        if max_waiting.is_some_and(|most| queue.len() >= most)
            || queue.len() > 2 * self.waiting.load(Ordering::Relaxed) + 16
        {
            queue.retain(|waiter| !waiter.ticket.is_closed());
        }
        if let Some(most) = max_waiting.filter(|most| queue.len() >= *most) {
            let message = format!("{most} callers wait for a connection already (max_waiting)");
            return Err(Error::new(Kind::TooManyWaiters, message));
        }
        let (sender, ticket) = oneshot::channel();
        queue.push_back(Waiter { since: Instant::now(), ticket: sender });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Place { gate: Arc::clone(self), ticket })
    }

    /// Whether a caller of another pool has waited so long that `pool` should let a ticket go as soon as it can.
    pub fn owes_another(&self, pool: PoolId) -> bool {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let state = self.lock();
        let overdue = |waiter: &&Waiter| !waiter.ticket.is_closed();
        state.queues.iter().filter(|(id, _)| **id != pool).any(|(_, queue)| {
            queue.iter().find(overdue).is_some_and(|waiter| waiter.since.elapsed() > PATIENCE)
        })
    }

    /// The right to have a socket, as soon as there is one; an idle connection of any pool is closed for it.
    ///
    /// Whoever asks holds a ticket, so when all permits are out some of them belong to idle connections: there is
    /// always one to close, or one that is closing.
    pub async fn permit(self: &Arc<Self>) -> Permit {
        /// When to look for room again, should the room that was made have gone to somebody else.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);
        loop {
            if let Ok(permit) = Arc::clone(&self.sockets).try_acquire_owned() {
                return self.holding(permit);
            }
            self.make_room();
            let next = Arc::clone(&self.sockets).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(LOOK_AGAIN, next).await {
                return self.holding(permit);
            }
        }
    }

    fn make_room(&self) {
        // Collected first: a pool may be dropped here, and that takes the lock.
        let rooms: Vec<_> = self.lock().rooms.values().filter_map(Weak::upgrade).collect();
        rooms.iter().any(|room| room.make_room());
    }

    fn holding(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Permit {
        Permit { gate: Arc::clone(self), permit: Some(permit) }
    }

    /// Change the bound. Lowered, it takes effect as connections come back.
    pub fn resize(self: &Arc<Self>, limit: usize) {
        let old = std::mem::replace(&mut self.lock().limit, limit);
        if limit > old {
            let grown = limit - old;
            let debt = self.excess.load(Ordering::Relaxed).min(grown);
            self.excess.fetch_sub(debt, Ordering::Relaxed);
            self.sockets.add_permits(grown - debt);
            self.serve();
        } else {
            let shrunk = old - limit;
            let forgotten = self.sockets.forget_permits(shrunk);
            self.excess.fetch_add(shrunk - forgotten, Ordering::Relaxed);
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
        let refused = waiter.ticket.send(Ticket { gate: Arc::clone(self), pool });
        drop(refused);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The waiter to serve next.
    fn next(&mut self, own: Option<PoolId>) -> Option<(PoolId, Waiter)> {
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

impl Drop for Ticket {
    fn drop(&mut self) {
        let next = {
            let mut state = self.gate.lock();
            let next =
                if state.used > state.limit || state.closed { None } else { state.next(Some(self.pool)) };
            if next.is_none() {
                state.used -= 1;
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

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let pay = |debt: usize| debt.checked_sub(1);
        if self.gate.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok() {
            permit.forget();
        }
    }
}

/// The error of whoever waits for a pool that closes.
pub fn closed() -> Error {
    Error::new(Kind::PoolClosed, "the pool is closed")
}
