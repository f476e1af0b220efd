//! The URL of a node taken apart: what to connect to, what to ask for, and whom it names.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use http::uri::PathAndQuery;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Secret, invalid, percent, variables};
use crate::engine::error::{Error, Result};

/// How to talk to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A plain WebSocket.
    Ws,
    /// A WebSocket over TLS.
    Wss,
    /// A Unix socket of this machine.
    Ipc,
}

impl Scheme {
    /// The name as it stands in a URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Ipc => "ipc",
        }
    }

    /// Whether one connection carries messages both ways at any time.
    #[must_use]
    pub const fn is_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss | Self::Ipc)
    }

    /// The scheme to use instead of this one, under which everybody on the way can read along.
    pub(crate) const fn encrypted(self) -> Option<Self> {
        match self {
            Self::Http => Some(Self::Https),
            Self::Ws => Some(Self::Wss),
            Self::Https | Self::Wss | Self::Ipc => None,
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Http, Self::Https, Self::Ws, Self::Wss, Self::Ipc];
        all.into_iter().find(|scheme| scheme.name() == name)
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::Ws => 80,
            Self::Https | Self::Wss => 443,
            // A file has none.
            Self::Ipc => 0,
        }
    }
}

/// The parts of the URL. The path and the query may hold a key.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub scheme: Scheme,
    /// `None`: this machine, where the path is that of a Unix socket.
    host: Option<Host<String>>,
    /// Without the brackets of an IPv6 address; empty where there is no host.
    pub name: String,
    pub port: u16,
    pub(super) path: Secret,
    pub(super) query: Option<Secret>,
    /// The user and the password that stand before the host.
    pub(super) userinfo: Option<(Secret, Secret)>,
    /// What variables of the environment have put into its path and query.
    pub(super) hidden: Vec<Secret>,
}

impl Endpoint {
    /// Puts the environment's variables into the URL that a user gives, and takes it apart.
    ///
    /// # Errors
    /// As for `parse`, and a variable that is not there.
    pub(crate) fn given(text: &str) -> Result<Self> {
        let expanded = variables::in_endpoint(text)?;
        let mut endpoint = Self::parse(expanded.text.expose())?;
        if endpoint.scheme == Scheme::Ipc {
            return Ok(endpoint);
        }
        // What names the host is shown, wherever it comes from.
        let query = endpoint.query.as_ref().map_or("", Secret::expose);
        let is_inside = |value: &Secret| {
            let encoded = percent::encode(value.expose());
            let is_in = |text: &str| text.contains(value.expose()) || text.contains(encoded.as_str());
            !value.expose().is_empty() && (is_in(endpoint.path.expose()) || is_in(query))
        };
        let hidden = expanded.values.into_iter().filter(is_inside).collect();
        endpoint.hidden = hidden;
        Ok(endpoint)
    }

    /// Takes the URL apart.
    ///
    /// # Errors
    /// Anything that is not the URL of a node; the message never holds a part of the text.
    pub(super) fn parse(text: &str) -> Result<Self> {
        refuse_characters(text)?;
        let url = Url::parse(text).map_err(|error| bad(&format!("not a URL: {error}")))?;
        let scheme =
            Scheme::named(url.scheme()).ok_or_else(|| bad("must be an http, https, ws, wss or ipc URL"))?;
        if scheme == Scheme::Ipc {
            return Self::of_file(&url);
        }
        let host = url.host().ok_or_else(|| bad("names no host"))?.to_owned();
        let port = url.port().unwrap_or(scheme.default_port());
        if port == 0 {
            return Err(bad("has port 0"));
        }
        let name = match &host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        // No name has them: they are left of a template.
        if name.contains(['{', '}']) {
            return Err(bad("holds a placeholder where its host belongs"));
        }
        let (path, query) = (Secret::new(url.path()), url.query().map(Secret::new));
        let userinfo = userinfo(&url)?;
        Ok(Self { scheme, host: Some(host), name, port, path, query, userinfo, hidden: Vec::new() })
    }

    /// The Unix socket at a path, `ipc:///path`.
    fn of_file(url: &Url) -> Result<Self> {
        let is_path = url.path().len() > 1 && url.path().starts_with('/');
        if !is_path || url.has_host() || url.query().is_some() {
            return Err(bad("must be ipc:///path/to/socket: an absolute path, and nothing else"));
        }
        Ok(Self {
            scheme: Scheme::Ipc,
            host: None,
            name: String::new(),
            port: 0,
            path: Secret::new(url.path()),
            query: None,
            userinfo: None,
            hidden: Vec::new(),
        })
    }

    /// The path of the Unix socket.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let is_file = self.scheme == Scheme::Ipc;
        is_file.then(|| percent::decode(self.path.expose())).flatten().map(|path| PathBuf::from(&**path))
    }

    /// The host as it stands in a URL, with the port unless it is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        match &self.host {
            Some(host) if self.port == self.scheme.default_port() => host.to_string(),
            Some(host) => format!("{host}:{}", self.port),
            None => String::new(),
        }
    }

    /// What may be shown of it: scheme, host and port, or the path of a Unix socket.
    pub(crate) fn shown(&self) -> String {
        match &self.host {
            Some(host) => format!("{}://{host}:{}", self.scheme.name(), self.port),
            None => format!("{}://{}", self.scheme.name(), self.path.expose()),
        }
    }

    /// Whether the host is this machine, by its literal name.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.host {
            Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
            Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(address),
            Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(address),
            None => true,
        }
    }

    /// The segments of the path as they stand there, empty ones left out.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.expose().split('/').filter(|segment| !segment.is_empty())
    }

    /// The names and values of the query as they stand there.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.query.as_ref().map_or("", Secret::expose);
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// Path and query as they stand in a request line.
pub(super) fn request_target(path: &str, query: Option<&Secret>) -> Result<Secret> {
    let mut text = Zeroizing::new(path.to_owned());
    if let Some(query) = query {
        text.push('?');
        text.push_str(query.expose());
    }
    match PathAndQuery::try_from(text.as_str()) {
        Ok(_) => Ok(text.into()),
        Err(_) => Err(bad("holds characters that a request line cannot carry")),
    }
}

/// The parser would repair these silently, and a repaired URL may lead elsewhere than its author reads it.
fn refuse_characters(text: &str) -> Result<()> {
    if text.is_empty() {
        Err(bad("is empty"))
    } else if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        Err(bad("holds a blank or a control character"))
    } else if text.contains('\\') {
        Err(bad("holds a backslash"))
    } else if text.contains('#') {
        Err(bad("holds a fragment, which is never sent"))
    } else {
        Ok(())
    }
}

fn userinfo(url: &Url) -> Result<Option<(Secret, Secret)>> {
    let (username, password) = (url.username(), url.password().unwrap_or_default());
    if username.is_empty() && password.is_empty() {
        return Ok(None);
    }
    let decode = |text| {
        percent::decode(text)
            .map(Secret::from)
            .ok_or_else(|| invalid("the endpoint's user or password is not text"))
    };
    Ok(Some((decode(username)?, decode(password)?)))
}

fn bad(message: &str) -> Error {
    Error::argument("endpoint", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    #[test]
    fn the_parts_are_those_of_the_url() {
        let endpoint = Endpoint::parse("https://Node.Example.org/rpc/?a=b").unwrap();
        assert_eq!(
            (endpoint.scheme, endpoint.name.as_str(), endpoint.port),
            (Scheme::Https, "node.example.org", 443)
        );
        assert_eq!(endpoint.authority(), "node.example.org");
        assert_eq!(endpoint.shown(), "https://node.example.org:443");
        assert_eq!(endpoint.parameters().collect::<Vec<_>>(), [("a", "b")]);
        let endpoint = Endpoint::parse("http://[::1]:8545").unwrap();
        assert_eq!((endpoint.name.as_str(), endpoint.authority().as_str()), ("::1", "[::1]:8545"));
        let endpoint = Endpoint::parse("wss://node.example.org").unwrap();
        assert_eq!((endpoint.scheme, endpoint.port), (Scheme::Wss, 443));
        assert_eq!(Endpoint::parse("ws://node").unwrap().shown(), "ws://node:80");
    }

    #[test]
    fn a_unix_socket_is_on_this_machine_and_its_path_is_shown() {
        let endpoint = Endpoint::parse("ipc:///data/my%20node/geth.ipc").unwrap();
        assert_eq!(endpoint.file(), Some(PathBuf::from("/data/my node/geth.ipc")));
        assert_eq!(endpoint.shown(), "ipc:///data/my%20node/geth.ipc");
        assert!(endpoint.is_loopback());
        assert_eq!(Endpoint::parse("ws://node/geth.ipc").unwrap().file(), None);
    }

    #[test]
    fn what_is_not_the_url_of_a_node_is_refused_without_repeating_it() {
        for text in [
            "",
            "canary",
            "canary:8545",
            "ftp://canary/",
            "wsx://canary/",
            "ipc:canary",
            "ipc:/",
            "ipc:///",
            "ipc://canary",
            "ipc://canary/path",
            "ipc:///path?canary",
            "ipc://user@/canary",
            "file:///canary",
            "http://",
            "https:///",
            "http://:80",
            "http://canary:0",
            "http://canary:99999",
            "http://ca nary/",
            "http://canary/\n",
            "\thttp://canary/",
            "http://canary/a b",
            "http://canary\\@evil/",
            "http://canary/#part",
            "http://[::canary]/",
            "http://canary/\u{0}",
            "https://{canary}.example.org/",
            "https://x.%7bcanary%7d/",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration, "{text}");
            assert_eq!(error.facts().argument, Some("endpoint"), "{text}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_what_looks_like_it() {
        for host in ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "LOCALHOST", "localhost.", "2130706433"]
        {
            assert!(Endpoint::parse(&format!("http://{host}:8545")).unwrap().is_loopback(), "{host}");
        }
        for host in
            ["10.0.0.1", "example.com", "localhost.example.com", "0.0.0.0", "[::ffff:7f00:1]", "128.0.0.1"]
        {
            assert!(!Endpoint::parse(&format!("http://{host}:8545")).unwrap().is_loopback(), "{host}");
        }
    }
}
