//! Whom a message is for, on a connection that carries many calls at a time. Of an answer no more is read than tells
//! that: whoever gets it reads all of it.

use std::ops::Range;

use bytes::Bytes;

use super::answer::{number, part};
use super::check::{Check, Wrong};

/// Whom a message is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Addressee {
    /// The call with this id, or the batch that it is in.
    Caller(u64),
    /// Some caller: it is an answer that does not say to what, as when a node could not read the call.
    Unnamed,
    /// Whoever has this subscription, the id being JSON text as it stands there.
    Subscriber {
        /// The id.
        subscription: Bytes,
        /// What it brings, as JSON text.
        item: Bytes,
    },
    /// Whoever had this subscription: the node has ended it, and says why.
    Ended(Bytes),
    /// Nobody: its id is none that a call of ours has, or it tells what nobody has asked for.
    Nobody,
}

/// Whom `message` is for.
///
/// # Errors
/// When it is no JSON-RPC message, as far as it was read.
pub fn addressee(message: &Bytes) -> Result<Addressee, Wrong> {
    let mut check = Check::new(message);
    if message.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let mut first = None;
        check.array(|check| {
            let head = Head::read(check, |_| false)?;
            first = first.or(head.id(message));
            Ok(())
        })?;
        return Ok(first.map_or(Addressee::Unnamed, Addressee::Caller));
    }
    let head = Head::read(&mut check, |id| number(part(message, id)).is_some())?;
    if let Some(id) = head.id(message) {
        return Ok(Addressee::Caller(id));
    }
    check.end()?;
    Ok(match (head.id, head.params) {
        (Some(id), _) if part(message, id.clone()) != b"null" => Addressee::Nobody,
        (_, Some(params)) if head.is_call => notice(&message.slice(params)),
        _ if head.is_call => Addressee::Nobody,
        _ => Addressee::Unnamed,
    })
}

/// The id of a subscription in the answer to the call that made it: text or a number, as it stands there.
#[must_use]
pub fn subscription_in(answer: &Bytes) -> Option<Bytes> {
    let mut result = None;
    let read = Check::new(answer).object(|key, value| {
        if key == b"result" {
            result = Some(value);
        }
    });
    read.ok()?;
    let id = part(answer, result?);
    // Not as a part of all that was read with it.
    matches!(id.first(), Some(b'"' | b'0'..=b'9')).then(|| Bytes::copy_from_slice(id))
}

/// What is read of a message to know whom it is for.
#[derive(Default)]
struct Head {
    id: Option<Range<usize>>,
    params: Option<Range<usize>>,
    /// Whether it names a method.
    is_call: bool,
}

impl Head {
    /// Read an object up to an id that is `enough`, or to its end.
    fn read(check: &mut Check<'_>, enough: impl Fn(Range<usize>) -> bool) -> Result<Self, Wrong> {
        let mut head = Self::default();
        check.members(|key, value| {
            match key {
                b"id" => head.id = Some(value.clone()),
                b"params" => head.params = Some(value),
                b"method" => head.is_call = true,
                _ => return true,
            }
            key != b"id" || !head.id.clone().is_some_and(&enough)
        })?;
        Ok(head)
    }

    fn id(&self, message: &Bytes) -> Option<u64> {
        number(part(message, self.id.clone()?))
    }
}

/// The parameters of a notice are the subscription and what it brings, or why it brings nothing any more.
fn notice(params: &Bytes) -> Addressee {
    let (mut subscription, mut item, mut has_failed) = (None, None, false);
    let read = Check::new(params).object(|key, value| match key {
        b"subscription" => subscription = Some(params.slice(value)),
        b"result" => item = Some(params.slice(value)),
        b"error" => has_failed = true,
        _ => {}
    });
    match (read, subscription, item) {
        (Ok(()), Some(subscription), Some(item)) => Addressee::Subscriber { subscription, item },
        (Ok(()), Some(subscription), None) if has_failed => Addressee::Ended(subscription),
        _ => Addressee::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Result<Addressee, Wrong> {
        addressee(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn an_answer_is_for_whoever_has_its_id_and_no_more_of_it_is_read() {
        assert_eq!(of(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), Ok(Addressee::Caller(7)));
        assert_eq!(of(r#" {"result":[{"id":1}],"id":7}"#), Ok(Addressee::Caller(7)));
        assert_eq!(of(r#"{"id":7,"result":garbage"#), Ok(Addressee::Caller(7)));
    }

    #[test]
    fn a_batch_is_for_whoever_has_the_first_of_its_ids() {
        assert_eq!(of(r#"[{"id":9,"result":1},{"id":8,"result":1}]"#), Ok(Addressee::Caller(9)));
        assert_eq!(of(r#"[{"id":null,"error":{}},{"id":8,"result":1}]"#), Ok(Addressee::Caller(8)));
        assert_eq!(of("[]"), Ok(Addressee::Unnamed));
    }

    #[test]
    fn an_answer_without_an_id_names_nobody_and_a_strange_id_is_nobody_s() {
        for text in [r#"{"id":null,"error":{"code":-32700}}"#, r#"{"error":"no"}"#, r#"{"result":1}"#] {
            assert_eq!(of(text), Ok(Addressee::Unnamed), "{text}");
        }
        for text in [r#"{"id":"7","result":1}"#, r#"{"id":-7,"result":1}"#, r#"{"id":7.5,"result":1}"#] {
            assert_eq!(of(text), Ok(Addressee::Nobody), "{text}");
        }
    }

    #[test]
    fn a_notice_is_for_whoever_has_the_subscription_whatever_its_method() {
        let text = r#"{"method":"eth_subscription","params":{"result":{"a":[1]},"subscription":"0x1"}}"#;
        let (subscription, item) = (Bytes::from(r#""0x1""#), Bytes::from(r#"{"a":[1]}"#));
        assert_eq!(of(text), Ok(Addressee::Subscriber { subscription, item }));
        let text = r#"{"id":null,"params":{"subscription":4,"result":null},"method":"slotNotification"}"#;
        let (subscription, item) = (Bytes::from("4"), Bytes::from("null"));
        assert_eq!(of(text), Ok(Addressee::Subscriber { subscription, item }));
        let text =
            r#"{"method":"m","params":{"subscription":"0x1","error":{"code":-32000,"message":"lagged"}}}"#;
        assert_eq!(of(text), Ok(Addressee::Ended(Bytes::from(r#""0x1""#))));
        for text in [
            r#"{"method":"m","params":{"subscription":"0x1"}}"#,
            r#"{"method":"m","params":{"error":1}}"#,
            r#"{"method":"hello"}"#,
            r#"{"method":"m","params":[1]}"#,
            r#"{"method":"m","params":{"result":1}}"#,
        ] {
            assert_eq!(of(text), Ok(Addressee::Nobody), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_told() {
        for text in
            ["", "7", "{", "[1]", "hello", r#"{"error":"no"} and more"#, r#"{"method":"m","params":{]}"#]
        {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
