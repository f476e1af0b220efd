//! What cannot change any more, by family and method. A call that no rule knows is never kept, nor is one for a block
//! that its parameters do not name by number or by hash: tags such as `latest` move, and leaving one out means one.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::engine::family::Family;

/// What a method's answer depends on: the parameter that says so, counted from 0, or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The chain alone.
    Chain,
    /// Something that is named by its hash.
    Hash(usize),
    /// The block with a number.
    Number(usize),
    /// The block with a number or a hash, or the state after it.
    Block(usize),
    /// A transaction, which names its block once it has one.
    Transaction,
    /// The hash of something as raw bytes, in which nothing is told that changes: the next parameter is 0 or false.
    RawByHash,
    /// What Solana answers for blocks that are final, which is all that it answers without a `commitment`.
    Rooted,
}

/// When the answer to a call cannot change any more, if it is one and not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// Once the block with this number is final.
    Final(u64),
    /// Once the block that the answer names is final.
    FinalAsTold,
    /// Once its block has a time.
    Timed,
}

impl Rule {
    /// The rule for a method, if there is one.
    pub(super) fn of(family: Family, method: &str) -> Option<Self> {
        match family {
            Family::Evm => evm(method),
            Family::Bitcoin => bitcoin(method),
            Family::Solana => solana(method),
            Family::Substrate => substrate(method),
            Family::Generic => None,
        }
    }

    /// When the answer to a call with `params`, a JSON text, cannot change any more; `None` is never.
    pub(super) fn when(self, params: &[u8]) -> Option<When> {
        // Parameters by name are not looked into.
        let params: Vec<&RawValue> = serde_json::from_slice(params).ok()?;
        let param = |index: usize| params.get(index).map(|param| param.get());
        match self {
            Self::Chain => Some(When::Always),
            Self::Hash(index) => is_hash(param(index)?).then_some(When::Always),
            Self::Number(index) => number(param(index)?).map(When::Final),
            Self::Block(index) => block(param(index)?),
            Self::Transaction => Some(When::FinalAsTold),
            Self::RawByHash => matches!(param(1)?, "0" | "false").then_some(When::Always),
            Self::Rooted => is_rooted(param(1)).then_some(When::Timed),
        }
    }
}

impl When {
    /// Whether `result`, a JSON text, cannot change any more when all blocks up to `last` are final.
    pub(super) fn is_settled(self, result: &[u8], last: u64) -> bool {
        result != b"null"
            && match self {
                Self::Always => true,
                Self::Final(number) => number <= last,
                Self::FinalAsTold => told_block(result).is_some_and(|number| number <= last),
                Self::Timed => is_timed(result),
            }
    }
}

fn evm(method: &str) -> Option<Rule> {
    Some(match method {
        "eth_chainId" | "net_version" => Rule::Chain,
        "eth_getBlockByHash"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getTransactionByBlockHashAndIndex"
        | "eth_getUncleByBlockHashAndIndex"
        | "eth_getUncleCountByBlockHash" => Rule::Hash(0),
        "eth_getBlockByNumber"
        | "eth_getBlockTransactionCountByNumber"
        | "eth_getTransactionByBlockNumberAndIndex"
        | "eth_getUncleByBlockNumberAndIndex"
        | "eth_getUncleCountByBlockNumber" => Rule::Number(0),
        "eth_getTransactionByHash" | "eth_getTransactionReceipt" => Rule::Transaction,
        "eth_getBlockReceipts" => Rule::Block(0),
        "eth_call" | "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => Rule::Block(1),
        "eth_getProof" | "eth_getStorageAt" => Rule::Block(2),
        _ => return None,
    })
}

/// Other forms of blocks and transactions tell their confirmations, or what comes next.
fn bitcoin(method: &str) -> Option<Rule> {
    Some(match method {
        "getblockhash" => Rule::Number(0),
        "getblock" | "getblockheader" => Rule::RawByHash,
        _ => return None,
    })
}

fn solana(method: &str) -> Option<Rule> {
    Some(match method {
        "getGenesisHash" => Rule::Chain,
        "getBlock" | "getTransaction" => Rule::Rooted,
        _ => return None,
    })
}

fn substrate(method: &str) -> Option<Rule> {
    Some(match method {
        "chain_getBlockHash" => Rule::Number(0),
        "chain_getHeader" | "state_getMetadata" | "state_getRuntimeVersion" => Rule::Hash(0),
        "state_getStorage" => Rule::Hash(1),
        "state_call" => Rule::Hash(2),
        _ => return None,
    })
}

/// Whether a JSON text is a hash of 32 bytes.
fn is_hash(json: &str) -> bool {
    let digits = json.strip_prefix("\"0x").and_then(|rest| rest.strip_suffix('"'));
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// The number that a JSON text is: `"0x1b4"`, as Ethereum writes it, or `436`.
fn number(json: &str) -> Option<u64> {
    match json.strip_prefix("\"0x") {
        // Text that is longer than any number is a hash.
        Some(rest) => u64::from_str_radix(rest.strip_suffix('"').filter(|hex| hex.len() <= 16)?, 16).ok(),
        None => serde_json::from_str(json).ok(),
    }
}

/// A block as EIP-1898 names it: by number, by hash, or by an object with one of the two.
fn block(json: &str) -> Option<When> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Named<'a> {
        #[serde(borrow)]
        block_hash: Option<&'a RawValue>,
        #[serde(borrow)]
        block_number: Option<&'a RawValue>,
        require_canonical: Option<bool>,
    }
    if is_hash(json) {
        return Some(When::Always);
    }
    if !json.starts_with('{') {
        return number(json).map(When::Final);
    }
    let named: Named<'_> = serde_json::from_str(json).ok()?;
    match (named.block_hash, named.block_number) {
        // Whether a block is of the canonical chain may change.
        (Some(hash), None) if named.require_canonical != Some(true) => {
            is_hash(hash.get()).then_some(When::Always)
        }
        (None, Some(height)) => number(height.get()).map(When::Final),
        _ => None,
    }
}

/// Whether Solana is asked for what is final, given the options of a call.
fn is_rooted(options: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Options {
        commitment: Option<String>,
    }
    match options.map(serde_json::from_str::<Options>) {
        None => true,
        Some(Ok(options)) => options.commitment.is_none_or(|level| level == "finalized"),
        // An old form of the call has the name of an encoding here.
        Some(Err(_)) => false,
    }
}

fn told_block(result: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Mined<'a> {
        #[serde(borrow)]
        block_number: Option<&'a RawValue>,
    }
    let mined: Mined<'_> = serde_json::from_slice(result).ok()?;
    number(mined.block_number?.get())
}

/// Solana adds the time of a block some time after the block.
fn is_timed(result: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Timed {
        block_time: Option<IgnoredAny>,
    }
    serde_json::from_slice(result).is_ok_and(|timed: Timed| timed.block_time.is_some())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
