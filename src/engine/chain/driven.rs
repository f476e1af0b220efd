//! Work that a task of the runtime drives while nobody waits for it.
//!
//! It is held under a lock: whoever ends it takes it out and drops it, and when that returns, all that it held is free.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::task::AbortHandle;

use crate::engine::lock::lock;

type Work = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;

/// Work under way. Dropping it ends the work.
pub(super) struct Driven {
    work: Arc<Work>,
    task: AbortHandle,
}

impl Driven {
    /// Begin `work`. A runtime must be there; if it stops, or the work panics, `lost` is called.
    pub(super) fn new(
        work: impl Future<Output = ()> + Send + 'static,
        lost: impl Fn() + Send + Unpin + 'static,
    ) -> Self {
        let work: Arc<Work> = Arc::new(Mutex::new(Some(Box::pin(work))));
        let task = tokio::spawn(Driver { work: Arc::clone(&work), lost }).abort_handle();
        Self { work, task }
    }

    /// End it now.
    pub(super) fn end(&self) {
        let work = take(&self.work);
        drop(work);
        self.task.abort();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.end();
    }
}

/// The work as the runtime sees it.
struct Driver<L: Fn()> {
    work: Arc<Work>,
    lost: L,
}

impl<L: Fn() + Unpin> Future for Driver<L> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut slot = lock(&self.work);
        let Some(work) = slot.as_mut() else { return Poll::Ready(()) };
        let state = work.as_mut().poll(context);
        if state.is_ready() {
            *slot = None;
        }
        state
    }
}

impl<L: Fn()> Drop for Driver<L> {
    fn drop(&mut self) {
        if take(&self.work).is_some() {
            (self.lost)();
        }
    }
}

/// Takes it out. It is dropped when the lock is free again.
fn take(work: &Work) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
    lock(work).take()
}
