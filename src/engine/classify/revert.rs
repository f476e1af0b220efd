//! Why a contract reverted, as far as the data of its error tells: Solidity's `Error(string)` and `Panic(uint256)`.

use crate::engine::hex;
use crate::engine::printable::printable;

/// The selectors and the numbers of panics stand in Solidity's documentation, "Error handling".
const ERROR: &[u8] = &[0x08, 0xc3, 0x79, 0xa0];
const PANIC: &[u8] = &[0x4e, 0x48, 0x7b, 0x71];
const WORD: usize = 32;

/// The reason in `data`, JSON text: a hexadecimal string, or an object with one under `data`. `scrub` takes the secrets
/// out of the words, which were hidden from it before they were decoded.
pub(super) fn reason(data: &[u8], scrub: impl Fn(&str) -> String) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Nested {
        data: String,
    }
    let text = serde_json::from_slice(data)
        .or_else(|_| serde_json::from_slice(data).map(|nested: Nested| nested.data))
        .ok()?;
    let bytes = hex::decode(text.strip_prefix("Reverted ").unwrap_or(&text).strip_prefix("0x")?)?;
    let (selector, arguments) = bytes.split_at_checked(4)?;
    match selector {
        ERROR => string(arguments).map(|text| printable(&scrub(&text))),
        PANIC => number(arguments.get(..WORD)?).map(panic),
        _ => None,
    }
}

/// The one argument of `Error`: its place, its length, itself.
fn string(arguments: &[u8]) -> Option<String> {
    let at = number(arguments.get(..WORD)?)?;
    let behind = arguments.get(at..)?;
    let length = number(behind.get(..WORD)?)?;
    let text = behind.get(WORD..)?.get(..length)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn panic(code: usize) -> String {
    let what = match code {
        0x01 => "assertion failed",
        0x11 => "arithmetic overflow or underflow",
        0x12 => "division by zero",
        0x21 => "no such value of the enum",
        0x22 => "wrongly encoded storage",
        0x31 => "pop from an empty array",
        0x32 => "index out of bounds",
        0x41 => "out of memory",
        0x51 => "call of an uninitialised function",
        _ => "unknown",
    };
    format!("panic {code:#04x}: {what}")
}

/// A word of 32 bytes that is a number small enough to be of use.
fn number(word: &[u8]) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<8>()?;
    high.iter().all(|&byte| byte == 0).then(|| usize::try_from(u64::from_be_bytes(*low)).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(number: u64) -> String {
        format!("{number:064x}")
    }

    fn error(text: &str) -> String {
        let hex = hex::encode(text.as_bytes());
        format!("0x08c379a0{}{}{hex:0<64}", word(32), word(text.len() as u64))
    }

    fn reason_of(data: &str) -> Option<String> {
        reason(serde_json::to_string(data).unwrap().as_bytes(), str::to_owned)
    }

    #[test]
    fn a_reason_in_words_is_read() {
        assert_eq!(reason_of(&error("not the owner")), Some("not the owner".into()));
        assert_eq!(reason_of(&format!("Reverted {}", error("no"))), Some("no".into()));
        let nested = format!(r#"{{"data":"{}"}}"#, error("no"));
        assert_eq!(reason(nested.as_bytes(), str::to_owned), Some("no".into()));
    }

    #[test]
    fn a_secret_in_a_reason_is_taken_out() {
        let data = serde_json::to_string(&error("key s3cret is bad")).unwrap();
        let found = reason(data.as_bytes(), |text| text.replace("s3cret", "***"));
        assert_eq!(found, Some("key *** is bad".into()));
    }

    #[test]
    fn a_reason_cannot_break_a_log_line() {
        assert_eq!(reason_of(&error("a\nb")), Some("a\u{fffd}b".into()));
    }

    #[test]
    fn a_panic_has_a_number_and_a_meaning() {
        let data = format!("0x4e487b71{}", word(0x11));
        assert_eq!(reason_of(&data), Some("panic 0x11: arithmetic overflow or underflow".into()));
    }

    #[test]
    fn what_is_neither_or_is_cut_off_has_no_reason() {
        let whole = error("not the owner");
        for data in
            ["0x", "", "0x08c379a0", "0xdeadbeef", "0xzz", "0x0", "no hex", "0x4e487b71ff", &whole[..100]]
        {
            assert_eq!(reason_of(data), None, "{data}");
        }
        let far = format!("0x08c379a0{}", word(u64::MAX));
        let long = format!("0x08c379a0{}{}", word(32), word(u64::MAX));
        assert_eq!((reason_of(&far), reason_of(&long)), (None, None));
        assert_eq!(reason(b"17", str::to_owned), None);
    }
}
