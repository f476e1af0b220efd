//! What an error answer means: tables of codes, HTTP statuses and fragments of text, read from the top.

use std::time::Duration;

use super::error::{Error, Kind};
use super::jsonrpc::Answer;

/// A row: the codes and the lower-case fragments that speak for a kind. A row without codes takes any code.
struct Rule {
    kind: Kind,
    codes: &'static [i64],
    fragments: &'static [&'static str],
}

/// The first row that fits decides. Codes mean different things at different providers, so where one is shared the
/// text decides; a row with no fragments needs none. Texts as nodes and providers sent them in 2025 and 2026.
const RULES: &[Rule] = &[
    Rule { kind: Kind::ExecutionReverted, codes: &[3], fragments: &[] },
    Rule {
        kind: Kind::ExecutionReverted,
        codes: &[],
        fragments: &["execution reverted", "vm exception", "reverted"],
    },
    Rule {
        kind: Kind::RangeTooLarge,
        codes: &[],
        fragments: &[
            "block range",
            "range is too large",
            "range too large",
            "returned more than",
            "response too large",
            "is limited to a",
            "too many results",
        ],
    },
    Rule {
        kind: Kind::QuotaExhausted,
        codes: &[],
        fragments: &["monthly capacity", "daily credit", "reached the quota", "payment required", "billing"],
    },
    Rule { kind: Kind::ProviderRateLimit, codes: &[429, -32090, -32029], fragments: &[] },
    Rule {
        kind: Kind::ProviderRateLimit,
        codes: &[],
        fragments: &[
            "rate limit",
            "too many requests",
            "request limit reached",
            "rate exceeded",
            "rps limit",
            "compute units per second",
            "credits limited",
        ],
    },
    Rule {
        kind: Kind::Authentication,
        codes: &[],
        fragments: &[
            "must be authenticated",
            "must authenticate",
            "invalid api key",
            "unauthorized",
            "token is invalid",
        ],
    },
    Rule { kind: Kind::MethodNotSupported, codes: &[-32601], fragments: &[] },
    Rule {
        kind: Kind::MethodNotSupported,
        codes: &[],
        fragments: &["method not found", "is not included in your current plan", "method is not whitelisted"],
    },
    Rule {
        kind: Kind::NodeBehind,
        codes: &[],
        fragments: &["header not found", "missing trie node", "block not found", "unknown block"],
    },
];

/// The error that an error answer stands for. `text` and `data` are free of secrets already.
#[must_use]
pub fn rpc_error(code: Option<i64>, text: &str, data: Option<bytes::Bytes>) -> Error {
    let kind = kind_of(code, text);
    let shown = printable(text);
    let message = match code {
        Some(code) => format!("the node answered with error {code}: {shown}"),
        None => format!("the node answered with an error: {shown}"),
    };
    Error::new(kind, message).with(|facts| {
        facts.code = code;
        facts.data = data;
    })
}

/// The kind of failure that an HTTP status stands for when the body is no JSON-RPC answer.
#[must_use]
pub fn status_error(status: u16, retry_after: Option<Duration>) -> Error {
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
        facts.status = Some(status);
        facts.retry_after = retry_after;
    })
}

/// `Retry-After` in seconds, up to five minutes: a server's typing error must not stop a client for a year.
#[must_use]
pub fn retry_after(value: &str) -> Option<Duration> {
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(300)))
}

/// The result in an answer, as JSON text, or the error that it is.
///
/// # Errors
/// What `rpc_error` makes of an error answer.
pub fn result_of(answer: Answer, scrub: impl Fn(&str) -> String) -> Result<bytes::Bytes, Error> {
    match answer {
        Answer::Result(text) => Ok(text),
        Answer::Error { code, message, data } => {
            let data = data.map(|data| match std::str::from_utf8(&data) {
                Ok(text) => scrub(text).into_bytes().into(),
                Err(_) => bytes::Bytes::new(),
            });
            Err(rpc_error(code, &scrub(&message), data))
        }
    }
}

fn kind_of(code: Option<i64>, text: &str) -> Kind {
    let text = text.to_lowercase();
    let fits = |rule: &&Rule| {
        (rule.codes.is_empty() || code.is_some_and(|code| rule.codes.contains(&code)))
            && (rule.fragments.is_empty() || rule.fragments.iter().any(|fragment| text.contains(fragment)))
    };
    RULES.iter().find(fits).map_or(Kind::Rpc, |rule| rule.kind)
}

/// A server's words, fit for one line of a log: no control characters, at most 500 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown: String =
        text.chars().take(500).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(500).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_answers_are_told_apart() {
        for (code, text, kind) in [
            (Some(3), "execution reverted: no", Kind::ExecutionReverted),
            (Some(-32601), "the method x does not exist", Kind::MethodNotSupported),
            (Some(-32005), "query returned more than 10000 results", Kind::RangeTooLarge),
            (Some(-32005), "project ID request rate exceeded", Kind::ProviderRateLimit),
            (
                Some(429),
                "Your app has exceeded its compute units per second capacity",
                Kind::ProviderRateLimit,
            ),
            (Some(-32600), "Must be authenticated!", Kind::Authentication),
            (Some(-32000), "Monthly capacity limit exceeded. Visit the page", Kind::QuotaExhausted),
            (Some(-32000), "header not found", Kind::NodeBehind),
            (Some(-32000), "nonce too low", Kind::Rpc),
            (None, "", Kind::Rpc),
        ] {
            assert_eq!(rpc_error(code, text, None).kind(), kind, "{text}");
        }
    }

    #[test]
    fn retry_after_is_capped_and_nonsense_is_ignored() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("1000000000"), Some(Duration::from_mins(5)));
        assert_eq!(retry_after("-5"), None);
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn a_servers_words_cannot_break_a_log_line() {
        assert_eq!(printable("a\r\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}\u{fffd}[31mb");
        assert_eq!(printable(&"x".repeat(600)).chars().count(), 501);
    }
}
