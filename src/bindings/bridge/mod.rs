//! The bridge from Rust futures to asyncio: an awaitable that every part of asyncio takes for a coroutine.
//!
//! `coroutine` is what Python sees, `protocol` its small print; its work is an `operation`. When that is not ready at once
//! it becomes a `job` on the runtime, for which the coroutine is `waiting`; the jobs that can go on stand in `line`. A
//! finished job leaves a key on the `queue` of its event loop, which is woken through a `bell` once for many results.
//! `caller` knows whose turn it was last. There `event_loop` completes the `waiter` that the key stands for among all `waiters`. No Python object ever gets to
//! the runtime's thread, and that thread never takes the GIL.

mod bell;
mod caller;
mod coroutine;
mod done;
mod event_loop;
mod job;
mod line;
mod operation;
mod protocol;
mod queue;
mod signal;
mod sync;
mod waiter;
mod waiters;
mod waiting;

pub use caller::caller;
pub use coroutine::{Coroutine, Start};
pub use done::done;
pub use event_loop::LoopBridge;
pub use line::{Line, Worker};
pub use operation::Finished;
pub use protocol::Release;
pub use queue::Flusher;
pub(in crate::bindings) use sync::lock;
