//! What people leave in an example instead of a key: `your_key`, `<API-KEY>`, `${KEY}`, `changeme`, `xxxx`.
//!
//! A real key must never be refused for its looks, so single words are only judged when the whole value is made of
//! them, and runs of digits only when the whole value is one.

/// Words that examples are made of. A value made of nothing else holds no secret.
const FILLER: &str = "abc access alchemy api apikey auth bar baz bearer change changeit changeme dummy enter example \
    fake fixme foo foobar goes here id infura insert jwt key me mock my myapikey mykey mypassword \
    mysecret mytoken node none null paste placeholder project projectid provider put quicknode \
    redacted replace rpc sample secret string tbd test testing the this todo token undefined user \
    value with your";

/// What `1234...` continues with.
const SEQUENCES: [&str; 3] = ["1234567890", "0123456789abcdef", "1234567890abcdef"];

/// Whether the whole value is a placeholder.
pub(super) fn is_placeholder(value: &str) -> bool {
    let folded = value.to_ascii_lowercase();
    let bare = folded.trim_matches(|c: char| "<>{}[]()\"'`$%".contains(c));
    is_marker(value) || made_of_filler(bare) || is_padding(bare) || is_sequence(bare)
}

/// Whether the value carries a mark that only examples have, so that it may be looked for in any part of a URL.
pub(super) fn is_marker(value: &str) -> bool {
    let folded = value.to_ascii_lowercase();
    let bare = folded.trim_matches(|c: char| "<>{}[]\"'`".contains(c));
    is_bracketed(&folded)
        || holds_variable(&folded)
        || bare.starts_with("your")
        || words(bare).count() > 1 && words(bare).any(|word| word == "your")
        || folded.contains("xxxxxx")
        || folded.contains("****")
        || folded.ends_with("...")
}

/// `<...>`, `{...}`, `[...]` around the whole value, with a name inside.
fn is_bracketed(value: &str) -> bool {
    [('<', '>'), ('{', '}'), ('[', ']')].iter().any(|&(open, close)| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(is_name)
    })
}

/// `${VAR}` and `{{ VAR }}` anywhere, `$VAR` and `%VAR%` as the whole value.
fn holds_variable(value: &str) -> bool {
    let between = |open: &str, close: &str| {
        value
            .split_once(open)
            .and_then(|(_, rest)| rest.split_once(close))
            .is_some_and(|(name, _)| is_name(name))
    };
    between("${", "}")
        || between("{{", "}}")
        || value.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(is_name)
        || value.strip_prefix('$').is_some_and(|name| name.contains('_') && is_name(name))
}

/// A name as people give to variables; blanks inside and around it are common in templates.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-. ".contains(c))
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| "-_. ".contains(c)).filter(|word| !word.is_empty())
}

/// Nothing but filler words, a number behind each at most: `test-key`, `changeme123`, `my_api_key_2`.
fn made_of_filler(value: &str) -> bool {
    let is_filler = |word: &str| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        word.is_empty() || FILLER.split(' ').any(|filler| filler == word)
    };
    value.contains(|c: char| c.is_ascii_alphabetic()) && words(value).all(is_filler)
}

/// `xxx...`, `000...`, `???`, with separators.
fn is_padding(value: &str) -> bool {
    let hex = value.strip_prefix("0x").unwrap_or(value);
    ['x', '0', '*', '?', '.'].iter().any(|&fill| {
        hex.chars().filter(|&c| c == fill).count() >= 3 && hex.chars().all(|c| c == fill || "-_".contains(c))
    })
}

/// `1234`, `12345678`, `0123456789abcdef`: the beginning of a sequence, however often it starts again.
fn is_sequence(value: &str) -> bool {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    digits.len() >= 4
        && SEQUENCES.iter().any(|sequence| sequence.chars().cycle().zip(digits.chars()).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_examples_hold_is_a_placeholder() {
        for value in [
            "your_key",
            "YOUR-PROJECT-ID",
            "YOUR_API_KEY",
            "<YOUR-API-KEY>",
            "<api_key>",
            "your-api-key-here",
            "yourkey",
            "insert-your-key-here",
            "sk_your_key",
            "my-api-key",
            "my_key",
            "MyKey",
            "changeme",
            "change-me",
            "changeme123",
            "CHANGE_ME",
            "placeholder",
            "example",
            "example-key",
            "dummy",
            "dummy_token",
            "test",
            "test-key",
            "todo",
            "xxx",
            "xxxxxxxx",
            "XXXXXXXX-XXXX-XXXX",
            "sk_live_xxxxxxxxxxxx",
            "000",
            "00000000",
            "0x00000000",
            "00000000-0000-0000-0000-000000000000",
            "1234",
            "12345678",
            "123456789012",
            "0123456789abcdef",
            "${API_KEY}",
            "prefix${KEY}",
            "$API_KEY",
            "%API_KEY%",
            "{{ api_key }}",
            "{{key}}",
            "{api-key}",
            "[API KEY]",
            "\"your_key\"",
            "'changeme'",
            "abc...",
            "********",
            "null",
            "undefined",
            "infura-project-id",
            "api_key_2",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn what_looks_real_is_no_placeholder() {
        for value in [
            "9aa3d95b3bc440fa88ea12eaa4456161",
            "test-9f8e7d6c5b4a",
            "1234f9aa3d95b3bc",
            "00a3d95b3bc440fa",
            "my-9Xv2kQpLr7",
            "mYq3-_9aKd82jf",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "key_9f8e7d6c",
            "hunter22",
            "p<4>w{o}r$d%x",
            "correct-horse-battery",
            "demo",
            "public",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn a_path_may_hold_ordinary_words_but_no_mark() {
        for value in ["api", "key", "test", "node", "v2", "rpc", "1234", "000"] {
            assert!(!is_marker(value), "{value}");
        }
        for value in ["YOUR-PROJECT-ID", "<API_KEY>", "${KEY}", "%KEY%", "{{KEY}}", "{key}", "xxxxxxxx"] {
            assert!(is_marker(value), "{value}");
        }
    }
}
