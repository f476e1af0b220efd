//! What Bitcoin's kin mean. Codes: `src/rpc/protocol.h` of Bitcoin Core.

use super::class::Class::{AlreadyKnown, Invalid, MethodNotSupported, NodeBehind, Rejected, Transient};
use super::table::{Table, says};

pub(super) const TABLE: Table = Table {
    texts: &[
        says(AlreadyKnown, &["txn-already-in-mempool", "txn-already-known", "already in block chain"]),
        says(AlreadyKnown, &["already in utxo set", "transaction outputs already in"]),
        says(
            NodeBehind,
            &["block not found", "block height out of range", "block not available", "pruned data"],
        ),
        says(Transient, &["work queue depth exceeded", "loading block index", "verifying blocks"]),
    ],
    codes: &[
        (-27, AlreadyKnown),
        (-28, Transient),
        (-9, Transient),
        (-10, NodeBehind),
        (-25, Rejected),
        (-26, Rejected),
        (-3, Invalid),
        (-8, Invalid),
        (-22, Invalid),
        (-18, Invalid),
        (-19, Invalid),
        (-32, MethodNotSupported),
    ],
};
