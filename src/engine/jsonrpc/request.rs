//! Requests as JSON text.

use std::io::Write;

use bytes::Bytes;

use crate::engine::error::{Error, Result};

/// One call: a method and its parameters, which are JSON text already.
#[derive(Debug, Clone)]
pub struct Request {
    method: Box<str>,
    params: Bytes,
}

impl Request {
    /// A call of `method` with `params`, a JSON array or object.
    ///
    /// # Errors
    /// `Configuration` when `method` is empty, or `params` is neither.
    pub fn new(method: &str, params: Bytes) -> Result<Self> {
        if method.is_empty() {
            return Err(Error::argument("method", "must not be empty"));
        }
        if !params.starts_with(b"[") && !params.starts_with(b"{") {
            return Err(Error::argument("params", "must be a list, a tuple or a dict"));
        }
        Ok(Self { method: method.into(), params })
    }

    /// A call without parameters.
    #[must_use]
    pub fn bare(method: &'static str) -> Self {
        Self { method: method.into(), params: Bytes::from_static(b"[]") }
    }

    /// The same call with other parameters.
    #[must_use]
    pub fn with_params(mut self, params: &'static str) -> Self {
        self.params = Bytes::from_static(params.as_bytes());
        self
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    fn write(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{id}");
        out.extend_from_slice(br#","method":"#);
        if self.method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            out.push(b'"');
            out.extend_from_slice(self.method.as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(serde_json::Value::from(&*self.method).to_string().as_bytes());
        }
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(&self.params);
        out.push(b'}');
    }

    fn size_hint(&self) -> usize {
        64 + self.method.len() + self.params.len()
    }
}

/// The body of a single call.
#[must_use]
pub fn encode_one(id: u64, request: &Request) -> Bytes {
    let mut out = Vec::with_capacity(request.size_hint());
    request.write(id, &mut out);
    out.into()
}

/// The body of a batch whose ids count up from `first`.
#[must_use]
pub fn encode_batch(first: u64, requests: &[Request]) -> Bytes {
    let mut out = Vec::with_capacity(requests.iter().map(Request::size_hint).sum());
    out.push(b'[');
    for (id, request) in (first..).zip(requests) {
        if id != first {
            out.push(b',');
        }
        request.write(id, &mut out);
    }
    out.push(b']');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_json_rpc_request() {
        let request = Request::new("eth_call", Bytes::from_static(b"[1]")).unwrap();
        assert_eq!(
            encode_one(7, &request),
            r#"{"jsonrpc":"2.0","id":7,"method":"eth_call","params":[1]}"#.as_bytes()
        );
    }

    #[test]
    fn a_method_cannot_break_out_of_its_string() {
        let request = Request::new("a\",\"id\":0,\"x\":\"é", Bytes::from_static(b"[]")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&encode_one(1, &request)).unwrap();
        assert_eq!(value["method"], "a\",\"id\":0,\"x\":\"é");
        assert_eq!(value["id"], 1);
    }

    #[test]
    fn a_batch_counts_its_ids_up() {
        let body = encode_batch(5, &[Request::bare("a"), Request::bare("b")]);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value[0]["id"], &value[1]["id"]), (&5.into(), &6.into()));
    }
}
