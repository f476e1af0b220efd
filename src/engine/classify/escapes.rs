//! JSON text without escapes that it does not need: a secret must not hide behind them.

use std::borrow::Cow;

/// The same JSON, with every character written as itself where it may be.
pub(super) fn undone(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return json.into();
    }
    let (mut plain, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let (written, length) = match first(escape) {
            Some((c, length)) if !c.is_control() && c != '"' && c != '\\' => (Some(c), length),
            Some((_, length)) => (None, length),
            // Cut off in the middle, or half of a pair.
            None => (None, escape.char_indices().nth(2).map_or(escape.len(), |(at, _)| at)),
        };
        let (escape, after) = escape.split_at(length);
        match written {
            Some(c) => plain.push(c),
            None => plain.push_str(escape),
        }
        rest = after;
    }
    plain.push_str(rest);
    plain.into()
}

/// The character that the escape at the beginning of `text` stands for, and the length of the escape.
fn first(text: &str) -> Option<(char, usize)> {
    let c = match text.as_bytes().get(1)? {
        b'u' => return unicode(text),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        c @ (b'/' | b'"' | b'\\') => char::from(*c),
        _ => return None,
    };
    Some((c, 2))
}

fn unicode(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let high = unit(0)?;
    if let Some(c) = char::from_u32(high.into()) {
        return Some((c, 6));
    }
    let c = char::decode_utf16([high, unit(6)?]).next()?.ok()?;
    Some((c, 12))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_needs_no_escape_is_written_as_it_is() {
        assert_eq!(undone(r#"{"a":"k\/7\u0026Q\u006d2x","b":1}"#), r#"{"a":"k/7&Qm2x","b":1}"#);
        assert_eq!(undone(r#""\ud83d\ude00""#), "\"\u{1f600}\"");
        assert_eq!(undone(r#""\ud83d\u0041""#), r#""\ud83dA""#);
    }

    #[test]
    fn what_needs_one_keeps_it_and_what_is_damaged_stays() {
        for text in [r#""\"\\\n\u0000\u0022\u005c""#, r#""\ud83d""#, r"\", r"\u12", r"\x", r"\é"] {
            assert_eq!(undone(text), text);
        }
    }

    proptest! {
        #[test]
        fn it_means_the_same(text in any::<String>()) {
            let escaped: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("[\"{}\"]", escaped.concat());
            let (before, after): (Value, Value) =
                (serde_json::from_str(&json).unwrap(), serde_json::from_str(&undone(&json)).unwrap());
            prop_assert_eq!(before, after);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = undone(&text);
        }
    }
}
