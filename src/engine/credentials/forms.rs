//! The mapping that a user gives as `credentials`, read into what the engine works with. Shape only: whether the
//! values can be right is asked in `validate`.

use http::header::{AUTHORIZATION, HeaderName};

use super::jwt::EngineKey;
use super::{Placement, Secret, file, header, invalid, misuse};
use crate::engine::error::{Error, Result};

/// One value of the mapping.
#[derive(Debug, Clone)]
pub enum Field {
    /// Text.
    Text(Secret),
    /// A mapping of text to text.
    Headers(Vec<(String, Secret)>),
    /// Anything else, `None` included. It is refused by its key.
    Unusable,
}

/// The mapping, in its order.
pub type Fields = Vec<(String, Field)>;

/// Credentials whose shape is right. Several forms go together as long as no two set the same header.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub(super) api_key: Option<Secret>,
    pub(super) placement: Option<Placement>,
    pub(super) bearer_token: Option<Secret>,
    pub(super) basic: Option<Basic>,
    pub(super) cookie_file: Option<Secret>,
    pub(super) jwt_secret: Option<Secret>,
    pub(super) headers: Vec<(HeaderName, Secret)>,
}

/// A user and their password.
#[derive(Debug, Clone)]
pub(super) struct Basic {
    pub username: Secret,
    pub password: Secret,
}

/// The mapping by key.
#[derive(Default)]
struct Raw<'a> {
    api_key: Option<&'a Secret>,
    placement: Option<&'a Secret>,
    bearer_token: Option<&'a Secret>,
    username: Option<&'a Secret>,
    password: Option<&'a Secret>,
    cookie_file: Option<&'a Secret>,
    jwt_secret: Option<&'a Secret>,
    headers: Option<&'a [(String, Secret)]>,
}

impl Credentials {
    /// Reads the mapping; an empty one is no credentials.
    ///
    /// # Errors
    /// `Configuration` for a key that is not known, a value of a wrong type, or two forms that set the same header;
    /// `InvalidCredentials` for half a pair. The message names the key, never the value.
    pub fn parse(fields: &[(String, Field)]) -> Result<Self> {
        let raw = Raw::read(fields)?;
        let credentials = Self {
            api_key: raw.api_key.cloned(),
            placement: raw.placement()?,
            bearer_token: raw.bearer_token.cloned(),
            basic: raw.basic()?,
            cookie_file: raw.cookie_file.cloned(),
            jwt_secret: raw.jwt_secret.cloned(),
            headers: raw.headers()?,
        };
        credentials.refuse_two_authorizations()?;
        Ok(credentials)
    }

    /// Whether a field has a meaning by itself.
    pub(super) fn knows(field: &(String, Field)) -> Result<()> {
        let raw = Raw::read(std::slice::from_ref(field))?;
        raw.headers().map(drop)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.api_key.is_none()
            && self.bearer_token.is_none()
            && self.basic.is_none()
            && self.cookie_file.is_none()
            && self.jwt_secret.is_none()
            && self.headers.is_empty()
    }

    /// What is known without the endpoint; `Access` asks again when the provider's convention is known.
    fn refuse_two_authorizations(&self) -> Result<()> {
        let key_is_one = match &self.placement {
            Some(Placement::Basic | Placement::Bearer) => true,
            Some(Placement::Header(name)) => name == AUTHORIZATION,
            _ => false,
        };
        let claims = [
            ("api_key", key_is_one),
            ("bearer_token", self.bearer_token.is_some()),
            ("username", self.basic.is_some()),
            ("cookie_file", self.cookie_file.is_some()),
            ("jwt_secret", self.jwt_secret.is_some()),
            ("headers", self.headers.iter().any(|(name, _)| name == AUTHORIZATION)),
        ];
        let mut set = claims.iter().filter(|(_, claims)| *claims).map(|(key, _)| key);
        match (set.next(), set.next()) {
            (Some(one), Some(other)) => {
                Err(misuse(format!("{one} and {other} both set the header authorization")))
            }
            _ => Ok(()),
        }
    }
}

impl<'a> Raw<'a> {
    fn read(fields: &'a [(String, Field)]) -> Result<Self> {
        let mut raw = Self::default();
        for (key, field) in fields {
            let taken = match key.as_str() {
                "api_key" => raw.api_key.replace(text(key, field)?).is_some(),
                "placement" => raw.placement.replace(text(key, field)?).is_some(),
                "bearer_token" => raw.bearer_token.replace(text(key, field)?).is_some(),
                "username" => raw.username.replace(text(key, field)?).is_some(),
                "password" => raw.password.replace(text(key, field)?).is_some(),
                "cookie_file" => raw.cookie_file.replace(text(key, field)?).is_some(),
                "jwt_secret" => raw.jwt_secret.replace(text(key, field)?).is_some(),
                "headers" => raw.headers.replace(mapping(key, field)?).is_some(),
                _ => return Err(unknown(key)),
            };
            if taken {
                return Err(misuse(format!("{key} is given twice")));
            }
        }
        Ok(raw)
    }

    fn placement(&self) -> Result<Option<Placement>> {
        match (self.placement, self.api_key) {
            (Some(_), None) => Err(invalid("placement is given without api_key")),
            (placement, _) => placement.map(|text| Placement::parse(text.expose())).transpose(),
        }
    }

    fn basic(&self) -> Result<Option<Basic>> {
        match (self.username, self.password) {
            (Some(username), Some(password)) => {
                Ok(Some(Basic { username: username.clone(), password: password.clone() }))
            }
            (Some(_), None) => Err(invalid("username is given without password")),
            (None, Some(_)) => Err(invalid("password is given without username")),
            (None, None) => Ok(None),
        }
    }

    fn headers(&self) -> Result<Vec<(HeaderName, Secret)>> {
        let read = |(name, value): &(String, Secret)| {
            let name = header::name(name).map_err(|reason| misuse(format!("headers {reason}")))?;
            Ok((name, value.clone()))
        };
        self.headers.unwrap_or_default().iter().map(read).collect()
    }
}

fn text<'a>(key: &str, field: &'a Field) -> Result<&'a Secret> {
    match field {
        Field::Text(text) => Ok(text),
        Field::Headers(_) | Field::Unusable => Err(misuse(format!("{key} must be text"))),
    }
}

fn mapping<'a>(key: &str, field: &'a Field) -> Result<&'a [(String, Secret)]> {
    match field {
        Field::Headers(headers) => Ok(headers),
        Field::Text(_) | Field::Unusable => Err(misuse(format!("{key} must be a mapping of text to text"))),
    }
}

fn unknown(key: &str) -> Error {
    misuse(format!(
        "{} is not a known key; known are api_key, placement, bearer_token, username, password, cookie_file, \
         jwt_secret and headers",
        header::shown(key)
    ))
}

/// The engine API's secret, given as itself or in a file; the reason reads on after the field's name.
pub(super) fn engine_key(text: &Secret) -> std::result::Result<EngineKey, &'static str> {
    if text.expose().is_empty() {
        Err("is empty")
    } else if EngineKey::is_meant_by(text.expose()) {
        EngineKey::from_hex(text.expose())
    } else {
        EngineKey::from_hex(file::read(text)?.expose().trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    const KEY: &str = "9f8e7d6c5b4a39281706";

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|&(key, value)| (key.to_owned(), Field::Text(Secret::new(value)))).collect()
    }

    fn headers(name: &str) -> (String, Field) {
        ("headers".into(), Field::Headers(vec![(name.into(), Secret::new(KEY))]))
    }

    fn refusal(fields: &Fields) -> (Kind, String) {
        let error = Credentials::parse(fields).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(KEY));
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn every_form_is_read_and_an_empty_mapping_is_none() {
        assert!(Credentials::parse(&[]).unwrap().is_empty());
        for form in [
            fields(&[("api_key", KEY)]),
            fields(&[("api_key", KEY), ("placement", "query:key")]),
            fields(&[("bearer_token", KEY)]),
            fields(&[("username", "u"), ("password", KEY)]),
            fields(&[("cookie_file", "/data/.cookie")]),
            fields(&[("jwt_secret", KEY)]),
            vec![headers("X-Token")],
        ] {
            assert!(!Credentials::parse(&form).unwrap().is_empty(), "{form:?}");
        }
    }

    #[test]
    fn half_a_pair_is_named() {
        for (key, other) in [("username", "password"), ("password", "username"), ("placement", "api_key")] {
            let (kind, message) = refusal(&fields(&[(key, KEY)]));
            assert_eq!(kind, Kind::InvalidCredentials);
            assert!(message.contains(&format!("{key} is given without {other}")), "{message}");
        }
    }

    #[test]
    fn wrong_types_and_unknown_keys_are_named() {
        let (kind, message) = refusal(&vec![("api_key".into(), Field::Unusable)]);
        assert_eq!((kind, message.as_str()), (Kind::Configuration, "credentials: api_key must be text"));
        let (_, message) = refusal(&fields(&[("headers", KEY)]));
        assert_eq!(message, "credentials: headers must be a mapping of text to text");
        let (_, message) = refusal(&fields(&[("apikey", KEY)]));
        assert!(message.contains("apikey is not a known key"), "{message}");
        let (_, message) = refusal(&fields(&[("api_key", KEY), ("api_key", KEY)]));
        assert!(message.contains("twice"), "{message}");
    }

    #[test]
    fn a_secret_in_the_place_of_a_key_is_not_repeated() {
        refusal(&fields(&[(KEY, "x")]));
        refusal(&vec![headers(&format!("{KEY}\n"))]);
    }

    #[test]
    fn two_forms_of_authorization_contradict_each_other() {
        let forms = [
            fields(&[("api_key", KEY), ("placement", "basic")]),
            fields(&[("bearer_token", KEY)]),
            fields(&[("username", "u"), ("password", KEY)]),
            fields(&[("cookie_file", "/data/.cookie")]),
            fields(&[("jwt_secret", KEY)]),
            vec![headers("AUTHORIZATION")],
        ];
        for (one, other) in (0..forms.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let both = [forms[one].clone(), forms[other].clone()].concat();
            assert_eq!(refusal(&both).0, Kind::Configuration, "{both:?}");
        }
    }

    #[test]
    fn forms_that_use_different_headers_go_together() {
        let both = [fields(&[("api_key", KEY), ("bearer_token", KEY)]), vec![headers("X-Tenant")]].concat();
        assert!(Credentials::parse(&both).is_ok());
    }
}
