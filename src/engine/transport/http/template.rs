//! The parts of a request that never change, made once for all connections of a route.

use std::sync::Arc;

use ::http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use http_body_util::Full;
use zeroize::Zeroizing;

use super::Request;
use crate::engine::credentials::{Access, Secret};
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
    /// What stands before the path in the request line: HTTP/2 wants the whole URL.
    before_path: String,
    host: Option<HeaderValue>,
    uri: Uri,
    headers: HeaderMap,
}

impl Template {
    fn for_http1(target: &Target) -> Result<Self> {
        let host = HeaderValue::try_from(target.authority().to_string()).map_err(|_| bad_endpoint())?;
        Self::new(target, String::new(), Some(host))
    }

    fn for_http2(target: &Target) -> Result<Self> {
        Self::new(target, format!("https://{}", target.authority()), None)
    }

    fn new(target: &Target, before_path: String, host: Option<HeaderValue>) -> Result<Self> {
        let uri = uri(&before_path, target.path_and_query())?;
        let headers = with_host(fixed_headers(target.headers()), host.as_ref());
        Ok(Self { target: target.clone(), before_path, host, uri, headers })
    }

    pub(super) fn stamp(&self, body: Bytes, renewed: Option<&Access>) -> Result<Request> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let fresh = match renewed {
            None => {
                *request.uri_mut() = self.uri.clone();
                *request.headers_mut() = self.headers.clone();
                self.target.fresh_header()?
            }
            Some(access) => {
                *request.uri_mut() = uri(&self.before_path, &access.path_and_query)?;
                *request.headers_mut() = with_host(fixed_headers(&access.headers), self.host.as_ref());
                access.fresh_header()?
            }
        };
        if let Some((name, value)) = fresh {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

fn with_host(mut headers: HeaderMap, host: Option<&HeaderValue>) -> HeaderMap {
    if let Some(host) = host {
        headers.insert(HOST, host.clone());
    }
    headers
}

/// The headers of every request; the user's own replace ours.
pub(in crate::engine::transport) fn fixed_headers(own: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(introduction(own));
    headers
}

/// Who asks, and what the user has every request say.
pub(in crate::engine::transport) fn introduction(own: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("genesis-replicator/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in own {
        headers.insert(name, value.clone());
    }
    headers
}

/// A URL, or the end of it.
pub(in crate::engine::transport) fn uri(before_path: &str, path_and_query: &Secret) -> Result<Uri> {
    let text = Zeroizing::new([before_path, path_and_query.expose()].concat());
    // Wiped when the last request that shares it is gone.
    Uri::from_maybe_shared(Bytes::from_owner(text)).map_err(|_| bad_endpoint())
}

fn bad_endpoint() -> Error {
    Error::argument("endpoint", "must be a URL that HTTP can carry")
}
