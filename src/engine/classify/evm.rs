//! What Ethereum's kin, their providers and the proxies in front of them mean.
//!
//! Codes: EIP-1474 and EIP-3 (execution), the proxyd of the OP stack (-32010 to -32021), `QuickNode` (-3261x).

use super::class::Class::{
    AlreadyKnown, Invalid, MethodNotSupported, NodeBehind, NonceTooLow, RangeTooLarge, RateLimited, Rejected,
    Reverted, SenderLimited, Transient,
};
use super::table::{Table, says, with};

pub(super) const TABLE: Table = Table {
    texts: &[
        // JSON-RPC's own code, whatever the method is called.
        with(MethodNotSupported, &[-32_601], &[""]),
        // The words of a revert are its contract's, and may be any.
        with(Reverted, &[3], &[""]),
        says(Reverted, &["reverted", "vm exception", "vm execution error"]),
        says(AlreadyKnown, &["already known", "alreadyknown", "known transaction", "already imported"]),
        says(AlreadyKnown, &["already in the mempool", "transaction already exists", "already in mempool"]),
        says(NonceTooLow, &["nonce too low", "oldnonce", "nonce is too low", "nonce has already been used"]),
        says(
            RangeTooLarge,
            &[
                "block range",
                "range is too large",
                "range too large",
                "range limit exceeded",
                "exceeds the range",
                "max range",
                "is limited to a",
                "limit the query to",
                "query exceeds limit",
                "exceeds max results",
                "logs over more",
                "returned more than",
                "response size should not",
                "response size exceeded",
                "too many results",
                "too many blocks",
                "try paginating",
                "blocks distance",
                "is too big",
            ],
        ),
        says(
            RangeTooLarge,
            &[
                "batch limit",
                "batch size",
                "batch of more than",
                "batch request was too large",
                "batch response was too large",
                "in batch exceed",
            ],
        ),
        says(
            RangeTooLarge,
            &["specify less number of address", "addresses or topics per search position", "filters. the"],
        ),
        says(
            NodeBehind,
            &[
                "header not found",
                "missing trie node",
                "block not found",
                "unknown block",
                "header for hash not found",
                "state is not available",
                "state not available",
                "block is not available",
                "block not available",
                "state does not exist",
                "block does not exist",
                "historical state",
                "is pruned",
                "not a supported commitment",
                "blockoutofrange",
                "block out of range",
            ],
        ),
        says(
            Rejected,
            &[
                "out of gas",
                "insufficient funds",
                "intrinsic gas",
                "gas required exceeds",
                "exceeds block gas limit",
                "less than block base fee",
                "underpriced",
                "evm error",
                "nonce too high",
            ],
        ),
    ],
    codes: &[
        (-32_005, RateLimited),
        (-32_007, RateLimited),
        (-32_009, RateLimited),
        (-32_001, NodeBehind),
        (-32_043, NodeBehind),
        (-32_002, Transient),
        (-32_003, Rejected),
        (-32_004, MethodNotSupported),
        (-32_612, MethodNotSupported),
        (-32_613, MethodNotSupported),
        (-32_614, RangeTooLarge),
        (-32_701, RangeTooLarge),
        (-32_010, Transient),
        (-32_011, Transient),
        (-32_012, RateLimited),
        (-32_014, RangeTooLarge),
        (-32_015, Transient),
        (-32_016, RateLimited),
        (-32_017, SenderLimited),
        (-32_020, RangeTooLarge),
        (-32_021, Invalid),
    ],
};
