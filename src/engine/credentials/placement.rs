//! Where an API key goes: where the user says, else where its provider wants it, else into `X-API-Key`.

use http::header::HeaderName;

use super::{Scheme, header, misuse};
use crate::engine::error::Result;

/// Where the user says that the key goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// A segment of the URL's path.
    Path,
    /// A parameter of the URL's query.
    Query(String),
    /// A header that holds nothing else.
    Header(HeaderName),
    /// The password of basic authentication, with an empty user.
    Basic,
    /// A bearer token.
    Bearer,
}

impl Placement {
    /// Reads `path`, `query:NAME`, `header:NAME`, `basic` or `bearer`.
    ///
    /// # Errors
    /// Anything else is a `Configuration` error.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "path" => Ok(Self::Path),
            None if text == "basic" => Ok(Self::Basic),
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("query", name)) if is_parameter(name) => Ok(Self::Query(name.to_owned())),
            Some(("header", name)) => match header::name(name) {
                Ok(name) => Ok(Self::Header(name)),
                Err(reason) => Err(misuse(format!("placement {reason}"))),
            },
            _ => Err(misuse("placement must be path, query:NAME, header:NAME, basic or bearer")),
        }
    }
}

fn is_parameter(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Where a provider wants the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The segment behind this beginning of the path.
    After(&'static str),
    /// The last segment of the path.
    Last,
    /// This parameter of the query.
    Query(&'static str),
    /// This header.
    Header(&'static str),
    /// The segment behind this beginning holds the project's id; the key is the password that goes with it.
    PasswordOf(&'static str),
}

/// What one provider does by convention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provider {
    /// Its domain: this name and every name below it.
    pub domain: &'static str,
    home: Home,
    /// Where it goes on a WebSocket, if that is elsewhere.
    socket_home: Option<Home>,
    /// Whether its keys are 64 hexadecimal digits, like a private key.
    pub hex_keys: bool,
}

impl Provider {
    /// Where the key goes.
    pub(super) fn home(&self, scheme: Scheme) -> Home {
        self.socket_home.filter(|_| scheme.is_socket()).unwrap_or(self.home)
    }

    const fn over_socket(self, home: Home) -> Self {
        Self { socket_home: Some(home), ..self }
    }

    const fn with_hex_keys(self) -> Self {
        Self { hex_keys: true, ..self }
    }
}

const fn row(domain: &'static str, home: Home) -> Provider {
    Provider { domain, home, socket_home: None, hex_keys: false }
}

/// The conventions. Behind each row: whose documentation shows it, or the form of the URLs in use.
#[rustfmt::skip]
const PROVIDERS: [Provider; 17] = [
    row("alchemy.com", Home::After("/v2")),          // URL in use: <network>.g.alchemy.com/v2/<key>
    row("alchemyapi.io", Home::After("/v2")),        // the same provider's older domain
    row("infura.io", Home::PasswordOf("/v3"))        // docs.infura.io, "API key secret"
        .over_socket(Home::PasswordOf("/ws/v3")),    // the same, "WebSockets"
    row("quiknode.pro", Home::After("")),            // quicknode.com/docs, "endpoint security"
    row("ankr.com", Home::Last).with_hex_keys(),     // URL in use: rpc.ankr.com/<chain>/<key>
    row("drpc.org", Home::Header("drpc-key")),       // header in use for the parameter dkey
    row("drpc.live", Home::Header("drpc-key")),      // the same provider's newer domain
    row("core.chainstack.com", Home::After("")),     // URL in use: <network>.core.chainstack.com/<key>
    row("p2pify.com", Home::After("")),              // docs.chainstack.com, auth_key of a node
    row("getblock.io", Home::After("")),             // docs.getblock.io, "authentication with access tokens"
    row("getblock.us", Home::After("")),             // the same provider in New York
    row("getblock.asia", Home::After("")),           // the same provider in Singapore
    row("blastapi.io", Home::After("")),             // URL in use: <network>.blastapi.io/<project id>
    row("blockpi.network", Home::After("/v1/rpc"))   // docs.blockpi.io, "best practices"
        .over_socket(Home::After("/v1/ws")),         // URL in use: <network>.blockpi.network/v1/ws/<key>
    row("gateway.tenderly.co", Home::After("")),     // docs.tenderly.co, node access
    row("helius-rpc.com", Home::Query("api-key")),   // URL in use: <cluster>.helius-rpc.com/?api-key=<key>
    row("rpcpool.com", Home::After("")),             // URL in use: <endpoint>.rpcpool.com/<token>
];

/// The provider that serves a host, if it is one of those known.
pub(super) fn provider(host: &str) -> Option<&'static Provider> {
    let host = host.trim_end_matches('.');
    PROVIDERS.iter().find(|provider| {
        host.strip_suffix(provider.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    #[test]
    fn every_placement_is_read() {
        assert_eq!(Placement::parse("path").unwrap(), Placement::Path);
        assert_eq!(Placement::parse("basic").unwrap(), Placement::Basic);
        assert_eq!(Placement::parse("bearer").unwrap(), Placement::Bearer);
        assert_eq!(Placement::parse("query:api-key").unwrap(), Placement::Query("api-key".into()));
        let header = HeaderName::from_static("x-token");
        assert_eq!(Placement::parse("header:X-Token").unwrap(), Placement::Header(header));
    }

    #[test]
    fn anything_else_is_a_misuse() {
        for text in
            ["", "Path", "path:", "query", "query:", "query:a&b", "header:", "header:a b", "header:Host"]
        {
            assert_eq!(Placement::parse(text).unwrap_err().kind(), Kind::Configuration, "{text}");
        }
    }

    #[test]
    fn a_domain_covers_the_names_below_it_and_no_other() {
        let domain = |host| provider(host).map(|provider| provider.domain);
        assert_eq!(domain("eth-mainnet.g.alchemy.com"), Some("alchemy.com"));
        assert_eq!(domain("shared.eu.getblock.io"), Some("getblock.io"));
        assert_eq!(domain("mainnet.infura.io."), Some("infura.io"));
        assert_eq!(domain("notinfura.io"), None);
        assert_eq!(domain("infura.io.example.org"), None);
        assert_eq!(domain("127.0.0.1"), None);
    }

    #[test]
    fn no_row_hides_behind_a_wider_one() {
        for row in &PROVIDERS {
            assert_eq!(provider(row.domain).map(|found| found.domain), Some(row.domain));
        }
    }
}
