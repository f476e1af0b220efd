//! One JSON-RPC exchange over one transport: encode, send, match, name the error.

use bytes::Bytes;

use super::classify;
use super::deadline::Call;
use super::error::{Error, Kind, Result};
use super::jsonrpc::{self, Answer, Request};
use super::target::Target;
use super::transport::{Reply, SendError, Transport};

/// Make one call. The result is JSON text.
///
/// # Errors
/// `NotSent` when the connection had gone before; else what the node, or the way to it, made of the call.
pub async fn one(
    transport: &dyn Transport,
    target: &Target,
    id: u64,
    request: &Request,
    call: &Call,
) -> std::result::Result<Bytes, SendError> {
    let reply = transport.send(jsonrpc::encode_one(id, request), call).await?;
    let answer = match jsonrpc::match_one(&reply.body, id) {
        Ok(answer) => answer,
        Err(error) => return Err(SendError::Failed(unmatched(&reply, error))),
    };
    result_of(answer, &reply, target).map_err(SendError::Failed)
}

/// Make several calls in one HTTP request. The results are in the order of the calls, each with its own error.
///
/// # Errors
/// As `one`, for the batch as a whole.
pub async fn batch(
    transport: &dyn Transport,
    target: &Target,
    first_id: u64,
    requests: &[Request],
    call: &Call,
) -> std::result::Result<Vec<Result<Bytes>>, SendError> {
    let reply = transport.send(jsonrpc::encode_batch(first_id, requests), call).await?;
    let answers = jsonrpc::match_batch(&reply.body, first_id, requests.len())
        .map_err(|error| SendError::Failed(unmatched(&reply, error)))?;
    Ok(answers.into_iter().map(|answer| result_of(answer, &reply, target)).collect())
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A body that answers nothing: the status says more than the body, unless the status is a good one.
fn unmatched(reply: &Reply, error: Error) -> Error {
    if is_success(reply.status) { error } else { classify::status_error(reply.status, reply.retry_after) }
}

/// A node may well say 404 or 500 and yet answer: then its answer counts. What the status says about the credentials
/// or the rate counts more.
fn result_of(answer: Answer, reply: &Reply, target: &Target) -> Result<Bytes> {
    classify::result_of(answer, |text| target.scrub(text)).map_err(|error| {
        let error = match classify::status_error(reply.status, None).kind() {
            kind @ (Kind::Authentication | Kind::ProviderRateLimit | Kind::QuotaExhausted) => {
                error.as_kind(kind)
            }
            _ => error,
        };
        error.with(|facts| {
            facts.retry_after = reply.retry_after;
            facts.status = (!is_success(reply.status)).then_some(reply.status);
        })
    })
}
