//! Answers. A small one is made of the request's parameters, so that whoever gets it knows that it is theirs.

use std::borrow::Cow;
use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes, buf::Chain};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain_data;

/// An answer: what is made for it, and behind that what was made beforehand.
pub type Text = Chain<Bytes, Bytes>;

/// An answer that is all in one piece.
pub fn text(whole: Bytes) -> Text {
    whole.chain(Bytes::new())
}

/// What the server knows.
pub struct Node {
    block: Bytes,
    receipts: Bytes,
    waiting: AtomicUsize,
    given_up_at: AtomicU64,
    opened: AtomicU64,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl Node {
    /// Make the large answers.
    pub fn new() -> Self {
        Self {
            block: chain_data::block(),
            receipts: chain_data::receipts(),
            waiting: AtomicUsize::new(0),
            given_up_at: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }

    /// Count a connection.
    pub fn accepted(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer to a call or to a batch of calls; none if the text is neither.
    pub async fn answer(&self, body: &[u8]) -> Option<Text> {
        if body.first() == Some(&b'[') {
            return self.answer_batch(&serde_json::from_slice::<Vec<Call<'_>>>(body).ok()?);
        }
        let call: Call<'_> = serde_json::from_slice(body).ok()?;
        if call.method == "delay" {
            self.delay(Duration::from_millis(digits(call.params))).await;
        }
        let mut head = Vec::with_capacity(96);
        let tail = self.write(&mut head, &call)?;
        Some(Bytes::from(head).chain(tail))
    }

    fn answer_batch(&self, calls: &[Call<'_>]) -> Option<Text> {
        let mut whole = Vec::with_capacity(64 * calls.len() + 2);
        for call in calls {
            whole.push(if whole.is_empty() { b'[' } else { b',' });
            let tail = self.write(&mut whole, call)?;
            whole.extend_from_slice(&tail);
        }
        whole.push(b']');
        Some(text(whole.into()))
    }

    /// Write the answer to `head`, except for a large result, which comes back with the end of the answer.
    fn write(&self, head: &mut Vec<u8>, call: &Call<'_>) -> Option<Bytes> {
        head.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        head.extend_from_slice(call.id.get().as_bytes());
        head.extend_from_slice(br#","result":"#);
        let number = match &*call.method {
            "eth_getBlockByNumber" => return Some(self.block.clone()),
            "eth_getBlockReceipts" => return Some(self.receipts.clone()),
            "eth_chainId" => 1,
            "waiting" => self.waiting.load(Ordering::Relaxed) as u64,
            "opened" => self.opened.load(Ordering::Relaxed),
            "given_up_at" => self.given_up_at.load(Ordering::Relaxed),
            _ => digits(call.params),
        };
        write!(head, r#""0x{number:x}"}}"#).ok()?;
        Some(Bytes::new())
    }

    async fn delay(&self, time: Duration) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut waiting = Waiting { node: self, given_up: true };
        tokio::time::sleep(time).await;
        waiting.given_up = false;
    }
}

/// A client that waits for a late answer, or has given up.
struct Waiting<'a> {
    node: &'a Node,
    given_up: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.node.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.given_up {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.node.given_up_at.store(u64::try_from(now.as_nanos()).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// All decimal digits of the parameters as one number: of `[12]` it is 12.
fn digits(params: Option<&RawValue>) -> u64 {
    let text = params.map_or("", RawValue::get);
    text.bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}
