//! Hexadecimal text, as nodes write bytes.

/// The bytes that `text`, without its `0x`, stands for.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| text.as_bytes().chunks(2).map(pair).collect())?
}

/// `bytes` in hexadecimal, without a `0x`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| format!("{text}{byte:02x}"))
}

/// A number as Ethereum writes it, `0x1b4`.
#[must_use]
pub fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // The standard library takes a sign, too.
    u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)), Some(bytes));
        assert_eq!(decode("Ff"), Some(vec![255]));
        assert_eq!(decode(""), Some(vec![]));
    }

    #[test]
    fn quantities_are_numbers() {
        for (text, number) in [("0x0", Some(0)), ("0x1B4", Some(436)), ("0xffffffffffffffff", Some(u64::MAX))]
        {
            assert_eq!(quantity(text), number, "{text}");
        }
        for text in ["", "0x", "1", "0x+1", "0x10000000000000000", "0xg"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_hexadecimal_is_nothing() {
        for text in ["f", "zz", "+1", "0x", "f f ", "ä"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
