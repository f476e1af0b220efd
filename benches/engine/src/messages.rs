//! Writing requests, finding the results in answers, and naming errors.

use genesis_replicator::engine::classify::Classifier;
use genesis_replicator::engine::error::{Kind, Result};
use genesis_replicator::engine::jsonrpc::{self, Answer, Answers, Request};
use http::HeaderMap;

use crate::{Case, OFTEN, SELDOM, texts};

/// The id of the call, or of the first in a batch.
const ID: u64 = 1_000_000;
/// How many calls a batch has.
const BATCH: usize = 100;

pub fn cases() -> Vec<Case> {
    let (number, failure) = (texts::answer(ID, texts::NUMBER), texts::failure(ID));
    let (batch, block) = (texts::batch(ID, BATCH), texts::block(ID));
    let requests: Vec<Request> = (0..BATCH).flat_map(|_| balance()).collect();
    let (classifier, headers) = (Classifier::default(), HeaderMap::new());
    let refused = found(jsonrpc::match_one(&failure, ID));
    vec![
        Case::new("encode", OFTEN, || {
            let body = balance().map(|request| jsonrpc::encode_one(ID, &request));
            assert!(body.is_ok_and(|body| body.starts_with(b"{")));
        }),
        Case::new("encode_batch_100", SELDOM, move || jsonrpc::encode_batch(ID, &requests)),
        Case::new("match_small", OFTEN, move || found(jsonrpc::match_one(&number, ID))),
        Case::new("match_error", OFTEN, move || found(jsonrpc::match_one(&failure, ID))),
        Case::new("match_block_200k", SELDOM, move || found(jsonrpc::match_one(&block, ID))),
        Case::new("match_batch_100", SELDOM, move || {
            let answers = jsonrpc::match_batch(&batch, ID, BATCH);
            assert!(matches!(answers, Ok(Answers::Each(answers)) if answers.len() == BATCH));
        }),
        Case::new("classify", OFTEN, move || {
            let result = classifier.result_of(refused.clone(), &headers, str::to_owned);
            assert!(result.is_err_and(|error| error.kind() == Kind::NodeBehind));
        }),
    ]
}

/// A call of the usual size.
pub fn balance() -> Result<Request> {
    Request::new("eth_getBalance", r#"["0x742d35cc6634c0532925a3b844bc454e4438f44e","0x14c2a0f"]"#)
}

fn found(answer: Result<Answer>) -> Answer {
    assert!(answer.is_ok());
    answer.unwrap_or(Answer::Result(bytes::Bytes::new()))
}
