//! One JSON-RPC exchange over one transport: encode, send, match, name the error.

use bytes::Bytes;

use super::classify::{Classifier, only_reads, status_error};
use super::credentials::Access;
use super::deadline::Call;
use super::error::{Error, Kind, Result};
use super::jsonrpc::{self, Answer, Answers, Request};
use super::pool::Cooldown;
use super::target::Target;
use super::transport::{Message, Notices, Reply, SendError, Transport};

/// Up to here a result is copied out of the buffer that it was read into, 8 KiB that it would keep.
const SMALL: usize = 4096;

/// Who is asked, and what its errors mean.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// Where it is.
    pub target: &'a Target,
    /// What proves who asks, where that was made for it.
    pub renewed: Option<&'a Access>,
    /// What its errors mean.
    pub classifier: &'a Classifier,
    /// Until when it wants to be left alone.
    pub cooldown: &'a Cooldown,
}

impl Peer<'_> {
    /// The text, which it sent, without the secrets of the request.
    fn scrub(&self, text: &str) -> String {
        self.renewed.map_or_else(|| self.target.scrub(text), |access| access.scrub(text))
    }
}

/// Something that is sent in one HTTP request: a call, or a batch of them.
pub trait Exchange: Send + Sync {
    /// What comes of it.
    type Output: Send;

    /// What it is called in the metrics.
    fn method(&self) -> &str;

    /// Whether it changes nothing at the node, so that it may be sent twice.
    fn only_reads(&self) -> bool;

    /// Whether it asks the node who it is, which may be asked of anybody.
    fn asks_who(&self) -> bool {
        false
    }

    /// The methods of its calls: to a rate limit each of them counts.
    fn methods(&self) -> impl Iterator<Item = &str>;

    /// Send it over `transport`, which leads to `peer`.
    ///
    /// # Errors
    /// `NotSent` when the connection had gone before; else what the node, or the way to it, made of it.
    fn run(
        &self,
        transport: &dyn Transport,
        peer: Peer<'_>,
        call: &Call,
    ) -> impl Future<Output = std::result::Result<Self::Output, SendError>> + Send;
}

/// One call. Its result is JSON text.
pub struct One<'a> {
    /// The id to match.
    pub id: u64,
    /// The call.
    pub request: &'a Request,
}

/// Several calls. The results are in their order, each with its own error.
pub struct Batch<'a> {
    /// The id of the first; the others count up from it.
    pub first_id: u64,
    /// The calls.
    pub requests: &'a [Request],
}

impl Exchange for One<'_> {
    type Output = Bytes;

    fn method(&self) -> &str {
        self.request.method()
    }

    fn only_reads(&self) -> bool {
        only_reads(self.request.method())
    }

    fn asks_who(&self) -> bool {
        self.request.asks_who()
    }

    fn methods(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.request.method())
    }

    async fn run(
        &self,
        transport: &dyn Transport,
        peer: Peer<'_>,
        call: &Call,
    ) -> std::result::Result<Bytes, SendError> {
        let reply = transport.send(self.message(), peer.renewed, call).await?;
        peer.cooldown.heed_headers(&reply.headers);
        self.result(&reply, transport, peer)
    }
}

impl One<'_> {
    fn message(&self) -> Message {
        Message { body: jsonrpc::encode_one(self.id, self.request), ids: self.id..self.id + 1 }
    }

    fn result(
        &self,
        reply: &Reply,
        transport: &dyn Transport,
        peer: Peer<'_>,
    ) -> std::result::Result<Bytes, SendError> {
        let answer = match jsonrpc::match_one(&reply.body, self.id) {
            Ok(answer) => answer,
            Err(error) => return Err(SendError::Failed(unmatched(reply, error, transport, peer))),
        };
        result_of(answer, reply, peer).map(kept).map_err(SendError::Failed)
    }
}

/// A call whose result is the id of a subscription.
pub struct Subscribe<'a>(pub One<'a>);

impl Exchange for Subscribe<'_> {
    /// The id, as JSON text, and what the subscription brings.
    type Output = (Bytes, Notices);

    fn method(&self) -> &str {
        self.0.method()
    }

    /// A subscription that nobody knows of goes with its connection.
    fn only_reads(&self) -> bool {
        true
    }

    fn methods(&self) -> impl Iterator<Item = &str> {
        self.0.methods()
    }

    async fn run(
        &self,
        transport: &dyn Transport,
        peer: Peer<'_>,
        call: &Call,
    ) -> std::result::Result<Self::Output, SendError> {
        let (reply, notices) = transport.subscribe(self.0.message(), peer.renewed, call).await?;
        let id = self.0.result(&reply, transport, peer)?;
        let without_id = || Error::new(Kind::Protocol, "the node answered with no id of a subscription");
        notices.map(|notices| (id, notices)).ok_or_else(|| SendError::Failed(without_id()))
    }
}

impl Exchange for Batch<'_> {
    type Output = Vec<Result<Bytes>>;

    fn method(&self) -> &'static str {
        "batch"
    }

    fn only_reads(&self) -> bool {
        self.requests.iter().all(|request| only_reads(request.method()))
    }

    fn methods(&self) -> impl Iterator<Item = &str> {
        self.requests.iter().map(Request::method)
    }

    async fn run(
        &self,
        transport: &dyn Transport,
        peer: Peer<'_>,
        call: &Call,
    ) -> std::result::Result<Self::Output, SendError> {
        let body = jsonrpc::encode_batch(self.first_id, self.requests);
        let ids = self.first_id..self.first_id + self.requests.len() as u64;
        let mut reply = transport.send(Message { body, ids }, peer.renewed, call).await?;
        peer.cooldown.heed_headers(&reply.headers);
        // The results share it.
        reply.body = kept(reply.body);
        let answers = jsonrpc::match_batch(&reply.body, self.first_id, self.requests.len())
            .map_err(|error| SendError::Failed(unmatched(&reply, error, transport, peer)))?;
        let results: Vec<_> = match answers {
            Answers::Each(answers) => {
                answers.into_iter().map(|answer| result_of(answer, &reply, peer)).collect()
            }
            Answers::Refusal(answer) => {
                let refused = result_of(answer, &reply, peer);
                let refused = refused.map_err(|error| error.with(|facts| facts.is_of_batch = true));
                vec![refused; self.requests.len()]
            }
        };
        match refusal(&results) {
            // The whole of it may be sent again with another proof.
            Some(error) if peer.renewed.is_some() => Err(SendError::Failed(error.clone())),
            _ => Ok(results),
        }
    }
}

/// Why the credentials were refused, if they were for every call.
fn refusal(results: &[Result<Bytes>]) -> Option<&Error> {
    let refused =
        |result: &Result<Bytes>| result.as_ref().is_err_and(|error| error.kind() == Kind::Authentication);
    results.iter().all(refused).then(|| results.first()?.as_ref().err()).flatten()
}

/// What outlives the exchange, with no more memory than it needs.
fn kept(text: Bytes) -> Bytes {
    if text.len() <= SMALL { Bytes::copy_from_slice(&text) } else { text }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A body that is no answer to what was asked: the status says more than the body, unless the status is a good one.
fn unmatched(reply: &Reply, error: Error, transport: &dyn Transport, peer: Peer<'_>) -> Error {
    if is_success(reply.status) {
        // Perhaps it answers another question, and the next answer would be the one to this.
        if transport.streams() == 1 {
            transport.cut();
        }
        return error;
    }
    let error = status_error(reply.status, &reply.headers);
    peer.cooldown.heed(&error);
    error
}

/// A node may well say 404 or 500 and yet answer: then its answer counts. What the status says about the credentials,
/// the rate or the plan counts more, unless the answer is about one of these itself: it is more precise.
fn result_of(answer: Answer, reply: &Reply, peer: Peer<'_>) -> Result<Bytes> {
    let result = peer.classifier.result_of(answer, &reply.headers, |text| peer.scrub(text));
    result.map_err(|error| {
        let status = status_error(reply.status, &reply.headers);
        let error = if is_about_access(status.kind()) && !is_about_access(error.kind()) {
            error.as_kind(status.kind()).with(|facts| facts.class = status.facts().class)
        } else {
            error
        };
        peer.cooldown.heed(&error);
        error.with(|facts| {
            facts.status = (!is_success(reply.status)).then_some(reply.status);
        })
    })
}

const fn is_about_access(kind: Kind) -> bool {
    matches!(kind, Kind::Authentication | Kind::ProviderRateLimit | Kind::QuotaExhausted)
}
