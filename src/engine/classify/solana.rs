//! What Solana's nodes mean. Codes: `rpc-client-api/src/custom_error.rs` of Agave.

use super::class::Class::{
    AlreadyKnown, Invalid, MethodNotSupported, NodeBehind, RateLimited, Rejected, Transient,
};
use super::table::{Table, says};

pub(super) const TABLE: Table = Table {
    texts: &[
        says(AlreadyKnown, &["already been processed", "alreadyprocessed"]),
        says(RateLimited, &["connection rate limits exceeded"]),
        says(NodeBehind, &["node is behind", "node is unhealthy", "minimum context slot", "was skipped"]),
        says(Rejected, &["transaction simulation failed", "blockhash not found", "insufficient lamports"]),
    ],
    codes: &[
        (-32_001, NodeBehind),
        (-32_002, Rejected),
        (-32_003, Invalid),
        (-32_004, NodeBehind),
        (-32_005, NodeBehind),
        (-32_006, Rejected),
        (-32_007, NodeBehind),
        (-32_008, NodeBehind),
        (-32_009, NodeBehind),
        (-32_010, MethodNotSupported),
        (-32_011, MethodNotSupported),
        (-32_012, Transient),
        (-32_013, Invalid),
        (-32_014, NodeBehind),
        (-32_015, Invalid),
        (-32_016, NodeBehind),
        (-32_017, Transient),
        (-32_018, Invalid),
        (-32_019, Transient),
    ],
};
