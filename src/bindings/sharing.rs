//! Where a shared limit is kept, as Python says it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::text;
use super::errors::to_py;
use super::logging;
use crate::engine::credentials::Secret;
use crate::engine::error::Error;
use crate::engine::limiter::{Servers, Sharing};

/// How a limit is shared, if it is.
pub fn sharing(
    shared: Option<&Bound<'_, PyAny>>,
    name: Option<&str>,
    on_outage: &str,
) -> PyResult<Option<Sharing>> {
    let Some(shared) = shared else { return Ok(None) };
    let py = shared.py();
    let raise = |error| to_py(py, error);
    let servers = if shared.is_instance_of::<PyString>() {
        Servers::one(&Secret::new(text("shared", shared)?))
    } else {
        let urls = shared.try_iter().map_err(|_| {
            PyTypeError::new_err("shared must be a URL, or a list of the URLs of a cluster's nodes")
        })?;
        let urls: Vec<Secret> =
            urls.map(|url| Ok(Secret::new(text("shared", &url?)?))).collect::<PyResult<_>>()?;
        Servers::cluster(&urls)
    };
    let servers = servers.map_err(raise)?;
    let name =
        name.ok_or_else(|| raise(Error::argument("name", "must be given for a limit that is shared")))?;
    Sharing::new(servers, name, on_outage, logging::log()).map(Some).map_err(raise)
}
