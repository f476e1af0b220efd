//! Which addresses may be dialled. Judged on the address itself, after the name was looked up, so that a name cannot
//! lead where it must not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::engine::error::{Error, Result};

/// The addresses that a chain may be dialled at. Link-local ones, where clouds keep their metadata, never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Every other address.
    Any,
    /// Addresses of the public internet.
    Public,
    /// Loopback and private networks.
    Private,
}

impl AddressPolicy {
    /// The policy of this name.
    ///
    /// # Errors
    /// `Configuration` when there is none of this name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "any" => Ok(Self::Any),
            "public" => Ok(Self::Public),
            "private" => Ok(Self::Private),
            _ => Err(Error::argument("address_policy", "must be 'any', 'public' or 'private'")),
        }
    }

    /// Whether `address` may be dialled.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        let address = unwrapped(address);
        if is_never_a_node(address) {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Public => !is_private(address) && is_routable(address),
            Self::Private => is_private(address),
        }
    }
}

/// The IPv4 address inside an IPv6 one (mapped, NAT64, 6to4), if there is one: that is where the packets go.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let parts = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn is_never_a_node(address: IpAddr) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6 == AWS_METADATA,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || v4.is_unspecified() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unspecified(),
    }
}

fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let benchmark = a == 198 && (b == 18 || b == 19);
            a != 0 && a < 240 && !v4.is_documentation() && !benchmark
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000 && v6.segments()[..2] != [0x2001, 0xdb8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(policy: AddressPolicy, address: &str) -> bool {
        policy.allows(address.parse().unwrap())
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_dialled() {
        for address in ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "224.0.0.1"]
        {
            for policy in [AddressPolicy::Any, AddressPolicy::Public, AddressPolicy::Private] {
                assert!(!allowed(policy, address), "{address}");
            }
        }
    }

    #[test]
    fn a_private_address_is_not_public_in_any_disguise() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!allowed(AddressPolicy::Public, address), "{address}");
            assert!(allowed(AddressPolicy::Private, address), "{address}");
            assert!(allowed(AddressPolicy::Any, address), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for address in ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"] {
            assert!(allowed(AddressPolicy::Public, address), "{address}");
            assert!(!allowed(AddressPolicy::Private, address), "{address}");
        }
        for address in ["198.18.0.1", "192.0.2.1", "240.0.0.1", "2001:db8::1"] {
            assert!(!allowed(AddressPolicy::Public, address), "{address}");
        }
    }
}
