//! `${NAME}` in what a user gives stands for a variable of the environment. It is put in once, when the text is parsed;
//! what it held is a secret, and is not looked at for variables again.

use std::env::{self, VarError};

use super::{Field, Fields, Secret, misuse};
use crate::engine::error::{Error, Result};

/// A text with its variables put in.
pub(super) struct Expanded {
    pub text: Secret,
    /// What the variables held.
    pub values: Vec<Secret>,
}

/// The text of an endpoint.
///
/// # Errors
/// `Configuration`, naming a variable that is not there.
pub(super) fn in_endpoint(text: &str) -> Result<Expanded> {
    expand(text, value_of).map_err(|reason| Error::argument("endpoint", reason))
}

/// The headers of the argument `headers`.
///
/// # Errors
/// `Configuration`, naming a variable that is not there.
pub(crate) fn in_headers(headers: &[(String, Secret)]) -> Result<Vec<(String, Secret)>> {
    pairs(headers).map_err(|reason| Error::argument("headers", reason))
}

/// The mapping of credentials.
///
/// # Errors
/// `Configuration`, naming a variable that is not there.
pub(crate) fn in_fields(fields: &[(String, Field)]) -> Result<Fields> {
    fields.iter().map(in_field).collect()
}

/// One field of the mapping.
pub(super) fn in_field((key, field): &(String, Field)) -> Result<(String, Field)> {
    let field = match field {
        Field::Text(text) => expand(text.expose(), value_of).map(|expanded| Field::Text(expanded.text)),
        Field::Headers(headers) => pairs(headers).map(Field::Headers),
        Field::Unusable => Ok(Field::Unusable),
    };
    field.map(|field| (key.clone(), field)).map_err(misuse)
}

fn pairs(headers: &[(String, Secret)]) -> std::result::Result<Vec<(String, Secret)>, String> {
    let expand = |(name, value): &(String, Secret)| {
        expand(value.expose(), value_of).map(|expanded| (name.clone(), expanded.text))
    };
    headers.iter().map(expand).collect()
}

fn expand(
    text: &str,
    value_of: impl Fn(&str) -> std::result::Result<Secret, String>,
) -> std::result::Result<Expanded, String> {
    let (mut whole, mut values, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some((before, name, after)) = next_variable(rest) {
        whole.push(Secret::new(before));
        let value = value_of(name)?;
        whole.push(value.clone());
        values.push(value);
        rest = after;
    }
    whole.push(Secret::new(rest));
    let text = whole.iter().map(Secret::expose).collect::<Vec<_>>().concat();
    Ok(Expanded { text: Secret::new(text), values })
}

/// What stands before the first `${NAME}`, the name, and what stands behind it. Anything else in braces is no variable.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        let inside = &text[at + 2..];
        match inside.split_once('}') {
            Some((name, after)) if is_name(name) => return Some((&text[..at], name, after)),
            _ => from = at + 2,
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn value_of(name: &str) -> std::result::Result<Secret, String> {
    env::var(name).map(Secret::new).map_err(|error| match error {
        VarError::NotPresent => format!("the environment variable {} is not set", shown(name)),
        VarError::NotUnicode(_) => format!("the environment variable {} is not text", shown(name)),
    })
}

/// A name for messages. One of small and capital letters and digits may be a key that somebody put into the braces.
fn shown(name: &str) -> &str {
    let has = |kind: fn(&u8) -> bool| name.as_bytes().iter().any(kind);
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    if is_mixed || name.len() > 64 { "(whose name is not shown)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> std::result::Result<(String, usize), String> {
        let value_of = |name: &str| match name {
            "KEY" => Ok(Secret::new("k7Qm2xV9")),
            "_NESTED1" => Ok(Secret::new("${KEY}")),
            _ => Err(name.to_owned()),
        };
        expand(text, value_of).map(|found| (found.text.expose().to_owned(), found.values.len()))
    }

    #[test]
    fn every_variable_is_put_in_once() {
        assert_eq!(expanded("plain"), Ok(("plain".into(), 0)));
        assert_eq!(expanded("${KEY}"), Ok(("k7Qm2xV9".into(), 1)));
        assert_eq!(
            expanded("https://h/${KEY}/x?a=${KEY}é"),
            Ok(("https://h/k7Qm2xV9/x?a=k7Qm2xV9é".into(), 2))
        );
        assert_eq!(expanded("<${_NESTED1}>"), Ok(("<${KEY}>".into(), 1)));
        assert_eq!(expanded("${${KEY}"), Ok(("${k7Qm2xV9".into(), 1)));
    }

    #[test]
    fn what_is_not_the_name_of_a_variable_stays() {
        for text in ["$KEY", "${}", "${1KEY}", "${KEY", "${A KEY}", "${KEY:-x}", "$", "${", "}${"] {
            assert_eq!(expanded(text), Ok((text.into(), 0)), "{text}");
        }
    }

    #[test]
    fn one_that_is_missing_is_named() {
        assert_eq!(expanded("a${KEY}b${OTHER_KEY}"), Err("OTHER_KEY".into()));
        let error = in_endpoint("https://h/${GENESIS_NO_SUCH_VARIABLE}").err().unwrap();
        assert_eq!(error.message(), "endpoint: the environment variable GENESIS_NO_SUCH_VARIABLE is not set");
        assert_eq!(error.facts().argument, Some("endpoint"));
        let error = in_endpoint("https://h/${k7Qm2xV9tR4wZ8bN}").err().unwrap();
        assert!(!error.message().contains("k7Qm2xV9"), "{error:?}");
    }
}
