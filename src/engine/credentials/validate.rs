//! Whether credentials can be right, judged by shape and content alone: nothing is sent anywhere.

use std::time::SystemTime;

use super::content::{API_KEY, BEARER, PASSWORD, Rules, USERNAME, Verdict, judge};
use super::placement::provider;
use super::{
    Access, Credentials, Endpoint, Field, Fields, Placement, Secret, forms, header, invalid, jwt,
    placeholder, variables,
};
use crate::engine::error::{Error, Result};

/// Why credentials cannot be right. It holds no part of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding(String);

impl Finding {
    /// The reason: lower case, no full stop.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl From<Error> for Finding {
    fn from(error: Error) -> Self {
        let message = error.message();
        Self(message.strip_prefix("credentials: ").unwrap_or(message).to_owned())
    }
}

/// Judges credentials, and with `endpoint` also whether they can be those of that node.
///
/// Whether the way to the node is safe for them is asked when connecting, where the user can allow it.
///
/// # Errors
/// The first reason why they cannot be right. Having none is one.
pub fn validate(fields: &[(String, Field)], endpoint: Option<&str>) -> std::result::Result<(), Finding> {
    explain(fields, endpoint).into_iter().next().map_or(Ok(()), Err)
}

/// The same with every reason.
#[must_use]
pub fn explain(fields: &[(String, Field)], endpoint: Option<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    let usable = usable(fields, &mut found);
    let endpoint = match endpoint.map(Endpoint::given).transpose() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            found.push(error);
            None
        }
    };
    match Credentials::parse(&usable) {
        Ok(credentials) if !credentials.is_empty() => {
            found.extend(verdicts(&credentials, endpoint.as_ref(), SystemTime::now()));
            let placed = endpoint.map(|endpoint| Access::new(&endpoint, &credentials, &[]));
            // What its field's own rules have found is told once.
            let is_new = |error: &Error| found.iter().all(|known| known.message() != error.message());
            let misplaced = placed.and_then(Result::err).filter(is_new);
            found.extend(misplaced);
        }
        Ok(_) if found.is_empty() => found.push(invalid("there are none")),
        Ok(_) => {}
        Err(error) => found.push(error),
    }
    found.into_iter().map(Finding::from).collect()
}

/// The fields that have a meaning, with the environment's variables in them.
fn usable(fields: &[(String, Field)], found: &mut Vec<Error>) -> Fields {
    let mut usable = Fields::new();
    for field in fields {
        match variables::in_field(field).and_then(|field| Credentials::knows(&field).map(|()| field)) {
            Ok(field) => usable.push(field),
            Err(error) => found.push(error),
        }
    }
    usable
}

/// Judges every value by the rules of its field.
pub(super) fn judge_credentials(
    credentials: &Credentials,
    endpoint: Option<&Endpoint>,
    now: SystemTime,
) -> Result<()> {
    verdicts(credentials, endpoint, now).into_iter().next().map_or(Ok(()), Err)
}

/// Every value that cannot be right by the rules of its field.
fn verdicts(credentials: &Credentials, endpoint: Option<&Endpoint>, now: SystemTime) -> Vec<Error> {
    let provider = endpoint.and_then(|endpoint| provider(&endpoint.name));
    let key_rules = Rules { hex_is_secret: !provider.is_some_and(|provider| provider.hex_keys), ..API_KEY };
    let bearer = |value: &str| judge(value, BEARER).and_then(|()| jwt::judge_token(value, now));
    let key = |value: &str| {
        judge(value, key_rules)?;
        if credentials.placement == Some(Placement::Bearer) { jwt::judge_token(value, now) } else { Ok(()) }
    };
    let basic = credentials.basic.as_ref();
    let fields = [
        field("api_key", credentials.api_key.as_ref(), key),
        field("bearer_token", credentials.bearer_token.as_ref(), bearer),
        field("username", basic.map(|basic| &basic.username), judge_username),
        field("password", basic.map(|basic| &basic.password), |value| judge(value, PASSWORD)),
        field("cookie_file", credentials.cookie_file.as_ref(), judge_path),
        field("jwt_secret", credentials.jwt_secret.as_ref(), judge_engine_key),
    ];
    let headers = credentials.headers.iter().map(|(name, value)| {
        header::judge_value(name, value.expose(), now)
            .map_err(|reason| invalid(format!("the header {} {reason}", header::shown(name.as_str()))))
    });
    fields.into_iter().chain(headers).filter_map(Result::err).collect()
}

/// Judges the user and password that stand in a URL, either of which may be left out there.
pub(super) fn judge_userinfo(username: &Secret, password: &Secret) -> Result<()> {
    let given = |secret: &Secret| !secret.expose().is_empty();
    let rules = if given(password) { USERNAME } else { PASSWORD };
    if given(username) {
        field("the endpoint's user", Some(username), |value| {
            judge(value, rules)?;
            judge_username(value)
        })?;
    }
    if given(password) {
        field("the endpoint's password", Some(password), |value| judge(value, PASSWORD))?;
    }
    Ok(())
}

fn field(key: &str, value: Option<&Secret>, judge: impl FnOnce(&str) -> Verdict) -> Result<()> {
    value.map_or(Ok(()), |value| judge(value.expose()).map_err(|reason| invalid(format!("{key} {reason}"))))
}

fn judge_username(value: &str) -> Verdict {
    judge(value, USERNAME)?;
    // Basic authentication ends the user at the first colon.
    if value.contains(':') { Err("holds a colon") } else { Ok(()) }
}

/// The file itself is read when it is needed: the node writes it when it starts.
fn judge_path(value: &str) -> Verdict {
    if value.is_empty() {
        Err("is empty")
    } else if value.contains(char::is_control) {
        Err("holds a control character")
    } else if placeholder::is_marker(value) {
        Err("looks like a placeholder")
    } else {
        Ok(())
    }
}

fn judge_engine_key(value: &str) -> Verdict {
    if placeholder::is_marker(value) {
        return Err("looks like a placeholder");
    }
    forms::engine_key(&Secret::new(value)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX32: &str = "5b1f08a3c97e42d6b8e0f4a17d3c6952";
    const UUID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    const HEX64: &str = "8c1f5e02d7a94b36c0e85d1f7a3b92648e0d5c7f1b3a69284d7e0f5c1a2b3d4e";
    const SEED: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    const WIF: &str = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ";

    fn text(key: &str, value: &str) -> (String, Field) {
        (key.into(), Field::Text(Secret::new(value)))
    }

    fn header(name: &str, value: &str) -> (String, Field) {
        ("headers".into(), Field::Headers(vec![(name.into(), Secret::new(value))]))
    }

    fn reason(fields: &[(String, Field)]) -> Option<String> {
        validate(fields, None).err().map(|finding| finding.reason().to_owned())
    }

    #[test]
    fn credentials_that_can_be_right_pass() {
        let prefixed = format!("0x{HEX64}");
        let long = HEX32.repeat(128);
        for fields in [
            vec![text("api_key", HEX32)],
            vec![text("api_key", UUID)],
            vec![text("api_key", "k7Qm2xV9tR4wZ8bN1cL6_-")],
            vec![text("api_key", "hunter22")],
            vec![text("api_key", &long)],
            vec![text("api_key", HEX32), text("placement", "query:api-key")],
            vec![text("api_key", "test-9f8e7d6c5b4a")],
            vec![text("bearer_token", "v2.local.k7Qm2xV9tR4w")],
            vec![text("bearer_token", "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl")],
            vec![text("username", "u"), text("password", "p")],
            vec![text("username", "test"), text("password", "correct horse battery")],
            vec![text("username", "__cookie__"), text("password", HEX64)],
            vec![text("cookie_file", "/var/lib/bitcoin/.cookie")],
            vec![text("jwt_secret", HEX64)],
            vec![text("jwt_secret", &prefixed)],
            vec![header("X-Token", HEX32)],
            vec![header("Authorization", "Bearer k7Qm2xV9tR4wZ8bN1cL6")],
            vec![header("Authorization", "Basic dXNlcjo5ZjhlN2Q2Yw==")],
            vec![header("Origin", "https://dapp.example.org")],
            vec![text("api_key", HEX32), text("bearer_token", UUID)],
        ] {
            assert_eq!(reason(&fields), None, "{fields:?}");
        }
    }

    #[test]
    fn credentials_that_cannot_be_right_are_refused_with_the_reason() {
        let long = "k7Qm2xV9".repeat(513);
        let prefixed = format!("0x{HEX64}");
        for (fields, expected) in [
            (vec![], "there are none"),
            (vec![("headers".into(), Field::Headers(vec![]))], "there are none"),
            (vec![text("api_key", "")], "api_key is empty"),
            (vec![("api_key".into(), Field::Unusable)], "api_key must be text"),
            (vec![text("api_key", "k7Qm2xV")], "api_key is shorter than 8 characters"),
            (vec![text("api_key", &long)], "api_key is longer than 4096 characters"),
            (vec![text("api_key", " k7Qm2xV9tR4w")], "api_key begins or ends with a blank"),
            (vec![text("api_key", "k7Qm2xV9tR4w ")], "api_key begins or ends with a blank"),
            (vec![text("api_key", "k7Qm2xV9tR4w\n")], "api_key holds a control character"),
            (vec![text("api_key", "k7Qm2xV9\0tR4w")], "api_key holds a control character"),
            (vec![text("api_key", "k7Qm2xV9\u{7f}tR4w")], "api_key holds a control character"),
            (vec![text("api_key", "k7Qm2xV9é4wZ")], "api_key holds a character that is not ASCII"),
            (vec![text("api_key", "k7Qm2xV9 tR4w")], "api_key holds a blank"),
            (vec![text("api_key", "your_key")], "api_key looks like a placeholder"),
            (vec![text("api_key", "YOUR-PROJECT-ID")], "api_key looks like a placeholder"),
            (vec![text("api_key", "<YOUR-API-KEY>")], "api_key looks like a placeholder"),
            (
                vec![text("api_key", "${GENESIS_NO_SUCH_VARIABLE}")],
                "the environment variable GENESIS_NO_SUCH_VARIABLE is not set",
            ),
            (vec![text("api_key", "${API KEY}")], "api_key looks like a placeholder"),
            (vec![text("api_key", "{{ api_key }}")], "api_key looks like a placeholder"),
            (vec![text("api_key", "changeme")], "api_key looks like a placeholder"),
            (vec![text("api_key", "1234567890")], "api_key looks like a placeholder"),
            (vec![text("api_key", "aaaaaaaaaaaa")], "api_key repeats the same characters"),
            (vec![text("api_key", "k7k7k7k7k7k7")], "api_key repeats the same characters"),
            (vec![text("api_key", "aabbaaabbbababab")], "api_key has too little variety to be a secret"),
            (vec![text("api_key", HEX64)], "api_key looks like a private key"),
            (vec![text("api_key", &prefixed)], "api_key looks like a private key"),
            (vec![text("api_key", WIF)], "api_key looks like a private key"),
            (vec![text("api_key", SEED)], "api_key looks like the seed phrase of a wallet"),
            (vec![text("api_key", HEX32), text("placement", "nowhere")], "placement must be"),
            (vec![text("bearer_token", HEX64)], "bearer_token looks like a private key"),
            (vec![text("bearer_token", "Bearer k7Qm2xV9")], "bearer_token holds a blank"),
            (
                vec![text("bearer_token", "eyJhbGciOiJub25lIn0.e30.")],
                "bearer_token is a JWT without a signature",
            ),
            (
                vec![text("bearer_token", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln")],
                "bearer_token is a JWT that has expired",
            ),
            (vec![text("username", "u")], "username is given without password"),
            (vec![text("username", ""), text("password", "p")], "username is empty"),
            (vec![text("username", "u:v"), text("password", "p")], "username holds a colon"),
            (vec![text("username", "<USER>"), text("password", "p")], "username looks like a placeholder"),
            (vec![text("username", "u"), text("password", "changeme")], "password looks like a placeholder"),
            (
                vec![text("username", "u"), text("password", "p\r\nX: y")],
                "password holds a control character",
            ),
            (vec![text("cookie_file", "")], "cookie_file is empty"),
            (vec![text("cookie_file", "/data\0/.cookie")], "cookie_file holds a control character"),
            (vec![text("jwt_secret", "")], "jwt_secret is empty"),
            (vec![text("jwt_secret", HEX32)], "jwt_secret is not 32 bytes in hexadecimal"),
            (vec![text("jwt_secret", &"0".repeat(64))], "jwt_secret repeats the same characters"),
            (vec![text("jwt_secret", "/no/such/file")], "jwt_secret names a file that does not exist"),
            (vec![text("jwt_secret", "/")], "jwt_secret names something that is not a file"),
            (vec![header("X Token", HEX32)], "headers holds a header's name that is not legal"),
            (vec![header("Host", "evil")], "headers must not hold host"),
            (vec![header("X-Token", "a\r\nX-Other: b")], "the header x-token holds a control character"),
            (vec![header("X-Token", "a\u{e9}b")], "the header x-token holds a character that is not ASCII"),
            (vec![header("X-Token", "<TOKEN>")], "the header x-token looks like a placeholder"),
            (vec![header("X-Api-Key", HEX64)], "the header x-api-key looks like a private key"),
            (
                vec![header("Authorization", "Bearer your_token")],
                "the header authorization looks like a placeholder",
            ),
            (
                vec![header("Authorization", "Basic user:pass")],
                "the header authorization holds basic credentials",
            ),
            (vec![text("api_key", HEX32), text("apikey", HEX32)], "apikey is not a known key"),
        ] {
            let found = reason(&fields).unwrap_or_default();
            assert!(found.starts_with(expected), "{fields:?} gave {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn the_guide_s_own_example_is_refused_until_its_values_are_real() {
        let placeholder = [text("api_key", "your_key")];
        let real = [text("api_key", UUID)];
        let url = |id: &str| format!("https://mainnet.infura.io/v3/{id}");
        assert!(validate(&placeholder, Some(&url("YOUR-PROJECT-ID"))).is_err());
        assert!(validate(&placeholder, Some(&url(HEX32))).is_err());
        assert!(validate(&real, Some(&url("YOUR-PROJECT-ID"))).is_err());
        assert_eq!(validate(&real, Some(&url(HEX32))), Ok(()));
    }

    #[test]
    fn with_the_endpoint_the_provider_s_own_form_and_what_the_url_holds_count() {
        let key = [text("api_key", HEX64)];
        assert_eq!(validate(&key, Some("https://rpc.ankr.com/eth")), Ok(()));
        assert!(validate(&key, Some("https://node.example.org")).is_err());
        let key = [text("api_key", UUID)];
        assert!(validate(&key, Some(&format!("https://eth.g.alchemy.com/v2/{HEX32}"))).is_err());
        assert!(validate(&key, Some("ftp://node.example.org")).is_err());
        assert_eq!(validate(&key, Some("http://node.example.org")), Ok(()));
    }

    #[test]
    fn every_finding_is_listed_and_none_holds_a_value() {
        let fields = [
            text("api_key", HEX64),
            text("apikey", HEX32),
            text("bearer_token", "${GENESIS_NO_SUCH_VARIABLE}"),
            ("password".into(), Field::Unusable),
            header("X-Token", "<TOKEN>"),
            text("jwt_secret", "0x1234"),
        ];
        let found = explain(&fields, Some("https://mainnet.infura.io/v3/YOUR-PROJECT-ID"));
        let found: Vec<_> = found.iter().map(Finding::reason).collect();
        let expected = [
            "apikey is not a known key",
            "the environment variable GENESIS_NO_SUCH_VARIABLE is not set",
            "password must be text",
            "api_key looks like a private key",
            "jwt_secret is not 32 bytes in hexadecimal",
            "the header x-token looks like a placeholder",
            "the endpoint's URL holds a placeholder",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{found:?}");
        assert!(!found.concat().contains(HEX64) && !found.concat().contains(HEX32));
        assert!(explain(&[text("api_key", HEX32)], None).is_empty());
    }

    #[test]
    fn the_secret_may_lie_in_a_file() {
        let path = std::env::temp_dir().join(format!("genesis-jwt-{}", std::process::id()));
        let path_text = path.to_str().unwrap();
        std::fs::write(&path, format!("0x{HEX64}\n")).unwrap();
        let found = reason(&[text("jwt_secret", path_text)]);
        std::fs::write(&path, "not hexadecimal").unwrap();
        let wrong = reason(&[text("jwt_secret", path_text)]);
        std::fs::write(&path, "9".repeat(10_000)).unwrap();
        let large = reason(&[text("jwt_secret", path_text)]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, None);
        assert_eq!(wrong.as_deref(), Some("jwt_secret is not 32 bytes in hexadecimal"));
        assert_eq!(large.as_deref(), Some("jwt_secret names a file that is too large"));
    }
}
