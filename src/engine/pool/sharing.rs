//! Connections that carry many requests at a time, shared by the requests of one pool.
//!
//! The first request leases a connection; others join it up to its number of streams; when the last one is done the
//! lease goes back. A freed stream goes to the request that has waited longest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::Pool;
use super::gate::too_many;
use super::lease::Lease;
use crate::engine::error::{Error, Result};
use crate::engine::transport::Transport;

#[derive(Default)]
pub(super) struct Sharing {
    state: Mutex<Shares>,
    /// Held by the one request that leases another connection; the others wait for what comes of it.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Shares {
    next: u64,
    shared: Vec<Shared>,
    waiters: VecDeque<oneshot::Sender<Result<Stream>>>,
}

struct Shared {
    key: u64,
    lease: Lease,
    transport: Arc<dyn Transport>,
    /// How many requests are under way.
    load: usize,
    /// How many subscriptions it carries beside them. They are as many as are read, and as its node grants.
    lasting: usize,
}

impl Shared {
    /// Whether another may come. One that is owed to somebody else takes nobody on, unless it cannot be let go anyway.
    fn takes(&self, is_owed: bool) -> bool {
        self.has_room() && (!is_owed || self.lasting > 0)
    }

    const fn is_unused(&self) -> bool {
        self.load == 0 && self.lasting == 0
    }

    fn has_room(&self) -> bool {
        // One that is due to be closed takes nobody on, or it would never be.
        let is_due = self.lease.conn().is_none_or(|conn| conn.verdict(Instant::now()).is_some());
        self.load < self.transport.streams() && !is_due
    }
}

/// A place on a shared connection.
pub(super) struct Stream {
    pool: Pool,
    key: u64,
    transport: Arc<dyn Transport>,
    /// Whether it is kept for a subscription.
    lasts: bool,
}

impl Stream {
    /// The connection is kept for as long as a subscription lasts, and the place given back: those who wait may have it,
    /// whomever the connection was owed to.
    pub(super) fn last(&mut self) {
        let sharing = self.pool.sharing();
        if let Some(shared) = sharing.lock().shared.iter_mut().find(|shared| shared.key == self.key) {
            shared.load -= 1;
            shared.lasting += 1;
            self.lasts = true;
        }
        sharing.serve(&self.pool, self.key);
    }

    pub(super) const fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// When its connection is to be replaced.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let state = self.pool.sharing().lock();
        let shared = state.shared.iter().find(|shared| shared.key == self.key)?;
        shared.lease.conn()?.due_at()
    }
}

impl Sharing {
    /// A place on a connection that is shared already, the least busy one. Whoever waits goes first.
    pub(super) fn join(&self, pool: &Pool) -> Option<Stream> {
        let is_owed = pool.owes_another();
        let mut state = self.lock();
        if state.waiters.iter().any(|waiter| !waiter.is_closed()) {
            return None;
        }
        let shared = state
            .shared
            .iter_mut()
            .filter(|shared| shared.takes(is_owed))
            .min_by_key(|shared| shared.load)?;
        shared.load += 1;
        Some(Stream {
            pool: pool.clone(),
            key: shared.key,
            transport: Arc::clone(&shared.transport),
            lasts: false,
        })
    }

    /// Wait in line for a place.
    pub(super) fn wait(&self, max_waiting: Option<usize>) -> Result<oneshot::Receiver<Result<Stream>>> {
        let (sender, place) = oneshot::channel();
        let mut state = self.lock();
        let is_full = |waiters: &VecDeque<_>| max_waiting.is_some_and(|most| waiters.len() >= most);
        if state.waiters.len() == state.waiters.capacity() || is_full(&state.waiters) {
            // Before the line grows: those that gave up left their place behind.
            state.waiters.retain(|waiter| !waiter.is_closed());
        }
        if let Some(most) = max_waiting.filter(|_| is_full(&state.waiters)) {
            return Err(too_many(most));
        }
        state.waiters.push_back(sender);
        Ok(place)
    }

    /// Tell everybody who waits that it was in vain, and why.
    pub(super) fn turn_away(&self, error: &Error) {
        let waiters = std::mem::take(&mut self.lock().waiters);
        for waiter in waiters {
            // Some have gone already.
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Share `lease` with whoever waits.
    pub(super) fn publish(&self, pool: &Pool, lease: Lease, transport: Arc<dyn Transport>) -> Stream {
        let key = {
            let mut state = self.lock();
            state.next += 1;
            let key = state.next;
            // Counted once for the publisher, who has the first place on it.
            state.shared.push(Shared { key, lease, transport: Arc::clone(&transport), load: 1, lasting: 0 });
            key
        };
        let own = Stream { pool: pool.clone(), key, transport, lasts: false };
        while let Some((waiter, stream)) = self.next_served(pool, key, false) {
            drop(waiter.send(Ok(stream)));
        }
        own
    }

    /// Another waiter and its place on `key`, if there is room.
    fn next_served(
        &self,
        pool: &Pool,
        key: u64,
        is_owed: bool,
    ) -> Option<(oneshot::Sender<Result<Stream>>, Stream)> {
        let mut state = self.lock();
        while state.waiters.front().is_some_and(oneshot::Sender::is_closed) {
            state.waiters.pop_front();
        }
        let place = state.shared.iter().position(|shared| shared.key == key && shared.takes(is_owed))?;
        let waiter = state.waiters.pop_front()?;
        let shared = &mut state.shared[place];
        shared.load += 1;
        let stream =
            Stream { pool: pool.clone(), key, transport: Arc::clone(&shared.transport), lasts: false };
        Some((waiter, stream))
    }

    /// Those who wait get the places on `key` that are free, unless another chain has waited too long for the connection.
    fn serve(&self, pool: &Pool, key: u64) {
        while let Some((waiter, stream)) = self.next_served(pool, key, pool.owes_another()) {
            drop(waiter.send(Ok(stream)));
        }
    }

    /// A place came free: it goes to the next in line, and so do others that a server's new limit has made.
    fn leave(&self, pool: &Pool, key: u64, lasts: bool) {
        {
            let mut state = self.lock();
            if let Some(shared) = state.shared.iter_mut().find(|shared| shared.key == key) {
                let places = if lasts { &mut shared.lasting } else { &mut shared.load };
                *places -= 1;
            }
        }
        self.serve(pool, key);
        self.retire(key);
    }

    /// Give a connection back that nobody uses.
    fn retire(&self, key: u64) {
        let retired = {
            let mut state = self.lock();
            let unused = state.shared.iter().position(|shared| shared.key == key && shared.is_unused());
            unused.map(|place| state.shared.swap_remove(place))
        };
        drop(retired.map(|shared| shared.lease));
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.pool.sharing().leave(&self.pool, self.key, self.lasts);
    }
}
