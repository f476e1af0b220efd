//! `ConnectionPool`.

use pyo3::prelude::*;

use super::arguments::{self, RouteOptions};
use super::bridge::{Coroutine, Start};
use super::errors::to_py;
use super::metrics::to_dict;
use super::place::place;
use super::process::Owned;
use super::{answers, connection, logging};
use crate::engine::config;
use crate::engine::metrics::{Pools, Scopes};
use crate::engine::pool::{Connection as Leased, Gate, Parts, Pool, Settings};
use crate::engine::transport::Dialer;

/// Connections to one endpoint, usable without a manager. Nothing is opened before the first `acquire`.
///
/// Args:
///     endpoint: The node's URL: http, https, ws, wss or ipc.
///     credentials: As for `ChainManager.connect_to_chain`, like all options that are not named here.
///     max_connections: The most connections at a time, 10 by default.
///     min_connections: How many to keep open once the pool is used, 0 by default.
///     acquire_timeout: Seconds to wait for a free connection, 30 by default.
///     max_waiting: How many callers may wait; one more is refused at once. No limit by default.
///     max_lifetime: Seconds that a connection lives, up to a twentieth less by chance; 3600 by default.
///     idle_timeout: Seconds after which an idle connection above `min_connections` is closed; 15 by default, below
///         the 60 s or so after which servers close it.
///     leak_threshold: Seconds after which the log names who holds a connection; 60 by default.
///
/// Raises:
///     ConfigurationError: An argument is not usable.
///     SecurityError: The credentials cannot be right, or would travel unprotected.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct ConnectionPool(Owned<Pool>);

#[pymethods]
impl ConnectionPool {
    #[new]
    #[pyo3(signature = (
        endpoint, credentials=None, *, max_connections=10, min_connections=0, acquire_timeout=30.0, max_waiting=None,
        max_lifetime=3600.0, idle_timeout=15.0, leak_threshold=60.0, headers=None, proxy=None, trust_env=false,
        ca=None, client_cert=None, allow_plaintext=false, address_policy=None, max_response_bytes=67_108_864,
        error_rules=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        endpoint: &Bound<'_, PyAny>,
        credentials: Option<&Bound<'_, PyAny>>,
        max_connections: i64,
        min_connections: i64,
        acquire_timeout: f64,
        max_waiting: Option<i64>,
        max_lifetime: f64,
        idle_timeout: f64,
        leak_threshold: f64,
        headers: Option<&Bound<'_, PyAny>>,
        proxy: Option<&Bound<'_, PyAny>>,
        trust_env: bool,
        ca: Option<&Bound<'_, PyAny>>,
        client_cert: Option<&Bound<'_, PyAny>>,
        allow_plaintext: bool,
        address_policy: Option<&Bound<'_, PyAny>>,
        max_response_bytes: i64,
        error_rules: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let raise = |error| to_py(py, error);
        let max_connections = config::max_connections(max_connections).map_err(raise)?;
        let settings = Settings {
            acquire_timeout: config::seconds("acquire_timeout", acquire_timeout).map_err(raise)?,
            min_connections: config::count("min_connections", min_connections, 0).map_err(raise)?,
            max_waiting: max_waiting
                .map(|most| config::count("max_waiting", most, 0))
                .transpose()
                .map_err(raise)?,
            max_lifetime: config::seconds("max_lifetime", max_lifetime).map_err(raise)?,
            idle_timeout: config::seconds("idle_timeout", idle_timeout).map_err(raise)?,
            leak_threshold: config::seconds("leak_threshold", leak_threshold).map_err(raise)?,
            ..Settings::default()
        };
        if settings.min_connections > max_connections {
            return Err(arguments::bad(py, "min_connections", "must not be more than max_connections"));
        }
        let options = RouteOptions {
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
        let parts = Parts {
            label: None,
            dialer: Dialer::new(options.route(py)?).map_err(raise)?,
            gate: Gate::new(max_connections),
            scopes: Scopes::alone(std::sync::Arc::default()),
            log: logging::log(),
            quota: None,
            collector: None,
            settings,
        };
        Ok(Self(Owned::new(Pool::new(parts).map_err(raise)?)))
    }

    /// Take a connection: `conn = await pool.acquire()`, or `async with pool.acquire() as conn`.
    ///
    /// Args:
    ///     timeout: Seconds to wait; the pool's `acquire_timeout` by default.
    ///
    /// Raises:
    ///     PoolTimeoutError: None came free in time.
    ///     TooManyWaitersError: `max_waiting` callers wait already.
    ///     PoolClosedError: The pool is closed.
    #[pyo3(signature = (timeout=None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Coroutine> {
        let pool = self.0.get()?.clone();
        logging::begin(py)?;
        let place = place(py);
        let lease = async move {
            let lease = pool.lease(config::timeout(timeout)?).await?;
            Leased::new(&pool, lease, place)
        };
        let coroutine = Coroutine::new("ConnectionPool.acquire", Start::Poll, lease, connection::wrap);
        Ok(coroutine.with_release(connection::release))
    }

    /// Change the most connections. A smaller pool closes what is idle now and the rest as it comes back.
    fn resize(&self, py: Python<'_>, max_connections: i64) -> PyResult<Coroutine> {
        const NAME: &str = "ConnectionPool.resize";
        let pool = self.0.get()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let count = config::max_connections(max_connections).map_err(|error| to_py(py, error))?;
            let resize = async move {
                pool.resize(count);
                Ok(())
            };
            Ok(Coroutine::new(NAME, Start::Poll, resize, answers::none))
        }))
    }

    /// Replace every connection: idle ones are closed now, the others when they come back.
    fn drain(&self) -> PyResult<Coroutine> {
        let pool = self.0.get()?.clone();
        let drain = async move {
            pool.drain();
            Ok(())
        };
        Ok(Coroutine::new("ConnectionPool.drain", Start::Poll, drain, answers::none))
    }

    /// Close the pool: who waits is refused, connections have `timeout` seconds to come back and are then cut.
    #[pyo3(signature = (timeout=5.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<Coroutine> {
        self.closing(py, "ConnectionPool.close", timeout)
    }

    /// What the pool counts; the keys of `ChainManager.get_pool_metrics`.
    fn get_metrics(&self) -> PyResult<Coroutine> {
        let pool = self.0.get()?.clone();
        let metrics = async move {
            let all = std::sync::Arc::clone(pool.scopes().own());
            Ok(Pools { max_connections: pool.max_connections() as u64, all, chains: Vec::new() }.snapshot())
        };
        let finish = |py: Python<'_>, value| to_dict(py, &value);
        Ok(Coroutine::new("ConnectionPool.get_metrics", Start::Poll, metrics, finish))
    }

    fn __aenter__(slf: Bound<'_, Self>) -> PyResult<Coroutine> {
        logging::refresh(slf.py())?;
        Ok(Coroutine::ready("ConnectionPool.__aenter__", slf.into_any().unbind()))
    }

    fn __aexit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> PyResult<Coroutine> {
        self.closing(py, "ConnectionPool.__aexit__", 5.0)
    }

    fn __repr__(&self) -> PyResult<String> {
        let pool = self.0.get()?;
        Ok(format!("<ConnectionPool to {} max_connections={}>", pool.target(), pool.max_connections()))
    }
}

impl ConnectionPool {
    fn closing(&self, py: Python<'_>, name: &'static str, timeout: f64) -> PyResult<Coroutine> {
        let pool = self.0.get()?.clone();
        Ok(Coroutine::checked(name, || {
            let timeout = config::seconds("timeout", timeout).map_err(|error| to_py(py, error))?;
            let close = async move {
                pool.close(timeout).await;
                Ok(())
            };
            Ok(Coroutine::new(name, Start::Poll, close, answers::none))
        }))
    }
}
