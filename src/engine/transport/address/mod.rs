//! Which addresses may be dialled. Judged on the address itself, after the name was looked up, so that a name cannot
//! lead where it must not.

mod disguise;
mod ranges;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::engine::error::{Error, Result};

/// The addresses that a chain may be dialled at. Link-local ones and those where clouds keep a machine's metadata never
/// are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Every other address.
    Any,
    /// Addresses of the public internet.
    Public,
    /// Loopback and private networks.
    Private,
    /// Addresses of these networks.
    Listed(Arc<[IpNet]>),
}

const WRONG: &str =
    "must be 'any', 'public', 'private', or a list of networks such as '10.0.0.0/8' or '203.0.113.7'";

impl AddressPolicy {
    /// The policy of this name.
    ///
    /// # Errors
    /// `Configuration` when there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "any" => Ok(Self::Any),
            "public" => Ok(Self::Public),
            "private" => Ok(Self::Private),
            _ => Err(wrong()),
        }
    }

    /// The policy that allows these networks, each an address or `address/prefix`.
    ///
    /// # Errors
    /// `Configuration` when one of them is something else, or when there is none.
    pub fn listed(networks: &[String]) -> Result<Self> {
        let network = |text: &String| {
            let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
            network.map(|network: IpNet| network.trunc()).map_err(|_| wrong())
        };
        let networks: Arc<[IpNet]> = networks.iter().map(network).collect::<Result<_>>()?;
        if networks.is_empty() { Err(wrong()) } else { Ok(Self::Listed(networks)) }
    }

    /// Whether `address` may be dialled.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let reached = disguise::reached(address);
        if ranges::is_never_a_node(address) || reached.iter().any(|address| ranges::is_never_a_node(*address))
        {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Public => reached.into_iter().all(ranges::is_public),
            Self::Private => reached.into_iter().all(ranges::is_private),
            Self::Listed(networks) => {
                reached.iter().all(|address| networks.iter().any(|network| network.contains(address)))
            }
        }
    }
}

fn wrong() -> Error {
    Error::argument("address_policy", WRONG)
}
