//! A JSON object as a list of its members, whose values stay text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The members, in their order.
pub(super) struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

#[derive(Deserialize, Serialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Those of the object in `text`, if it is one.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// What the last member called so is, as text.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key.0 == name).map(|(_, value)| *value)
    }

    /// The string that a member is, if it has nothing in it that must be escaped.
    pub(super) fn string(&self, name: &str) -> Option<&'a str> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// The object without the members called so, and with one more behind them.
    pub(super) fn changed(&self, without: &[&str], with: Option<(&str, &str)>) -> Bytes {
        let kept = self.0.iter().filter(|(key, _)| !without.contains(&&*key.0));
        let kept = kept.map(|(key, value)| (&*key.0, value.get()));
        let mut text = String::from("{");
        for (key, value) in kept.chain(with) {
            let comma = if text.len() > 1 { "," } else { "" };
            // A text is always one in JSON.
            let key = serde_json::Value::from(key);
            text = text + comma + &key.to_string() + ":" + value;
        }
        (text + "}").into()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(24));
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, without: &[&str], with: Option<(&str, &str)>) -> String {
        String::from_utf8(Members::read(text.as_bytes()).unwrap().changed(without, with).to_vec()).unwrap()
    }

    #[test]
    fn members_keep_their_order_and_their_text() {
        let text = r#"{"b":"0x1","a":[1, 2.50],"c\n":{"d":null}}"#;
        assert_eq!(changed(text, &[], None), text);
        assert_eq!(changed(text, &["a"], Some(("e", "true"))), r#"{"b":"0x1","c\n":{"d":null},"e":true}"#);
        assert_eq!(changed("{}", &["a"], Some(("e", "1"))), r#"{"e":1}"#);
        assert_eq!(changed(r#"{"a":1}"#, &["a"], None), "{}");
    }

    #[test]
    fn members_are_found_by_name() {
        let members = Members::read(br#"{"a":"0x1","b":2,"a":"0x3"}"#).unwrap();
        assert_eq!(
            (members.string("a"), members.string("b"), members.string("c")),
            (Some("0x3"), None, None)
        );
        assert!(Members::read(b"[]").is_none() && Members::read(b"null").is_none());
    }
}
