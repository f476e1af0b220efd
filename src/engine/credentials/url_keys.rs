//! Keys that the URL of a node holds already, as most providers hand them out.

use super::placement::{Home, Provider, provider};
use super::{Endpoint, Secret, invalid, percent, placeholder};
use crate::engine::error::Result;

/// Parameters that hold a key, without separators and in lower case.
const KEY_PARAMETERS: [&str; 10] =
    ["accesskey", "accesstoken", "apikey", "auth", "authtoken", "dkey", "key", "password", "secret", "token"];

/// What stands in the place of a key and is none.
const PUBLIC: [&str; 2] = ["demo", "public"];

/// A part of the URL that is a key, or may be one.
pub(super) struct UrlKey {
    /// As it stands in the URL.
    pub raw: Secret,
    /// Decoded.
    pub text: Secret,
    /// Whether its place or its name says that it is a key; else it only looks like one.
    pub certain: bool,
}

/// All keys of the URL.
///
/// # Errors
/// `InvalidCredentials` if a placeholder was left in it.
pub(super) fn url_keys(endpoint: &Endpoint) -> Result<Vec<UrlKey>> {
    let provider = provider(&endpoint.name);
    let in_place = provider.and_then(|provider| in_key_place(endpoint, provider));
    let mut keys = Vec::new();
    for segment in endpoint.segments() {
        let is_in_place = in_place == Some(segment) && !PUBLIC.contains(&segment);
        let certain = is_in_place || provider.is_some() && looks_like_key(segment);
        keys.extend(examine(segment, certain)?);
    }
    for (name, value) in endpoint.parameters() {
        let name = name.replace(['-', '_'], "").to_ascii_lowercase();
        keys.extend(examine(value, !value.is_empty() && KEY_PARAMETERS.contains(&name.as_str()))?);
    }
    Ok(keys)
}

/// Whether the provider's place for a key is taken.
pub(super) fn is_taken(endpoint: &Endpoint, provider: &Provider, keys: &[UrlKey]) -> bool {
    in_key_place(endpoint, provider).is_some() || keys.iter().any(|key| key.certain)
}

/// The segment behind the provider's beginning of the path.
fn in_key_place<'a>(endpoint: &'a Endpoint, provider: &Provider) -> Option<&'a str> {
    match provider.home(endpoint.scheme) {
        // Without a beginning the first segment may as well be a part of the node's own path.
        Home::After("") | Home::Last | Home::Query(_) | Home::Header(_) => None,
        Home::After(beginning) | Home::PasswordOf(beginning) => {
            let rest = endpoint.path.expose().strip_prefix(beginning)?.strip_prefix('/')?;
            rest.split('/').next().filter(|segment| !segment.is_empty())
        }
    }
}

fn examine(raw: &str, certain: bool) -> Result<Option<UrlKey>> {
    let text = percent::decode(raw).map_or_else(|| Secret::new(raw), Secret::from);
    if placeholder::is_marker(text.expose()) || certain && placeholder::is_placeholder(text.expose()) {
        return Err(invalid("the endpoint's URL holds a placeholder where a key belongs"));
    }
    let is_key = certain || looks_like_key(text.expose());
    Ok(is_key.then(|| UrlKey { raw: Secret::new(raw), text, certain }))
}

/// Long, of a key's characters, with digits and letters: no ordinary name of a path.
fn looks_like_key(text: &str) -> bool {
    text.len() >= 16
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+=~".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    const KEY: &str = "k7Qm2xV9tR4wZ8bN1cL6";

    fn found(url: &str) -> Vec<(String, bool)> {
        let keys = url_keys(&Endpoint::parse(url).unwrap()).unwrap();
        keys.into_iter().map(|key| (key.text.expose().to_owned(), key.certain)).collect()
    }

    #[test]
    fn keys_are_found_by_place_by_name_and_by_look() {
        assert_eq!(found("https://mainnet.infura.io/v3/q7f2zz"), [("q7f2zz".into(), true)]);
        assert_eq!(found("wss://mainnet.infura.io/ws/v3/q7f2zz"), [("q7f2zz".into(), true)]);
        assert_eq!(found("wss://ethereum.blockpi.network/v1/ws/q7f2zz"), [("q7f2zz".into(), true)]);
        assert_eq!(found(&format!("https://x.quiknode.pro/{KEY}/ext/bc/C/rpc")), [(KEY.into(), true)]);
        assert_eq!(found("https://node.example.org/?Api_Key=k%2B1"), [("k+1".into(), true)]);
        assert_eq!(found(&format!("https://node.example.org/{KEY}")), [(KEY.into(), false)]);
        for (raw, text) in
            [("k7Qm2xV9+tR4wZ8b==", "k7Qm2xV9+tR4wZ8b=="), ("k7Qm2xV9%2BtR4wZ8b", "k7Qm2xV9+tR4wZ8b")]
        {
            assert_eq!(found(&format!("https://node.example.org/{raw}")), [(text.into(), false)]);
        }
    }

    #[test]
    fn ordinary_paths_hold_none() {
        for url in [
            "https://rpc.ankr.com/polygon_zkevm_cardona",
            "https://node.example.org/ext/bc/C/rpc?network=ethereum",
            "https://eth.blockpi.network/v1/rpc/public",
            "https://eth-mainnet.g.alchemy.com/v2/demo",
            "http://localhost:8545/test",
        ] {
            assert_eq!(found(url), [], "{url}");
        }
    }

    #[test]
    fn a_placeholder_is_refused() {
        for url in [
            "https://mainnet.infura.io/v3/YOUR-PROJECT-ID",
            "https://mainnet.infura.io/v3/changeme",
            "https://x.quiknode.pro/<TOKEN>/",
            "https://node.example.org/%7Bkey%7D",
            "https://node.example.org/${KEY}",
            "https://mainnet.helius-rpc.com/?api-key=YOUR_KEY",
            "https://node.example.org/?apikey=test",
        ] {
            let error = url_keys(&Endpoint::parse(url).unwrap()).err().unwrap();
            assert_eq!(error.kind(), Kind::InvalidCredentials, "{url}");
        }
    }
}
