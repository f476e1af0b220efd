//! What Substrate's nodes mean: they give their reason in `data`, and some error answers have no code at all. Codes:
//! `substrate/client/rpc-api/src/author/error.rs` and its neighbours in the Polkadot SDK.

use super::class::Class::{AlreadyKnown, Invalid, MethodNotSupported, NodeBehind, NonceTooLow, Rejected};
use super::table::{Table, says};

pub(super) const TABLE: Table = Table {
    texts: &[
        says(AlreadyKnown, &["already imported"]),
        says(NonceTooLow, &["transaction is outdated", "transaction has an ancient birth block"]),
        says(
            NodeBehind,
            &[
                "unknown block",
                "unknownblock",
                "state already discarded",
                "header was not found",
                "block not found",
            ],
        ),
        says(MethodNotSupported, &["method not found", "rpc call is unsafe"]),
    ],
    codes: &[
        (1002, Invalid),
        (1010, Rejected),
        (1011, Rejected),
        (1012, Rejected),
        (1013, AlreadyKnown),
        (1014, Rejected),
        (1016, Rejected),
        (4003, NodeBehind),
    ],
};
