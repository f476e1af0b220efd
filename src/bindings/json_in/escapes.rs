//! The escapes in a JSON string, undone. A surrogate without its partner is kept, in the three bytes that it would
//! have in UTF-8, for Python's `surrogatepass`.

/// The text that `raw` stands for; nothing if an escape is wrong.
pub fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(rest.get(..found)?);
        let byte = match *rest.get(found + 1)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (point, length) = code_point(rest.get(found..)?)?;
                push(&mut text, point);
                rest = rest.get(found + length..)?;
                continue;
            }
            _ => return None,
        };
        text.push(byte);
        rest = rest.get(found + 2..)?;
    }
    text.extend_from_slice(rest);
    Some(text)
}

/// The code point of one or, for a surrogate pair, two escapes, and how many bytes they take.
fn code_point(text: &[u8]) -> Option<(u32, usize)> {
    let first = unit(text)?;
    if let 0xd800..=0xdbff = first
        && let Some(second @ 0xdc00..=0xdfff) = text.get(6..).and_then(unit)
    {
        return Some((0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12));
    }
    Some((first, 6))
}

/// The value of an escape like `\u00e4`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

fn push(text: &mut Vec<u8>, point: u32) {
    if let Some(character) = char::from_u32(point) {
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        // Only a surrogate gets here, so the two shifted parts have at most four and six bits.
        let continuation = |bits: u32| 0x80 | (bits & 0x3f) as u8;
        text.extend([0xe0 | (point >> 12 & 0xf) as u8, continuation(point >> 6), continuation(point)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_joined_and_a_lone_surrogate_is_kept() {
        assert_eq!(unescape(br"\ud83d\ude00").as_deref(), Some("😀".as_bytes()));
        assert_eq!(unescape(br"a\ud83db").as_deref(), Some(&b"a\xed\xa0\xbdb"[..]));
        assert_eq!(unescape(br"\ude00\ud83d").as_deref(), Some(&b"\xed\xb8\x80\xed\xa0\xbd"[..]));
    }

    #[test]
    fn every_short_escape_is_undone() {
        assert_eq!(unescape(br#"\"\\\/\b\f\n\r\t\u0041"#).as_deref(), Some(&b"\"\\/\x08\x0c\n\r\tA"[..]));
    }

    #[test]
    fn a_wrong_escape_is_nothing() {
        for wrong in [&br"\x"[..], br"\u12", br"\u12g4", br"\"] {
            assert_eq!(unescape(wrong), None);
        }
    }
}
