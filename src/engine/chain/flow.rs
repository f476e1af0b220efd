//! Calls that are handed in one by one, made so many at a time, and whose results are taken as they come.
//!
//! A task of the runtime drives them, so that they go on while nobody waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::task::unconstrained;

use super::Chain;
use super::driven::Driven;
use crate::engine::deadline::Timeout;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::lock::lock;

/// A call's number, counted from 0 in the order in which they were handed in, and its result as JSON text.
pub type Outcome = (u64, Result<Bytes>);

/// Where results come out. Dropping it ends every call.
pub struct Flow {
    inlet: Inlet,
    work: Driven,
}

/// Where calls go in.
#[derive(Clone)]
pub struct Inlet(Arc<Line>);

/// A result that is being taken. If it is dropped instead, it waits for the next who asks.
pub struct Taken {
    line: Arc<Line>,
    outcome: Option<Outcome>,
}

struct Line {
    concurrency: usize,
    state: Mutex<State>,
    /// A result came, one was taken, or the end.
    changed: Notify,
}

#[derive(Default)]
struct State {
    handed_in: VecDeque<(u64, Request)>,
    results: VecDeque<Outcome>,
    /// How many calls were ever handed in.
    count: u64,
    /// How many of them have a result that was not taken, or none yet.
    open: usize,
    /// No call comes any more.
    ended: bool,
    /// The runtime has let go of the calls.
    lost: bool,
    driver: Option<Waker>,
}

impl Flow {
    /// A flow of at most `concurrency` calls of `chain`, each within `timeout`. A runtime must be there.
    #[must_use]
    pub fn new(chain: Arc<Chain>, concurrency: Option<usize>, timeout: Timeout) -> Self {
        let concurrency = chain.concurrency(concurrency);
        let line = Arc::new(Line { concurrency, state: Mutex::default(), changed: Notify::new() });
        let drive = unconstrained(drive(Arc::clone(&line), chain, timeout));
        let lost = Arc::clone(&line);
        let work = Driven::new(drive, move || lost.lose());
        Self { inlet: Inlet(line), work }
    }

    /// Where its calls go in.
    #[must_use]
    pub const fn inlet(&self) -> &Inlet {
        &self.inlet
    }

    /// The next result; `None` when no call is left and none will come.
    ///
    /// # Errors
    /// `PoolClosed` when the runtime has stopped.
    pub async fn next(&self) -> Result<Option<Taken>> {
        let line = &self.inlet.0;
        line.when(|state| {
            if let Some(outcome) = state.results.pop_front() {
                return Some(Ok(Some(Taken { line: Arc::clone(line), outcome: Some(outcome) })));
            }
            if state.lost {
                return Some(Err(Error::new(
                    Kind::PoolClosed,
                    "the calls were cut off: the runtime has stopped",
                )));
            }
            (state.ended && state.open == 0).then_some(Ok(None))
        })
        .await
    }

    /// End every call now. Whoever waits hears of the end.
    pub fn close(&self) {
        self.work.end();
        let mut state = lock(&self.inlet.0.state);
        let before = std::mem::replace(&mut *state, State { ended: true, ..State::default() });
        drop(state);
        drop(before);
        self.inlet.0.changed.notify_waiters();
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inlet {
    /// Whether another call may be handed in: the results of fewer than `concurrency` were not taken yet.
    #[must_use]
    pub fn has_room(&self) -> bool {
        lock(&self.0.state).has_room(self.0.concurrency)
    }

    /// Wait until there is room; `false` when there will be none, because the flow has ended.
    pub async fn room(&self) -> bool {
        let line = &self.0;
        line.when(
            |state| if state.ended { Some(false) } else { state.has_room(line.concurrency).then_some(true) },
        )
        .await
    }

    /// Hand a call in: its number. After the end it is forgotten.
    pub fn put(&self, request: Request) -> u64 {
        let mut state = lock(&self.0.state);
        let number = state.count;
        if state.ended {
            return number;
        }
        state.count += 1;
        state.open += 1;
        state.handed_in.push_back((number, request));
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        number
    }

    /// No call comes any more.
    pub fn end(&self) {
        lock(&self.0.state).ended = true;
        self.0.changed.notify_waiters();
    }
}

impl Taken {
    /// The error that it is, if it is one.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        match &self.outcome {
            Some((_, Err(error))) => Some(error),
            _ => None,
        }
    }

    /// The result. It makes room for another call.
    #[must_use]
    pub fn take(mut self) -> Option<Outcome> {
        let outcome = self.outcome.take();
        let mut state = lock(&self.line.state);
        state.open = state.open.saturating_sub(1);
        drop(state);
        self.line.changed.notify_waiters();
        outcome
    }
}

/// Of a result that is no error, its text.
impl AsRef<[u8]> for Taken {
    fn as_ref(&self) -> &[u8] {
        match &self.outcome {
            Some((_, Ok(text))) => text,
            _ => &[],
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(outcome) = self.outcome.take() else { return };
        let mut state = lock(&self.line.state);
        // After the close it is nobody's any more.
        if state.open > 0 {
            state.results.push_front(outcome);
        }
        drop(state);
        self.line.changed.notify_waiters();
    }
}

impl State {
    const fn has_room(&self, concurrency: usize) -> bool {
        !self.ended && self.open < concurrency
    }
}

impl Line {
    /// What `look` finds, when it finds something.
    async fn when<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut lock(&self.state)) {
                return found;
            }
            changed.await;
        }
    }

    /// What was handed in since; `driver` is woken when there is more.
    fn handed_in(&self, driver: &Waker) -> VecDeque<(u64, Request)> {
        let mut state = lock(&self.state);
        state.driver = Some(driver.clone());
        std::mem::take(&mut state.handed_in)
    }

    /// The runtime has let go of the calls.
    fn lose(&self) {
        lock(&self.state).lost = true;
        self.changed.notify_waiters();
    }

    fn finish(&self, outcome: Outcome) {
        lock(&self.state).results.push_back(outcome);
        self.changed.notify_waiters();
    }
}

/// Makes the calls. It ends by being dropped.
async fn drive(line: Arc<Line>, chain: Arc<Chain>, timeout: Timeout) {
    let mut running = FuturesUnordered::new();
    poll_fn(|context| -> Poll<()> {
        loop {
            let handed_in = line.handed_in(context.waker());
            running.extend(handed_in.into_iter().map(|(number, request)| {
                let chain = Arc::clone(&chain);
                async move { (number, chain.request(&request, timeout).await) }
            }));
            match running.poll_next_unpin(context) {
                Poll::Ready(Some(outcome)) => line.finish(outcome),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
