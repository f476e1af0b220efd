//! All that a request must carry to reach the node and be let in: path and query, headers, and the header that is
//! made anew for each request.

use std::time::SystemTime;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::builder::Builder;
use super::cookie::Cookies;
use super::endpoint::request_target;
use super::jwt::EngineKey;
use super::scrub::{Scrubber, scrub_tokens};
use super::secret::same_bytes;
use super::{Credentials, Endpoint, Secret, header, invalid, validate};
use crate::engine::error::Result;

/// What a request carries, besides its body.
#[derive(Debug)]
pub struct Access {
    /// Path and query of the request line.
    pub(crate) path_and_query: Secret,
    /// Headers that are the same for every request, marked as sensitive.
    pub(crate) headers: HeaderMap,
    /// Whether anything of it is a credential.
    pub(crate) has_credentials: bool,
    fresh: Option<Fresh>,
    scrubber: Scrubber,
    cookies: Cookies,
}

/// What is made anew for each request.
#[derive(Debug, PartialEq)]
pub(super) enum Fresh {
    /// The path of Bitcoin's cookie file.
    Cookie(Secret),
    /// The engine API's secret.
    Token(EngineKey),
}

impl Access {
    /// Puts the credentials where this endpoint wants them. `extra` are the headers of the argument `headers`.
    ///
    /// # Errors
    /// Two credentials for one place, or a placeholder or an unusable text in the URL, its user or `extra`.
    pub(crate) fn new(
        endpoint: &Endpoint,
        credentials: &Credentials,
        extra: &[(String, Secret)],
    ) -> Result<Self> {
        let mut builder = Builder::new(endpoint)?;
        builder.add_userinfo()?;
        builder.add_credentials(credentials)?;
        builder.add_extra(extra)?;
        Ok(Self {
            path_and_query: request_target(&builder.path, builder.query.as_ref())?,
            headers: builder.headers,
            has_credentials: builder.has_credentials,
            fresh: builder.fresh,
            scrubber: builder.scrubber,
            cookies: Cookies::default(),
        })
    }

    /// The same after every value of the credentials was judged.
    pub(crate) fn judged(
        endpoint: &Endpoint,
        credentials: &Credentials,
        extra: &[(String, Secret)],
    ) -> Result<Self> {
        validate::judge_credentials(credentials, Some(endpoint), SystemTime::now())?;
        Self::new(endpoint, credentials, extra)
    }

    /// The header that is made anew for each request, if there is one.
    ///
    /// # Errors
    /// A cookie file that cannot be read now, or holds something else.
    pub(crate) fn fresh_header(&self) -> Result<Option<(HeaderName, HeaderValue)>> {
        self.fresh_header_at(SystemTime::now())
    }

    /// The same for a request at `now`.
    pub(crate) fn fresh_header_at(&self, now: SystemTime) -> Result<Option<(HeaderName, HeaderValue)>> {
        let value = match &self.fresh {
            None => return Ok(None),
            Some(Fresh::Token(key)) => Secret::new(format!("Bearer {}", key.token(now).expose())),
            Some(Fresh::Cookie(path)) => self.cookies.value(path, now)?,
        };
        let value = header::value(value.expose()).ok_or_else(|| invalid("a header cannot carry them"))?;
        Ok(Some((AUTHORIZATION, value)))
    }

    /// The text without the secrets that are known here.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let clean = self.scrubber.scrub(text);
        match &self.fresh {
            None => clean,
            Some(Fresh::Token(_)) => scrub_tokens(&clean, &EngineKey::header()),
            Some(Fresh::Cookie(_)) => self.cookies.scrub(clean),
        }
    }
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        let same_header = |(name, value): (&HeaderName, &HeaderValue)| {
            other.headers.get(name).is_some_and(|found| same_bytes(value.as_bytes(), found.as_bytes()))
        };
        self.path_and_query == other.path_and_query
            && self.headers.len() == other.headers.len()
            && self.headers.iter().all(same_header)
            && self.fresh == other.fresh
    }
}
