//! The texts that nodes send, as large as theirs.

use bytes::Bytes;

/// A number, as most calls are answered.
pub const NUMBER: &str = r#""0x14d1120d7b160000""#;

/// An answer to the call `id`.
pub fn answer(id: u64, result: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into()
}

/// A call that failed, with words that only the last row of the table knows.
pub fn failure(id: u64) -> Bytes {
    let error = r#"{"code":-32000,"message":"missing trie node 8d4c0b8e2a (path ) state is not available"}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// The answers to a batch of `count` calls.
pub fn batch(first: u64, count: usize) -> Bytes {
    let answers: Vec<String> = (first..)
        .take(count)
        .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{NUMBER}}}"#))
        .collect();
    format!("[{}]", answers.join(",")).into()
}

/// A block with its transactions, about 200 KB.
pub fn block(id: u64) -> Bytes {
    let transactions: Vec<String> = (0..300).map(transaction).collect();
    let bloom = "0".repeat(512);
    let list = transactions.join(",");
    let block = format!(r#"{{"number":"0x14c2a0f","logsBloom":"0x{bloom}","transactions":[{list}]}}"#);
    answer(id, &block)
}

fn transaction(place: u64) -> String {
    let hash = format!("{:064x}", place * 0x9e37_79b9_7f4a_7c15_u64 % 0xffff_ffff_ffff);
    let address = format!("{:040x}", place * 0xc2b2_ae3d % 0xffff_ffff);
    let input = "a9059cbb".to_owned() + &hash + &hash;
    format!(
        r#"{{"blockHash":"0x{hash}","blockNumber":"0x14c2a0f","from":"0x{address}","gas":"0x5208","gasPrice":"0x3b9aca00","hash":"0x{hash}","input":"0x{input}","nonce":"0x{place:x}","to":"0x{address}","transactionIndex":"0x{place:x}","value":"0xde0b6b3a7640000","type":"0x0","v":"0x25","r":"0x{hash}","s":"0x{hash}"}}"#
    )
}
