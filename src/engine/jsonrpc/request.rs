//! Requests as JSON text, which is written once: all but the id, which is not known before a request is sent.

use bytes::Bytes;

use crate::engine::blocks::Blocks;
use crate::engine::error::{Error, Result};

const VERSION_AND_ID: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const METHOD: &[u8] = br#","method":""#;
const PARAMS: &[u8] = br#"","params":"#;

/// The most that an id adds to the text of a call, with what stands before it and a comma.
const WITH_ID: usize = VERSION_AND_ID.len() + 21;

/// One call: a method and its parameters.
#[derive(Debug, Clone)]
pub struct Request {
    /// What follows the id, `,"method":"…","params":…}`. The calls of a list share their memory.
    text: Bytes,
    method: Name,
    blocks: Option<Blocks>,
    /// Whether it asks a node who it is.
    asks_who: bool,
}

/// A method's name: in the text, unless it stands there with escapes.
#[derive(Debug, Clone)]
enum Name {
    Plain(usize),
    Escaped(Box<str>),
}

/// A call whose parameters are being written: they come next.
#[derive(Debug)]
pub struct Draft {
    start: usize,
    params: usize,
    method: Name,
}

/// A call that is written, in a text that others may still be added to.
#[derive(Debug)]
pub struct Written {
    start: usize,
    end: usize,
    method: Name,
}

impl Request {
    /// A call of `method` with `params`, a JSON array or object.
    ///
    /// # Errors
    /// `Configuration` when `method` is empty, or `params` is neither.
    pub fn new(method: &str, params: impl AsRef<[u8]>) -> Result<Self> {
        let mut text = Vec::with_capacity(64);
        let draft = Draft::begin(&mut text, method)?;
        text.extend_from_slice(params.as_ref());
        let written = draft.end(&mut text)?;
        Ok(written.request(&text.into()))
    }

    /// A call without parameters.
    #[must_use]
    pub fn bare(method: &'static str) -> Self {
        Self::plain(method, "[]")
    }

    /// The same call with other parameters.
    #[must_use]
    pub fn with_params(self, params: &'static str) -> Self {
        Self::plain(self.method(), params)
    }

    fn plain(method: &str, params: &str) -> Self {
        let text = [METHOD, method.as_bytes(), PARAMS, params.as_bytes(), b"}"].concat();
        Self { text: text.into(), method: Name::Plain(method.len()), blocks: None, asks_who: false }
    }

    /// The same call, known to be about these blocks.
    #[must_use]
    pub fn over(self, blocks: Blocks) -> Self {
        Self { blocks: Some(blocks), ..self }
    }

    /// The same call, known to ask a node who it is.
    #[must_use]
    pub fn asking_who(self) -> Self {
        Self { asks_who: true, ..self }
    }

    /// Whether it asks a node who it is.
    #[must_use]
    pub const fn asks_who(&self) -> bool {
        self.asks_who
    }

    /// The blocks that a node must have, and search, to answer it; `None` when that is not known.
    #[must_use]
    pub const fn blocks(&self) -> Option<Blocks> {
        self.blocks
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        match &self.method {
            Name::Escaped(method) => method,
            Name::Plain(length) => {
                let method = self.text.get(METHOD.len()..METHOD.len() + length);
                method.and_then(|method| str::from_utf8(method).ok()).unwrap_or_default()
            }
        }
    }

    /// All of it but the id: equal calls have equal texts.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Its parameters, as JSON text.
    #[must_use]
    pub fn params(&self) -> &[u8] {
        let method = match &self.method {
            Name::Plain(length) => *length,
            // As it stands in the text: with escapes, without its quotes.
            Name::Escaped(method) => serde_json::Value::from(&**method).to_string().len() - 2,
        };
        let start = METHOD.len() + method + PARAMS.len();
        self.text.get(start..self.text.len() - 1).unwrap_or_default()
    }

    fn write(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(VERSION_AND_ID);
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *out, &id);
        out.extend_from_slice(&self.text);
    }
}

impl Draft {
    /// Begin a call of `method` at the end of `text`. Its parameters are to follow, as a JSON array or object.
    ///
    /// # Errors
    /// `Configuration` when `method` is empty.
    pub fn begin(text: &mut Vec<u8>, method: &str) -> Result<Self> {
        if method.is_empty() {
            return Err(Error::argument("method", "must not be empty"));
        }
        let start = text.len();
        text.extend_from_slice(METHOD);
        let method = if method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            text.extend_from_slice(method.as_bytes());
            Name::Plain(method.len())
        } else {
            let quoted = serde_json::Value::from(method).to_string();
            text.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default().as_bytes());
            Name::Escaped(method.into())
        };
        text.extend_from_slice(PARAMS);
        Ok(Self { start, params: text.len(), method })
    }

    /// End the call, whose parameters are the rest of `text`.
    ///
    /// # Errors
    /// `Configuration` when they are neither an array nor an object.
    pub fn end(self, text: &mut Vec<u8>) -> Result<Written> {
        if !matches!(text.get(self.params), Some(b'[' | b'{')) {
            return Err(Error::argument("params", "must be a list, a tuple or a dict"));
        }
        text.push(b'}');
        Ok(Written { start: self.start, end: text.len(), method: self.method })
    }
}

impl Written {
    /// The call, which is a part of `text`.
    #[must_use]
    pub fn request(self, text: &Bytes) -> Request {
        Request { text: text.slice(self.start..self.end), method: self.method, blocks: None, asks_who: false }
    }
}

/// The body of a single call.
#[must_use]
pub fn encode_one(id: u64, request: &Request) -> Bytes {
    let digits = id.checked_ilog10().unwrap_or(0) as usize + 1;
    // Just the room that it takes: with more of it the text would need another allocation to be shared.
    let mut out = Vec::with_capacity(VERSION_AND_ID.len() + digits + request.text.len());
    request.write(id, &mut out);
    out.into()
}

/// The body of a batch whose ids count up from `first`.
#[must_use]
pub fn encode_batch(first: u64, requests: &[Request]) -> Bytes {
    let size: usize = requests.iter().map(|request| WITH_ID + request.text.len()).sum();
    let mut out = Vec::with_capacity(size + 2);
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
    fn the_name_of_a_method_is_known_with_and_without_escapes() {
        for name in ["eth_call", "a.b", "\"quoted\"", "é\n"] {
            assert_eq!(Request::new(name, "[]").unwrap().method(), name);
        }
        assert_eq!(Request::bare("a").with_params("[0]").method(), "a");
    }

    #[test]
    fn calls_share_one_text_and_keep_apart() {
        let mut text = Vec::new();
        let mut written = Vec::new();
        for (method, params) in [("a", "[1]"), ("b\"", "{}"), ("c", "[]")] {
            let draft = Draft::begin(&mut text, method).unwrap();
            text.extend_from_slice(params.as_bytes());
            written.push(draft.end(&mut text).unwrap());
        }
        let text = Bytes::from(text);
        let requests: Vec<_> = written.into_iter().map(|written| written.request(&text)).collect();
        let value: serde_json::Value = serde_json::from_slice(&encode_batch(5, &requests)).unwrap();
        let expected = serde_json::json!([
            {"jsonrpc": "2.0", "id": 5, "method": "a", "params": [1]},
            {"jsonrpc": "2.0", "id": 6, "method": "b\"", "params": {}},
            {"jsonrpc": "2.0", "id": 7, "method": "c", "params": []},
        ]);
        assert_eq!(value, expected);
    }

    #[test]
    fn params_that_are_no_container_are_refused() {
        for params in ["1", "\"[]\"", ""] {
            assert_eq!(Request::new("a", params).unwrap_err().facts().argument, Some("params"));
        }
    }

    #[test]
    fn a_batch_counts_its_ids_up() {
        let body = encode_batch(5, &[Request::bare("a"), Request::bare("b")]);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value[0]["id"], &value[1]["id"]), (&5.into(), &6.into()));
    }
}
