//! A signed transaction of which it is not known whether a node took it: that is settled by its hash.

use std::time::Duration;

use bytes::Bytes;
use sha3::{Digest, Keccak256};

use crate::engine::classify::Class;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Result};
use crate::engine::hex;
use crate::engine::jsonrpc::Request;
use crate::engine::pool::Pool;

/// A node that took a transaction and lost its answer can say so in this time; else it is handed in again.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The first byte of a transaction that carries blobs (EIP-4844).
const BLOBS: u8 = 3;

/// The hash, if the node whose answer was lost has the transaction after all. No budget counts this: the caller must be
/// told what became of it.
pub(super) async fn find(pool: &Pool, request: &Request, call: &Call) -> Option<Bytes> {
    if request.method() != "eth_sendRawTransaction" {
        return None;
    }
    let hash = hash_of(pool, request, call).await?;
    is_there(pool, &hash, call).await.then_some(hash)
}

/// Whether an error may mean that an earlier attempt of ours was taken.
pub(super) fn may_be_ours(error: &Error) -> bool {
    matches!(error.facts().class, Some(Class::AlreadyKnown | Class::NonceTooLow))
}

/// What `error`, met by a later attempt at `request`, comes to: the hash if the transaction is there, else the error.
pub(super) async fn settle(pool: &Pool, request: &Request, call: &Call, error: Error) -> Result<Bytes> {
    let Some(hash) = hash_of(pool, request, call).await else { return Err(error) };
    if error.facts().class == Some(Class::AlreadyKnown) || is_there(pool, &hash, call).await {
        return Ok(hash);
    }
    // The nonce was used by another transaction.
    Err(error)
}

/// The transaction's hash, as the node would have told it, in JSON.
async fn hash_of(pool: &Pool, request: &Request, call: &Call) -> Option<Bytes> {
    match request.method() {
        "eth_sendRawTransaction" => {
            let (raw,): (String,) = serde_json::from_slice(request.params()).ok()?;
            ethereum_hash(&hex::decode(raw.strip_prefix("0x")?)?)
        }
        "sendrawtransaction" => {
            let params: Vec<serde_json::Value> = serde_json::from_slice(request.params()).ok()?;
            let ask = Request::new("decoderawtransaction", serde_json::json!([params.first()?]).to_string())
                .ok()?;
            let decoded = pool.attempt(&ask, Timeout::Of(None), call, None).await.ok()?;
            let decoded: serde_json::Value = serde_json::from_slice(&decoded).ok()?;
            Some(decoded.get("txid")?.to_string().into())
        }
        _ => None,
    }
}

async fn is_there(pool: &Pool, hash: &Bytes, call: &Call) -> bool {
    let params = [b"[", hash.as_ref(), b"]"].concat();
    let Ok(ask) = Request::new("eth_getTransactionByHash", params) else { return false };
    pool.attempt(&ask, Timeout::Of(None), call, None).await.is_ok_and(|found| found.as_ref() != b"null")
}

/// The hash of a raw transaction. One that carries blobs is hashed without them.
fn ethereum_hash(raw: &[u8]) -> Option<Bytes> {
    let mut hasher = Keccak256::new();
    match raw.split_first()? {
        (&BLOBS, wrapped) => {
            let inside = list(wrapped)?.1;
            hasher.update([BLOBS]);
            // The transaction itself is the first of a list; alone it begins with its chain's number, which is none.
            hasher.update(list(inside).map_or(wrapped, |(transaction, _)| transaction));
        }
        _ => hasher.update(raw),
    }
    Some(format!("\"0x{}\"", hex::encode(&hasher.finalize())).into())
}

/// The RLP list that `bytes` begin with: all of it, and what is in it.
fn list(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (head, length) = match first {
        0xc0..=0xf7 => (1, usize::from(first - 0xc0)),
        0xf8..=0xff => {
            let size = usize::from(first - 0xf7);
            let length = rest
                .get(..size)?
                .iter()
                .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
            (1 + size, length)
        }
        _ => return None,
    };
    let whole = bytes.get(..head.checked_add(length)?)?;
    Some((whole, whole.get(head..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of EIP-155, signed.
    const RAW: &str = "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025\
                       a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276\
                       a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
    const HASH: &str = "\"0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788\"";

    #[test]
    fn a_plain_transaction_is_hashed_as_it_is() {
        assert_eq!(ethereum_hash(&hex::decode(RAW).unwrap()).unwrap(), HASH);
        assert_eq!(ethereum_hash(b""), None);
    }

    #[test]
    fn a_transaction_with_blobs_is_hashed_without_them() {
        let alone = [&[BLOBS, 0xc3], &[1, 2, 3][..]].concat();
        let wrapped = [&[BLOBS, 0xc6], &alone[1..], &[0xc1, 9][..]].concat();
        assert_eq!(ethereum_hash(&wrapped), ethereum_hash(&alone));
        let long: Vec<u8> = [&[BLOBS, 0xf9, 1, 0], &[7; 256][..]].concat();
        assert!(ethereum_hash(&long).is_some());
        assert_eq!(ethereum_hash(&long[..200]), None);
        assert_eq!(ethereum_hash(&[BLOBS, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}
