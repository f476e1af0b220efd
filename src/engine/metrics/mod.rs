//! What the engine counts and measures, and how it is shown.
//!
//! `Counters` belong to one scope (`levels`, `counters`, `histogram`); `Scopes` and its guards count one
//! event in a chain and in its manager at once; `snapshot` shows them. `Collector` is the user's own book of
//! durations and errors, with alerts and a Prometheus page; it may be attached to managers and then shows
//! their pools too.

mod alerts;
mod collector;
mod counters;
mod histogram;
mod levels;
mod named;
mod process;
mod prometheus;
mod recent;
mod report;
mod retry;
mod scopes;
mod snapshot;
mod sources;

pub use alerts::{AlertId, Fired};
pub use collector::Collector;
pub use counters::{CloseCause, Counters, Event, Gauge, Latency};
pub use histogram::{Histogram, Summary};
pub use levels::{Level, LevelCounts, Levels};
pub use process::Process;
pub use retry::Why;
pub use scopes::{Held, Member, Portion, Scopes, finish_call};
pub use snapshot::{Pools, Value, error_answers, pool_snapshot};
pub use sources::Source;

/// A count as a measure.
#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may lose its last digits")]
const fn float(count: u64) -> f64 {
    count as f64
}
