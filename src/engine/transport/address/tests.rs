//! The hosts of `tests/addresses.txt`, as an endpoint's URL spells them.

use super::*;
use crate::engine::target::{Target, TargetOptions};

const HOSTS: &str = include_str!("../../../../tests/addresses.txt");

/// What a host is, how it is spelt, and the address that the URL leads to.
fn hosts() -> impl Iterator<Item = (&'static str, &'static str, IpAddr)> {
    let lines = HOSTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (is, host) = line.split_once(' ').unwrap();
        let target = Target::new(&format!("http://{host}/"), None, &TargetOptions::default()).unwrap();
        (is, host, target.host().parse().map_err(|_| host).unwrap())
    })
}

#[test]
fn each_spelling_is_judged_by_where_it_leads() {
    for (is, host, address) in hosts() {
        let [any, public, private] = [AddressPolicy::Any, AddressPolicy::Public, AddressPolicy::Private]
            .map(|policy| policy.allows(address));
        assert_eq!(any, is != "never", "{host}");
        assert_eq!(public, is == "public", "{host}");
        if is != "reserved" {
            assert_eq!(private, is == "private", "{host}");
        }
    }
}

#[test]
fn there_are_enough_of_them() {
    let count = |wanted: fn(&str) -> bool| hosts().filter(|(is, ..)| wanted(is)).count();
    assert!(count(|is| is != "public") >= 60 && count(|is| is == "public") >= 30);
}

fn listed(networks: &[&str]) -> AddressPolicy {
    AddressPolicy::listed(&networks.iter().map(|&network| network.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_list_allows_what_is_in_it_in_any_spelling_and_nothing_that_is_never_a_node() {
    let policy = listed(&["10.1.0.0/16", "203.0.113.7", "fd00::/8", "169.254.0.0/16"]);
    let allows = |address: &str| policy.allows(address.parse().unwrap());
    for address in ["10.1.2.3", "203.0.113.7", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"] {
        assert!(allows(address), "{address}");
    }
    for address in
        ["10.2.0.1", "203.0.113.8", "::ffff:10.2.0.1", "1.1.1.1", "169.254.169.254", "fd00:ec2::254"]
    {
        assert!(!allows(address), "{address}");
    }
}

#[test]
fn host_bits_of_a_network_are_of_no_account() {
    assert_eq!(listed(&["10.1.2.3/16"]), listed(&["10.1.0.0/16"]));
}

#[test]
fn what_is_no_policy_is_refused() {
    for networks in [&[][..], &["10.0.0.0/33"], &["node.example.org"], &["10.0.0.0/8", ""]] {
        let networks: Vec<_> = networks.iter().map(|&network| network.to_owned()).collect();
        assert_eq!(AddressPolicy::listed(&networks).unwrap_err().facts().argument, Some("address_policy"));
    }
    assert!(AddressPolicy::named("Public").is_err());
}
