//! IPv6 addresses that lead to IPv4 ones, in all forms in which translators and tunnels write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ranges::LOCAL_NAT64;

/// All addresses that packets to `address` may reach: each must be allowed.
pub(super) fn reached(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    let parts = v6.segments();
    let [.., high, low] = parts;
    match parts {
        // This machine.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![address],
        // Compatible, mapped, translated (RFC 4291, 6052, 7915): nothing of IPv6 is left.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            vec![v4(high, low)]
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => vec![v4(high, low)],
        // Teredo (RFC 4380): by a server to a client, whose address is written inverted.
        [0x2001, 0, server_high, server_low, ..] => {
            vec![address, v4(server_high, server_low), v4(!high, !low)]
        }
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![address, v4(high, low)],
        _ if LOCAL_NAT64.contains(&v6) => local_nat64(v6),
        _ => vec![address],
    }
}

/// Where the IPv4 address lies depends on how long the network's prefix is (RFC 6052, 2.2), which only it knows.
fn local_nat64(v6: Ipv6Addr) -> Vec<IpAddr> {
    // The ninth is always 0.
    const PLACES: [[usize; 4]; 3] = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]];
    let octets = v6.octets();
    let [.., high, low] = v6.segments();
    let embedded = PLACES.map(|places| IpAddr::V4(places.map(|place| octets[place]).into()));
    [IpAddr::V6(v6), v4(high, low)].into_iter().chain(embedded).collect()
}

fn v4(high: u16, low: u16) -> IpAddr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
