//! Why a request is made once more.

use crate::engine::classify::Class;
use crate::engine::error::{Error, Kind};

/// What was wrong with the attempt before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its connection ended before there was an answer.
    Lost,
    /// No connection could be opened.
    Unreachable,
    /// The node took too long.
    Late,
    /// What came back was no answer.
    Garbled,
    /// The credentials were refused, or a plan is used up.
    Refused,
    /// The node asked to slow down.
    Limited,
    /// The node was in trouble that may pass.
    Transient,
    /// The node lacks the block or the method, or takes less at a time.
    Lacking,
}

impl Why {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Unreachable,
        Self::Late,
        Self::Garbled,
        Self::Refused,
        Self::Limited,
        Self::Transient,
        Self::Lacking,
    ];

    /// The reason that `error` is.
    #[must_use]
    pub const fn of(error: &Error) -> Self {
        match (error.facts().class, error.kind()) {
            (Some(Class::RateLimited), _) => Self::Limited,
            (Some(Class::Transient), _) => Self::Transient,
            (Some(Class::RangeTooLarge | Class::NodeBehind | Class::MethodNotSupported), _) => Self::Lacking,
            (_, Kind::ChainConnection | Kind::ConnectTimeout | Kind::Tls | Kind::ChainMismatch) => {
                Self::Unreachable
            }
            (_, Kind::RequestTimeout) => Self::Late,
            (_, Kind::Protocol | Kind::HttpStatus) => Self::Garbled,
            (_, Kind::Authentication | Kind::QuotaExhausted) => Self::Refused,
            _ => Self::Lost,
        }
    }

    /// The key in a snapshot.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unreachable => "unreachable",
            Self::Late => "late",
            Self::Garbled => "garbled",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Transient => "transient",
            Self::Lacking => "lacking",
        }
    }
}
