//! What a method does at a node: it decides what may be sent twice.

use super::reads::only_reads;

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Reads,
    /// It hands in a signed transaction, which counts once however often it is handed in.
    Submits,
    /// It changes something, or is not known to change nothing.
    Changes,
}

/// Methods that hand in signed transactions.
const SUBMITS: [&str; 4] =
    ["eth_sendRawTransaction", "sendrawtransaction", "sendTransaction", "author_submitExtrinsic"];

/// What `method` does, as far as is known.
#[must_use]
pub fn effect_of(method: &str) -> Effect {
    if only_reads(method) {
        Effect::Reads
    } else if SUBMITS.contains(&method) {
        Effect::Submits
    } else {
        Effect::Changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_transactions_are_between_reads_and_changes() {
        assert_eq!(effect_of("eth_getBalance"), Effect::Reads);
        assert_eq!(effect_of("eth_sendRawTransaction"), Effect::Submits);
        assert_eq!(effect_of("eth_sendTransaction"), Effect::Changes);
        assert_eq!(effect_of("something_else"), Effect::Changes);
    }
}
