//! HTTP headers that a user adds: which may be set, what they may hold, and which of them are secrets.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use zeroize::Zeroizing;

use super::content::{self, Verdict, judge};
use super::{Secret, jwt};

/// Headers that belong to the connection and not to the user.
const RESERVED: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// Headers that say how to talk and not who talks.
const HARMLESS: [&str; 13] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "origin",
    "pragma",
    "referer",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-request-id",
];

/// The name of a header that the user may set, or why they may not; reads on after the field's name.
pub(super) fn name(text: &str) -> Result<HeaderName, String> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        return Err("holds a header's name that is not legal".into());
    };
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("must not hold {name}, which the connection sets itself"));
    }
    Ok(name)
}

/// Whether the value may be shown to nobody.
pub(super) fn is_secret(name: &HeaderName) -> bool {
    !HARMLESS.contains(&name.as_str())
}

/// A name for messages; one that might be a secret in the wrong place is not repeated.
pub(super) fn shown(name: &str) -> &str {
    let harmless = |b: u8| b.is_ascii_alphabetic() || b == b'-' || b == b'_';
    if name.len() <= 40 && name.bytes().all(harmless) { name } else { "(a name that is not shown)" }
}

/// The value as the transport sends it, marked as sensitive, and wiped when the last who shares it is gone.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(text.to_owned());
    // The header itself would take other characters too.
    let shared = text.is_ascii().then(|| Bytes::from_owner(text))?;
    let mut value = HeaderValue::from_maybe_shared(shared).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether the header can be right.
pub(super) fn judge_value(name: &HeaderName, value: &str, now: SystemTime) -> Verdict {
    judge(value, content::PLAIN_HEADER)?;
    if name == AUTHORIZATION || name == PROXY_AUTHORIZATION {
        return judge_authorization(value, now);
    }
    let is_key = ["key", "token", "secret", "auth"].iter().any(|part| name.as_str().contains(part));
    if is_key { judge(value, content::KEY_HEADER) } else { Ok(()) }
}

fn judge_authorization(value: &str, now: SystemTime) -> Verdict {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    if scheme.eq_ignore_ascii_case("bearer") {
        judge(rest, content::BEARER)?;
        jwt::judge_token(rest, now)
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair =
            decode_basic(rest).ok_or("holds basic credentials that are not base64 of user:password")?;
        let (_, password) = pair.expose().split_once(':').unwrap_or_default();
        judge(password, content::PASSWORD)
    } else {
        judge(value, content::KEY_HEADER)
    }
}

/// `Basic` and the base64 of the pair.
pub(super) fn basic(username: &str, password: &str) -> Secret {
    let pair = Secret::new(format!("{username}:{password}"));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

/// The `user:password` behind the word `Basic`.
pub(super) fn decode_basic(encoded: &str) -> Option<Secret> {
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    pair.contains(':').then(|| Secret::new(pair))
}
