//! Puts credentials together with an endpoint: each one where it belongs, and no two in one place.

use std::time::SystemTime;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use zeroize::Zeroizing;

use super::access::Fresh;
use super::placement::{Home, provider};
use super::scrub::Scrubber;
use super::url_keys::{UrlKey, is_taken, url_keys};
use super::{Credentials, Endpoint, Placement, Secret, forms, header, invalid, misuse, percent, validate};
use crate::engine::error::{Error, Kind, Result};

/// An `Access` while it is put together.
pub(super) struct Builder<'a> {
    endpoint: &'a Endpoint,
    keys: Vec<UrlKey>,
    pub path: Zeroizing<String>,
    pub query: Option<Secret>,
    pub headers: HeaderMap,
    /// Who has set which header, so that nobody sets it again.
    set_by: Vec<(HeaderName, &'static str)>,
    pub fresh: Option<Fresh>,
    pub has_credentials: bool,
    pub scrubber: Scrubber,
}

impl<'a> Builder<'a> {
    pub(super) fn new(endpoint: &'a Endpoint) -> Result<Self> {
        let keys = url_keys(endpoint)?;
        let mut scrubber = Scrubber::default();
        for key in &keys {
            scrubber.learn(key.raw.expose());
            scrubber.learn(key.text.expose());
        }
        for value in &endpoint.hidden {
            scrubber.learn(value.expose());
        }
        Ok(Self {
            endpoint,
            path: Zeroizing::new(endpoint.path.expose().to_owned()),
            query: endpoint.query.clone(),
            headers: HeaderMap::new(),
            set_by: Vec::new(),
            fresh: None,
            has_credentials: !endpoint.hidden.is_empty() || keys.iter().any(|key| key.certain),
            scrubber,
            keys,
        })
    }

    pub(super) fn add_userinfo(&mut self) -> Result<()> {
        let Some((username, password)) = &self.endpoint.userinfo else { return Ok(()) };
        validate::judge_userinfo(username, password)?;
        self.authorize(&header::basic(username.expose(), password.expose()), "the endpoint's user")
    }

    pub(super) fn add_credentials(&mut self, credentials: &Credentials) -> Result<()> {
        if let Some(key) = &credentials.api_key {
            self.add_key(key, credentials.placement.as_ref())?;
        }
        if let Some(token) = &credentials.bearer_token {
            self.authorize(&bearer(token), "bearer_token")?;
        }
        if let Some(basic) = &credentials.basic {
            self.authorize(&header::basic(basic.username.expose(), basic.password.expose()), "username")?;
        }
        if let Some(path) = &credentials.cookie_file {
            self.renew(Fresh::Cookie(path.clone()), "cookie_file")?;
        }
        if let Some(text) = &credentials.jwt_secret {
            let key = forms::engine_key(text).map_err(|reason| invalid(format!("jwt_secret {reason}")))?;
            // A node knows it, and may say it.
            self.scrubber.learn(key.digits());
            self.scrubber.learn(&Zeroizing::new(key.digits().to_ascii_uppercase()));
            self.renew(Fresh::Token(key), "jwt_secret")?;
        }
        for (name, value) in &credentials.headers {
            self.set(name.clone(), value, "headers")?;
        }
        Ok(())
    }

    pub(super) fn add_extra(&mut self, extra: &[(String, Secret)]) -> Result<()> {
        for (name, value) in extra {
            let name = header::name(name).map_err(|reason| Error::argument("headers", reason))?;
            header::judge_value(&name, value.expose(), SystemTime::now())
                .map_err(|reason| bad(&name, reason))?;
            self.set(name, value, "the argument headers")?;
        }
        Ok(())
    }

    /// An explicit placement wins over the provider's convention.
    fn add_key(&mut self, key: &Secret, placement: Option<&Placement>) -> Result<()> {
        self.has_credentials = true;
        self.scrubber.learn(key.expose());
        let provider = provider(&self.endpoint.name);
        let is_taken = provider.is_some_and(|provider| is_taken(self.endpoint, provider, &self.keys));
        let home = provider.map(|provider| provider.home(self.endpoint.scheme));
        match placement.map_or_else(|| conventional(home, is_taken), |placement| Ok(placement.clone()))? {
            Placement::Path if is_taken => Err(taken()),
            Placement::Path => {
                self.put_in_path(key, home);
                Ok(())
            }
            Placement::Query(name) => self.put_in_query(&name, key),
            Placement::Header(name) => self.set(name, key, "api_key"),
            Placement::Basic => self.authorize(&header::basic("", key.expose()), "api_key"),
            Placement::Bearer => self.authorize(&bearer(key), "api_key"),
        }
    }

    /// Behind the provider's beginning of the path, else at the end.
    fn put_in_path(&mut self, key: &Secret, home: Option<Home>) {
        let key = percent::encode(key.expose());
        let beginning = match home {
            Some(Home::After(beginning) | Home::PasswordOf(beginning)) => Some(beginning),
            _ => None,
        };
        let path = self.path.as_str();
        let rest = beginning.and_then(|beginning| path.strip_prefix(beginning));
        let new = match (beginning, rest) {
            (Some(beginning), Some("" | "/")) => [beginning, "/", &key].concat(),
            (Some(beginning), Some(rest)) if rest.starts_with('/') => [beginning, "/", &key, rest].concat(),
            (Some(beginning), _) if path == "/" => [beginning, "/", &key].concat(),
            _ => [path.trim_end_matches('/'), "/", &key].concat(),
        };
        self.path = Zeroizing::new(new);
    }

    fn put_in_query(&mut self, name: &str, key: &Secret) -> Result<()> {
        if self.endpoint.parameters().any(|(known, _)| known == name) {
            return Err(taken());
        }
        let key = percent::encode(key.expose());
        let query = match &self.query {
            Some(query) if !query.expose().is_empty() => [query.expose(), "&", name, "=", &key].concat(),
            _ => [name, "=", &key].concat(),
        };
        self.query = Some(Secret::new(query));
        Ok(())
    }

    fn authorize(&mut self, value: &Secret, by: &'static str) -> Result<()> {
        self.set(AUTHORIZATION, value, by)
    }

    fn renew(&mut self, fresh: Fresh, by: &'static str) -> Result<()> {
        self.claim(&AUTHORIZATION, by)?;
        self.has_credentials = true;
        self.fresh = Some(fresh);
        Ok(())
    }

    fn set(&mut self, name: HeaderName, value: &Secret, by: &'static str) -> Result<()> {
        self.claim(&name, by)?;
        if header::is_secret(&name) {
            self.has_credentials = true;
            self.scrubber.learn_header(value.expose());
        }
        let value = header::value(value.expose())
            .ok_or_else(|| invalid(format!("{by} holds characters that a header cannot carry")))?;
        self.headers.insert(name, value);
        Ok(())
    }

    fn claim(&mut self, name: &HeaderName, by: &'static str) -> Result<()> {
        if let Some((_, first)) = self.set_by.iter().find(|(set, _)| set == name) {
            let name = header::shown(name.as_str());
            return Err(misuse(format!("the header {name} is set twice, by {first} and by {by}")));
        }
        self.set_by.push((name.clone(), by));
        Ok(())
    }
}

/// Where the provider wants the key; an unknown host gets the usual header.
fn conventional(home: Option<Home>, is_taken: bool) -> Result<Placement> {
    match home {
        None => Ok(Placement::Header(HeaderName::from_static("x-api-key"))),
        Some(Home::PasswordOf(_)) if is_taken => Ok(Placement::Basic),
        Some(_) if is_taken => Err(taken()),
        Some(Home::After(_) | Home::Last | Home::PasswordOf(_)) => Ok(Placement::Path),
        Some(Home::Query(name)) => Ok(Placement::Query(name.to_owned())),
        Some(Home::Header(name)) => Ok(Placement::Header(HeaderName::from_static(name))),
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

fn taken() -> Error {
    misuse(
        "the endpoint's URL already holds a key, so that api_key has no place there; leave one of them out",
    )
}

/// A header of the argument `headers` that cannot be right.
fn bad(name: &HeaderName, reason: &str) -> Error {
    let error = Error::argument("headers", format!("{} {reason}", header::shown(name.as_str())));
    if header::is_secret(name) { error.as_kind(Kind::InvalidCredentials) } else { error }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Field};
    use super::*;

    const KEY: &str = "k7Qm2xV9tR4wZ8bN1cL6";
    const ID: &str = "5b1f08a3c97e42d6b8e0f4a17d3c6952";

    fn access(url: &str, pairs: &[(&str, &str)]) -> Result<Access> {
        let fields: Vec<_> =
            pairs.iter().map(|&(key, value)| (key.into(), Field::Text(Secret::new(value)))).collect();
        Access::judged(&Endpoint::given(url)?, &Credentials::parse(&fields)?, &[])
    }

    /// The request line's target and the headers that an API key gives.
    fn placed(url: &str, placement: Option<&str>) -> (String, Vec<(String, String)>) {
        let pairs: Vec<_> =
            [("api_key", KEY)].into_iter().chain(placement.map(|text| ("placement", text))).collect();
        let access = access(url, &pairs).unwrap();
        let header = |(name, value): (&HeaderName, &http::HeaderValue)| {
            assert!(value.is_sensitive());
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        (access.path_and_query.expose().to_owned(), access.headers.iter().map(header).collect())
    }

    fn path(url: &str) -> String {
        let (path, headers) = placed(url, None);
        assert_eq!(headers, [], "{url}");
        path.replace(KEY, "KEY")
    }

    fn header(url: &str, placement: Option<&str>) -> (String, String) {
        let (path, mut headers) = placed(url, placement);
        assert!(!path.contains(KEY), "{url}");
        assert_eq!(headers.len(), 1, "{url}");
        headers.remove(0)
    }

    #[test]
    fn providers_with_the_key_in_the_path_get_it_there() {
        for (url, expected) in [
            ("https://eth-mainnet.g.alchemy.com", "/v2/KEY"),
            ("https://eth-mainnet.g.alchemy.com/v2/", "/v2/KEY"),
            (
                "https://starknet-mainnet.g.alchemy.com/starknet/version/rpc/v0_8",
                "/starknet/version/rpc/v0_8/KEY",
            ),
            ("https://eth-mainnet.alchemyapi.io/v2", "/v2/KEY"),
            ("https://mainnet.infura.io/v3", "/v3/KEY"),
            ("https://name.network.quiknode.pro/", "/KEY"),
            ("https://name.avalanche-mainnet.quiknode.pro/ext/bc/C/rpc/", "/KEY/ext/bc/C/rpc/"),
            ("https://rpc.ankr.com/eth", "/eth/KEY"),
            ("https://ethereum-mainnet.core.chainstack.com", "/KEY"),
            ("https://nd-123-456-789.p2pify.com", "/KEY"),
            ("https://go.getblock.io", "/KEY"),
            ("https://eth.getblock.io/mainnet/", "/KEY/mainnet/"),
            ("https://go.getblock.us/", "/KEY"),
            ("https://go.getblock.asia/v1/arbitrum/mainnet/", "/KEY/v1/arbitrum/mainnet/"),
            ("https://eth-mainnet.blastapi.io/", "/KEY"),
            ("https://ethereum.blockpi.network", "/v1/rpc/KEY"),
            ("https://ethereum.blockpi.network/v1/rpc/", "/v1/rpc/KEY"),
            ("https://mainnet.gateway.tenderly.co", "/KEY"),
            ("https://pool.mainnet.rpcpool.com", "/KEY"),
            ("https://mainnet.helius-rpc.com", "/?api-key=KEY"),
            ("https://mainnet.helius-rpc.com/?rebate=a", "/?rebate=a&api-key=KEY"),
        ] {
            assert_eq!(path(url), expected, "{url}");
        }
    }

    #[test]
    fn providers_with_a_header_get_it_and_unknown_hosts_the_usual_one() {
        let own = |name: &str| (name.to_owned(), KEY.to_owned());
        assert_eq!(header("https://lb.drpc.org/ogrpc?network=ethereum", None), own("drpc-key"));
        assert_eq!(header("https://lb.drpc.live/ethereum", None), own("drpc-key"));
        assert_eq!(header("https://node.example.org/rpc", None), own("x-api-key"));
        assert_eq!(header("http://127.0.0.1:8545", None), own("x-api-key"));
    }

    #[test]
    fn infura_s_secret_is_the_password_beside_the_id_in_the_path() {
        let (name, value) = header(&format!("https://mainnet.infura.io/v3/{ID}"), None);
        let pair = header::decode_basic(value.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!((name.as_str(), pair.expose()), ("authorization", format!(":{KEY}").as_str()));
    }

    #[test]
    fn an_explicit_placement_wins() {
        let alchemy = format!("https://eth-mainnet.g.alchemy.com/v2/{ID}");
        assert_eq!(header(&alchemy, Some("bearer")), ("authorization".into(), format!("Bearer {KEY}")));
        assert_eq!(header(&alchemy, Some("header:X-Token")), ("x-token".into(), KEY.into()));
        assert_eq!(header(&alchemy, Some("basic")).1, header::basic("", KEY).expose());
        assert_eq!(placed("https://node.example.org/a/", Some("path")).0, format!("/a/{KEY}"));
        assert_eq!(placed("https://eth.g.alchemy.com", Some("path")).0, format!("/v2/{KEY}"));
        assert_eq!(placed("https://node.example.org/a?b=c", Some("query:k")).0, format!("/a?b=c&k={KEY}"));
    }

    #[test]
    fn a_url_that_holds_a_key_takes_no_second_one() {
        for url in [
            format!("https://eth-mainnet.g.alchemy.com/v2/{ID}"),
            "https://eth-mainnet.g.alchemy.com/v2/abcdefgh".into(),
            format!("https://name.network.quiknode.pro/{ID}/"),
            format!("https://rpc.ankr.com/eth/{ID}{ID}"),
            format!("https://lb.drpc.org/ogrpc?network=ethereum&dkey={KEY}"),
            format!("https://lb.drpc.live/ethereum/{KEY}"),
            format!("https://ethereum-mainnet.core.chainstack.com/{ID}"),
            format!("https://go.getblock.io/{ID}"),
            "https://ethereum.blockpi.network/v1/rpc/public".into(),
            format!("https://mainnet.helius-rpc.com/?api-key={ID}"),
        ] {
            let error = access(&url, &[("api_key", KEY)]).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration, "{url}");
            assert_eq!(error.facts().argument, Some("credentials"), "{url}");
            assert!(!format!("{error:?}").contains(KEY) && !format!("{error:?}").contains(ID));
        }
        let path = [("api_key", KEY), ("placement", "path")];
        assert!(access(&format!("https://mainnet.infura.io/v3/{ID}"), &path).is_err());
        let query = [("api_key", KEY), ("placement", "query:k")];
        assert!(access("https://node.example.org/?k=v", &query).is_err());
    }

    #[test]
    fn a_key_is_encoded_where_the_url_needs_it() {
        let pairs = [("api_key", "k7/Qm?2&xV#9=t%"), ("placement", "path")];
        let access = access("https://node.example.org", &pairs).unwrap();
        assert_eq!(access.path_and_query.expose(), "/k7%2FQm%3F2%26xV%239%3Dt%25");
    }

    #[test]
    fn no_header_is_set_twice() {
        for (url, pairs) in [
            ("https://u:9f8e7d6c@node.example.org", vec![("bearer_token", KEY)]),
            ("https://u:9f8e7d6c@node.example.org", vec![("cookie_file", "/data/.cookie")]),
            (
                "https://u:9f8e7d6c@mainnet.infura.io/v3/5b1f08a3c97e42d6b8e0f4a17d3c6952",
                vec![("api_key", KEY)],
            ),
            (
                "https://mainnet.infura.io/v3/5b1f08a3c97e42d6b8e0f4a17d3c6952",
                vec![("api_key", KEY), ("bearer_token", KEY)],
            ),
        ] {
            let error = access(url, &pairs).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration, "{url}");
            assert!(error.message().contains("authorization is set twice"), "{error}");
        }
        assert!(access("https://u:9f8e7d6c@node.example.org", &[("api_key", KEY)]).is_ok());
    }
}
