//! The Python face of the engine: everything that `genesis_replicator._native` exports, and nothing else.
//!
//! Arguments, awaitables, results and errors are translated here; nothing is decided.

#![allow(clippy::doc_markdown, reason = "the docstrings are for Python, in Google's form")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "what Python hands over, and what is done with it, are owned"
)]

mod answers;
mod arguments;
mod bridge;
mod connection;
mod decode;
mod endpoints;
mod errors;
mod json_in;
mod json_out;
mod lazy;
mod limiter;
mod listing;
mod logging;
mod logs;
mod manager;
mod metrics;
mod place;
mod pool;
mod process;
mod renewal;
mod runtime;
mod security;
mod security_event;
mod sharing;
mod staged;
mod stream;
mod subscription;
mod turn;

/// Jobs are allocated on Python's threads and freed on ours, which glibc's allocator serializes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::bridge::Coroutine;
    #[pymodule_export]
    use super::connection::Connection;
    #[pymodule_export]
    use super::lazy::{LazyMapping, LazySequence};
    #[pymodule_export]
    use super::limiter::RateLimiter;
    #[pymodule_export]
    use super::logs::LogStream;
    #[pymodule_export]
    use super::manager::ChainManager;
    #[pymodule_export]
    use super::metrics::MetricsCollector;
    #[pymodule_export]
    use super::pool::ConnectionPool;
    #[pymodule_export]
    use super::security::{KeyedRateLimiter, RateLimitDecision, explain_credentials, validate_credentials};
    #[pymodule_export]
    use super::security_event::SecurityEvent;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::subscription::Subscription;
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn register(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        super::process::refuse_subinterpreters(module.py())?;
        super::lazy::register(module.py())
    }
}
