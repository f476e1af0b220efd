//! What the methods of `ChainManager` do: the class names and documents them, this makes their awaitables.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::ChainManager;
use crate::bindings::arguments::{self, RouteOptions};
use crate::bindings::bridge::{Coroutine, Start};
use crate::bindings::decode::Decode;
use crate::bindings::endpoints::ChainOptions;
use crate::bindings::errors::to_py;
use crate::bindings::logs::{LogStream, Search};
use crate::bindings::metrics::{MetricsCollector, to_dict};
use crate::bindings::place::place;
use crate::bindings::stream::{Plan, Stream};
use crate::bindings::subscription::{self, Subscription};
use crate::bindings::{answers, connection, listing, logging};
use crate::engine::chain::{LogFilter, LogOptions, Many, Topic};
use crate::engine::{config, error};

/// How many calls are made, and what becomes of one that fails.
pub struct ManyOptions {
    pub concurrency: Option<i64>,
    pub timeout: Option<f64>,
    pub return_exceptions: bool,
}

impl ManyOptions {
    fn in_flight(&self) -> error::Result<Option<usize>> {
        self.concurrency.map(|most| config::count("concurrency", most, 1)).transpose()
    }
}

impl ChainManager {
    /// Starts, and gives `value`.
    pub(super) fn starting(
        &self,
        py: Python<'_>,
        name: &'static str,
        value: Py<PyAny>,
    ) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let metrics = self.metrics.as_ref().map(|metrics| metrics.clone_ref(py));
        let begin = async move {
            manager.start();
            Ok(())
        };
        let finish = move |py: Python<'_>, ()| {
            logging::refresh(py)?;
            metrics.map_or(Ok(()), |metrics| MetricsCollector::watch(&metrics, py))?;
            answers::none(py, ())
        };
        Ok(Coroutine::new(name, Start::Poll, begin, finish).giving(value))
    }

    pub(super) fn stopping(&self, py: Python<'_>, name: &'static str, timeout: f64) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        Ok(Coroutine::checked(name, || {
            let timeout = config::seconds("timeout", timeout).map_err(|error| to_py(py, error))?;
            let stop = async move {
                manager.stop(timeout).await;
                manager.log().delivered(logging::PATIENCE).await;
                Ok(())
            };
            Ok(Coroutine::new(name, Start::Poll, stop, answers::none))
        }))
    }

    pub(super) fn connecting(
        &self,
        py: Python<'_>,
        chain_id: String,
        route: RouteOptions<'_, '_>,
        chain: &ChainOptions<'_, '_>,
        timeout: Option<f64>,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "ChainManager.connect_to_chain";
        let manager = self.engine()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let config = chain.config(py, route)?;
            // Where Python is asked for credentials the runtime must know for whom: at the first poll it does not.
            let asks_python =
                config.endpoints.iter().any(|endpoint| endpoint.route.target.renewal().is_some());
            let start = if asks_python { Start::Spawn } else { Start::Poll };
            let connect = async move {
                let timeout = config::timeout(timeout)?;
                manager.connect(&chain_id, config, timeout).await
            };
            Ok(Coroutine::new(NAME, start, connect, |py, connected| {
                connected.commit().map_err(|error| to_py(py, error))?;
                answers::boolean(py, true)
            }))
        }))
    }

    pub(super) fn disconnecting(&self, chain_id: String) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let disconnect = async move { manager.disconnect(&chain_id) };
        Ok(Coroutine::new("ChainManager.disconnect_from_chain", Start::Poll, disconnect, answers::none))
    }

    pub(super) fn listing(&self) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let labels = async move { manager.labels() };
        Ok(Coroutine::new("ChainManager.get_connected_chains", Start::Poll, labels, |py, labels| {
            Ok(PyList::new(py, labels)?.into_any().unbind())
        }))
    }

    pub(super) fn asking_status(&self, chain_id: String) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let label = chain_id.clone();
        let status = async move {
            let chain = manager.chain(&chain_id)?;
            Ok(chain.status().await)
        };
        Ok(Coroutine::new("ChainManager.get_chain_status", Start::Spawn, status, move |py, status| {
            Ok(answers::status(py, &label, &status)?.into_any().unbind())
        }))
    }

    pub(super) fn leasing(
        &self,
        py: Python<'_>,
        chain_id: String,
        timeout: Option<f64>,
    ) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let place = place(py);
        let lease = async move {
            let timeout = config::timeout(timeout)?;
            let chain = manager.chain(&chain_id)?;
            chain.connection(timeout, place).await
        };
        let coroutine = Coroutine::new("ChainManager.get_connection", Start::Poll, lease, connection::wrap);
        Ok(coroutine.with_release(connection::release))
    }

    pub(super) fn requesting(
        &self,
        py: Python<'_>,
        chain_id: String,
        (method, params): (&str, Option<&Bound<'_, PyAny>>),
        timeout: Option<f64>,
        decode: &str,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "ChainManager.request";
        let manager = self.engine()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let request = arguments::request(py, method, params)?;
            let decode = Decode::parse(py, decode)?;
            let call = async move {
                let timeout = config::timeout(timeout)?;
                manager.request(&chain_id, &request, timeout).await
            };
            Ok(Coroutine::new(NAME, Start::Spawn, call, decode.finish()))
        }))
    }

    pub(super) fn requesting_many(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        options: ManyOptions,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "ChainManager.request_many";
        let manager = self.engine()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let requests = arguments::requests(py, calls)?;
            let return_exceptions = options.return_exceptions;
            let run = async move {
                let timeout = config::timeout(options.timeout)?;
                let concurrency = options.in_flight()?;
                let many = Many { requests, concurrency, timeout, fail_fast: !return_exceptions };
                manager.request_many(&chain_id, many).await
            };
            Ok(Coroutine::new(NAME, Start::Spawn, run, listing::list(return_exceptions)))
        }))
    }

    pub(super) fn batching(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        return_exceptions: bool,
    ) -> PyResult<Coroutine> {
        const NAME: &str = "ChainManager.batch";
        let manager = self.engine()?.clone();
        Ok(Coroutine::checked(NAME, || {
            let requests = arguments::requests(py, calls)?;
            let run = async move {
                let timeout = config::timeout(timeout)?;
                Ok(manager.chain(&chain_id)?.batch(&requests, timeout).await)
            };
            Ok(Coroutine::new(NAME, Start::Spawn, run, listing::list(return_exceptions)))
        }))
    }

    pub(super) fn streaming(
        &self,
        py: Python<'_>,
        chain_id: String,
        calls: &Bound<'_, PyAny>,
        options: &ManyOptions,
    ) -> PyResult<Stream> {
        let plan = Plan {
            manager: self.engine()?.clone(),
            chain_id,
            concurrency: options.in_flight().map_err(|error| to_py(py, error))?,
            timeout: config::timeout(options.timeout).map_err(|error| to_py(py, error))?,
            return_exceptions: options.return_exceptions,
        };
        Stream::new(plan, calls)
    }

    /// A search for logs; `each` and `together` are timeouts.
    pub(super) fn searching(
        &self,
        py: Python<'_>,
        chain_id: String,
        filter: &Bound<'_, PyAny>,
        concurrency: Option<i64>,
        (each, together): (Option<f64>, Option<f64>),
    ) -> PyResult<LogStream> {
        let params = PyList::new(py, [filter])?;
        let request = arguments::request(py, "eth_getLogs", Some(params.as_any()))?;
        let options = || {
            Ok(LogOptions {
                concurrency: concurrency.map(|most| config::count("concurrency", most, 1)).transpose()?,
                each: config::timeout(each)?,
                together: config::timeout(together)?,
            })
        };
        let raise = |error| to_py(py, error);
        Ok(LogStream::new(Search {
            manager: self.engine()?.clone(),
            chain_id,
            filter: LogFilter::new(request.params()).map_err(raise)?,
            options: options().map_err(raise)?,
        }))
    }

    pub(super) fn subscribing(
        &self,
        py: Python<'_>,
        chain_id: String,
        (kind, params): (String, Option<&Bound<'_, PyAny>>),
        unsubscribe: Option<String>,
        buffer: i64,
    ) -> PyResult<Subscription> {
        let raise = |error| to_py(py, error);
        let request = arguments::request(py, "eth_subscribe", params)?;
        let buffer = config::count("buffer", buffer, 1).map_err(raise)?;
        let topic = Topic::new(kind, request.params(), unsubscribe, buffer).map_err(raise)?;
        Ok(Subscription::new(subscription::Plan { manager: self.engine()?.clone(), chain_id, topic }))
    }

    pub(super) fn verifying(&self, chain_id: String) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let verify = async move {
            let chain = manager.chain(&chain_id)?;
            chain.verify_credentials().await
        };
        Ok(Coroutine::new("ChainManager.verify_credentials", Start::Spawn, verify, answers::boolean))
    }

    pub(super) fn reading_metrics(&self, chain_id: Option<String>) -> PyResult<Coroutine> {
        let manager = self.engine()?.clone();
        let metrics = async move { manager.pool_metrics(chain_id.as_deref()) };
        Ok(Coroutine::new("ChainManager.get_pool_metrics", Start::Poll, metrics, |py, value| {
            to_dict(py, &value)
        }))
    }
}
