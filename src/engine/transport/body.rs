//! Reading an answer: every byte counted against the cap while it comes in.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::SendError;
use super::pace::Pace;
use crate::engine::classify::Class;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind};

/// What came back, not yet looked into.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Read an answer to its end; `cut_off` is told when the connection ends first.
pub(super) async fn collect(
    mut response: http::Response<Incoming>,
    max_bytes: usize,
    call: &Call,
    cut_off: impl FnOnce(),
) -> std::result::Result<Reply, SendError> {
    // It stays where it is: taken to pieces, every piece would be moved.
    let body = response.body_mut();
    let announced = body.size_hint().lower();
    if announced > max_bytes as u64 {
        return Err(SendError::Failed(too_large(max_bytes)));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut pace = Pace::default();
    // An answer of known length is complete with its last byte: its end need not be waited for.
    while !body.is_end_stream() {
        let Some(frame) = pace.next(body.frame(), call).await.map_err(SendError::Failed)? else { break };
        let Ok(frame) = frame else {
            cut_off();
            return Err(SendError::Failed(Error::new(Kind::Protocol, "the answer is cut off")));
        };
        let Ok(data) = frame.into_data() else { continue };
        pace.count(data.len());
        if first.len() + rest.len() + data.len() > max_bytes {
            return Err(SendError::Failed(too_large(max_bytes)));
        }
        // Most answers come in one piece, and that piece is used as it is.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(usize::try_from(announced).unwrap_or(0).max(first.len() * 2));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    let body = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Reply { status: response.status().as_u16(), headers: std::mem::take(response.headers_mut()), body })
}

pub(super) fn too_large(max_bytes: usize) -> Error {
    let message = format!("the answer is larger than max_response_bytes ({max_bytes})");
    Error::new(Kind::Protocol, message).with(|facts| facts.class = Some(Class::RangeTooLarge))
}

/// An exchange that broke off after it had begun.
pub(super) fn broken(error: &hyper::Error) -> Error {
    if error.is_parse() {
        Error::new(Kind::Protocol, "the answer is not valid HTTP")
    } else if error.is_body_write_aborted() || error.is_incomplete_message() || error.is_closed() {
        Error::new(Kind::ConnectionClosed, "the node closed the connection before its answer was complete")
    } else {
        Error::new(Kind::ConnectionClosed, "the connection broke before the answer was complete")
    }
}
