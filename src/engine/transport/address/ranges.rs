//! Which addresses are what: by IANA's registries of special-purpose addresses (RFC 6890 and its updates), and by where
//! clouds say that they keep the metadata of a machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(p: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]), length)
}

/// No node is there, but what tells a machine's secrets to whoever runs on it.
const NEVER_V4: [Ipv4Net; 6] = [
    v4(169, 254, 0, 0, 16), // link-local: AWS, Google, Azure and most others
    v4(224, 0, 0, 0, 4),    // multicast
    v4(255, 255, 255, 255, 32),
    v4(100, 100, 100, 200, 32), // Alibaba
    v4(168, 63, 129, 16, 32),   // Azure
    v4(192, 0, 0, 192, 32),     // Oracle
];
const NEVER_V6: [Ipv6Net; 7] = [
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), // site-local, of old
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),           // AWS
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),       // Google
    v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), // Oracle
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),        // Scaleway
];

/// This machine, and networks that are somebody's own.
const PRIVATE_V4: [Ipv4Net; 6] = [
    v4(0, 0, 0, 0, 32),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
];
const PRIVATE_V6: [Ipv6Net; 4] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 127), // :: and ::1
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    LOCAL_NAT64,
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), // discarded
];

/// What else is not of the public internet.
const RESERVED_V4: [Ipv4Net; 8] = [
    v4(0, 0, 0, 0, 8),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(240, 0, 0, 0, 4),
];
const RESERVED_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// A network's own translation to IPv4 (RFC 8215).
pub(super) const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);

pub(super) fn is_never_a_node(address: IpAddr) -> bool {
    is_in(address, &NEVER_V4, &NEVER_V6)
}

pub(super) fn is_private(address: IpAddr) -> bool {
    is_in(address, &PRIVATE_V4, &PRIVATE_V6)
}

pub(super) fn is_public(address: IpAddr) -> bool {
    let is_unicast = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => GLOBAL_UNICAST.contains(&v6),
    };
    is_unicast && !is_private(address) && !is_in(address, &RESERVED_V4, &RESERVED_V6)
}

fn is_in(address: IpAddr, nets_v4: &[Ipv4Net], nets_v6: &[Ipv6Net]) -> bool {
    match address {
        IpAddr::V4(v4) => nets_v4.iter().any(|net| net.contains(&v4)),
        IpAddr::V6(v6) => nets_v6.iter().any(|net| net.contains(&v6)),
    }
}
