//! Who a node is: it is asked the question of each family in turn until it knows one.

use std::sync::Arc;

use serde::Deserialize;

use super::check_network;
use crate::engine::classify::Class;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::family::Family;
use crate::engine::hex::quantity;
use crate::engine::jsonrpc::Request;
use crate::engine::pool::Pool;
use crate::engine::printable::printable;

impl Family {
    /// The call that every node of the family answers: who are you?
    fn question(self) -> Request {
        let question = match self {
            Self::Evm | Self::Generic => Request::bare("eth_chainId"),
            Self::Bitcoin => Request::bare("getblockchaininfo"),
            Self::Solana => Request::bare("getGenesisHash"),
            Self::Substrate => Request::bare("chain_getBlockHash").with_params("[0]"),
        };
        question.asking_who()
    }

    /// The call that tells the newest block; an unknown node is asked none.
    fn head_question(self) -> Option<Request> {
        match self {
            Self::Evm => Some(Request::bare("eth_blockNumber")),
            Self::Bitcoin => Some(Request::bare("getblockcount")),
            Self::Solana => Some(Request::bare("getSlot")),
            Self::Substrate => Some(Request::bare("chain_getHeader")),
            Self::Generic => None,
        }
    }

    fn network_in(self, answer: &[u8]) -> Option<NetworkId> {
        #[derive(Deserialize)]
        struct Info {
            chain: String,
        }
        match self {
            Self::Evm => number(answer).map(NetworkId::Number),
            Self::Bitcoin => {
                serde_json::from_slice(answer).ok().map(|info: Info| NetworkId::Name(info.chain))
            }
            Self::Solana | Self::Substrate => serde_json::from_slice(answer).ok().map(NetworkId::Name),
            Self::Generic => None,
        }
    }

    fn head_in(self, answer: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Header {
            number: String,
        }
        match self {
            Self::Substrate => {
                let header: Header = serde_json::from_slice(answer).ok()?;
                quantity(&header.number)
            }
            _ => number(answer),
        }
    }
}

/// What tells one network from another: a chain id, a network's name or its first block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkId {
    /// The chain id of an Ethereum kind of network.
    Number(u64),
    /// The name of a Bitcoin network, the genesis hash of others.
    Name(String),
}

impl NetworkId {
    /// The network that a text names: a chain id in decimal or as `0x…`, or anything else that is a name.
    #[must_use]
    pub fn named(text: String) -> Self {
        match text.parse().ok().or_else(|| quantity(&text)) {
            Some(number) => Self::Number(number),
            None => Self::Name(text),
        }
    }

    fn told_by(self, pool: &Pool) -> Self {
        match self {
            Self::Number(_) => self,
            Self::Name(name) => Self::Name(words_of(pool, &name)),
        }
    }
}

impl std::fmt::Display for NetworkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its kind.
    pub family: Family,
    /// Its network, if its kind has a way to tell.
    pub network: Option<NetworkId>,
    /// The hash of its first block, where it was asked for and told: networks of developers share their numbers.
    pub genesis: Option<String>,
}

impl Identity {
    /// Refuse `other` if it is of another network.
    pub(super) fn check(&self, label: &Arc<str>, other: &Self) -> Result<()> {
        if let Some(network) = &self.network {
            check_network(label, network, other.network.as_ref(), "is the chain's")?;
        }
        match (&self.genesis, &other.genesis) {
            (Some(genesis), Some(found)) if genesis != found => {
                let message =
                    format!("'{label}' begins with block {found}, but {genesis} is the chain's first");
                Err(Error::new(Kind::ChainMismatch, message).of_chain(Some(label)))
            }
            _ => Ok(()),
        }
    }
}

/// Ask the node behind `pool` who it is, and for its first block if there are `several`. One that knows no question is a
/// generic JSON-RPC node.
pub(super) async fn identify(pool: &Pool, several: bool, call: &Call) -> Result<Identity> {
    let mut trouble = None;
    for family in [Family::Evm, Family::Bitcoin, Family::Solana, Family::Substrate] {
        match identify_as(family, pool, several, call).await {
            Ok(Some(identity)) => return Ok(identity),
            Ok(None) => {}
            // These say nothing about the method, so the next question would fare no better.
            Err(error) if is_refused(&error) => return Err(error),
            Err(error) if error.facts().class == Some(Class::Transient) => trouble = trouble.or(Some(error)),
            Err(error) if error.kind().is_answer() => {}
            Err(error) => return Err(error),
        }
    }
    // Who is in trouble may be any.
    trouble.map_or(Ok(Identity { family: Family::Generic, network: None, genesis: None }), Err)
}

/// Ask it the question of a family: who it is, if it knows that.
async fn identify_as(family: Family, pool: &Pool, several: bool, call: &Call) -> Result<Option<Identity>> {
    let answer = pool.request_within(&family.question(), Timeout::Of(None), call).await?;
    let Some(network) = family.network_in(&answer).map(|network| network.told_by(pool)) else {
        return Ok(None);
    };
    let genesis = if several { genesis(pool, family, call).await? } else { None };
    Ok(Some(Identity { family, network: Some(network), genesis }))
}

/// Ask a node that was away whether it is still who it was, or who it should be.
pub(super) async fn recognise(pool: &Pool, wanted: &Identity, label: &Arc<str>, call: &Call) -> Result<()> {
    let several = wanted.genesis.is_some();
    let found = match identify_as(wanted.family, pool, several, call).await {
        Ok(Some(found)) => found,
        // It is there, and not ready yet.
        Err(error) if matches!(error.facts().class, Some(Class::Transient | Class::NodeBehind)) => {
            return Err(error);
        }
        Err(error) if !error.kind().is_answer() => return Err(error),
        Ok(None) | Err(_) => identify(pool, several, call).await?,
    };
    wanted.check(label, &found)?;
    pool.learn(found.family);
    Ok(())
}

/// The hash of the first block, where the network's number does not tell enough.
async fn genesis(pool: &Pool, family: Family, call: &Call) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Block {
        hash: String,
    }
    if family != Family::Evm {
        return Ok(None);
    }
    let question = Request::bare("eth_getBlockByNumber").with_params(r#"["0x0",false]"#).asking_who();
    match pool.request_within(&question, Timeout::Of(None), call).await {
        Ok(answer) => {
            Ok(serde_json::from_slice(&answer).ok().map(|block: Block| words_of(pool, &block.hash)))
        }
        Err(error) if is_in_trouble(&error) || !error.kind().is_answer() => Err(error),
        // It does not tell it to anybody.
        Err(_) => Ok(None),
    }
}

/// Whether the node refuses whoever asks, whatever that is.
const fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), Kind::ProviderRateLimit | Kind::QuotaExhausted)
}

/// Whether it may answer the same question at another time.
fn is_in_trouble(error: &Error) -> bool {
    is_refused(error) || error.facts().class == Some(Class::Transient)
}

/// What the node behind `pool` calls something: it will stand in errors.
fn words_of(pool: &Pool, text: &str) -> String {
    printable(&pool.target().scrub(text))
}

/// Ask for the number of the newest block.
pub(super) async fn head(pool: &Pool, family: Family, call: &Call) -> Result<Option<u64>> {
    let Some(question) = family.head_question() else {
        // Any answer shows that it is there.
        return match knock(pool, family, call).await {
            Err(error) if !error.kind().is_answer() => Err(error),
            _ => Ok(None),
        };
    };
    let answer = pool.request_within(&question, Timeout::Of(None), call).await?;
    Ok(family.head_in(&answer))
}

/// A cheap call that needs the credentials.
pub(super) async fn knock(pool: &Pool, family: Family, call: &Call) -> Result<()> {
    pool.request_within(&family.question(), Timeout::Of(None), call).await.map(|_| ())
}

/// A number as JSON has it, or as Ethereum does: `"0x…"`.
fn number(answer: &[u8]) -> Option<u64> {
    if let Ok(number) = serde_json::from_slice(answer) {
        return Some(number);
    }
    quantity(&serde_json::from_slice::<String>(answer).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_in_the_form_of_their_family() {
        assert_eq!(Family::Evm.network_in(br#""0x7a69""#), Some(NetworkId::Number(31337)));
        assert_eq!(
            Family::Bitcoin.network_in(br#"{"chain":"main","blocks":5}"#),
            Some(NetworkId::Name("main".into()))
        );
        assert_eq!(Family::Solana.network_in(br#""5eykt""#), Some(NetworkId::Name("5eykt".into())));
        assert_eq!(Family::Evm.network_in(b"null"), None);
        assert_eq!(Family::Bitcoin.network_in(b"[]"), None);
    }

    #[test]
    fn heads_are_read_in_the_form_of_their_family() {
        assert_eq!(Family::Evm.head_in(br#""0x10""#), Some(16));
        assert_eq!(Family::Bitcoin.head_in(b"840000"), Some(840_000));
        assert_eq!(Family::Substrate.head_in(br#"{"number":"0x20","digest":{}}"#), Some(32));
        assert_eq!(Family::Evm.head_in(br#""latest""#), None);
    }
}
