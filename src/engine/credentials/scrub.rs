//! Takes known secrets out of text that a server sent: nodes and proxies like to repeat what they were asked.

use zeroize::Zeroizing;

use super::header::decode_basic;
use super::{Secret, percent};

/// What stands where a secret stood.
const MASK: &str = "***";

/// Shorter ones would be found in ordinary words.
const SHORTEST: usize = 4;

/// The secrets to look for, longest first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scrubber(Vec<Secret>);

impl Scrubber {
    /// Looks for this text too, in all the forms in which it may come back.
    pub(super) fn learn(&mut self, text: &str) {
        let encoded = percent::encode(text);
        self.add(text);
        self.add(&encoded);
        self.add(&Zeroizing::new(encoded.replace("%20", "+")));
        self.add(&Zeroizing::new(lower_escapes(&encoded)));
        if let Ok(json) = serde_json::to_string(text).map(Zeroizing::new) {
            self.add(json.get(1..json.len() - 1).unwrap_or_default());
        }
    }

    /// Looks for the secret part of a header's value: what stands behind its scheme, the password of a basic pair.
    pub(super) fn learn_header(&mut self, value: &str) {
        let secret = match value.split_once(' ') {
            Some((scheme, rest)) if is_scheme(scheme) => rest,
            _ => value,
        };
        self.learn(secret);
        if let Some(pair) = decode_basic(secret) {
            let (username, password) = pair.expose().split_once(':').unwrap_or_default();
            self.learn(if password.is_empty() { username } else { password });
        }
    }

    /// The text with every known secret masked.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), MASK) } else { text }
        })
    }

    fn add(&mut self, text: &str) {
        let is_new = self.0.iter().all(|known| known.expose() != text);
        if text.len() >= SHORTEST && is_new {
            // Longest first: a secret that holds another one goes as a whole.
            let at = self.0.partition_point(|known| known.expose().len() >= text.len());
            self.0.insert(at, Secret::new(text));
        }
    }
}

fn is_scheme(word: &str) -> bool {
    ["basic", "bearer", "digest", "token", "apikey"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// `%2f` for `%2F`: both are written.
fn lower_escapes(encoded: &str) -> String {
    let mut escape = 0;
    let lower = |c: char| {
        escape = if c == '%' { 3_u8 } else { escape };
        let c = if escape > 0 { c.to_ascii_lowercase() } else { c };
        escape = escape.saturating_sub(1);
        c
    };
    encoded.chars().map(lower).collect()
}

/// The text with every token masked that begins with `header` and a dot, whatever time and signature it carries.
pub(super) fn scrub_tokens(text: &str, header: &str) -> String {
    let mut parts = text.split(header);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c));
        clean.push_str(MASK);
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubber(secrets: &[&str]) -> Scrubber {
        let mut scrubber = Scrubber::default();
        for secret in secrets {
            scrubber.learn(secret);
        }
        scrubber
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let scrubber = scrubber(&["p/q \"9f8e\" Z"]);
        assert_eq!(scrubber.scrub("a p/q \"9f8e\" Z b"), "a *** b");
        assert_eq!(scrubber.scrub("a p%2Fq%20%229f8e%22%20Z b"), "a *** b");
        assert_eq!(scrubber.scrub("a p%2fq%20%229f8e%22%20Z b"), "a *** b");
        assert_eq!(scrubber.scrub("a p%2Fq+%229f8e%22+Z b"), "a *** b");
        assert_eq!(scrubber.scrub(r#"a p/q \"9f8e\" Z b"#), "a *** b");
    }

    #[test]
    fn a_secret_that_holds_another_goes_as_a_whole_and_short_ones_stay() {
        assert_eq!(scrubber(&["9f8e", "9f8e7d6c"]).scrub("<9f8e7d6c> <9f8e>"), "<***> <***>");
        assert_eq!(scrubber(&["the"]).scrub("the node"), "the node");
    }

    #[test]
    fn a_header_is_known_by_its_secret_part() {
        let mut scrubber = Scrubber::default();
        scrubber.learn_header("Basic dXNlcjo5ZjhlN2Q2Yw==");
        scrubber.learn_header("Bearer k7Qm2xV9");
        assert_eq!(
            scrubber.scrub("Basic dXNlcjo5ZjhlN2Q2Yw== user:9f8e7d6c k7Qm2xV9"),
            "Basic *** user:*** ***"
        );
    }

    #[test]
    fn a_token_is_masked_to_its_end() {
        assert_eq!(scrub_tokens("bad token eyJh.x-1.y_2, drift", "eyJh"), "bad token ***, drift");
        assert_eq!(scrub_tokens("none", "eyJh"), "none");
    }

    proptest! {
        #[test]
        fn no_learned_secret_survives(secret in "[ -)+-~]{4,24}", around in "[a-z ]{0,9}") {
            let text = format!("{around}{secret}{around}");
            let hidden = scrubber(&[&secret]).scrub(&text);
            prop_assert!(!hidden.contains(&secret));
        }
    }
}
