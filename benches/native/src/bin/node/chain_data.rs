//! A block of about 200 KB with its transactions, and their receipts: made up, and always the same.

use bytes::Bytes;

const TRANSACTIONS: u64 = 150;
const NUMBER: &str = "0x1312d00";

/// The result of `eth_getBlockByNumber` with full transactions, and the brace that ends the answer.
pub fn block() -> Bytes {
    let mut made_up = MadeUp(1);
    let transactions: Vec<String> = (0..TRANSACTIONS).map(|index| transaction(&mut made_up, index)).collect();
    let fields = [
        ("number", NUMBER.to_owned()),
        ("hash", block_hash()),
        ("parentHash", made_up.hex(32)),
        ("sha3Uncles", made_up.hex(32)),
        ("transactionsRoot", made_up.hex(32)),
        ("stateRoot", made_up.hex(32)),
        ("receiptsRoot", made_up.hex(32)),
        ("withdrawalsRoot", made_up.hex(32)),
        ("parentBeaconBlockRoot", made_up.hex(32)),
        ("mixHash", made_up.hex(32)),
        ("logsBloom", made_up.hex(256)),
        ("miner", made_up.hex(20)),
        ("nonce", "0x0000000000000000".to_owned()),
        ("extraData", made_up.hex(16)),
        ("difficulty", "0x0".to_owned()),
        ("totalDifficulty", "0xc70d815d562d3cfa955".to_owned()),
        ("size", "0x1d4c1".to_owned()),
        ("gasLimit", "0x1c9c380".to_owned()),
        ("gasUsed", "0xb9d4f1".to_owned()),
        ("baseFeePerGas", "0x1a13b8600".to_owned()),
        ("blobGasUsed", "0x0".to_owned()),
        ("excessBlobGas", "0x0".to_owned()),
        ("timestamp", "0x665a1d4f".to_owned()),
    ];
    let lists = format!(r#","uncles":[],"withdrawals":[],"transactions":[{}]"#, transactions.join(","));
    Bytes::from(object(&fields, &lists) + "}")
}

/// The result of `eth_getBlockReceipts` for that block, and the brace that ends the answer.
pub fn receipts() -> Bytes {
    let mut made_up = MadeUp(2);
    let receipts: Vec<String> = (0..TRANSACTIONS).map(|index| receipt(&mut made_up, index)).collect();
    Bytes::from(format!("[{}]}}", receipts.join(",")))
}

fn transaction(made_up: &mut MadeUp, index: u64) -> String {
    // A transfer, a token's transfer, or a call with several arguments.
    let words = [0, 2, 5, 13][usize::try_from(index % 4).unwrap_or(0)];
    let input = if words == 0 { "0x".to_owned() } else { made_up.hex(4 + 32 * words) };
    let fields = [
        ("blockHash", block_hash()),
        ("blockNumber", NUMBER.to_owned()),
        ("from", made_up.hex(20)),
        ("gas", made_up.quantity(20)),
        ("gasPrice", made_up.quantity(34)),
        ("maxFeePerGas", made_up.quantity(35)),
        ("maxPriorityFeePerGas", made_up.quantity(30)),
        ("hash", made_up.hex(32)),
        ("input", input),
        ("nonce", made_up.quantity(10)),
        ("to", made_up.hex(20)),
        ("transactionIndex", format!("0x{index:x}")),
        ("value", made_up.quantity(60)),
        ("type", "0x2".to_owned()),
        ("chainId", "0x1".to_owned()),
        ("v", "0x1".to_owned()),
        ("yParity", "0x1".to_owned()),
        ("r", made_up.hex(32)),
        ("s", made_up.hex(32)),
    ];
    object(&fields, r#","accessList":[]"#)
}

fn receipt(made_up: &mut MadeUp, index: u64) -> String {
    let log = [
        ("address", made_up.hex(20)),
        ("data", made_up.hex(32)),
        ("blockNumber", NUMBER.to_owned()),
        ("transactionHash", made_up.hex(32)),
        ("transactionIndex", format!("0x{index:x}")),
        ("blockHash", block_hash()),
        ("logIndex", format!("0x{index:x}")),
    ];
    let topics = format!(r#","removed":false,"topics":["{}","{}"]"#, made_up.hex(32), made_up.hex(32));
    let fields = [
        ("blockHash", block_hash()),
        ("blockNumber", NUMBER.to_owned()),
        ("cumulativeGasUsed", made_up.quantity(24)),
        ("effectiveGasPrice", made_up.quantity(34)),
        ("from", made_up.hex(20)),
        ("gasUsed", made_up.quantity(17)),
        ("logsBloom", made_up.hex(256)),
        ("status", "0x1".to_owned()),
        ("to", made_up.hex(20)),
        ("transactionHash", made_up.hex(32)),
        ("transactionIndex", format!("0x{index:x}")),
        ("type", "0x2".to_owned()),
    ];
    let rest = format!(r#","contractAddress":null,"logs":[{}]"#, object(&log, &topics));
    object(&fields, &rest)
}

fn block_hash() -> String {
    MadeUp(3).hex(32)
}

fn object(fields: &[(&str, String)], rest: &str) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
    format!("{{{}{rest}}}", fields.join(","))
}

/// Numbers that look like chance, by `SplitMix64`.
struct MadeUp(u64);

impl MadeUp {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// So many bytes.
    fn hex(&mut self, bytes: usize) -> String {
        let words: Vec<String> = (0..bytes.div_ceil(8)).map(|_| format!("{:016x}", self.next())).collect();
        format!("0x{}", &words.concat()[..2 * bytes])
    }

    /// A number of so many bits.
    fn quantity(&mut self, bits: u32) -> String {
        format!("0x{:x}", (self.next() >> (64 - bits)) | 1 << (bits - 1))
    }
}
