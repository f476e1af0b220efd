//! Which methods change nothing at a node, so that a request that was lost on the way may be sent again. A method that
//! is not known to is taken for one that changes something.

/// Methods of the families of nodes whose names begin like this only read, but for the exceptions.
const READS: &[&str] = &[
    // Ethereum and its kin.
    "eth_block",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_get",
    "eth_maxPriorityFeePerGas",
    "eth_protocolVersion",
    "eth_simulate",
    "eth_syncing",
    "net_listening",
    "net_peerCount",
    "net_version",
    "web3_",
    "debug_get",
    "debug_trace",
    "trace_",
    "txpool_",
    // Bitcoin, Solana.
    "decode",
    "estimate",
    "get",
    "isBlockhashValid",
    "list",
    "minimumLedgerSlot",
    "simulateTransaction",
    "validateaddress",
    "verifymessage",
    // Substrate.
    "chain_get",
    "state_call",
    "state_get",
    "state_query",
    "system_chain",
    "system_health",
    "system_name",
    "system_properties",
    "system_version",
];

/// Names that begin like one that reads and yet change something: what a filter gives it gives once, addresses are
/// used up.
const WRITES: &[&str] =
    &["eth_getFilterChanges", "getaccountaddress", "getnewaddress", "getrawchangeaddress"];

/// Whether a method only reads, as far as is known.
#[must_use]
pub fn only_reads(method: &str) -> bool {
    READS.iter().any(|start| method.starts_with(start)) && !WRITES.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_most_only_reads() {
        for method in [
            "eth_blockNumber",
            "eth_getLogs",
            "eth_call",
            "getblockchaininfo",
            "getSlot",
            "state_getStorage",
            "debug_traceTransaction",
        ] {
            assert!(only_reads(method), "{method}");
        }
    }

    #[test]
    fn what_sends_signs_uses_up_or_is_unknown_is_never_sent_twice() {
        for method in [
            "eth_sendRawTransaction",
            "eth_sendTransaction",
            "eth_sign",
            "eth_submitWork",
            "eth_newFilter",
            "eth_subscribe",
            "eth_getFilterChanges",
            "sendrawtransaction",
            "sendTransaction",
            "sendtoaddress",
            "getnewaddress",
            "requestAirdrop",
            "author_submitExtrinsic",
            "evm_mine",
            "debug_setHead",
            "engine_newPayloadV3",
            "personal_unlockAccount",
            "echo",
            "",
        ] {
            assert!(!only_reads(method), "{method}");
        }
    }
}
