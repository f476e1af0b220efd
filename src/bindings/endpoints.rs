//! What a chain is connected with: one endpoint or several, each with options of its own if it wants them.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyMapping, PyString};

use super::arguments::{self, RouteOptions, bad};
use super::errors::to_py;
use crate::engine::chain::{Batching, CACHE_SIZE, ChainConfig, EndpointConfig, Policy, cache_size};
use crate::engine::config;

/// The options of a chain that are not those of the way to one endpoint.
pub struct ChainOptions<'a, 'py> {
    pub network_id: Option<&'a Bound<'py, PyAny>>,
    pub rate_limit: Option<&'a Bound<'py, PyAny>>,
    pub retries: i64,
    pub hedging: bool,
    pub max_lag: Option<i64>,
    pub safe_methods: Option<&'a Bound<'py, PyAny>>,
    pub cache: Option<&'a Bound<'py, PyAny>>,
    pub batch_window: Option<f64>,
    pub batch_size: i64,
}

impl ChainOptions<'_, '_> {
    /// What the chain is connected with, by ways with `options` unless an endpoint has its own.
    pub fn config(&self, py: Python<'_>, options: RouteOptions<'_, '_>) -> PyResult<ChainConfig> {
        let raise = |error| to_py(py, error);
        let retries = config::count("retries", self.retries, 0).map_err(raise)?;
        let max_lag =
            self.max_lag.map(|most| config::count("max_lag", most, 0)).transpose().map_err(raise)?;
        let policy = Policy {
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
            hedging: self.hedging,
            max_lag: max_lag.map(|blocks| u64::try_from(blocks).unwrap_or(u64::MAX)),
            safe_methods: self.safe_methods.map(names).transpose()?.unwrap_or_default(),
        };
        Ok(ChainConfig {
            endpoints: self.endpoints(py, options)?,
            network_id: self.network_id.map(arguments::network).transpose()?,
            policy,
            cache: self.cache.map(cache).transpose()?.flatten(),
        })
    }

    fn endpoints(&self, py: Python<'_>, options: RouteOptions<'_, '_>) -> PyResult<Vec<EndpointConfig>> {
        let given = options.endpoint;
        if given.is_instance_of::<PyString>() || given.cast::<PyMapping>().is_ok() {
            return Ok(vec![self.endpoint(py, options)?]);
        }
        let several: Vec<_> = given.try_iter().map_err(|_| wrong(py))?.collect::<PyResult<_>>()?;
        if several.is_empty() {
            return Err(wrong(py));
        }
        several.iter().map(|endpoint| self.endpoint(py, RouteOptions { endpoint, ..options })).collect()
    }

    /// One endpoint: a URL, or a mapping with one and with options that count for it alone.
    fn endpoint(&self, py: Python<'_>, options: RouteOptions<'_, '_>) -> PyResult<EndpointConfig> {
        let raise = |error| to_py(py, error);
        let Ok(mapping) = options.endpoint.cast::<PyMapping>() else {
            let rate_limit = self.rate_limit.map(arguments::limit).transpose()?;
            let batching = Batching::new(self.batch_window, self.batch_size).map_err(raise)?;
            return Ok(EndpointConfig { route: options.route(py)?, rate_limit, weight: 1.0, batching });
        };
        let own = Own::read(mapping)?;
        let url = own.url.ok_or_else(|| wrong(py))?;
        let rate_limit = own.rate_limit.as_ref().or(self.rate_limit).map(arguments::limit).transpose()?;
        let route = RouteOptions {
            endpoint: &url,
            credentials: own.credentials.as_ref().or(options.credentials),
            headers: own.headers.as_ref().or(options.headers),
            proxy: own.proxy.as_ref().or(options.proxy),
            ca: own.ca.as_ref().or(options.ca),
            client_cert: own.client_cert.as_ref().or(options.client_cert),
            ..options
        };
        let weight = own.weight.map_or(Ok(1.0), |weight| config::weight("endpoint", weight));
        let weight = weight.map_err(raise)?;
        let (window, size) =
            (own.batch_window.or(self.batch_window), own.batch_size.unwrap_or(self.batch_size));
        let batching = Batching::new(window, size).map_err(raise)?;
        Ok(EndpointConfig { route: route.route(py)?, rate_limit, weight, batching })
    }
}

/// What an endpoint has for itself.
#[derive(Default)]
struct Own<'py> {
    url: Option<Bound<'py, PyAny>>,
    credentials: Option<Bound<'py, PyAny>>,
    headers: Option<Bound<'py, PyAny>>,
    proxy: Option<Bound<'py, PyAny>>,
    ca: Option<Bound<'py, PyAny>>,
    client_cert: Option<Bound<'py, PyAny>>,
    rate_limit: Option<Bound<'py, PyAny>>,
    weight: Option<f64>,
    batch_window: Option<f64>,
    batch_size: Option<i64>,
}

impl<'py> Own<'py> {
    fn read(mapping: &Bound<'py, PyMapping>) -> PyResult<Self> {
        let py = mapping.py();
        let mut own = Self::default();
        for item in mapping.items()?.iter() {
            let (name, value): (String, Bound<'py, PyAny>) = item.extract().map_err(|_| wrong(py))?;
            match name.as_str() {
                "url" => own.url = Some(value),
                "credentials" => own.credentials = Some(value),
                "headers" => own.headers = Some(value),
                "proxy" => own.proxy = Some(value),
                "ca" => own.ca = Some(value),
                "client_cert" => own.client_cert = Some(value),
                "rate_limit" => own.rate_limit = Some(value),
                "weight" => own.weight = Some(value.extract().map_err(|_| wrong(py))?),
                "batch_window" => own.batch_window = Some(value.extract().map_err(|_| wrong(py))?),
                "batch_size" => own.batch_size = Some(value.extract().map_err(|_| wrong(py))?),
                _ => return Err(wrong(py)),
            }
        }
        Ok(own)
    }
}

/// Whether results are kept, and how many bytes of them.
fn cache(given: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if let Ok(wanted) = given.cast::<PyBool>() {
        return Ok(wanted.is_true().then_some(CACHE_SIZE));
    }
    // What is no number at all is as wrong as one that is too small.
    cache_size(given.extract().unwrap_or(0)).map(Some).map_err(|error| to_py(given.py(), error))
}

fn names(given: &Bound<'_, PyAny>) -> PyResult<HashSet<String>> {
    let wrong = || bad(given.py(), "safe_methods", "must be names of methods");
    if given.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    given.try_iter().map_err(|_| wrong())?.map(|name| name?.extract().map_err(|_| wrong())).collect()
}

fn wrong(py: Python<'_>) -> PyErr {
    let allowed = "must be a URL, or a sequence of URLs and of mappings with a 'url' and its own 'credentials', \
                   'headers', 'proxy', 'ca', 'client_cert', 'rate_limit', 'weight', 'batch_window' and 'batch_size'";
    bad(py, "endpoint", allowed)
}
