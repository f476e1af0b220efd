//! What may be subscribed to, and how each family of nodes is asked for it.

use serde_json::Value;

use super::feed::Plan;
use crate::engine::chain::logs::LogFilter;
use crate::engine::error::{Error, Result};
use crate::engine::family::Family;

/// What a reader wants to be told.
#[derive(Debug, Clone)]
pub struct Topic {
    kind: String,
    /// A JSON list or object.
    params: Vec<u8>,
    unsubscribe: Option<String>,
    buffer: usize,
}

/// How that is come by.
#[derive(Debug)]
pub(super) enum What {
    Heads,
    Logs(LogFilter),
    Feed(Plan),
}

impl Topic {
    /// The topic `kind` with `params`, a JSON list or object. With `unsubscribe`, `kind` is the method that subscribes,
    /// and that the one that ends it. Of what cannot be asked for later, `buffer` items are kept, or fewer large ones.
    ///
    /// # Errors
    /// `Configuration` when `kind` is empty.
    pub fn new(kind: String, params: &[u8], unsubscribe: Option<String>, buffer: usize) -> Result<Self> {
        if kind.is_empty() {
            return Err(Error::argument("kind", "must not be empty"));
        }
        if unsubscribe.as_ref().is_some_and(String::is_empty) {
            return Err(Error::argument("unsubscribe", "must not be empty"));
        }
        Ok(Self { kind, params: params.to_vec(), unsubscribe, buffer })
    }

    pub(super) const fn buffer(&self) -> usize {
        self.buffer
    }

    /// What it is at nodes of `family`.
    pub(super) fn of(&self, family: Family) -> Result<What> {
        let (kind, params) = (&self.kind, &self.params);
        if let Some(unsubscribe) = &self.unsubscribe {
            let (method, params, unsubscribe) = (kind.clone(), params.clone(), unsubscribe.clone());
            return Ok(What::Feed(Plan { method, params, unsubscribe }));
        }
        if family != Family::Evm {
            let message = format!("must be given: the method that ends what {kind} begins");
            return Err(Error::argument("unsubscribe", message));
        }
        let given: Value = serde_json::from_slice(params).unwrap_or_default();
        let is_empty = given == Value::Array(Vec::new()) || given == Value::Object(serde_json::Map::new());
        match kind.as_str() {
            "newHeads" if is_empty => Ok(What::Heads),
            "newHeads" => Err(Error::argument("params", "newHeads takes none")),
            "logs" if is_empty => LogFilter::without_blocks(b"{}").map(What::Logs),
            "logs" => LogFilter::without_blocks(params).map(What::Logs),
            _ => {
                let mut all = vec![Value::from(kind.as_str())];
                match given {
                    Value::Array(given) => all.extend(given),
                    given => all.push(given),
                }
                let params = Value::Array(all).to_string().into_bytes();
                let (method, unsubscribe) = ("eth_subscribe".to_owned(), "eth_unsubscribe".to_owned());
                Ok(What::Feed(Plan { method, params, unsubscribe }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(kind: &str, params: &str, unsubscribe: Option<&str>) -> Result<What> {
        Topic::new(kind.into(), params.as_bytes(), unsubscribe.map(Into::into), 1)?.of(Family::Evm)
    }

    fn plan(what: Result<What>) -> (String, String, String) {
        let What::Feed(Plan { method, params, unsubscribe }) = what.unwrap() else { unreachable!("no feed") };
        (method, String::from_utf8(params).unwrap(), unsubscribe)
    }

    #[test]
    fn heads_and_logs_are_read_and_everything_else_is_a_kind_of_eth_subscribe() {
        assert!(matches!(topic("newHeads", "[]", None), Ok(What::Heads)));
        for params in ["[]", "{}", r#"{"address":"0xa","topics":[null]}"#] {
            assert!(matches!(topic("logs", params, None), Ok(What::Logs(_))), "{params}");
        }
        let eth =
            |params: &str| ("eth_subscribe".to_owned(), params.to_owned(), "eth_unsubscribe".to_owned());
        assert_eq!(plan(topic("syncing", "[]", None)), eth(r#"["syncing"]"#));
        assert_eq!(
            plan(topic("newPendingTransactions", "[true]", None)),
            eth(r#"["newPendingTransactions",true]"#)
        );
        assert_eq!(plan(topic("alchemy_mined", r#"{"a":1}"#, None)), eth(r#"["alchemy_mined",{"a":1}]"#));
    }

    #[test]
    fn with_its_end_a_kind_is_a_method() {
        let raw = ("slotSubscribe".to_owned(), r#"{"a":1}"#.to_owned(), "slotUnsubscribe".to_owned());
        assert_eq!(plan(topic("slotSubscribe", r#"{"a":1}"#, Some("slotUnsubscribe"))), raw);
        let topic = Topic::new("slotSubscribe".into(), b"[]", None, 1).unwrap();
        assert_eq!(topic.of(Family::Solana).unwrap_err().facts().argument, Some("unsubscribe"));
    }

    #[test]
    fn what_cannot_be_subscribed_to_is_named() {
        for (kind, params, unsubscribe, argument) in [
            ("", "[]", None, "kind"),
            ("x", "[]", Some(""), "unsubscribe"),
            ("newHeads", "[1]", None, "params"),
            ("logs", r#"{"fromBlock":"0x1"}"#, None, "params"),
            ("logs", "[1]", None, "params"),
        ] {
            let error = topic(kind, params, unsubscribe).unwrap_err();
            assert_eq!(error.facts().argument, Some(argument), "{error}");
        }
    }
}
