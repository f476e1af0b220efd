//! Where requests go and what proves who sends them: one endpoint with its credentials, checked and put in place.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub use super::credentials::Scheme;
use super::credentials::{self, Access, Credentials, Endpoint, Fields, Renewal, Secret, Source};
use super::error::{Error, Kind, Result};

/// What else a user says about an endpoint.
#[derive(Debug, Clone, Default)]
pub struct TargetOptions {
    /// Headers for every request; all but those that only say how to talk are credentials.
    pub headers: Vec<(String, Secret)>,
    /// Whether credentials may travel unencrypted beyond this machine.
    pub allow_plaintext: bool,
    /// Whether a proxy sees what travels.
    pub proxied: bool,
}

/// One endpoint and the credentials for it. Clones share them.
#[derive(Clone)]
pub struct Target(Arc<Parts>);

struct Parts {
    endpoint: Arc<Endpoint>,
    authority: String,
    /// What is the same for every request; without credentials where they are renewed.
    access: Access,
    renewal: Option<Renewal>,
}

impl Target {
    /// Checks the endpoint and the credentials and puts the latter where this endpoint wants them. `${NAME}` in either
    /// stands for a variable of the environment.
    ///
    /// # Errors
    /// `Configuration` for an argument that is not usable or contradicts another, `InvalidCredentials` for
    /// credentials that cannot be right, `Security` for credentials that would travel unencrypted.
    pub fn new(endpoint: &str, fields: Option<&Fields>, options: &TargetOptions) -> Result<Self> {
        let endpoint = Endpoint::given(endpoint)?;
        let fields = credentials::in_fields(fields.map_or(&[], Vec::as_slice))?;
        let headers = credentials::in_headers(&options.headers)?;
        refuse_unsent(&endpoint, !fields.is_empty(), &headers)?;
        let access = Access::judged(&endpoint, &Credentials::parse(&fields)?, &headers)?;
        refuse_readable(&endpoint, access.has_credentials, options)?;
        Ok(Self::of(Arc::new(endpoint), access, None))
    }

    /// The same with credentials that `source` makes when the first request needs them, and again when the node refuses
    /// them.
    ///
    /// # Errors
    /// As for `new`; what the source makes is checked when it comes.
    pub fn renewed(endpoint: &str, source: Arc<dyn Source>, options: &TargetOptions) -> Result<Self> {
        let endpoint = Arc::new(Endpoint::given(endpoint)?);
        let headers = credentials::in_headers(&options.headers)?;
        refuse_unsent(&endpoint, true, &headers)?;
        let access = Access::judged(&endpoint, &Credentials::default(), &headers)?;
        refuse_readable(&endpoint, true, options)?;
        let renewal = Renewal::new(source, Arc::clone(&endpoint), headers);
        Ok(Self::of(endpoint, access, Some(renewal)))
    }

    fn of(endpoint: Arc<Endpoint>, access: Access, renewal: Option<Renewal>) -> Self {
        Self(Arc::new(Parts { authority: endpoint.authority(), endpoint, access, renewal }))
    }

    /// Who makes the credentials, where they are not the same for every request.
    #[must_use]
    pub fn renewal(&self) -> Option<&Renewal> {
        self.0.renewal.as_ref()
    }

    /// How to talk to the node.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.endpoint.scheme
    }

    /// The Unix socket to connect to, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.0.endpoint.file()
    }

    /// The host to connect to; an IPv6 address has no brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.endpoint.name
    }

    /// Whether the host is this machine, by its name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.endpoint.is_loopback()
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.endpoint.port
    }

    /// The value of the Host header: the port is left out where it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// Path and query, ready for the request line. They may hold a key.
    #[must_use]
    pub fn path_and_query(&self) -> &Secret {
        &self.0.access.path_and_query
    }

    /// The whole URL, without user and password, for a client that takes URLs.
    #[must_use]
    pub fn url(&self) -> Secret {
        self.url_to(self.path_and_query())
    }

    /// The same with another path and query.
    #[must_use]
    pub fn url_to(&self, path_and_query: &Secret) -> Secret {
        let scheme = self.scheme().name();
        Secret::new([scheme, "://", &self.0.authority, path_and_query.expose()].concat())
    }

    /// The headers that are the same for every request, marked as sensitive.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.access.headers
    }

    /// The header that must be made anew for each request: the cookie's, read now, or a token of this second.
    ///
    /// # Errors
    /// `InvalidCredentials` if the cookie file cannot be read now or holds something else.
    pub fn fresh_header(&self) -> Result<Option<(HeaderName, HeaderValue)>> {
        self.0.access.fresh_header()
    }

    /// Whether anything that is sent is a credential, a key in the URL included.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.0.access.has_credentials
    }

    /// The text, which a server sent, with every secret of this target replaced by `***`.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let clean = self.0.access.scrub(text);
        match &self.0.renewal {
            Some(renewal) => renewal.scrub(&clean),
            None => clean,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        let same_parts = || {
            self.scheme() == other.scheme()
                && self.host() == other.host()
                && self.port() == other.port()
                && self.0.access == other.0.access
                && self.0.renewal == other.0.renewal
        };
        Arc::ptr_eq(&self.0, &other.0) || same_parts()
    }
}

impl Eq for Target {}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.endpoint.shown())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Credentials go unencrypted to this machine only, and past no proxy, unless the user allows more.
fn refuse_readable(endpoint: &Endpoint, has_credentials: bool, options: &TargetOptions) -> Result<()> {
    let is_private = endpoint.is_loopback() && !options.proxied;
    let Some(better) = endpoint.scheme.encrypted().filter(|_| !is_private) else { return Ok(()) };
    if !has_credentials || options.allow_plaintext {
        return Ok(());
    }
    Err(Error::new(
        Kind::Security,
        format!(
            "credentials would travel unencrypted to {}{}: use {}, or set allow_plaintext to accept that",
            endpoint.name,
            if options.proxied { " through a proxy" } else { "" },
            better.name(),
        ),
    ))
}

/// A Unix socket carries calls and nothing else: who may open the file may ask.
fn refuse_unsent(endpoint: &Endpoint, has_credentials: bool, headers: &[(String, Secret)]) -> Result<()> {
    let argument = match endpoint.scheme {
        Scheme::Ipc if has_credentials => "credentials",
        Scheme::Ipc if !headers.is_empty() => "headers",
        _ => return Ok(()),
    };
    Err(Error::argument(argument, "an ipc endpoint takes none; give them to the other endpoints alone"))
}
