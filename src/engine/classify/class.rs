//! The classes of failure that an error answer may stand for: finer than the exceptions, because what may be done about
//! a failure depends on it.

use crate::engine::error::Kind;

/// What went wrong, as far as an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// This endpoint asks to slow down.
    RateLimited,
    /// The sender of a transaction is over a limit that holds at every endpoint.
    SenderLimited,
    /// The provider's plan is used up.
    QuotaExhausted,
    /// The credentials are refused.
    Authentication,
    /// The query, or its answer, is larger than this endpoint allows.
    RangeTooLarge,
    /// The endpoint lacks the block or state.
    NodeBehind,
    /// The endpoint lacks the method.
    MethodNotSupported,
    /// The contract reverted.
    Reverted,
    /// The transaction cannot be taken as it is.
    Rejected,
    /// The transaction is there already.
    AlreadyKnown,
    /// Another transaction has used its nonce, or this one itself.
    NonceTooLow,
    /// The endpoint is in trouble that may pass.
    Transient,
    /// The request is wrong wherever it is sent.
    Invalid,
    /// Nobody has said what it means.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 14] = [
        Self::RateLimited,
        Self::SenderLimited,
        Self::QuotaExhausted,
        Self::Authentication,
        Self::RangeTooLarge,
        Self::NodeBehind,
        Self::MethodNotSupported,
        Self::Reverted,
        Self::Rejected,
        Self::AlreadyKnown,
        Self::NonceTooLow,
        Self::Transient,
        Self::Invalid,
        Self::Unknown,
    ];

    /// The name that users read and write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::SenderLimited => "sender_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Authentication => "authentication",
            Self::RangeTooLarge => "range_too_large",
            Self::NodeBehind => "node_behind",
            Self::MethodNotSupported => "method_not_supported",
            Self::Reverted => "reverted",
            Self::Rejected => "rejected",
            Self::AlreadyKnown => "already_known",
            Self::NonceTooLow => "nonce_too_low",
            Self::Transient => "transient",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of error, and so the exception, of an answer of this class.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::RateLimited | Self::SenderLimited => Kind::ProviderRateLimit,
            Self::QuotaExhausted => Kind::QuotaExhausted,
            Self::Authentication => Kind::Authentication,
            Self::RangeTooLarge => Kind::RangeTooLarge,
            Self::NodeBehind => Kind::NodeBehind,
            Self::MethodNotSupported => Kind::MethodNotSupported,
            Self::Reverted => Kind::ExecutionReverted,
            Self::Rejected
            | Self::AlreadyKnown
            | Self::NonceTooLow
            | Self::Transient
            | Self::Invalid
            | Self::Unknown => Kind::Rpc,
        }
    }
}
