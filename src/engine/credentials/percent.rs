//! Percent-encoding of one path segment or query value, both ways.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// `text` with everything encoded but the characters that stand for themselves everywhere in a URL.
pub(super) fn encode(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// `text` with its `%XX` decoded; `None` if that is not UTF-8. A stray `%` stands for itself.
pub(super) fn decode(text: &str) -> Option<Zeroizing<String>> {
    let bytes = text.as_bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        if let Some(byte) = escaped(&bytes[at..]) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    std::str::from_utf8(&decoded).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// The byte that `%XX` at the beginning of `bytes` stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(*encode("a/b?c=d&e~._-%"), "a%2Fb%3Fc%3Dd%26e~._-%25");
    }

    #[test]
    fn a_stray_percent_sign_stands_for_itself() {
        assert_eq!(decode("%KEY%").as_deref().map(String::as_str), Some("%KEY%"));
        assert_eq!(decode("50%").as_deref().map(String::as_str), Some("50%"));
        assert!(decode("%ff").is_none());
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself(text in ".{0,40}") {
            let decoded = decode(&encode(&text));
            prop_assert_eq!(decoded.as_deref(), Some(&text));
        }
    }
}
