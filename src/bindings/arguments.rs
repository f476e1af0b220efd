//! Python arguments as the engine wants them. Reading only: what is allowed is the engine's to say.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMapping, PyString, PyTuple};

use super::errors::to_py;
use super::json_out;
use super::limiter::RateLimiter;
use super::renewal::Callable;
use crate::engine::chain::{Limit, NetworkId};
use crate::engine::classify::ErrorRule;
use crate::engine::config;
use crate::engine::credentials::{Field, Fields, Secret};
use crate::engine::error::Error;
use crate::engine::jsonrpc::{Draft, Request, Written};
use crate::engine::target::{Target, TargetOptions};
use crate::engine::transport::{AddressPolicy, ClientCert, Pem, Route, TlsOptions};

/// The options that say how to get to an endpoint, as they come from Python.
#[derive(Clone, Copy)]
pub struct RouteOptions<'a, 'py> {
    pub endpoint: &'a Bound<'py, PyAny>,
    pub credentials: Option<&'a Bound<'py, PyAny>>,
    pub headers: Option<&'a Bound<'py, PyAny>>,
    pub proxy: Option<&'a Bound<'py, PyAny>>,
    pub trust_env: bool,
    pub ca: Option<&'a Bound<'py, PyAny>>,
    pub client_cert: Option<&'a Bound<'py, PyAny>>,
    pub allow_plaintext: bool,
    pub address_policy: Option<&'a Bound<'py, PyAny>>,
    pub max_response_bytes: i64,
    pub error_rules: Option<&'a Bound<'py, PyAny>>,
}

impl RouteOptions<'_, '_> {
    /// The route.
    pub fn route(&self, py: Python<'_>) -> PyResult<Route> {
        let raise = |error| to_py(py, error);
        let endpoint = endpoint(self.endpoint)?;
        let headers = self.headers.map(|given| text_pairs("headers", given)).transpose()?.unwrap_or_default();
        let proxied = self.proxy.is_some() || self.trust_env;
        let options = TargetOptions { headers, allow_plaintext: self.allow_plaintext, proxied };
        let target = match self.credentials {
            Some(call) if call.is_callable() && call.cast::<PyMapping>().is_err() => {
                Target::renewed(&endpoint, Callable::source(call)?, &options).map_err(raise)?
            }
            given => {
                let fields = given.map(|given| fields("credentials", given)).transpose()?;
                let fields = fields.as_ref().filter(|fields| !fields.is_empty());
                Target::new(&endpoint, fields, &options).map_err(raise)?
            }
        };
        Ok(Route {
            target,
            proxy: self.proxy.map(|proxy| text("proxy", proxy).map(Secret::new)).transpose()?,
            trust_env: self.trust_env,
            tls: TlsOptions { ca: ca(self.ca)?, client_cert: client_cert(self.client_cert)? },
            addresses: self.address_policy.map_or(Ok(AddressPolicy::Any), addresses)?,
            max_response_bytes: config::count("max_response_bytes", self.max_response_bytes, 1)
                .map_err(raise)?,
            error_rules: self.error_rules.map(error_rules).transpose()?.unwrap_or_default(),
        })
    }
}

/// A policy by its name, or networks.
fn addresses(given: &Bound<'_, PyAny>) -> PyResult<AddressPolicy> {
    let policy = match given.extract::<String>() {
        Ok(name) => AddressPolicy::named(&name),
        // What is no list of texts is no list of networks.
        Err(_) => AddressPolicy::listed(&given.extract::<Vec<String>>().unwrap_or_default()),
    };
    policy.map_err(|error| to_py(given.py(), error))
}

/// Rules: mappings of `means`, `codes` and `contains`.
fn error_rules(given: &Bound<'_, PyAny>) -> PyResult<Vec<ErrorRule>> {
    let py = given.py();
    let wrong = || bad(py, "error_rules", "must be mappings of 'means', 'codes' and 'contains'");
    let rules = given.try_iter().map_err(|_| wrong())?;
    let rule = |rule: PyResult<Bound<'_, PyAny>>| {
        let rule = rule?;
        let rule = rule.cast::<PyMapping>().map_err(|_| wrong())?;
        let (mut means, mut codes, mut contains) = (String::new(), Vec::new(), Vec::new());
        for item in rule.items()?.iter() {
            let (name, value): (String, Bound<'_, PyAny>) = item.extract().map_err(|_| wrong())?;
            match name.as_str() {
                "means" => means = value.extract().map_err(|_| wrong())?,
                "codes" => codes = value.extract().map_err(|_| wrong())?,
                "contains" => contains = value.extract().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        ErrorRule::new(&means, codes, &contains).map_err(|error| to_py(py, error))
    };
    rules.map(rule).collect()
}

fn endpoint(given: &Bound<'_, PyAny>) -> PyResult<String> {
    if given.is_instance_of::<PyString>() {
        return text("endpoint", given);
    }
    Err(bad(given.py(), "endpoint", "must be a URL"))
}

pub fn network(given: &Bound<'_, PyAny>) -> PyResult<NetworkId> {
    if let Ok(number) = given.extract::<u64>() {
        return Ok(NetworkId::Number(number));
    }
    given
        .extract::<String>()
        .map(NetworkId::named)
        .map_err(|_| bad(given.py(), "network_id", "must be a chain id, or a network's name or genesis hash"))
}

pub fn limit(given: &Bound<'_, PyAny>) -> PyResult<Limit> {
    if let Ok(limiter) = given.cast::<RateLimiter>() {
        return Ok(Limit::Shared(limiter.get().engine()?.clone()));
    }
    if let Ok(plan) = given.extract::<String>() {
        return Limit::named(&plan).map_err(|error| to_py(given.py(), error));
    }
    let rate: f64 = given.extract().map_err(|_| {
        bad(given.py(), "rate_limit", "must be requests per second, a RateLimiter or the name of a plan")
    })?;
    Limit::per_second(rate).map_err(|error| to_py(given.py(), error))
}

/// Credentials: a mapping of names to texts, and of `headers` to a mapping.
pub fn fields(argument: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Fields> {
    let mapping = given.cast::<PyMapping>().map_err(|_| {
        PyTypeError::new_err(format!("{argument} must be a mapping, not {}", type_name(given)))
    })?;
    let mut fields = Fields::new();
    for item in mapping.items()?.iter() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        match key.extract::<String>() {
            Ok(key) => fields.push((key, field(argument, &value))),
            Err(_) => fields.push((format!("a key of type {}", type_name(&key)), Field::Unusable)),
        }
    }
    Ok(fields)
}

/// What cannot be used is told apart by the engine, which knows the field's name.
fn field(argument: &'static str, value: &Bound<'_, PyAny>) -> Field {
    let field = if value.cast::<PyMapping>().is_ok() {
        text_pairs(argument, value).map(Field::Headers)
    } else {
        path_text(argument, value).map(|text| Field::Text(Secret::new(text)))
    };
    field.unwrap_or(Field::Unusable)
}

fn text_pairs(argument: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Secret)>> {
    let wrong = || bad(given.py(), argument, "must be a mapping of str to str");
    let mapping = given.cast::<PyMapping>().map_err(|_| wrong())?;
    let items = mapping.items()?;
    let pairs = items.iter().map(|item| {
        let (name, value): (String, String) = item.extract().map_err(|_| wrong())?;
        Ok((name, Secret::new(value)))
    });
    pairs.collect()
}

fn ca(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Arc<str>>> {
    let Some(given) = given else { return Ok(None) };
    let text = pem("ca", given)?.expose().into();
    Ok(Some(text))
}

fn client_cert(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<ClientCert>> {
    let Some(given) = given else { return Ok(None) };
    let (chain, key) = if let Ok(pair) = given.cast::<PyTuple>() {
        let (chain, key): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
        (pem("client_cert", &chain)?, pem("client_cert", &key)?)
    } else {
        let both = pem("client_cert", given)?;
        (both.clone(), both)
    };
    Ok(Some(ClientCert { chain: chain.expose().into(), key }))
}

/// PEM text as it is, or out of a file.
fn pem(argument: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Secret> {
    let source = if let Ok(bytes) = given.cast::<PyBytes>() {
        Pem::Text(Secret::new(String::from_utf8_lossy(bytes.as_bytes()).into_owned()))
    } else {
        Pem::Path(path_text(argument, given)?.into())
    };
    source.read(argument).map_err(|error| to_py(given.py(), error))
}

/// A path, or any text.
fn path_text(argument: &'static str, given: &Bound<'_, PyAny>) -> PyResult<String> {
    text(argument, &given.py().import("os")?.call_method1("fspath", (given,))?)
}

/// A string. Python's own error for one that is no text would hold it, and it may be a secret.
pub fn text(argument: &'static str, given: &Bound<'_, PyAny>) -> PyResult<String> {
    given.extract().map_err(|_| bad(given.py(), argument, "must be a str of valid characters"))
}

/// One call: a method and its parameters.
pub fn request(py: Python<'_>, method: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<Request> {
    let mut text = Vec::with_capacity(128);
    let written = write(py, &mut text, method, params)?;
    Ok(written.request(&text.into()))
}

/// Several calls: pairs of a method and its parameters.
pub fn requests(py: Python<'_>, calls: &Bound<'_, PyAny>) -> PyResult<Vec<Request>> {
    let calls = calls.try_iter().map_err(|_| no_pairs(py))?;
    let mut text = Vec::with_capacity(1024);
    let written: Vec<_> = calls.map(|call| write_pair(&mut text, &call?)).collect::<PyResult<_>>()?;
    let text = text.into();
    Ok(written.into_iter().map(|written| written.request(&text)).collect())
}

/// One of several calls: a pair of a method and its parameters.
pub fn pair(call: &Bound<'_, PyAny>) -> PyResult<Request> {
    let mut text = Vec::with_capacity(128);
    let written = write_pair(&mut text, call)?;
    Ok(written.request(&text.into()))
}

fn write_pair(text: &mut Vec<u8>, call: &Bound<'_, PyAny>) -> PyResult<Written> {
    let py = call.py();
    let (method, params): (Bound<'_, PyString>, Bound<'_, PyAny>) =
        call.extract().map_err(|_| no_pairs(py))?;
    write(py, text, method.to_str().map_err(|_| no_pairs(py))?, Some(&params))
}

fn write(
    py: Python<'_>,
    text: &mut Vec<u8>,
    method: &str,
    params: Option<&Bound<'_, PyAny>>,
) -> PyResult<Written> {
    let draft = Draft::begin(text, method).map_err(|error| to_py(py, error))?;
    match params {
        None => text.extend_from_slice(b"[]"),
        Some(params) => json_out::write(text, params).map_err(|error| match error {
            json_out::OutError::Refused(message) => to_py(py, Error::refused("params", message)),
            json_out::OutError::Python(error) => error,
        })?,
    }
    draft.end(text).map_err(|error| to_py(py, error))
}

/// The exception for calls that are something else.
pub fn no_pairs(py: Python<'_>) -> PyErr {
    bad(py, "calls", "must be pairs of a method and its parameters")
}

/// The exception for a bad argument.
pub fn bad(py: Python<'_>, argument: &'static str, message: &str) -> PyErr {
    to_py(py, Error::argument(argument, message))
}

pub fn type_name(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}
