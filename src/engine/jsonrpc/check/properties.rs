//! What is JSON and what is not: `serde_json` says the same.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{Check, Wrong};

/// Where the value stands in a text that is nothing else.
fn checked(text: &[u8]) -> Result<std::ops::Range<usize>, Wrong> {
    let mut check = Check::new(text);
    let at = check.value()?;
    check.end().map(|()| at)
}

/// What `serde_json` makes of it: the same slice, or whether more text could have helped.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let shown = String::from_utf8_lossy(text);
    match (checked(text), serde_json::from_slice::<&RawValue>(text)) {
        (Ok(at), Ok(raw)) => prop_assert_eq!(&text[at], raw.get().as_bytes(), "{}", shown),
        (Err(_), Err(_)) => {}
        (ours, theirs) => prop_assert!(false, "{shown}: {ours:?}, {theirs:?}"),
    }
    Ok(())
}

/// Any value, written by `serde_json`.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[ -~]{0,150}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Bytes that mean something somewhere in a JSON text, and some that never do.
fn byte() -> impl Strategy<Value = u8> {
    let telling =
        prop::sample::select(&b"{}[]\",:0123456789+-.eE\\/bfnrtu aAlsx \n\r\t\0\x1f\x7f\x80\xc3\xa9\xff"[..]);
    prop_oneof![4 => telling, 1 => any::<u8>()]
}

/// Tokens, and what resembles them.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\x0c", b"\"", b"\"a\"", b"\"a\":", b"\"\\u00e9\"",
    b"\"\\ud800\"", b"\"\\uD83D\\uDE00\"", b"\"\\x\"", b"\"\\u12g4\"", b"\"\xc3\xa9\"", b"\"\xed\xa0\x80\"",
    b"\"\xff\"", b"\"\t\"", b"\xef\xbb\xbf", b"0", b"-0", b"01", b"-", b"1.", b".5", b"1.5e+3", b"1e", b"1E-09",
    b"+1", b"NaN", b"true", b"tru", b"false", b"null", b"nul",
];

/// Pieces of JSON, in an order that is mostly wrong.
fn piece() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(PIECES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_serde_json_writes_is_json(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert_eq!(checked(&text), Ok(0..text.len()));
    }

    #[test]
    fn a_damaged_text_is_judged_as_serde_json_does(
        value in value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), byte(), 0..3), 1..4),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (place, byte, how) in damage {
            let at = place.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ if text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        agrees(&text)?;
    }

    #[test]
    fn pieces_of_json_are_judged_as_serde_json_does(pieces in prop::collection::vec(piece(), 0..12)) {
        agrees(&pieces.concat())?;
    }

    #[test]
    fn bytes_are_judged_as_serde_json_does(bytes in prop::collection::vec(byte(), 0..200)) {
        agrees(&bytes)?;
    }

    #[test]
    fn a_string_of_any_bytes_is_judged_as_serde_json_does(bytes in prop::collection::vec(byte(), 0..6), before in 0..70_usize) {
        agrees(&[b"\"", "x".repeat(before).as_bytes(), &bytes, b"\""].concat())?;
    }

    #[test]
    fn every_beginning_of_a_container_is_cut_off(value in value(), end in any::<prop::sample::Index>()) {
        let text = serde_json::to_vec(&[value]).unwrap();
        prop_assert_eq!(checked(&text[..end.index(text.len())]), Err(Wrong::CutOff));
    }
}
