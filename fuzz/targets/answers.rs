//! The answer parser: whatever a server sends, what is taken for an answer is one.

#![no_main]

use bytes::Bytes;
use genesis_replicator::engine::error::{Error, Kind};
use genesis_replicator::engine::jsonrpc::{Answer, Answers, match_batch, match_one};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ID: u64 = 7;
const COUNT: usize = 2;

fuzz_target!(|body: &[u8]| {
    let body = Bytes::copy_from_slice(body);
    // `None` also for what is JSON but cannot be held: numbers out of range, deep nesting.
    let whole: Option<Value> = serde_json::from_slice(&body).ok();
    match match_one(&body, ID) {
        Ok(answer) => {
            assert_is_json(&body);
            if let Some(whole) = &whole {
                assert_answers(whole, &answer);
                let id = &whole["id"];
                assert!(*id == ID || id.is_null() && is_error(&answer), "it took the answer to another call");
            }
        }
        Err(error) => assert_tells(&error),
    }
    match match_batch(&body, ID, COUNT) {
        Ok(answers) => {
            assert_is_json(&body);
            if let Some(whole) = &whole {
                assert_is_batch(whole, &answers);
            }
        }
        Err(error) => assert_tells(&error),
    }
});

fn assert_is_json(body: &[u8]) {
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok(), "it took what is not JSON");
}

fn assert_tells(error: &Error) {
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(!error.message().is_empty());
}

fn is_error(answer: &Answer) -> bool {
    matches!(answer, Answer::Error { .. })
}

/// What was found is what stands there.
fn assert_answers(envelope: &Value, answer: &Answer) {
    match answer {
        Answer::Result(result) => {
            assert_eq!(serde_json::from_slice::<Value>(result).ok().as_ref(), envelope.get("result"));
            assert!(envelope["error"].is_null());
        }
        Answer::Error { code, message, data } => {
            let error = &envelope["error"];
            let text = error.as_str().or_else(|| error["message"].as_str()).unwrap_or_default();
            assert_eq!((message.as_str(), *code), (text, error["code"].as_i64()));
            let data = data.as_ref().and_then(|data| serde_json::from_slice(data).ok());
            assert_eq!(data.unwrap_or(Value::Null), error["data"]);
        }
    }
}

/// Each call has the one answer that carries its id, or all of them one error, which carries none or that of the first.
fn assert_is_batch(whole: &Value, answers: &Answers) {
    let answers = match answers {
        Answers::Each(answers) => answers,
        Answers::Refusal(refusal) => {
            assert!(is_error(refusal), "one result for a batch");
            let envelope = if whole.is_array() { &whole[0] } else { whole };
            assert!(!whole.is_array() || envelope["id"].is_null() || envelope["id"] == ID);
            return assert_answers(envelope, refusal);
        }
    };
    let Value::Array(envelopes) = whole else { panic!("answers to each call in no list") };
    assert_eq!((envelopes.len(), answers.len()), (COUNT, COUNT));
    for (id, answer) in (ID..).zip(answers) {
        let own: Vec<_> = envelopes.iter().filter(|envelope| envelope["id"] == id).collect();
        assert_eq!(own.len(), 1);
        assert_answers(own[0], answer);
    }
}
