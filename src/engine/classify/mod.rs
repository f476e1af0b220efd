//! What an error answer means: tables of codes and texts by family, the waits and ranges that servers name, and why a
//! contract reverted.

mod bitcoin;
mod class;
mod effect;
mod escapes;
mod evm;
mod hints;
mod range;
mod reads;
mod revert;
mod solana;
mod substrate;
mod table;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::error::{Error, Kind, Result};
use super::family::Family;
use super::jsonrpc::Answer;
use super::printable::printable;

pub use class::Class;
pub use effect::{Effect, effect_of};
pub use range::{Suggestion, width_told};
pub use reads::only_reads;
pub use table::ErrorRule;

/// Tells what the errors of one endpoint mean.
#[derive(Debug, Default)]
pub struct Classifier {
    custom: Vec<ErrorRule>,
    family: OnceLock<Family>,
}

impl Classifier {
    /// One that goes by the user's rules first.
    #[must_use]
    pub const fn new(custom: Vec<ErrorRule>) -> Self {
        Self { custom, family: OnceLock::new() }
    }

    /// The endpoint has said what it is.
    pub fn learn(&self, family: Family) {
        // It says so each time it is asked; the first counts.
        let _ = self.family.set(family);
    }

    /// The result in an answer, as JSON text, or the error that it is. `scrub` takes the secrets out of a text.
    ///
    /// # Errors
    /// What an error answer stands for.
    pub fn result_of(
        &self,
        answer: Answer,
        headers: &HeaderMap,
        scrub: impl Fn(&str) -> String,
    ) -> Result<Bytes> {
        match answer {
            Answer::Result(text) => Ok(text),
            Answer::Error { code, message, data } => {
                let data = data.map(|data| match std::str::from_utf8(&data) {
                    Ok(text) => scrub(&escapes::undone(text)).into_bytes().into(),
                    Err(_) => Bytes::new(),
                });
                Err(self.error(code, &scrub(&message), data, headers, scrub))
            }
        }
    }

    /// The error that an error answer stands for. `text` and `data` are free of secrets already, but for those that
    /// must be decoded first.
    fn error(
        &self,
        code: Option<i64>,
        text: &str,
        data: Option<Bytes>,
        headers: &HeaderMap,
        scrub: impl Fn(&str) -> String,
    ) -> Error {
        let family = self.family.get().copied().unwrap_or(Family::Generic);
        let lower = searched(text, data.as_deref());
        let class = table::class_of(&self.custom, family, code, &lower);
        let reason =
            data.as_deref().filter(|_| class == Class::Reverted).and_then(|data| revert::reason(data, scrub));
        let words = printable(text);
        let shown = match &reason {
            Some(reason) if !words.contains(reason.as_str()) => &format!("{words} ({reason})"),
            _ => &words,
        };
        let message = match code {
            Some(code) => format!("the node answered with error {code}: {shown}"),
            None => format!("the node answered with an error: {shown}"),
        };
        Error::new(class.kind(), message).with(|facts| {
            facts.class = Some(class);
            facts.code = code;
            facts.words = Some(words);
            facts.retry_after = hints::wait(headers, &lower, data.as_deref());
            facts.suggested = (class == Class::RangeTooLarge).then(|| range::suggestion(&lower)).flatten();
            facts.reason = reason;
            facts.data = data;
        })
    }
}

/// What is searched for fragments: the message and, where it is words, the data, both in lower case.
fn searched(text: &str, data: Option<&[u8]>) -> String {
    let mut searched = text.to_lowercase();
    let words = data.and_then(|data| serde_json::from_slice::<String>(data).ok());
    if let Some(words) = words.filter(|words| !words.starts_with("0x")) {
        searched.push(' ');
        searched.push_str(&words.to_lowercase());
    }
    searched
}

/// What an HTTP status stands for when the body is no JSON-RPC answer.
#[must_use]
pub fn status_error(status: u16, headers: &HeaderMap) -> Error {
    let (kind, message) = match status {
        401 | 403 => (Kind::Authentication, format!("the node refused the credentials (HTTP {status})")),
        402 => (Kind::QuotaExhausted, "the provider's plan is used up (HTTP 402)".to_owned()),
        429 => (Kind::ProviderRateLimit, "the provider asks to slow down (HTTP 429)".to_owned()),
        300..=399 => {
            (Kind::HttpStatus, format!("the server redirects (HTTP {status}); redirects are not followed"))
        }
        _ => (Kind::HttpStatus, format!("the server answered with HTTP {status} and no JSON-RPC answer")),
    };
    Error::new(kind, message).with(|facts| {
        facts.class = Some(class_of_status(status));
        facts.status = Some(status);
        facts.retry_after = hints::in_headers(headers);
    })
}

const fn class_of_status(status: u16) -> Class {
    match status {
        401 | 403 => Class::Authentication,
        402 => Class::QuotaExhausted,
        429 => Class::RateLimited,
        413 => Class::RangeTooLarge,
        405 | 415 => Class::MethodNotSupported,
        // 520 to 526 are Cloudflare's words for a server that it cannot reach.
        408 | 500 | 502 | 503 | 504 | 520..=526 => Class::Transient,
        _ => Class::Unknown,
    }
}

/// How long to leave an endpoint alone whose answer came with these headers: they may say that a window is used up.
#[must_use]
pub fn wait_in(headers: &HeaderMap) -> Option<Duration> {
    // Most servers tell nothing of the kind.
    let tells = headers.contains_key("ratelimit") || headers.contains_key("ratelimit-remaining");
    tells.then(|| hints::in_answer(headers)).flatten()
}

#[cfg(test)]
mod tests;
