//! The kinds of node that are told apart: they speak different methods, and mean different things by one error code.

/// A kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Ethereum and its kin.
    Evm,
    /// Bitcoin and its kin.
    Bitcoin,
    /// Solana.
    Solana,
    /// Substrate: Polkadot and its kin.
    Substrate,
    /// Any other JSON-RPC node, and every node that has not said what it is.
    Generic,
}

impl Family {
    /// The name that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evm => "evm",
            Self::Bitcoin => "bitcoin",
            Self::Solana => "solana",
            Self::Substrate => "substrate",
            Self::Generic => "generic",
        }
    }
}
