//! What is read from a checked text is what `serde_json` reads from it.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use crate::json_in::{Cursor, unescape};
use crate::node::{Index, Node};

/// A text that is JSON, with brackets, quotes and escapes wherever they may be.
fn document() -> impl Strategy<Value = Value> {
    let text = r#"[\[\]{}",:\\/ a\n\u{e9}\u{1f600}]{0,80}"#;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
        // Long enough for its container to be remembered when it is passed over.
        (text, 500..600_usize).prop_map(|(text, length)| Value::from(text + &"]".repeat(length))),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// What a lazy container says, each of its containers touched on the way.
fn walked(node: &Node) -> Value {
    match node.index().unwrap() {
        Index::Sequence(items) => items.iter().map(|at| member(node, at)).collect(),
        Index::Mapping(members) => {
            let named = |key: &Bytes| {
                let at = members.find(key).unwrap();
                (String::from_utf8(key.to_vec()).unwrap(), member(node, at))
            };
            assert_eq!(members.len(), members.keys().count());
            members.keys().map(named).collect()
        }
    }
}

fn member(node: &Node, at: &Range<usize>) -> Value {
    match node.child(at).unwrap() {
        Some(child) => {
            assert_eq!(child.text(), &node.part(at));
            assert_eq!(child.is_mapping(), matches!(child.index(), Ok(Index::Mapping(_))));
            walked(&child)
        }
        None => serde_json::from_slice(&node.part(at)).unwrap(),
    }
}

fn few() -> ProptestConfig {
    // An interpreter of machine code is slow, and a place for regressions is not in its world.
    let cases = if cfg!(miri) { 8 } else { 512 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn a_value_is_passed_over_to_its_end(
        value in document(),
        pretty in any::<bool>(),
        before in 0..70_usize,
        after in "[\\]},\" ]{0,70}",
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let whole = [" ".repeat(before).as_str(), &text, " ", &after].concat();
        let mut cursor = Cursor { text: whole.as_bytes(), at: 0 };
        let mut items = Vec::new();
        prop_assert_eq!(cursor.skip(&mut items).unwrap(), before..before + text.len());
        for item in items {
            prop_assert!(item.len() >= 512 && serde_json::from_str::<Value>(&whole[item]).is_ok());
        }
    }

    #[test]
    fn a_lazy_container_holds_what_stands_there(value in document(), pretty in any::<bool>()) {
        let whole = Value::from(vec![value]);
        let text = if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
        // Read again, because serde_json's floats do not survive being written.
        let whole: Value = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(walked(&Node::root(text.into())), whole);
    }

    #[test]
    fn a_string_is_unescaped_as_serde_json_does(value in any::<String>(), all in any::<bool>()) {
        let text = if all {
            let units: Vec<_> = value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{}\"", units.concat())
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let mut cursor = Cursor { text: text.as_bytes(), at: 1 };
        let raw = cursor.string().unwrap();
        prop_assert_eq!(cursor.at, text.len());
        prop_assert_eq!(unescape(raw.text), Some(value.clone().into_bytes()));
        prop_assert!(!raw.plain || raw.text == value.as_bytes());
    }

    #[test]
    fn a_cut_off_value_has_no_end(value in document(), end in any::<prop::sample::Index>()) {
        let text = serde_json::to_string(&[value]).unwrap();
        let mut cursor = Cursor { text: &text.as_bytes()[..end.index(text.len())], at: 0 };
        prop_assert!(cursor.skip(&mut Vec::new()).is_err());
    }
}
