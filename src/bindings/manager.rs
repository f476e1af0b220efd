//! `ChainManager`.

mod calls;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::arguments::RouteOptions;
use super::bridge::Coroutine;
use super::endpoints::ChainOptions;
use super::errors::to_py;
use super::logging;
use super::logs::LogStream;
use super::metrics::MetricsCollector;
use super::process::Owned;
use super::stream::Stream;
use super::subscription::Subscription;
use crate::engine::config;
use crate::engine::manager::Manager;
use crate::engine::pool::Settings;
use calls::ManyOptions;

/// Connections to chains, by labels of your own.
///
/// It is used as `async with ChainManager() as manager:`, or between `await manager.start()` and `await
/// manager.stop()`. Tasks, event loops and threads may share it.
///
/// Args:
///     max_connections: The most network connections at a time over all chains, 10 by default.
///     acquire_timeout: Seconds to wait for a free connection, 30 by default, `math.inf` for ever.
///     request_timeout: Seconds that a call may take in all, 30 by default, `math.inf` for ever.
///     metrics: A `MetricsCollector` to feed with the duration and the errors of every request.
///
/// Raises:
///     ConfigurationError: An argument is out of its range, or more connections than the process may have open files.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct ChainManager {
    manager: Owned<Manager>,
    metrics: Option<Py<MetricsCollector>>,
}

#[pymethods]
impl ChainManager {
    #[new]
    #[pyo3(signature = (max_connections=10, *, acquire_timeout=30.0, request_timeout=30.0, metrics=None))]
    fn new(
        py: Python<'_>,
        max_connections: i64,
        acquire_timeout: f64,
        request_timeout: f64,
        metrics: Option<Py<MetricsCollector>>,
    ) -> PyResult<Self> {
        let raise = |error| to_py(py, error);
        let settings = Settings {
            acquire_timeout: config::seconds("acquire_timeout", acquire_timeout).map_err(raise)?,
            request_timeout: config::seconds("request_timeout", request_timeout).map_err(raise)?,
            ..Settings::default()
        };
        let max_connections = config::max_connections(max_connections).map_err(raise)?;
        let collector = metrics.as_ref().map(|metrics| metrics.get().engine()).transpose()?;
        let manager = Manager::new(max_connections, settings, collector, logging::log());
        Ok(Self { manager: Owned::new(manager), metrics })
    }

    /// Begin to work. Starting twice does nothing; a stopped manager starts anew.
    fn start(&self, py: Python<'_>) -> PyResult<Coroutine> {
        self.starting(py, "ChainManager.start", py.None())
    }

    /// Stop: who waits is refused, calls in flight have `timeout` seconds to end, then every connection is closed.
    ///
    /// Args:
    ///     timeout: Seconds, 5 by default. Stopping twice does nothing.
    #[pyo3(signature = (timeout=5.0))]
    fn stop(&self, py: Python<'_>, timeout: f64) -> PyResult<Coroutine> {
        self.stopping(py, "ChainManager.stop", timeout)
    }

    fn __aenter__(slf: Bound<'_, Self>) -> PyResult<Coroutine> {
        slf.get().starting(slf.py(), "ChainManager.__aenter__", slf.clone().into_any().unbind())
    }

    fn __aexit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<Coroutine> {
        self.stopping(py, "ChainManager.__aexit__", 5.0)
    }

    #[doc = include_str!("manager/connect_to_chain.txt")]
    #[pyo3(signature = (
        chain_id, endpoint, credentials=None, *, timeout=None, network_id=None, rate_limit=None, headers=None,
        proxy=None, trust_env=false, ca=None, client_cert=None, allow_plaintext=false, address_policy=None,
        max_response_bytes=67_108_864, error_rules=None, retries=2, hedging=true, max_lag=None, safe_methods=None,
        cache=None, batch_window=None, batch_size=100
    ))]
    #[allow(clippy::too_many_arguments)]
    fn connect_to_chain(
        &self,
        py: Python<'_>,
        chain_id: String,
        endpoint: &Bound<'_, PyAny>,
        credentials: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        network_id: Option<&Bound<'_, PyAny>>,
        rate_limit: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        proxy: Option<&Bound<'_, PyAny>>,
        trust_env: bool,
        ca: Option<&Bound<'_, PyAny>>,
        client_cert: Option<&Bound<'_, PyAny>>,
        allow_plaintext: bool,
        address_policy: Option<&Bound<'_, PyAny>>,
        max_response_bytes: i64,
        error_rules: Option<&Bound<'_, PyAny>>,
        retries: i64,
        hedging: bool,
        max_lag: Option<i64>,
        safe_methods: Option<&Bound<'_, PyAny>>,
        cache: Option<&Bound<'_, PyAny>>,
        batch_window: Option<f64>,
        batch_size: i64,
    ) -> PyResult<Coroutine> {
        let route = RouteOptions {
            endpoint,
            credentials,
            headers,
            proxy,
            trust_env,
            ca,
            client_cert,
            allow_plaintext,
            address_policy,
            max_response_bytes,
            error_rules,
        };
        let chain = ChainOptions {
            network_id,
            rate_limit,
            retries,
            hedging,
            max_lag,
            safe_methods,
            cache,
            batch_window,
            batch_size,
        };
        self.connecting(py, chain_id, route, &chain, timeout)
    }

    /// Forget a chain and close its connections; calls under way end by themselves.
    ///
    /// Raises:
    ///     UnknownChainError: The label is not connected.
    fn disconnect_from_chain(&self, chain_id: String) -> PyResult<Coroutine> {
        self.disconnecting(chain_id)
    }

    /// The labels of the connected chains, in order.
    fn get_connected_chains(&self) -> PyResult<Coroutine> {
        self.listing()
    }

    #[doc = include_str!("manager/get_chain_status.txt")]
    fn get_chain_status(&self, chain_id: String) -> PyResult<Coroutine> {
        self.asking_status(chain_id)
    }

    /// Take a connection for yourself: `conn = await manager.get_connection(c)` and later `await conn.close()`, or
    /// `async with manager.get_connection(c) as conn`.
    ///
    /// Args:
    ///     chain_id: The label.
    ///     timeout: Seconds to wait; the manager's `acquire_timeout` by default.
    ///
    /// Raises:
    ///     UnknownChainError: The label is not connected.
    ///     PoolTimeoutError: None came free in time.
    #[pyo3(signature = (chain_id, *, timeout=None))]
    fn get_connection(&self, py: Python<'_>, chain_id: String, timeout: Option<f64>) -> PyResult<Coroutine> {
        self.leasing(py, chain_id, timeout)
    }

    /// Make one JSON-RPC call on a pooled connection.
    ///
    /// Args:
    ///     chain_id: The label.
    ///     method: Such as `"eth_blockNumber"`.
    ///     params: Anything that `json.dumps` takes; `bytes` become `0x…`.
    ///     timeout: Seconds for all of it; the manager's `request_timeout` by default.
    ///     decode: `"json"` for Python objects, `"raw"` for the text as bytes, `"lazy"` for objects made when touched.
    ///
    /// Returns:
    ///     The `result`.
    ///
    /// Raises:
    ///     RpcError: The node answered with an error.
    ///     RequestTimeoutError: The time is up; its `phase` says what took it.
    ///     PoolTimeoutError: The wait for a connection took all of it.
    ///     ProtocolError: The answer is not a valid one.
    #[pyo3(
        signature = (chain_id, method, params=None, *, timeout=None, decode="json"),
        text_signature = "($self, chain_id, method, params=(), *, timeout=None, decode='json')"
    )]
    fn request(
        &self,
        py: Python<'_>,
        chain_id: String,
        method: &str,
        params: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        decode: &str,
    ) -> PyResult<Coroutine> {
        self.requesting(py, chain_id, (method, params), timeout, decode)
    }

    /// Make many calls, a fixed number of them in flight.
    ///
    /// Args:
    ///     chain_id: The label.
    ///     calls: Pairs of a method and its parameters.
    ///     concurrency: How many may be in flight; by default 64, or `max_connections` if that is more.
    ///     timeout: Seconds for all of them together; by default each has the manager's `request_timeout`.
    ///     return_exceptions: Whether a failed call gives its exception in its place, instead of ending the others.
    ///
    /// Returns:
    ///     The results, in the order of the calls.
    #[pyo3(signature = (chain_id, calls, *, concurrency=None, timeout=None, return_exceptions=false))]
    fn request_many(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        concurrency: Option<i64>,
        timeout: Option<f64>,
        return_exceptions: bool,
    ) -> PyResult<Coroutine> {
        let options = ManyOptions { concurrency, timeout, return_exceptions };
        self.requesting_many(py, chain_id, calls, options)
    }

    /// Make several calls in one HTTP request, or in as few as the endpoints take; where one fails another is asked.
    ///
    /// A batch that is refused as too large is made in parts, and the size is remembered. To rate limits each call
    /// counts. A read that fails in a way that may pass is made again by itself, as `retries` and its budget allow. What
    /// changes something at a node is sent once, unless it was turned away; a signed transaction whose answer was lost is
    /// looked up by its hash. What was answered by the deadline is given, whatever the rest comes to.
    ///
    /// Args:
    ///     chain_id: The label.
    ///     calls: Pairs of a method and its parameters.
    ///     timeout: Seconds for all of it; the manager's `request_timeout` by default.
    ///     return_exceptions: Whether a failed call gives its exception in its place, instead of raising it.
    ///
    /// Returns:
    ///     The results, in the order of the calls.
    #[pyo3(signature = (chain_id, calls, *, timeout=None, return_exceptions=false))]
    fn batch(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        return_exceptions: bool,
    ) -> PyResult<Coroutine> {
        self.batching(py, chain_id, calls, timeout, return_exceptions)
    }

    #[doc = include_str!("manager/stream.txt")]
    #[pyo3(signature = (chain_id, calls, *, concurrency=None, timeout=None, return_exceptions=false))]
    fn stream(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        concurrency: Option<i64>,
        timeout: Option<f64>,
        return_exceptions: bool,
    ) -> PyResult<Stream> {
        let options = ManyOptions { concurrency, timeout, return_exceptions };
        self.streaming(py, chain_id, calls, &options)
    }

    #[doc = include_str!("manager/stream_logs.txt")]
    #[pyo3(signature = (chain_id, filter_params, *, concurrency=None, timeout=None))]
    fn stream_logs(
        &self,
        py: Python<'_>,
        chain_id: String,
        filter_params: &Bound<'_, PyAny>,
        concurrency: Option<i64>,
        timeout: Option<f64>,
    ) -> PyResult<LogStream> {
        self.searching(py, chain_id, filter_params, concurrency, (timeout, None))
    }

    /// All logs of any number of blocks, as one list: what `stream_logs` gives.
    ///
    /// Args:
    ///     chain_id: The label.
    ///     filter_params: As for `stream_logs`.
    ///     on_progress: Called with the number of blocks that are searched, and with that of all of them.
    ///     concurrency: How many requests may be under way, 8 by default.
    ///     timeout: Seconds for all of it; by default each request has the manager's `request_timeout`.
    ///
    /// Raises:
    ///     As `stream_logs`.
    #[pyo3(signature = (chain_id, filter_params, *, on_progress=None, concurrency=None, timeout=None))]
    fn get_logs<'py>(
        &self,
        py: Python<'py>,
        chain_id: String,
        filter_params: &Bound<'py, PyAny>,
        on_progress: Option<&Bound<'py, PyAny>>,
        concurrency: Option<i64>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.searching(py, chain_id, filter_params, concurrency, (None, timeout)) {
            Ok(pieces) => {
                py.import("genesis_replicator._logs")?.getattr("collect")?.call1((pieces, on_progress))
            }
            Err(error) => Ok(Coroutine::failed("ChainManager.get_logs", error).into_pyobject(py)?.into_any()),
        }
    }

    #[doc = include_str!("manager/subscribe.txt")]
    #[pyo3(signature = (chain_id, kind, params=None, *, unsubscribe=None, buffer=1024))]
    fn subscribe(
        &self,
        py: Python<'_>,
        chain_id: String,
        kind: String,
        params: Option<&Bound<'_, PyAny>>,
        unsubscribe: Option<String>,
        buffer: i64,
    ) -> PyResult<Subscription> {
        self.subscribing(py, chain_id, (kind, params), unsubscribe, buffer)
    }

    /// Ask the node whether it accepts the credentials.
    ///
    /// Returns:
    ///     `False` when it refuses them.
    ///
    /// Raises:
    ///     ChainConnectionError: It could not be asked.
    fn verify_credentials(&self, chain_id: String) -> PyResult<Coroutine> {
        self.verifying(chain_id)
    }

    /// What the manager counts: connections by what they do, waits, requests, errors, latencies, the process.
    ///
    /// Args:
    ///     chain_id: A label, for that chain alone.
    ///
    /// Returns:
    ///     A dictionary; `pool_utilization` is the percentage of `max_connections` in use, `chains` the same by label.
    #[pyo3(signature = (chain_id=None))]
    fn get_pool_metrics(&self, chain_id: Option<String>) -> PyResult<Coroutine> {
        self.reading_metrics(chain_id)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.metrics)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<ChainManager max_connections={}>", self.engine()?.max_connections()))
    }
}

impl ChainManager {
    fn engine(&self) -> PyResult<&Manager> {
        self.manager.get()
    }
}
