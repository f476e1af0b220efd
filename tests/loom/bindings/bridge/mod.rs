//! The bridge's own files, and stand-ins for their neighbours.

pub mod bell;
pub mod operation;
mod sync;

#[allow(dead_code, reason = "what only Python's side calls")]
#[path = "../../../../src/bindings/bridge/caller.rs"]
mod caller;
#[allow(dead_code, reason = "what only Python's side calls")]
#[path = "../../../../src/bindings/bridge/job.rs"]
pub mod job;
#[path = "../../../../src/bindings/bridge/line.rs"]
pub mod line;
#[allow(dead_code)]
#[path = "../../../../src/bindings/bridge/queue.rs"]
pub mod queue;
