//! One request and its answer, with the checks of the product: status, size, id, and one deadline for all of it.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Work;

/// Why the benchmark cannot go on.
pub type Failure = Box<dyn Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

const DEADLINE: Duration = Duration::from_secs(30);
const MAX_RESPONSE_BYTES: usize = 64 << 20;
const BATCH: u64 = 100;

/// The way to the node.
pub enum Sender {
    /// A connection of our own.
    One(http1::SendRequest<Full<Bytes>>),
    /// A share of one.
    Many(http2::SendRequest<Full<Bytes>>),
}

/// One of those that have a request in flight at all times.
pub struct Client {
    pub sender: Sender,
    uri: Uri,
    headers: HeaderMap,
    next_id: u64,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: u64,
    #[serde(borrow)]
    result: &'a RawValue,
}

impl Client {
    /// The client with this number, whose requests are unlike those of any other.
    pub fn new(sender: Sender, url: &Uri, number: usize) -> Outcome<Self> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let uri = match &sender {
            Sender::One(_) => {
                let authority = url.authority().ok_or("the URL names no host")?;
                headers.insert(HOST, HeaderValue::try_from(authority.as_str())?);
                Uri::from_static("/")
            }
            Sender::Many(_) => url.clone(),
        };
        Ok(Self { sender, uri, headers, next_id: (number as u64) << 32 })
    }

    /// Make a request and check what comes back.
    pub async fn ask(&mut self, work: Work) -> Outcome<()> {
        let first = self.next_id;
        self.next_id += if matches!(work, Work::Batch) { BATCH } else { 1 };
        let body = match work {
            Work::Small => encode("eth_blockNumber", first, &first.to_string()),
            Work::Block => encode("eth_getBlockByNumber", first, &format!("\"0x{first:x}\",true")),
            Work::Batch => {
                let calls = (first..first + BATCH).map(|id| encode("eth_blockNumber", id, &id.to_string()));
                format!("[{}]", calls.collect::<Vec<_>>().join(","))
            }
        };
        let body = tokio::time::timeout(DEADLINE, self.exchange(body.into())).await??;
        match work {
            Work::Small => check_small(&serde_json::from_slice(&body)?, first),
            Work::Block => check(&serde_json::from_slice(&body)?, first),
            Work::Batch => {
                let answers: Vec<Answer<'_>> = serde_json::from_slice(&body)?;
                if answers.len() as u64 != BATCH {
                    return Err("the batch is not whole".into());
                }
                answers.iter().zip(first..).try_for_each(|(answer, id)| check_small(answer, id))
            }
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Outcome<Bytes> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Many(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        if response.status() != StatusCode::OK {
            return Err(format!("the node answered with status {}", response.status()).into());
        }
        collect(response).await
    }
}

fn encode(method: &str, id: u64, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{params}]}}"#)
}

/// Most bodies come in one piece, which is used as it is.
async fn collect(response: Response<Incoming>) -> Outcome<Bytes> {
    let announced =
        response.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = response.into_body();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > MAX_RESPONSE_BYTES {
            return Err("the answer is too large".into());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(announced.unwrap_or(2 * first.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn check(answer: &Answer<'_>, id: u64) -> Outcome<()> {
    if answer.id == id { Ok(()) } else { Err("the answer carries the id of another request".into()) }
}

/// A small answer shows the number that it was asked with.
fn check_small(answer: &Answer<'_>, number: u64) -> Outcome<()> {
    check(answer, number)?;
    let digits = answer.result.get().strip_prefix("\"0x").and_then(|text| text.strip_suffix('"'));
    match digits.map(|digits| u64::from_str_radix(digits, 16)) {
        Some(Ok(shown)) if shown == number => Ok(()),
        _ => Err("the answer is that of another request".into()),
    }
}
