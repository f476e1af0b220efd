//! How error answers are looked up: the user's rules, then texts, then codes; in each the family's before the common,
//! but for what names the method.
//!
//! A code means different things at different providers, so a text that speaks clearly goes before it.

use super::class::Class::{
    self, Authentication, Invalid, MethodNotSupported, QuotaExhausted, RangeTooLarge, RateLimited,
    SenderLimited, Transient,
};
use super::{bitcoin, evm, solana, substrate};
use crate::engine::error::{Error, Result};
use crate::engine::family::Family;

/// A row that goes by the text: the first of which a fragment, in lower case, occurs decides. In a fragment that begins
/// with `#` the next `#` stands for a number. With codes it takes only answers with one of them.
pub(super) struct Rule {
    class: Class,
    codes: &'static [i64],
    fragments: &'static [&'static str],
}

/// What one family's answers mean.
pub(super) struct Table {
    pub(super) texts: &'static [Rule],
    pub(super) codes: &'static [(i64, Class)],
}

/// A row that goes by the text alone.
pub(super) const fn says(class: Class, fragments: &'static [&'static str]) -> Rule {
    Rule { class, codes: &[], fragments }
}

/// A row that goes by the text of answers with these codes.
pub(super) const fn with(class: Class, codes: &'static [i64], fragments: &'static [&'static str]) -> Rule {
    Rule { class, codes, fragments }
}

/// A rule of the user's: it takes answers with one of its codes, if it has any, and one of its fragments, if it has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    class: Class,
    codes: Vec<i64>,
    fragments: Vec<String>,
}

impl ErrorRule {
    /// Answers with one of `codes` and one of `fragments` mean what the class named `means` does.
    ///
    /// # Errors
    /// `Configuration` for a name that is no class's, and for a rule that would take every answer.
    pub fn new(means: &str, codes: Vec<i64>, fragments: &[String]) -> Result<Self> {
        let Some(&class) = Class::ALL.iter().find(|class| class.name() == means) else {
            let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
            return Err(Error::argument(
                "error_rules",
                format!("'means' must be one of {}", known.join(", ")),
            ));
        };
        let fragments: Vec<_> = fragments.iter().map(|text| text.to_lowercase()).collect();
        if (codes.is_empty() && fragments.is_empty()) || fragments.iter().any(String::is_empty) {
            let message = "a rule needs 'codes' or 'contains', and no text in it may be empty";
            return Err(Error::argument("error_rules", message));
        }
        Ok(Self { class, codes, fragments })
    }

    fn fits(&self, code: Option<i64>, text: &str) -> bool {
        (self.codes.is_empty() || code.is_some_and(|code| self.codes.contains(&code)))
            && (self.fragments.is_empty() || self.fragments.iter().any(|part| text.contains(part.as_str())))
    }
}

impl Rule {
    fn fits(&self, code: Option<i64>, text: &str) -> bool {
        (self.codes.is_empty() || code.is_some_and(|code| self.codes.contains(&code)))
            && self.fragments.iter().any(|fragment| occurs(fragment, text))
    }
}

fn occurs(fragment: &str, text: &str) -> bool {
    // Told by its first sign: to look through each would take half as long as all the rest.
    let numbered = fragment.strip_prefix('#').and_then(|numbered| numbered.split_once('#'));
    let Some((before, after)) = numbered else { return text.contains(fragment) };
    text.match_indices(before).any(|(place, _)| {
        let number = &text[place + before.len()..];
        let behind = number.trim_start_matches(|digit: char| digit.is_ascii_digit());
        behind.len() < number.len() && behind.starts_with(after)
    })
}

/// The class of an answer. `text` is in lower case.
pub(super) fn class_of(custom: &[ErrorRule], family: Family, code: Option<i64>, text: &str) -> Class {
    if let Some(rule) = custom.iter().find(|rule| rule.fits(code, text)) {
        return rule.class;
    }
    let own = match family {
        Family::Evm | Family::Generic => &evm::TABLE,
        Family::Bitcoin => &bitcoin::TABLE,
        Family::Solana => &solana::TABLE,
        Family::Substrate => &substrate::TABLE,
    };
    let tables = [own, &COMMON];
    let texts = tables.iter().flat_map(|table| table.texts);
    let by_text = NAMING.iter().chain(texts).find(|rule| rule.fits(code, text));
    let by_code = || {
        let rows = tables.iter().flat_map(|table| table.codes);
        code.and_then(|code| rows.into_iter().find(|row| row.0 == code)).map(|row| row.1)
    };
    by_text.map(|rule| rule.class).or_else(by_code).unwrap_or(Class::Unknown)
}

/// What is said of a method by its name: "`trace_block` is not available" is not about a block.
const NAMING: &[Rule] = &[says(MethodNotSupported, &["is not available on the free tier"])];

/// What providers, proxies and JSON-RPC itself say, whatever the chain. Texts as they were sent in 2025 and 2026.
const COMMON: Table = Table {
    texts: &[
        says(SenderLimited, &["sender is over rate limit"]),
        says(
            QuotaExhausted,
            &[
                "monthly capacity",
                "daily credit",
                "daily request count exceeded",
                "free tier limit",
                "reached the free tier",
                "reached the quota",
                "exceeded the quota",
                "quota limit",
                "limit for your current plan",
                "payment required",
                "/billing",
                "not enough cups",
            ],
        ),
        says(
            RateLimited,
            &[
                "rate limit",
                "ratelimit",
                "rate exceeded",
                "too many requests",
                "credits limited",
                "request limit",
                "requests limited to",
                "rps limit",
                "compute units",
                "maximum number of concurrent requests",
                "under too much load",
                "upgrade your tier",
                "has exceeded",
                "try again in",
                "error code: 1015",
            ],
        ),
        with(RateLimited, &[-32012], &["credits"]),
        with(RateLimited, &[-32011, -32005], &["limit"]),
        says(
            Authentication,
            &[
                "be authenticated",
                "must authenticate",
                "invalid api key",
                "invalid project id",
                "project id is required",
                "key is inactive",
                "unauthorized",
                "not allowed to access",
                "token is invalid",
                "apikey is on another chain",
                "api key is not allowed",
            ],
        ),
        with(Authentication, &[-32_600], &["access key", "api key"]),
        says(
            MethodNotSupported,
            &[
                "method not found",
                "method is not whitelisted",
                "method not supported",
                "method is not supported",
                "method is not available",
                "is not included in your current plan",
                "is disabled",
            ],
        ),
        says(
            RangeTooLarge,
            &["batch too large", "response too large", "response is too big", "too large, max is"],
        ),
        says(
            Transient,
            &["no server available", "service unavailable", "execution timeout", "request timed out"],
        ),
    ],
    codes: &[
        (429, RateLimited),
        (402, QuotaExhausted),
        (401, Authentication),
        (403, Authentication),
        (42_903, RateLimited),
        (-33_200, RateLimited),
        (-33_300, RateLimited),
        (-33_000, QuotaExhausted),
        (-32_090, RateLimited),
        (-32_046, RateLimited),
        (-32_029, RateLimited),
        (-32_605, RateLimited),
        (-32_052, Authentication),
        (-32_700, Invalid),
        (-32_600, Invalid),
        (-32_602, Invalid),
        (-32_601, MethodNotSupported),
        (-32_603, Transient),
    ],
};
