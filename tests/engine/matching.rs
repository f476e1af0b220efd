//! Whatever a server makes of our requests, a call gets the answer that carries its id, or an error.

use bytes::Bytes;
use genesis_replicator::engine::error::{Kind, Result};
use genesis_replicator::engine::jsonrpc::{Answer, Answers, Request, encode_batch, match_batch, match_one};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

const ID: u64 = 7;

/// What an answer says, decoded.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Result(Value),
    Error(Option<i64>, String, Value),
}

fn said(answer: &Answer) -> Said {
    let value = |text: &Bytes| serde_json::from_slice(text).unwrap();
    match answer {
        Answer::Result(result) => Said::Result(value(result)),
        Answer::Error { code, message, data } => {
            Said::Error(*code, message.clone(), data.as_ref().map_or(Value::Null, value))
        }
    }
}

/// What is said to each of so many calls.
fn each(answers: &Answers, count: usize) -> Vec<Said> {
    match answers {
        Answers::Each(answers) => answers.iter().map(said).collect(),
        Answers::Refusal(answer) => vec![said(answer); count],
    }
}

/// By the rules of JSON-RPC, but for an error that is a mere string, or lacks its code or its message.
fn expected(envelope: &Value) -> Option<Said> {
    let envelope = envelope.as_object()?;
    match envelope.get("error") {
        None | Some(Value::Null) => envelope.get("result").cloned().map(Said::Result),
        Some(Value::String(message)) => Some(Said::Error(None, message.clone(), Value::Null)),
        Some(Value::Object(error)) => {
            let given = |key: &str| error.get(key).filter(|value| !value.is_null());
            let code = given("code").map(|code| code.as_i64().ok_or(())).transpose().ok()?;
            let message = given("message").map(|message| message.as_str().ok_or(())).transpose().ok()?;
            let data = given("data").cloned().unwrap_or_default();
            Some(Said::Error(code, message.unwrap_or_default().to_owned(), data))
        }
        Some(_) => None,
    }
}

fn expected_of_one(envelope: &Value) -> Option<Said> {
    let said = expected(envelope)?;
    let is_error = matches!(said, Said::Error(..));
    match envelope.get("id") {
        Some(id) if *id == ID => Some(said),
        None | Some(Value::Null) if is_error => Some(said),
        _ => None,
    }
}

fn expected_of_batch(batch: &Value, count: u64) -> Option<Vec<Said>> {
    let Value::Array(envelopes) = batch else {
        return (0..count).map(|_| expected(batch).filter(|said| matches!(said, Said::Error(..)))).collect();
    };
    if let [only] = envelopes.as_slice()
        && let Some(refusal @ Said::Error(code, ..)) = expected(only)
    {
        let is_of_all = only["id"].is_null() || (only["id"] == ID && code == Some(-32_600));
        if is_of_all {
            return Some((0..count).map(|_| refusal.clone()).collect());
        }
    }
    let own = |id: u64| envelopes.iter().find(move |envelope| envelope["id"] == id).and_then(expected);
    let all: Vec<_> = (ID..ID + count).map(own).collect::<Option<_>>()?;
    (envelopes.len() == all.len()).then_some(all)
}

fn agrees<T, U: std::fmt::Debug + PartialEq>(
    got: Result<T>,
    expected: Option<U>,
    decode: impl Fn(T) -> U,
) -> std::result::Result<(), TestCaseError> {
    match got {
        Ok(got) => prop_assert_eq!(Some(decode(got)), expected),
        Err(error) => {
            prop_assert_eq!(error.kind(), Kind::Protocol);
            prop_assert!(expected.is_none(), "{}: {:?}", error, expected);
        }
    }
    Ok(())
}

/// Both functions say of a text what the rules say of the value.
fn is_judged_by_the_rules(text: &[u8], value: &Value) -> std::result::Result<(), TestCaseError> {
    let body = Bytes::copy_from_slice(text);
    agrees(match_one(&body, ID), expected_of_one(value), |answer| said(&answer))?;
    for count in [1, 2] {
        let all = usize::try_from(count).unwrap();
        let answers = match_batch(&body, ID, all);
        agrees(answers, expected_of_batch(value, count), |answers| each(&answers, all))?;
    }
    Ok(())
}

fn one_of(values: Value) -> impl Strategy<Value = Value> {
    let Value::Array(values) = values else { unreachable!() };
    prop::sample::select(values)
}

fn id() -> impl Strategy<Value = Value> {
    let wrong = json!([
        6, 8, 9, -7, 7.0, 7.5, 70, u64::MAX, "7", "", "8", null, true, false, [7], [], {"id": 7}, {}
    ]);
    prop_oneof![4 => Just(json!(7)), 2 => Just(json!(8)), 3 => one_of(wrong)]
}

fn error() -> impl Strategy<Value = Value> {
    let code = one_of(json!([-32000, -32600, 3, i64::MIN, null, "3", 1.5, u64::MAX, [], true]));
    let message = one_of(json!(["no", "", null, 5, ["no"], {}]));
    let object =
        members(vec![("code", code.boxed()), ("message", message.boxed()), ("data", result().boxed())]);
    prop_oneof![4 => object, 1 => one_of(json!([null, "no", "", 0, false, [], [-32000, "no"], [-32000, "no", 1]]))]
}

fn result() -> impl Strategy<Value = Value> {
    one_of(json!([null, 0, "0x1", "", [], {}, [[{"id": 7, "result": 1}]], {"error": 1}, 1.5, true, "id\":8"]))
}

/// An object that has each of these members, or has it not.
fn members(of: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let member = |(key, value): (&'static str, BoxedStrategy<Value>)| {
        prop::option::weighted(0.8, value.prop_map(move |value| (key.to_owned(), value)))
    };
    let all: Vec<_> = of.into_iter().map(member).collect();
    all.prop_map(|members| members.into_iter().flatten().collect::<Map<_, _>>().into())
}

/// Something like an answer. A list with the same values in the order of the keys is none.
fn envelope() -> impl Strategy<Value = Value> {
    let error = prop_oneof![3 => Just(Value::Null), 2 => error()];
    let object = members(vec![
        ("id", id().boxed()),
        ("result", result().boxed()),
        ("error", error.boxed()),
        ("jsonrpc", one_of(json!(["2.0", "1.0", 2, null])).boxed()),
        ("ID", id().boxed()),
    ]);
    let list = (id(), result()).prop_map(|(id, result)| json!([id, result]));
    prop_oneof![8 => object, 1 => list, 1 => result()]
}

/// A good answer to the call with this id.
fn answer(id: u64, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn an_answer_of_any_members_is_judged_by_the_rules(envelope in envelope(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&envelope) } else { serde_json::to_vec(&envelope) };
        is_judged_by_the_rules(&text.unwrap(), &envelope)?;
    }

    #[test]
    fn a_batch_of_any_answers_is_judged_by_the_rules(batch in prop::collection::vec(envelope(), 0..4)) {
        let batch = Value::from(batch);
        is_judged_by_the_rules(batch.to_string().as_bytes(), &batch)?;
    }

    #[test]
    fn a_mutated_body_is_refused_or_read_as_it_stands(
        batch in prop::collection::vec(envelope(), 1..3),
        alone in any::<bool>(),
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), any::<u8>(), 0..5), 1..4),
    ) {
        let whole = if alone { batch[0].clone() } else { batch.into() };
        let mut text = whole.to_string().into_bytes();
        for (at, other, byte, how) in changes {
            let (at, other) = (at.index(text.len()), other.index(text.len()));
            match how {
                0 => text[at] = byte,
                1 => text[at] = b"{}[]\",:07\\"[other % 10],
                2 if text.len() > 1 => drop(text.remove(at)),
                3 => text.swap(at, other),
                // A piece a second time: a key may then stand there twice, and the text is no business of the rules.
                _ => text.splice(at..at, text[at.min(other)..at.max(other)].to_vec()).for_each(drop),
            }
        }
        let body = Bytes::from(text);
        match (serde_json::from_slice::<Value>(&body), match_one(&body, ID)) {
            (Ok(value), Ok(answer)) => prop_assert_eq!(Some(said(&answer)), expected_of_one(&value)),
            // What serde_json cannot hold is no JSON, or a number or a surrogate that it has no type for.
            (Err(_), Ok(_)) => prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok()),
            (_, Err(error)) => prop_assert_eq!(error.kind(), Kind::Protocol),
        }
    }

    #[test]
    fn the_answers_of_a_shuffled_batch_come_in_the_order_of_the_calls(
        results in prop::collection::vec(result(), 1..40),
        first in prop_oneof![0..100_u64, Just(u64::MAX - 40)],
        order in any::<u64>(),
    ) {
        let requests = vec![Request::bare("eth_chainId"); results.len()];
        let sent: Vec<Value> = serde_json::from_slice(&encode_batch(first, &requests)).unwrap();
        let mut answers: Vec<_> =
            sent.iter().zip(&results).map(|(call, result)| answer(call["id"].as_u64().unwrap(), result)).collect();
        shuffle(&mut answers, order);
        let body = Bytes::from(Value::from(answers).to_string());
        let got: Vec<_> = each(&match_batch(&body, first, results.len()).unwrap(), results.len());
        prop_assert_eq!(got, results.into_iter().map(Said::Result).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_with_one_answer_too_few_or_too_many_or_of_another_is_refused(
        count in 1..20_usize,
        wrong in 0..4,
        at in any::<Index>(),
        other in id(),
        order in any::<u64>(),
    ) {
        let mut answers: Vec<_> = (ID..).take(count).map(|id| answer(id, &json!(id))).collect();
        let at = at.index(count);
        match wrong {
            0 => drop(answers.remove(at)),
            1 => answers.push(answers[at].clone()),
            2 => answers.push(answer(ID + count as u64, &json!(1))),
            _ if other == answers[at]["id"] => drop(answers.remove(at)),
            _ => answers[at]["id"] = other,
        }
        shuffle(&mut answers, order);
        let body = Bytes::from(Value::from(answers).to_string());
        prop_assert_eq!(match_batch(&body, ID, count).unwrap_err().kind(), Kind::Protocol);
    }
}

/// Another order for each seed.
fn shuffle(values: &mut [Value], seed: u64) {
    let mut chance = crate::support::Chance::new(seed);
    for end in (1..values.len()).rev() {
        values.swap(end, usize::try_from(chance.below(end as u64 + 1)).unwrap());
    }
}

#[test]
fn a_list_with_the_values_of_an_answer_is_none() {
    for text in
        [r#"[7,"0x1"]"#, r#"[[7,"0x1"]]"#, r#"[[7,"0x1"],[8,"0x2"]]"#, r#"{"id":7,"error":[-32000,"no"]}"#]
    {
        let body = Bytes::from_static(text.as_bytes());
        assert_eq!(match_one(&body, ID).unwrap_err().kind(), Kind::Protocol, "{text}");
        for count in [1, 2] {
            assert_eq!(match_batch(&body, ID, count).unwrap_err().kind(), Kind::Protocol, "{text}");
        }
    }
}
