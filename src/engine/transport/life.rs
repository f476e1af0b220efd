//! Whether a connection can be used, and the news of its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::engine::error::Error;
use crate::engine::transport::State;
use crate::engine::transport::tls::LastWords;

pub(super) struct Life {
    state: AtomicU8,
    ended: Notify,
    last_words: LastWords,
}

const OPEN: u8 = 0;
const DIRTY: u8 = 1;
/// The connection is of no use any more, but its socket may still be open.
const ENDING: u8 = 2;
/// The socket is closed.
const ENDED: u8 = 4;
/// The other side ended it in the middle of an exchange.
const BROKEN: u8 = 8;

impl Life {
    pub(super) fn new(last_words: LastWords) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(OPEN), ended: Notify::new(), last_words })
    }

    /// The error that the other side ended it with.
    pub(super) fn last_words(&self) -> Option<Error> {
        self.last_words.get().cloned()
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            OPEN => State::Open,
            state if state & BROKEN != 0 => State::Broken,
            state if state & DIRTY != 0 => State::Dirty,
            _ => State::Closed,
        }
    }

    /// An exchange was given up in its middle.
    pub(super) fn soil(&self) {
        self.state.fetch_or(DIRTY, Ordering::AcqRel);
    }

    /// An exchange was cut off by the other side.
    pub(super) fn break_off(&self) {
        self.state.fetch_or(BROKEN, Ordering::AcqRel);
    }

    pub(super) fn end(&self) {
        self.state.fetch_or(ENDING, Ordering::AcqRel);
    }

    /// Wait until the socket is closed.
    pub(super) async fn closed(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Registered before the look, so that an end in between is not missed.
        ended.as_mut().enable();
        if self.state.load(Ordering::Acquire) & ENDED == 0 {
            ended.await;
        }
    }
}

/// Runs when the connection ends, also when it is cut: first the socket is gone, then this is dropped.
pub(super) struct Ending<F: FnOnce()> {
    life: Arc<Life>,
    closed: Option<F>,
}

impl<F: FnOnce()> Ending<F> {
    pub(super) fn new(life: &Arc<Life>, closed: F) -> Self {
        Self { life: Arc::clone(life), closed: Some(closed) }
    }
}

impl<F: FnOnce() + Send + 'static> Ending<F> {
    /// Run what has the socket, in a task; this is the end of it.
    pub(super) fn after(self, connection: impl Future<Output: Send> + Send + 'static) -> AbortHandle {
        let driver = async move {
            let _ending = self;
            connection.await;
        };
        tokio::spawn(driver).abort_handle()
    }
}

impl<F: FnOnce()> Drop for Ending<F> {
    fn drop(&mut self) {
        self.life.state.fetch_or(ENDED, Ordering::AcqRel);
        self.life.ended.notify_waiters();
        if let Some(closed) = self.closed.take() {
            closed();
        }
    }
}
