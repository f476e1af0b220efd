//! The one mapping from the engine's errors to Python's exceptions.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyString};

use super::json_in;
use crate::engine::classify::Suggestion;
use crate::engine::error::{Error, Facts, Kind, Phase};

/// The keyword arguments that an exception takes besides `error_code` and `details`.
enum Takes {
    Nothing,
    /// `chain_id`.
    Chain,
    /// `chain_id`, `phase`, `elapsed`.
    ChainTimeout,
    /// `phase`, `elapsed`, `retry_after`.
    LimiterTimeout,
    /// `retry_after`.
    RetryAfter,
    /// `chain_id`, `status`.
    Status,
    /// `chain_id`, `code`, `data`.
    Rpc,
    /// The same and `retry_after`.
    RpcRetryAfter,
    /// As `Rpc`, and `suggested`.
    RpcSuggested,
    /// As `Rpc`, and `reason`.
    RpcReason,
}

/// The class of each kind. There is no arm for the rest: a new kind does not compile until it is named here.
const fn class(kind: Kind) -> (&'static str, Takes) {
    match kind {
        Kind::Configuration => ("ConfigurationError", Takes::Nothing),
        Kind::LimiterTimeout => ("LimiterTimeoutError", Takes::LimiterTimeout),
        Kind::Security => ("SecurityError", Takes::Nothing),
        Kind::InvalidCredentials => ("InvalidCredentialsError", Takes::Nothing),
        Kind::Authentication => ("AuthenticationError", Takes::Nothing),
        Kind::RateLimitExceeded => ("RateLimitExceededError", Takes::RetryAfter),
        Kind::ChainConnection => ("ChainConnectionError", Takes::Chain),
        Kind::UnknownChain => ("UnknownChainError", Takes::Chain),
        Kind::ConnectTimeout => ("ConnectTimeoutError", Takes::ChainTimeout),
        Kind::Tls => ("TlsError", Takes::Chain),
        Kind::ChainMismatch => ("ChainMismatchError", Takes::Chain),
        Kind::NoHealthyEndpoint => ("NoHealthyEndpointError", Takes::Chain),
        Kind::PoolTimeout => ("PoolTimeoutError", Takes::ChainTimeout),
        Kind::TooManyWaiters => ("TooManyWaitersError", Takes::Chain),
        Kind::PoolClosed => ("PoolClosedError", Takes::Chain),
        Kind::ConnectionClosed => ("ConnectionClosedError", Takes::Chain),
        Kind::RequestTimeout => ("RequestTimeoutError", Takes::ChainTimeout),
        Kind::Protocol => ("ProtocolError", Takes::Chain),
        Kind::HttpStatus => ("HttpStatusError", Takes::Status),
        Kind::Rpc => ("RpcError", Takes::Rpc),
        Kind::ProviderRateLimit => ("ProviderRateLimitError", Takes::RpcRetryAfter),
        Kind::QuotaExhausted => ("QuotaExhaustedError", Takes::Rpc),
        Kind::RangeTooLarge => ("RangeTooLargeError", Takes::RpcSuggested),
        Kind::NodeBehind => ("NodeBehindError", Takes::Rpc),
        Kind::MethodNotSupported => ("MethodNotSupportedError", Takes::Rpc),
        Kind::ExecutionReverted => ("ExecutionRevertedError", Takes::RpcReason),
    }
}

/// The exception that an engine error is, with its cause.
pub fn to_py(py: Python<'_>, error: Error) -> PyErr {
    // What goes wrong while an exception is made is an exception too, and the better one to see.
    build(py, &error).unwrap_or_else(|error| error)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let (name, takes) = class(error.kind());
    let facts = error.facts();
    let keywords = PyDict::new(py);
    keywords.set_item("details", details(py, facts)?)?;
    match takes {
        Takes::Nothing => {}
        Takes::Chain => keywords.set_item("chain_id", facts.chain.as_deref())?,
        Takes::ChainTimeout => {
            keywords.set_item("chain_id", facts.chain.as_deref())?;
            timeout(&keywords, facts)?;
        }
        Takes::LimiterTimeout => {
            timeout(&keywords, facts)?;
            retry_after(&keywords, facts)?;
        }
        Takes::RetryAfter => retry_after(&keywords, facts)?,
        Takes::Status => {
            keywords.set_item("chain_id", facts.chain.as_deref())?;
            keywords.set_item("status", facts.status)?;
        }
        Takes::Rpc => rpc(py, &keywords, facts)?,
        Takes::RpcRetryAfter => {
            rpc(py, &keywords, facts)?;
            retry_after(&keywords, facts)?;
        }
        Takes::RpcSuggested => {
            rpc(py, &keywords, facts)?;
            keywords.set_item("suggested", facts.suggested.map(|given| suggested(py, given)).transpose()?)?;
        }
        Takes::RpcReason => {
            rpc(py, &keywords, facts)?;
            keywords.set_item("reason", facts.reason.as_deref())?;
        }
    }
    let exception = module(py)?.getattr(name)?.call((error.message(),), Some(&keywords))?;
    let exception = PyErr::from_value(exception);
    if let Some(cause) = error.cause() {
        exception.set_cause(py, Some(build(py, cause)?));
    } else if let Some(raised) = error.origin::<PyErr>() {
        exception.set_cause(py, Some(raised.clone_ref(py)));
    }
    Ok(exception)
}

fn timeout(keywords: &Bound<'_, PyDict>, facts: &Facts) -> PyResult<()> {
    keywords.set_item("phase", facts.phase.map(Phase::name))?;
    keywords.set_item("elapsed", facts.elapsed.map(|elapsed| elapsed.as_secs_f64()))
}

fn retry_after(keywords: &Bound<'_, PyDict>, facts: &Facts) -> PyResult<()> {
    keywords.set_item("retry_after", facts.retry_after.map(|wait| wait.as_secs_f64()))
}

fn rpc(py: Python<'_>, keywords: &Bound<'_, PyDict>, facts: &Facts) -> PyResult<()> {
    keywords.set_item("chain_id", facts.chain.as_deref())?;
    keywords.set_item("code", facts.code)?;
    // Data that cannot be read is no reason to lose the error it came with.
    let data = facts.data.as_ref().and_then(|data| json_in::to_python(py, data).ok());
    keywords.set_item("data", data)
}

/// A pair of blocks, or a number of them.
fn suggested(py: Python<'_>, given: Suggestion) -> PyResult<Bound<'_, PyAny>> {
    match given {
        Suggestion::Blocks(first, last) => (first, last).into_pyobject(py).map(Bound::into_any),
        Suggestion::Width(blocks) => Ok(blocks.into_pyobject(py)?.into_any()),
    }
}

/// Everything known, as a plain dictionary.
fn details<'py>(py: Python<'py>, facts: &Facts) -> PyResult<Bound<'py, PyDict>> {
    let details = PyDict::new(py);
    let put = |name: &str, value: Option<Bound<'py, PyAny>>| match value {
        Some(value) => details.set_item(name, value),
        None => Ok(()),
    };
    let text = |text: &str| PyString::new(py, text).into_any();
    let seconds = |time: std::time::Duration| pyo3::types::PyFloat::new(py, time.as_secs_f64()).into_any();
    put("chain_id", facts.chain.as_deref().map(text))?;
    put("argument", facts.argument.map(text))?;
    put("phase", facts.phase.map(|phase| text(phase.name())))?;
    put("elapsed", facts.elapsed.map(seconds))?;
    put("retry_after", facts.retry_after.map(seconds))?;
    put("status", facts.status.map(|status| status.into_pyobject(py).map(Bound::into_any)).transpose()?)?;
    put("code", facts.code.map(|code| code.into_pyobject(py).map(Bound::into_any)).transpose()?)?;
    put("message", facts.words.as_deref().map(text))?;
    put("class", facts.class.map(|class| text(class.name())))?;
    Ok(details)
}

/// The module of the exceptions. It imports nothing of this package, so it can be imported at any time.
fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let import = || py.import("genesis_replicator.exceptions").map(Bound::unbind);
    Ok(MODULE.get_or_try_init(py, import)?.bind(py))
}
