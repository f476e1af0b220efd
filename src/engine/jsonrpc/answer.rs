//! Answers: the text is checked, split and matched to its request by id, and never decoded further than that.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::check::{Check, Wrong};
use crate::engine::error::{Error, Kind, Result};

/// What a node says to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The result, as JSON text.
    Result(Bytes),
    /// An error object. Some nodes leave the code out.
    Error {
        /// The number that says what went wrong.
        code: Option<i64>,
        /// The node's own words.
        message: String,
        /// More about it, as JSON text.
        data: Option<Bytes>,
    },
}

/// What JSON-RPC itself calls a request that is none.
pub const INVALID_REQUEST: i64 = -32_600;

/// What a node says to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// An answer to each call, in their order.
    Each(Vec<Answer>),
    /// An error to all of it.
    Refusal(Answer),
}

/// Where the parts of an answer stand.
#[derive(Default)]
struct Envelope {
    id: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
    /// Whether one of them stands there twice.
    double: bool,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The answer in `body` to the call with this `id`.
///
/// # Errors
/// `Protocol` when the text is not JSON, is no answer, or answers another call.
pub fn match_one(body: &Bytes, id: u64) -> Result<Answer> {
    let envelope = Envelope::alone(body)?;
    let answer = envelope.answer(body)?;
    match envelope.id.map(|at| part(body, at)) {
        Some(found) if number(found) == Some(id) => Ok(answer),
        // A node that could not read the request says so with a null id, or with none.
        None | Some(b"null") if matches!(answer, Answer::Error { .. }) => Ok(answer),
        Some(_) => Err(protocol("the answer carries the id of another request")),
        None => Err(protocol("the answer carries no id")),
    }
}

/// The answers in `body` to the `count` calls whose ids count up from `first`, in the order of the calls.
///
/// # Errors
/// `Protocol` when the text is not a list of just these answers. A node may also refuse a whole batch, with one error
/// object, with a list of one that has no id, or with `-32600` and the id of the first call.
pub fn match_batch(body: &Bytes, first: u64, count: usize) -> Result<Answers> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') {
        return match Envelope::alone(body)?.answer(body)? {
            refusal @ Answer::Error { .. } => Ok(Answers::Refusal(refusal)),
            Answer::Result(_) => Err(protocol("a batch was answered with a single result")),
        };
    }
    let mut batch = Batch { body, first, answers: vec![None; count], found: 0, refusal: None, wrong: None };
    let mut check = Check::new(body);
    let read = check.array(|check| Envelope::read(check).map(|envelope| batch.add(&envelope)));
    read.and_then(|()| check.end()).map_err(|wrong| not_an_answer(body, wrong))?;
    if let Some(error) = batch.wrong {
        return Err(error);
    }
    let found = batch.found;
    if let (1, Some(refusal)) = (found, batch.refusal()) {
        return Ok(Answers::Refusal(refusal.clone()));
    }
    if batch.refusal.is_some() {
        return Err(to_nobody());
    }
    let answers: Option<_> = batch.answers.into_iter().collect();
    answers
        .map(Answers::Each)
        .ok_or_else(|| protocol(format!("the batch answers {found} of {count} requests")))
}

/// The answers to a batch, each put in its place as it is read.
struct Batch<'a> {
    body: &'a Bytes,
    first: u64,
    answers: Vec<Option<Answer>>,
    found: usize,
    /// An error without an id.
    refusal: Option<Answer>,
    /// What is wrong with the first that is; the text is read to its end all the same.
    wrong: Option<Error>,
}

impl Batch<'_> {
    fn add(&mut self, envelope: &Envelope) {
        if self.wrong.is_none() {
            self.wrong = self.put(envelope).err();
        }
    }

    /// What may be said to all of its calls.
    fn refusal(&self) -> Option<&Answer> {
        let first = || self.answers.first().and_then(Option::as_ref);
        let invalid = |answer: &&Answer| matches!(answer, Answer::Error { code: Some(INVALID_REQUEST), .. });
        self.refusal.as_ref().or_else(|| first().filter(invalid))
    }

    /// An answer to no call may be an error without an id.
    fn refuse(&mut self, envelope: &Envelope) -> Result<()> {
        let has_no_id = matches!(envelope.id.clone().map(|at| part(self.body, at)), None | Some(b"null"));
        match envelope.answer(self.body)? {
            refusal @ Answer::Error { .. } if has_no_id => self.refusal = Some(refusal),
            _ => return Err(to_nobody()),
        }
        Ok(())
    }

    fn put(&mut self, envelope: &Envelope) -> Result<()> {
        self.found += 1;
        let id = envelope.id.clone().and_then(|at| number(part(self.body, at)));
        let place = id.and_then(|id| usize::try_from(id.checked_sub(self.first)?).ok());
        let slot = place.and_then(|place| self.answers.get_mut(place));
        let Some(slot) = slot else { return self.refuse(envelope) };
        if slot.replace(envelope.answer(self.body)?).is_some() {
            return Err(protocol("the batch answers one request twice"));
        }
        Ok(())
    }
}

fn to_nobody() -> Error {
    protocol("the batch holds an answer to no request of ours")
}

impl Envelope {
    /// The one in a text that holds nothing else.
    fn alone(body: &[u8]) -> Result<Self> {
        let mut check = Check::new(body);
        let envelope = Self::read(&mut check).and_then(|envelope| check.end().map(|()| envelope));
        envelope.map_err(|wrong| not_an_answer(body, wrong))
    }

    fn read(check: &mut Check<'_>) -> std::result::Result<Self, Wrong> {
        let mut envelope = Self::default();
        check.object(|key, value| {
            let part = match &*unescaped(key) {
                b"id" => &mut envelope.id,
                b"result" => &mut envelope.result,
                b"error" => &mut envelope.error,
                _ => return,
            };
            envelope.double |= part.replace(value).is_some();
        })?;
        Ok(envelope)
    }

    fn answer(&self, body: &Bytes) -> Result<Answer> {
        if self.double {
            return Err(protocol("the answer has an id, a result or an error twice"));
        }
        let text = |at: &Range<usize>| body.slice(at.clone());
        match (self.error.as_ref().map(text), self.result.as_ref().map(text)) {
            (Some(error), _) if error != "null" => error_answer(&error),
            (_, Some(result)) => Ok(Answer::Result(result)),
            _ => Err(protocol("the answer has neither a result nor an error")),
        }
    }
}

/// A key without its escapes, which hardly any has.
fn unescaped(key: &[u8]) -> Cow<'_, [u8]> {
    if !key.contains(&b'\\') {
        return key.into();
    }
    let text: Option<String> = serde_json::from_slice(&[b"\"", key, b"\""].concat()).ok();
    text.map_or(key.into(), |text| text.into_bytes().into())
}

fn error_answer(error: &Bytes) -> Result<Answer> {
    if let Ok(text) = serde_json::from_slice::<String>(error) {
        return Ok(Answer::Error { code: None, message: text, data: None });
    }
    // Of a list serde would take the members' values in their order.
    let object = Some(error).filter(|error| error.starts_with(b"{"));
    let object: ErrorObject<'_> = object
        .and_then(|object| serde_json::from_slice(object).ok())
        .ok_or_else(|| protocol("the error in the answer is not an error object"))?;
    let data = object.data.map(RawValue::get).filter(|data| *data != "null");
    Ok(Answer::Error {
        code: object.code,
        message: object.message.unwrap_or_default(),
        data: data.map(|data| error.slice_ref(data.as_bytes())),
    })
}

pub(super) fn part(body: &Bytes, at: Range<usize>) -> &[u8] {
    body.get(at).unwrap_or_default()
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn not_an_answer(body: &[u8], wrong: Wrong) -> Error {
    let Wrong::At(place) = wrong else { return protocol("the answer is cut off") };
    let before = body.get(..place).unwrap_or_default();
    let line = before.split(|byte| *byte == b'\n');
    let column = line.clone().next_back().map_or(0, <[u8]>::len) + 1;
    protocol(format!("the answer is not valid JSON-RPC (line {}, column {column})", line.count()))
}

fn protocol(message: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &'static str) -> Result<Answer> {
        match_one(&Bytes::from_static(text.as_bytes()), 7)
    }

    fn batch(text: &'static str) -> Result<Answers> {
        match_batch(&Bytes::from_static(text.as_bytes()), 7, 2)
    }

    fn result(text: &'static str) -> Answer {
        Answer::Result(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn an_answer_is_matched_by_id_in_any_order_of_keys() {
        assert_eq!(one(r#"{"result":"0x1","id":7,"jsonrpc":"2.0"}"#).unwrap(), result(r#""0x1""#));
        assert_eq!(one(r#" {"id" : 7, "result": null}"#).unwrap(), result("null"));
    }

    #[test]
    fn bitcoins_null_error_beside_a_result_is_no_error() {
        assert_eq!(one(r#"{"result":5,"error":null,"id":7}"#).unwrap(), result("5"));
    }

    #[test]
    fn an_error_may_lack_its_code_or_be_a_mere_string() {
        let answer = |code, message: &str| Answer::Error { code, message: message.into(), data: None };
        assert_eq!(one(r#"{"id":7,"error":{"message":"no"}}"#).unwrap(), answer(None, "no"));
        assert_eq!(one(r#"{"id":7,"error":"no"}"#).unwrap(), answer(None, "no"));
        assert_eq!(
            one(r#"{"id":null,"error":{"code":-32700,"message":""}}"#).unwrap(),
            answer(Some(-32700), "")
        );
    }

    #[test]
    fn what_is_not_our_answer_is_refused() {
        for text in [
            r#"{"id":8,"result":1}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"id":7.0,"result":1}"#,
            r#"{"id":null,"result":1}"#,
            r#"{"result":1}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"id":7,"result":1}"#,
            r#"{"id":7,"result":1,"result":2}"#,
            r#"{"id":7,"result":{"a":}}"#,
            r#"{"id":7,"result":"abc"#,
            r#"{"id":7,"result":1} trailing"#,
            r#"{"id":7,"result":NaN}"#,
            r#"{"id":7,"result":01}"#,
            "[]",
            "",
            "<html>",
        ] {
            assert_eq!(one(text).unwrap_err().kind(), Kind::Protocol, "{text}");
        }
    }

    #[test]
    fn a_shuffled_batch_is_put_in_order() {
        let answers = batch(r#"[{"id":8,"result":"b"},{"id":7,"result":"a"}]"#).unwrap();
        assert_eq!(answers, Answers::Each(vec![result(r#""a""#), result(r#""b""#)]));
    }

    #[test]
    fn a_batch_with_a_missing_double_or_foreign_answer_is_refused() {
        for text in [
            r#"[{"id":7,"result":1}]"#,
            r#"[{"id":7,"result":1},{"id":7,"result":1}]"#,
            r#"[{"id":7,"result":1},{"id":9,"result":1}]"#,
            r#"[{"id":6,"result":1},{"id":7,"result":1}]"#,
            r#"{"id":7,"result":1}"#,
        ] {
            assert_eq!(batch(text).unwrap_err().kind(), Kind::Protocol, "{text}");
        }
    }

    #[test]
    fn a_batch_refused_as_a_whole_fails_every_call() {
        for text in [
            r#"{"id":null,"error":{"code":-32600,"message":"too many"}}"#,
            r#"[{"id":null,"error":{"code":-32600,"message":"too many"}}]"#,
            r#"[{"id":7,"error":{"code":-32600,"message":"too many"}}]"#,
        ] {
            let refusal = batch(text).unwrap();
            assert!(matches!(refusal, Answers::Refusal(Answer::Error { code: Some(-32600), .. })), "{text}");
        }
    }

    #[test]
    fn what_is_said_to_one_call_of_a_batch_is_said_to_no_other() {
        for text in [
            r#"[{"id":7,"error":{"code":3,"message":"reverted"}}]"#,
            r#"[{"id":8,"error":{"code":-32600,"message":"too many"}}]"#,
            r#"[{"id":null,"error":{"code":-32600,"message":"too many"}},{"id":8,"result":1}]"#,
        ] {
            assert_eq!(batch(text).unwrap_err().kind(), Kind::Protocol, "{text}");
        }
    }

    #[test]
    fn an_escaped_key_is_the_key_that_it_stands_for() {
        assert_eq!(one(r#"{"i\u0064":7,"\u0072esult":1,"\ud800":2}"#).unwrap(), result("1"));
        assert!(one(r#"{"id":7,"result":1,"\u0069d":7}"#).is_err());
    }

    #[test]
    fn an_error_says_where_the_text_is_wrong() {
        let said = |text| one(text).unwrap_err().to_string();
        assert!(said("{\"id\":7,\n \"result\":tru}").contains("line 2, column 14"));
        assert!(said(r#"{"id":7,"result":[1"#).contains("cut off"));
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let deep = format!(r#"{{"id":7,"result":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(match_one(&Bytes::from(deep), 7).is_ok());
    }
}
