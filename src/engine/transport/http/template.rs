//! The parts of a request that never change, made once for all connections of a route.

use std::sync::Arc;

use ::http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use http_body_util::Full;

use super::Request;
use crate::engine::error::{Error, Result};
use crate::engine::target::Target;

/// One for each version of HTTP.
pub(in crate::engine::transport) struct Templates {
    pub(super) single: Arc<Template>,
    pub(super) shared: Arc<Template>,
}

impl Templates {
    pub(in crate::engine::transport) fn new(target: &Target) -> Result<Self> {
        Ok(Self {
            single: Arc::new(Template::for_http1(target)?),
            shared: Arc::new(Template::for_http2(target)?),
        })
    }
}

pub(super) struct Template {
    target: Target,
    uri: Uri,
    headers: HeaderMap,
}

impl Template {
    fn for_http1(target: &Target) -> Result<Self> {
        let uri = uri(target.path_and_query().expose())?;
        let mut headers = fixed_headers(target);
        let host = HeaderValue::try_from(target.authority().to_string()).map_err(|_| bad_endpoint())?;
        headers.insert(HOST, host);
        Ok(Self { target: target.clone(), uri, headers })
    }

    fn for_http2(target: &Target) -> Result<Self> {
        let absolute = format!("https://{}{}", target.authority(), target.path_and_query().expose());
        Ok(Self { target: target.clone(), uri: uri(&absolute)?, headers: fixed_headers(target) })
    }

    pub(super) fn stamp(&self, body: Bytes) -> Result<Request> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some((name, value)) = self.target.fresh_header()? {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

/// The headers of every request; the user's own replace ours.
pub(in crate::engine::transport) fn fixed_headers(target: &Target) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("genesis-replicator/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in target.headers() {
        headers.insert(name, value.clone());
    }
    headers
}

fn uri(text: &str) -> Result<Uri> {
    text.parse().map_err(|_| bad_endpoint())
}

fn bad_endpoint() -> Error {
    Error::argument("endpoint", "must be a URL that HTTP can carry")
}
