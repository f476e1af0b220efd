//! When a connection may be opened: many at a time while that works, a few until the first has, and one at a time, with
//! growing delays, while the endpoint refuses. What an attempt fails with, it fails with for everybody who waits for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Backoff;
use crate::engine::error::{Error, Kind, Result};

/// How many connections of a pool are opened at a time. Servers drop what overflows the queue in which they accept,
/// and a dropped connect is tried again after a whole second; asyncio's queue, a short one, has 100 places.
const MOST: usize = 64;
/// How many until the first has succeeded, so that a node that is not there meets few attempts.
const AT_FIRST: usize = 4;
/// An attempt that takes longer than this holds up nobody else's.
const PATIENCE: Duration = Duration::from_secs(1);

/// The attempts to reach one endpoint.
pub(super) struct Dials {
    state: Mutex<State>,
    places: Semaphore,
    /// Told whenever an attempt is over.
    news: Notify,
    /// Whose turn it is to try while nothing is open.
    probes: Semaphore,
    /// Whether the last attempt failed. Looked at before every lease.
    down: AtomicBool,
}

#[derive(Default)]
struct State {
    under_way: usize,
    last_begun: Option<Instant>,
    /// Whether one has succeeded, and nothing has spoken against the endpoint since.
    proven: bool,
    backoff: Backoff,
    due: Option<Instant>,
    failure: Option<Error>,
    /// How often everybody who waited was told of a failure.
    rounds: u64,
}

impl State {
    /// When another attempt may begin; `None` when only news can tell.
    fn next(&self, now: Instant) -> Option<Instant> {
        let allowed = match (self.backoff.is_on(), self.proven) {
            (true, _) => 1,
            (false, false) => AT_FIRST,
            (false, true) => MOST,
        };
        let free =
            if self.under_way < allowed { Some(now) } else { self.last_begun.map(|begun| begun + PATIENCE) };
        free.map(|free| self.due.map_or(free, |due| free.max(due)))
    }

    /// The failure that those are told who have waited since `seen` rounds.
    fn failure_since(&self, seen: u64) -> Result<()> {
        match &self.failure {
            Some(failure) if self.rounds != seen => Err(failure.clone()),
            _ => Ok(()),
        }
    }
}

/// An attempt under way.
pub(super) struct Turn<'a> {
    dials: &'a Dials,
    is_probe: bool,
    _place: Option<SemaphorePermit<'a>>,
}

/// The right to make the next attempt while nothing is open.
pub(super) type Probe<'a> = SemaphorePermit<'a>;

impl Dials {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            places: Semaphore::new(MOST),
            news: Notify::new(),
            probes: Semaphore::new(1),
            down: AtomicBool::new(false),
        }
    }

    /// Whether the last attempt failed.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// What the last attempt failed with, if it did.
    pub(super) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// How many attempts the pool may begin of its own accord now.
    pub(super) fn allowance(&self) -> usize {
        let (state, now) = (self.lock(), Instant::now());
        match state.next(now) {
            _ if !state.backoff.is_on() => usize::MAX,
            Some(next) => usize::from(next <= now),
            None => 0,
        }
    }

    /// Something speaks against the endpoint: the next attempts are few until one succeeds.
    pub(super) fn doubt(&self) {
        self.lock().proven = false;
    }

    /// Tell everybody who waits that there will be no more attempts, and why.
    pub(super) fn shut(&self, reason: &Error) {
        {
            let mut state = self.lock();
            state.rounds += 1;
            state.failure = Some(reason.clone());
        }
        self.news.notify_waiters();
    }

    /// Wait until an attempt may begin.
    ///
    /// # Errors
    /// What another attempt failed with meanwhile.
    pub(super) async fn turn(&self) -> Result<Turn<'_>> {
        let seen = self.lock().rounds;
        // None never comes: nobody closes the semaphore.
        let place = self.places.acquire().await.ok();
        loop {
            let mut news = pin!(self.news.notified());
            // Registered before the look, so that no news is missed.
            news.as_mut().enable();
            let next = {
                let (mut state, now) = (self.lock(), Instant::now());
                state.failure_since(seen)?;
                let next = state.next(now);
                if next.is_some_and(|next| next <= now) {
                    state.under_way += 1;
                    state.last_begun = Some(now);
                    return Ok(Turn { dials: self, is_probe: state.backoff.is_on(), _place: place });
                }
                next
            };
            match next {
                None => news.await,
                Some(next) => tokio::select! { () = news => {} () = sleep_until(next) => {} },
            }
        }
    }

    /// While the endpoint is down, wait for what comes of the next attempt, or be the one who makes it.
    ///
    /// # Errors
    /// What that attempt failed with.
    pub(super) async fn probe(&self) -> Result<Option<Probe<'_>>> {
        let seen = self.lock().rounds;
        let mut probe = None;
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            let due = {
                let state = self.lock();
                state.failure_since(seen)?;
                if !state.backoff.is_on() {
                    return Ok(None);
                }
                state.due.unwrap_or_else(Instant::now)
            };
            if probe.is_some() && due <= Instant::now() {
                return Ok(probe);
            }
            tokio::select! {
                biased;
                () = news => {}
                turn = self.probes.acquire(), if probe.is_none() => probe = turn.ok(),
                () = sleep_until(due), if probe.is_some() => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// It is open.
    pub(super) fn succeeded(self) {
        let mut state = self.dials.lock();
        state.proven = true;
        state.backoff = Backoff::default();
        state.due = None;
        state.failure = None;
        self.dials.down.store(false, Ordering::Release);
    }

    /// It failed. Comes back true if everybody who waits is to be told: no other attempt is as likely to succeed.
    pub(super) fn failed(self, error: &Error) -> bool {
        let is_refusal = error.facts().status.is_some();
        if !is_refusal && !matches!(error.kind(), Kind::ChainConnection | Kind::ConnectTimeout | Kind::Tls) {
            // It did not come to an attempt.
            return false;
        }
        let mut state = self.dials.lock();
        let is_told = self.is_probe || state.under_way == 1;
        if is_told || !state.backoff.is_on() {
            state.backoff.grow();
        }
        state.rounds += u64::from(is_told);
        state.proven = false;
        state.due = Instant::now().checked_add(state.backoff.delay());
        state.failure = Some(error.clone());
        self.dials.down.store(true, Ordering::Release);
        is_told
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.dials.lock().under_way -= 1;
        self.dials.news.notify_waiters();
    }
}

/// Do `work` with `turn` in hand, and let go of it when the work takes long.
pub(super) async fn in_turn<T>(turn: impl Sized, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    // What is ready at once needs no timer.
    let at_once = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    if let Poll::Ready(done) = at_once {
        return done;
    }
    if let Ok(done) = Box::pin(timeout(PATIENCE, work.as_mut())).await {
        return done;
    }
    drop(turn);
    work.await
}

#[cfg(test)]
mod tests;
